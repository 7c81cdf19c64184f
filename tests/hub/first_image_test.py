"""The commands of docs/guide/first-image.md, from an empty folder to an image, against a hub of the tests' own, which
serves the shipped model under the name of a recipe.  usage: first_image_test.py EASEL"""
import os
import re
import socket
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

from pull_case import EASEL, ROOT, PullTest

PAGE = ROOT / "docs/guide/first-image.md"
MODEL = ROOT / "models/emoji"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class FirstImage(PullTest):
    def setUp(self):
        super().setUp()
        self.hub.files = {str(path.relative_to(MODEL)): path.read_bytes() for path in MODEL.rglob("*") if path.is_file() and "recipe" not in path.parts}
        self.home = self.models.parent
        (self.home / "easel").symlink_to(EASEL)
        self.port = free_port()
        self.variables = self.environment(PATH=f"{self.home}:{os.environ['PATH']}", HOME=str(self.home), XDG_DATA_HOME="", XDG_STATE_HOME="",
                                          EASEL_PORT=str(self.port))

    def shell(self, command):
        result = subprocess.run(["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True, timeout=60, env=self.variables, cwd=self.home, check=False)
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stderr}")
        return result.stdout

    def serve(self, command):
        server = subprocess.Popen(["bash", "-c", f"exec {command}"], env=self.variables, cwd=self.home, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait, 60)
        self.addCleanup(server.terminate)
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=10):
                    return
            except urllib.error.URLError:
                time.sleep(0.05)
        self.fail("the server does not become ready")

    def test_the_commands_of_the_page_lead_to_an_image(self):
        listing, pull, serve, draw = re.findall(r"```sh\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
        self.assertIn("  sd15 (unverified)\n", self.shell(listing))
        self.assertIn("licence: ", self.shell(pull))
        self.assertTrue((self.home / ".local/share/easel/models/sd15/unet").is_dir())
        self.hub.close()  # the server needs no hub any more
        self.serve(serve)
        self.shell(draw.replace(":9225", f":{self.port}"))
        self.assertTrue((self.home / "fox.png").read_bytes().startswith(b"\x89PNG"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=1)
