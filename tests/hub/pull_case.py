"""What the tests of downloads share: the program, a hub, and what a whole model consists of."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from hostile_hub import COMMIT, Hub

EASEL = os.path.abspath(sys.argv[1])
ROOT = pathlib.Path(__file__).resolve().parents[2]
PLAIN = {"model_index.json", "README.md", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json",
         "vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json", "tokenizer/merges.txt", "text_encoder/config.json",
         "text_encoder/model.safetensors", "scheduler/scheduler_config.json", ".easel-pull.json"}
NOBODY = 65534
UNET = "unet/diffusion_pytorch_model.safetensors"


def once(response):
    """A fault that replaces the first response for the UNet's weights."""
    seen = []

    def fault(handler, kind):
        if kind != "file" or not handler.path.endswith(UNET) or seen:
            return False
        seen.append(1)
        return response(handler)
    return fault


class PullTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.models = pathlib.Path(folder.name) / "models"
        self.hub = self.start_hub()

    def start_hub(self, **options):
        hub = Hub(**options)
        self.addCleanup(hub.close)
        return hub

    def command(self, *args):
        return [EASEL, *args, "--models-dir", str(self.models)]

    def environment(self, **extra):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("EASEL_", "HF_", "CIVITAI_")) and "proxy" not in name.lower()}
        return {**clean, "HF_ENDPOINT": self.hub.url, **extra}

    def fetched(self):
        """The files that the hub was asked for."""
        return {path.partition(f"/resolve/{COMMIT}/")[2] for kind, path, *_ in self.hub.requests if kind == "file"}

    def run_easel(self, *args, timeout=60, env=None):
        return subprocess.run(self.command(*args), capture_output=True, text=True, timeout=timeout, env=self.environment(**(env or {})), check=False)

    def pull(self, name="org/model", *args, **options):
        return self.run_easel("pull", name, "--retry-pause", "0.01", "--slow-seconds", "1", *args, **options)

    def assert_pulled(self, *args, **options):
        result = self.pull(*args, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def assert_refused(self, says, *args, **options):
        result = self.pull(*args, **options)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(says, result.stderr)
        self.assertNotIn("terminate called", result.stderr)
        self.assertFalse((self.models / "model").exists(), "a model that is not whole is not there")
        return result

    def assert_whole(self, expected=PLAIN):
        folder = self.models / "model"
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        self.assertEqual(found, expected)
        for name in expected - {".easel-pull.json"}:
            self.assertEqual((folder / name).read_bytes(), self.hub.files[name], name)
        self.assertEqual([path.name for path in self.models.iterdir()], ["model"], "nothing is left next to the model")
