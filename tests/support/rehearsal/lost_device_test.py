"""The real program on a device that is lost while it works: 503 for its request, then for /health, and exit status 1.

usage: lost_device_test.py EASEL LIBRARY MODEL
"""
import json
import os
import socket
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

EASEL, LIBRARY, MODEL = sys.argv[1:4]
KERNELS = 6000  # more than loading and one image take


def status_of(port, path, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=json.dumps(body).encode() if body else None,
                                     headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


class LostDevice(unittest.TestCase):
    def test_program_ends_with_1_after_its_responses(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        environment = {**os.environ, "LD_PRELOAD": LIBRARY, "EASEL_REHEARSAL_LOSE_AFTER": str(KERNELS)}
        command = [EASEL, "serve", "--model", MODEL, "--device", "rehearsal:0", "--port", str(port)]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and server.poll() is None:
                try:
                    if status_of(port, "/ready") == 200:
                        break
                except OSError:
                    time.sleep(0.1)
            status = 200
            for seed in range(100):
                status = status_of(port, "/v1/images/generations", {"prompt": "a fox", "seed": seed})
                if status != 200:
                    break
            self.assertEqual(status, 503)
            _, log = server.communicate(timeout=60)
        self.assertEqual(server.returncode, 1, log)
        self.assertIn("rehearsal:0 is lost", log)
        self.assertIn("no device works any more", log)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
