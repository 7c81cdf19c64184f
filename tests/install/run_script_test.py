"""scripts/run with a program and a build of the test's own: what it says, and that the command that it prints draws an image.
usage: run_script_test.py PROJECT_FOLDER"""
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(sys.argv[1])
BUILD = """#!/bin/sh
echo "[4/4] build the program: about 6 minutes with 2 compilers at a time" >&2
echo "{folder}/easel"
"""
# Stands for the program. The server is ready after a second, takes one request and ends.
PROGRAM = """#!{python}
import http.server, json, os, pathlib, sys, time

ready = pathlib.Path("{folder}/ready")
if sys.argv[1:2] == ["health"]:
    assert "serve" not in sys.argv, sys.argv
    print("ready: http://127.0.0.1:{port}" if ready.exists() else "not ready: status 503")
    sys.exit(not ready.exists())
print("program", *sys.argv[1:], os.environ["EASEL_MODELS_DIR"], flush=True)
if sys.argv[1:2] == ["draw"]:
    sys.exit(3)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/images/generations" and body["prompt"], (self.path, body)
        assert self.headers["Authorization"] == {authorization!r}, self.headers
        answer = json.dumps(dict(data=[dict(b64_json="iVBORw==")])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

server = http.server.HTTPServer(("127.0.0.1", {port}), Handler)
time.sleep(1)
ready.touch()
server.handle_request()
"""


class Run(unittest.TestCase):
    def start(self, *args, key=None, program=PROGRAM):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/run", self.folder / "scripts/run")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        values = dict(folder=self.folder, python=sys.executable, port=self.port, authorization=key and f"Bearer {key}")
        for name, text in (("scripts/build", BUILD), ("easel", program)):
            path = self.folder / name
            path.write_text(text.format(**values))
            path.chmod(0o755)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("EASEL_")}
        self.environment = {**clean, **({"EASEL_API_KEY": key} if key else {})}
        return subprocess.Popen([self.folder / "scripts/run", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=self.environment)

    def read_announcement(self, process):
        lines = []
        while not lines or not lines[-1].startswith("curl "):
            line = process.stdout.readline()
            self.assertTrue(line, f"no command was printed: {lines}")
            lines.append(line.rstrip("\n"))
        return lines

    def test_a_server_is_announced_with_its_address_and_a_command_that_draws(self):
        for arguments, key in (((), None), (("serve", "--log-level", "debug"), "secret")):
            process = self.start(*arguments, key=key)
            lines = self.read_announcement(process)
            self.assertEqual(lines[0], " ".join(["program", *arguments, f"{self.folder}/models"]))
            self.assertIn(f"http://127.0.0.1:{self.port}", lines)
            subprocess.run(["bash", "-euo", "pipefail", "-c", lines[-1]], check=True, cwd=self.folder, env=self.environment, timeout=60)
            self.assertEqual((self.folder / "easel.png").read_bytes(), b"\x89PNG")
            _, said = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0)
            self.assertIn("about 6 minutes", said)
            self.assertIn("starting the server", said)

    def test_other_commands_end_as_the_program_does_and_print_nothing_else(self):
        process = self.start("draw", "a fox")
        printed, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 3)
        self.assertEqual(printed, f"program draw a fox {self.folder}/models\n")
        self.assertNotIn("starting", said)

    def test_a_server_that_ends_before_it_is_ready_is_not_waited_for(self):
        process = self.start("serve", program="#!/bin/sh\nexit 1\n")
        process.communicate(timeout=20)
        self.assertEqual(process.returncode, 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
