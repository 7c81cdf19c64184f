"""A device that does not return in time: --stall-seconds and --exit-on-stall.  usage: stall_test.py EASEL MODEL_FOLDER"""
import concurrent.futures
import sys
import tempfile
import unittest

from program import IMAGES, Program

EASEL, MODEL = sys.argv[1:3]
# Units of work of this image take longer than this time, whatever the machine.
IMAGE = {"prompt": "a fox", "size": "2048x2048", "steps": 2, "n": 4}
STALL = ["--stall-seconds", "0.02", "--threads", "1"]
LOOKS = {"WATCHDOG_USEC": "10000"}  # makes the program look at its devices every 5 ms


class Stall(unittest.TestCase):
    def test_stall_ends_the_program_if_asked_for(self):
        with tempfile.TemporaryFile() as log, concurrent.futures.ThreadPoolExecutor(1) as client:
            with Program(EASEL, MODEL, *STALL, "--exit-on-stall", stderr=log.fileno(), environment=LOOKS) as program:
                answer = client.submit(program.ask, IMAGES, IMAGE, timeout=60)
                self.assertEqual(program.process.wait(60), 1)
                self.assertRaises(OSError, answer.result)
            log.seek(0)
            text = log.read().decode()
            self.assertRegex(text, r"error a device has made no progress .*device=cpu .*work=")
            self.assertIn("--exit-on-stall", text)

    def test_stalled_server_is_not_ready_until_it_goes_on(self):
        with tempfile.TemporaryFile() as log, concurrent.futures.ThreadPoolExecutor(1) as client:
            with Program(EASEL, MODEL, *STALL, stderr=log.fileno(), environment=LOOKS) as program:
                answer = client.submit(program.ask, IMAGES, IMAGE, timeout=120)
                program.wait_until(lambda: program.get("/ready")[0] == 503)
                self.assertEqual(program.get("/health")[0], 200)
                self.assertEqual(answer.result()[0], 200)
                program.wait_until(lambda: program.get("/ready")[0] == 200)
            log.seek(0)
            self.assertIn("a device has made no progress", log.read().decode())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
