"""A second pass by way of a model that upscales: easel draw and the server make the same file.  usage: second_pass_test.py EASEL MODEL
UPSCALER

UPSCALER is the small latent upscaler that tests/pipelines/reference/make_image_families.py wrote.
"""
import base64
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))
sys.dont_write_bytecode = True
from server import Server  # noqa: E402

EASEL, MODEL, UPSCALER = sys.argv[1:4]
MODELS = ("--model", f"emoji={MODEL},x2={UPSCALER}", "--dtype", "float32", "--threads", "1")
DRAWN = ("--seed", "3", "--steps", "4", "--size", "64x64")


class SecondPass(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.folder.cleanup()

    def run_draw(self, *arguments):
        path = pathlib.Path(self.folder.name) / "image.png"
        done = subprocess.run([EASEL, "draw", *arguments, "-o", str(path)], capture_output=True, text=True, timeout=120)
        return done, path

    def draw(self, *arguments):
        done, path = self.run_draw(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return path.read_bytes(), done.stderr

    def test_draw_like_and_the_server_make_the_same_file(self):
        drawn, _ = self.draw("a fox", *DRAWN, "--hires-upscaler", "x2", "--hires-scale", "1.5", "--hires-steps", "3", *MODELS)
        self.assertEqual(drawn[16:24], bytes((0, 0, 0, 96, 0, 0, 0, 96)))
        example = pathlib.Path(self.folder.name) / "example.png"
        example.write_bytes(drawn)
        again, said = self.draw("--like", str(example), *MODELS)
        self.assertEqual(again, drawn)
        self.assertEqual(said, "", "nothing differs")
        other, said = self.draw("--like", str(example), "--hires-upscaler", "Lanczos", *MODELS)
        self.assertNotEqual(other, drawn)
        self.assertIn("hires was", said)
        body = {"prompt": "a fox", "seed": 3, "num_inference_steps": 4, "size": "64x64", "response_format": "b64_json",
                "hires": {"upscaler": "x2", "scale": 1.5, "steps": 3}}
        with Server(EASEL, MODELS[1], 0, pathlib.Path(self.folder.name) / "log", *MODELS[2:]) as server:
            request = urllib.request.Request(server.base_url + "/images/generations", json.dumps(body).encode(),
                                             {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=120) as response:
                served = base64.b64decode(json.load(response)["data"][0]["b64_json"])
        self.assertEqual(served, drawn)

    def test_a_model_that_is_missing_is_named(self):
        drawn, _ = self.draw("a fox", *DRAWN, "--hires-upscaler", "x2", *MODELS)
        example = pathlib.Path(self.folder.name) / "example.png"
        example.write_bytes(drawn)
        done, _ = self.run_draw("--like", str(example), "--model", MODEL)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('needs the model "x2"', done.stderr)
        done, _ = self.run_draw("a fox", "--hires-upscaler", "x2", "--model", MODEL)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("expected one of: Latent, ", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
