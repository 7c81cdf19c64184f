"""Models that the server downloads: at its start, and when operators ask for them.  usage: pull_serving_test.py EASEL"""
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request

from pull_case import EASEL, ROOT, PullTest


class Server(PullTest):
    """A server whose models folder and hub are those of the test."""

    def setUp(self):
        super().setUp()
        emoji = ROOT / "models/emoji"
        self.hub.files = {str(path.relative_to(emoji)): path.read_bytes() for path in emoji.rglob("*") if path.is_file()}

    def serve(self, *args):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        process = subprocess.Popen(self.command("serve", "--port", str(self.port), *args), env=self.environment(), stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def ask(self, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body and json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except urllib.error.URLError:
            return 0, {}

    def await_status(self, wanted):
        for _ in range(600):
            status, body = self.ask("/ready")
            if body.get("status") == wanted:
                return status, body
            time.sleep(0.05)
        self.fail(f"/ready does not become {wanted}: {body}")


class Serving(Server):
    """easel serve and easel draw with models by name."""

    def test_a_missing_model_is_downloaded_while_ready_reports_the_progress(self):
        release = threading.Event()
        self.hub.fault = lambda handler, kind: kind == "file" and handler.path.endswith(".safetensors") and release.wait(60) and False
        process = self.serve("--model", "org/model")
        status, body = self.await_status("downloading")
        self.assertEqual((status, body["model"], body["ready"]), (503, "org/model", False))
        status, body = self.ask("/v1/images/generations", {"prompt": "a cat"})
        self.assertEqual(status, 503)
        self.assertIn("org/model is still being downloaded", body["error"]["message"])
        self.assertEqual(self.ask("/health")[0], 200)
        release.set()
        self.await_status("ready")
        status, body = self.ask("/v1/images/generations", {"prompt": "a cat", "num_inference_steps": 1})
        self.assertEqual(status, 200, body)
        self.assertEqual([model["id"] for model in self.ask("/v1/models")[1]["data"]], ["model"])
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 0)

    def test_what_was_pulled_is_found_by_its_name_without_the_hub(self):
        self.assert_pulled("org/model")
        self.hub.requests.clear()
        image = self.models.parent / "cat.png"
        result = self.run_easel("draw", "a cat", "-o", str(image), "--steps", "1", "--model", "org/model")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(image.read_bytes().startswith(b"\x89PNG"))
        self.serve("--model", "other=org/model")
        self.await_status("ready")
        self.assertEqual(self.ask("/v1/models")[1]["data"][0]["id"], "other")
        self.assertEqual(self.hub.requests, [])

    def test_another_model_of_the_same_name_is_not_taken_for_it(self):
        self.assert_pulled("org/model")
        for command in (("draw", "a cat", "-o", str(self.models.parent / "cat.png")), ("models",), ("serve",)):
            result = self.run_easel(*command, "--model", "other/model")
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("model was pulled as org/model, not as other/model", result.stderr)
        self.assertEqual(self.run_easel("models", "--model", "org/model@main").returncode, 0)

    def test_a_signal_ends_a_server_whose_hub_does_not_answer(self):
        release, asked = threading.Event(), threading.Event()
        self.addCleanup(release.set)
        self.hub.fault = lambda handler, kind: asked.set() or release.wait(60) and False
        process = self.serve("--model", "org/model")
        self.assertTrue(asked.wait(30))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)

    def test_commands_that_do_not_download_say_how_to(self):
        result = self.run_easel("models", "--model", "org/model")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("easel pull org/model", result.stderr)

    def test_a_misspelt_path_is_not_asked_for(self):
        (self.models / "known").mkdir(parents=True)
        result = subprocess.run([EASEL, "serve", "--model", "models/knwon"], capture_output=True, text=True, timeout=60, env=self.environment(),
                                cwd=self.models.parent, check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(self.hub.requests, [])

    def test_a_failed_download_ends_the_server_with_its_reason(self):
        self.hub.fault = lambda handler, kind: handler.respond(404) or True
        process = self.serve("--model", "org/model")
        self.assertEqual(process.wait(60), 1)
        self.assertIn("no such repository", process.stderr.read())

    def test_a_signal_ends_a_download_that_waits(self):
        release = threading.Event()
        self.addCleanup(release.set)
        self.hub.fault = lambda handler, kind: kind == "file" and release.wait(60) and False
        process = self.serve("--model", "org/model")
        self.await_status("downloading")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)

    def test_models_are_found_in_the_data_folder_of_the_user(self):
        home = self.models.parent / "home"
        work = self.models.parent / "work"
        work.mkdir()
        environment = self.environment(XDG_DATA_HOME=str(home))
        result = subprocess.run([EASEL, "pull", "org/model"], capture_output=True, text=True, timeout=60, env=environment, cwd=work, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue((home / "easel/models/model/model_index.json").is_file())
        listed = subprocess.run([EASEL, "models"], capture_output=True, text=True, timeout=60, env=environment, cwd=work, check=False)
        self.assertIn(f"folder      {home}/easel/models/model", listed.stdout)
        (work / "models").mkdir()
        subprocess.run([EASEL, "pull", "org/model"], capture_output=True, timeout=60, env=environment, cwd=work, check=True)
        self.assertTrue((work / "models/model/model_index.json").is_file(), "./models comes first where it exists")


class OverHttp(Server):
    """Models that operators pull and remove while the server runs."""

    def setUp(self):
        super().setUp()
        shutil.copytree(ROOT / "models/emoji", self.models / "first")

    def pull_over_http(self, model, **fields):
        """The status and the events, or the object of a response that is not a stream."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/models/pull", json.dumps({"model": model, **fields}).encode())
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read().decode()
                events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
                return response.status, events or json.loads(text)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def remove_over_http(self, model):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/models/{model}", method="DELETE")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def models_become(self, wanted):
        for _ in range(600):
            if {model["id"] for model in self.ask("/v1/models")[1]["data"]} == wanted:
                return
            time.sleep(0.05)
        self.fail(f"the models do not become {wanted}")

    def test_a_model_is_pulled_served_and_removed_again(self):
        self.hub.pause = 0.002
        self.serve("--local-operator")
        self.await_status("ready")
        status, events = self.pull_over_http("org/model")
        self.assertEqual(status, 200)
        self.assertEqual({event["type"] for event in events[:-1]}, {"model_pull.progress"})
        self.assertEqual([event["done_bytes"] for event in events[:-1]], sorted({event["done_bytes"] for event in events[:-1]}))
        self.assertEqual(events[-1]["type"], "model_pull.completed")
        self.assertEqual((events[-1]["model"], events[-1]["licence"], events[-1]["was_there"]), ("model", "openrail", False))
        self.models_become({"first", "model"})
        status, body = self.ask("/v1/images/generations", {"model": "model", "prompt": "a cat", "num_inference_steps": 1})
        self.assertEqual(status, 200, body)
        status, again = self.pull_over_http("org/model", stream=False)
        self.assertEqual((status, again["was_there"]), (200, True))
        self.assertEqual(self.remove_over_http("model"), (200, {"id": "model", "object": "model", "deleted": True}))
        self.models_become({"first"})
        self.assertEqual([path.name for path in self.models.iterdir()], ["first"])
        self.assertEqual(self.ask("/v1/images/generations", {"model": "model", "prompt": "a cat"})[1]["error"]["code"], "model_not_found")

    def test_only_what_easel_pulled_is_removed(self):
        shutil.copytree(ROOT / "models/emoji", self.models / "second")
        self.serve("--local-operator")
        self.await_status("ready")
        status, body = self.remove_over_http("second")
        self.assertEqual(status, 400)
        self.assertIn("was not pulled by easel", body["error"]["message"])
        self.assertTrue((self.models / "second/model_index.json").is_file())
        self.assertEqual(self.remove_over_http("third")[0], 404)

    def test_failures_have_a_status_of_their_own(self):
        self.serve("--local-operator")
        self.await_status("ready")
        self.assertEqual(self.pull_over_http("no-such-recipe")[0], 404)
        self.assertEqual(self.pull_over_http("https://127.0.0.1/model.safetensors")[0], 400)
        self.hub.fault = lambda handler, kind: handler.respond(404) or True
        status, body = self.pull_over_http("org/model")
        self.assertEqual(status, 404)
        self.assertIn("no such repository", body["error"]["message"])

    def test_a_signal_ends_the_server_while_a_model_is_pulled(self):
        release = threading.Event()
        self.addCleanup(release.set)
        waiting = threading.Event()

        def wait(_, kind):
            if kind == "file":
                waiting.set()
                release.wait(60)
            return False
        self.hub.fault = wait
        process = self.serve("--local-operator")
        self.await_status("ready")
        asked = threading.Thread(target=self.pull_over_http, args=("org/model",))
        asked.start()
        self.assertTrue(waiting.wait(30))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0)
        asked.join()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=1)
