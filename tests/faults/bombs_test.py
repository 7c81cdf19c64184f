"""Small bodies that are large when they are read: PNG files and JSON.  usage: bombs_test.py EASEL MODEL_FOLDER INJECTED_FAULTS_LIBRARY"""
import concurrent.futures
import json
import subprocess
import sys
import threading
import unittest

from forms import FORM, edit_form, png_with_rows_beyond_the_image
from probe import Probe
from program import IMAGES, Program

EASEL, MODEL = sys.argv[1:3]
CLIENTS = 100
HEALTH_SECONDS = 0.5
GROWTH_MIB = 700  # --upload-memory, and two images that are decoded


class Bombs(unittest.TestCase):
    def all_at_once(self, path, body, headers):
        """@return the statuses of all clients"""
        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL) as program:
            self.assertEqual(program.draw(), 200)
            before = program.resident_mib()
            with Probe(program.port, "/health") as health, concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
                answers = [clients.submit(program.ask, path, body, timeout=120, headers=headers) for _ in range(CLIENTS)]
                most = before
                while not all(answer.done() for answer in answers):
                    most = max(most, program.resident_mib())
                    threading.Event().wait(0.02)
                statuses = [answer.result()[0] for answer in answers]
            print(f"/health: {health}; memory grew by {most - before:.0f} MiB")
            self.assertEqual(set(health.statuses), {200})
            self.assertLess(health.percentile(0.99), HEALTH_SECONDS)
            self.assertLess(most - before, GROWTH_MIB)
            self.assertEqual(program.draw(), 200)
            return statuses

    def test_png_files_whose_data_goes_on_behind_the_image(self):
        body = edit_form(png_with_rows_beyond_the_image(1000))
        statuses = self.all_at_once("/v1/images/edits", body, {"Content-Type": FORM})
        self.assertLessEqual(set(statuses), {200, 429})
        self.assertIn(200, statuses)

    def test_json_of_empty_objects(self):
        body = json.dumps({"prompt": "a fox", "x": [{}] * (512 * 1024 // 4)}).encode()
        self.assertEqual(set(self.all_at_once(IMAGES, body, {"Content-Type": "application/json"})), {400})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
