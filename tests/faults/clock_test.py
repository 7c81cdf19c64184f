"""A wall clock that jumps while jobs, links and requests are there.

usage: clock_test.py EASEL MODEL_FOLDER INJECTED_FAULTS_LIBRARY
"""
import concurrent.futures
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

from program import IMAGES, Program

EASEL, MODEL, FAULTS = sys.argv[1:4]
DAY = 24 * 3600
JUMPS = [DAY, -DAY, 40 * 365 * DAY, -40 * 365 * DAY, 90 * 365 * DAY, 0]  # past 2038 and 2106, and before 1990


class Clock(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.offset = pathlib.Path(self.scratch.name, "offset")
        self.offset.write_text("0", encoding="ascii")

    def tearDown(self):
        self.scratch.cleanup()

    def program(self, *flags):
        environment = {"LD_PRELOAD": FAULTS, "FAULT_CLOCK": str(self.offset)}
        return Program(EASEL, MODEL, *flags, stderr=subprocess.DEVNULL, environment=environment)

    def jump(self, seconds):
        # Replaced as a whole: a clock that reads an empty file would be right for a moment.
        new = self.offset.with_suffix(".new")
        new.write_text(str(seconds), encoding="ascii")
        new.rename(self.offset)

    def test_jobs_links_and_requests_outlive_jumps(self):
        body = {"prompt": "a fox", "size": "64x64", "steps": 2, "seed": 1}
        with self.program() as program:
            status, answer = program.ask(IMAGES, {**body, "response_format": "url"})
            self.assertEqual(status, 200)
            before = json.loads(answer)
            link = urllib.parse.urlparse(before["data"][0]["url"]).path
            status, answer = program.ask(IMAGES, body, headers={"Prefer": "respond-async", "Idempotency-Key": "k"})
            self.assertEqual(status, 202)
            job = "/v1/images/jobs/" + json.loads(answer)["id"]
            program.wait_until(lambda: json.loads(program.ask(job)[1])["status"] == "completed")
            for seconds in JUMPS:
                with self.subTest(seconds=seconds):
                    self.jump(seconds)
                    status, answer = program.ask(IMAGES, body)
                    self.assertEqual(status, 200)
                    self.assertAlmostEqual(json.loads(answer)["created"], before["created"] + seconds, delta=60)
                    self.assertEqual(program.ask(link)[0], 200)
                    self.assertEqual(json.loads(program.ask(job)[1])["status"], "completed")
                    replayed = program.ask(IMAGES, body, headers={"Prefer": "respond-async", "Idempotency-Key": "k"})
                    self.assertEqual(json.loads(replayed[1])["id"], job.rsplit("/", 1)[1])
                    self.assertEqual(program.get("/ready")[0], 200)
            self.assertEqual(program.exit_code(), 0)

    def test_jump_does_not_end_what_runs_and_waits(self):
        body = {"prompt": "a fox", "size": "64x64", "steps": 100}
        with self.program("--request-timeout", "60", "--queue-timeout", "60") as program, concurrent.futures.ThreadPoolExecutor(4) as clients:
            answers = [clients.submit(program.ask, IMAGES, body, timeout=120) for _ in range(4)]
            program.wait_until(lambda: program.metric('easel_queue_requests{state="drawing"}') > 0)
            self.jump(DAY)
            self.assertEqual([answer.result()[0] for answer in answers], [200] * 4)

    def test_jump_backwards_keeps_no_link_beyond_its_time(self):
        with self.program("--image-store-seconds", "1") as program:
            answer = program.ask(IMAGES, {"prompt": "a fox", "size": "64x64", "steps": 1, "response_format": "url"})[1]
            link = urllib.parse.urlparse(json.loads(answer)["data"][0]["url"]).path
            self.jump(-DAY)
            program.wait_until(lambda: program.ask(link)[0] == 404, seconds=10)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
