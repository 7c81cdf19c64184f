"""A folder of models that goes and returns, as one on a network mount does.

usage: model_folder_test.py EASEL MODEL_FOLDER INJECTED_FAULTS_LIBRARY
"""
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from program import Program, SlowMount

EASEL, MODEL, FAULTS = sys.argv[1:4]
# A change of the models' files counts once two looks, two seconds apart, have found the same. A failed load that nothing has
# changed since is tried again after 30 seconds.
SOON_SECONDS = 10


class ModelFolder(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.models = pathlib.Path(self.scratch.name, "models")
        self.away = pathlib.Path(self.scratch.name, "away")
        shutil.copytree(MODEL, self.models / "emoji")

    def tearDown(self):
        self.scratch.cleanup()

    def program(self, *flags, **keywords):
        """Models leave the memory at once, so that the next request needs their files."""
        return Program(EASEL, None, "--models-dir", str(self.models), "--keep-alive", "0.2", *flags, stderr=subprocess.DEVNULL, **keywords)

    def wait_for_unload(self, program):
        program.wait_until(lambda: b'"state":"unloaded"' in program.get("/v1/models")[1])

    def assert_served_soon(self, program):
        began = time.monotonic()
        program.wait_until(lambda: program.draw() == 200, SOON_SECONDS)
        print(f"served again after {time.monotonic() - began:.1f} s")

    def test_folder_that_returns_is_served_soon(self):
        for seconds in (0, 5):  # before and after its absence is noticed
            with self.subTest(seconds=seconds), self.program() as program:
                self.assertEqual(program.draw(), 200)
                self.wait_for_unload(program)
                self.models.rename(self.away)
                status, body = program.ask("/v1/images/generations", {"prompt": "a fox", "size": "64x64", "steps": 1})
                self.assertEqual(status, 500)
                self.assertNotIn(self.scratch.name.encode(), body)
                time.sleep(seconds)
                self.assertEqual(program.get("/metrics")[0], 200)
                self.away.rename(self.models)
                self.assert_served_soon(program)
                self.assertEqual(program.get("/ready")[0], 200)
                self.assertEqual(program.exit_code(), 0)

    def test_part_of_a_model_that_returns_is_served_soon(self):
        with self.program() as program:
            self.wait_for_unload(program)
            (self.models / "emoji" / "unet").rename(self.away)
            self.assertEqual(program.draw(), 500)
            (self.away).rename(self.models / "emoji" / "unet")
            self.assert_served_soon(program)

    def test_other_models_are_served_while_one_is_away(self):
        shutil.copytree(MODEL, self.models / "other")
        with self.program("--default-model", "other") as program:
            (self.models / "emoji").rename(self.away)
            program.wait_until(lambda: program.draw(model="emoji") in (400, 500))
            self.assertEqual(program.draw(model="other"), 200)
            self.away.rename(self.models / "emoji")
            program.wait_until(lambda: program.draw(model="emoji") == 200, SOON_SECONDS)

    def test_mount_that_does_not_respond_delays_only_its_own_requests(self):
        shutil.copytree(MODEL, self.models / "slow")
        with SlowMount(FAULTS) as mount, concurrent.futures.ThreadPoolExecutor(1) as client, \
                self.program("--default-model", "emoji", "--pin", "emoji", environment=mount.environment) as program:
            mount.delay("/slow/unet/", 3000)
            answer = client.submit(program.draw, model="slow")
            program.wait_until(lambda: b'"state":"loading"' in program.get("/v1/models")[1])
            for _ in range(3):
                self.assertEqual(program.draw(model="emoji"), 200)
                self.assertEqual(program.get("/health")[0], 200)
            self.assertFalse(answer.done())
            self.assertEqual(answer.result(), 200)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
