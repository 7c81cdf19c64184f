"""Fewer descriptors than connections.  usage: descriptors_test.py EASEL MODEL_FOLDER INJECTED_FAULTS_LIBRARY"""
import resource
import socket
import sys
import tempfile
import threading
import time
import unittest

from probe import Probe
from program import Program

EASEL, MODEL = sys.argv[1:3]
HEALTH_SECONDS = 0.5


class Descriptors(unittest.TestCase):
    def test_more_connections_than_descriptors(self):
        """Others are served, the model is loaded meanwhile, and the log is not filled."""
        for allowed, clients in ((64, 90), (1024, 1300)):
            with self.subTest(allowed=allowed), tempfile.TemporaryFile() as log:
                def limit(allowed=allowed):
                    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))

                with Program(EASEL, MODEL, "--keep-alive", "0.2", stderr=log.fileno(), prepare=limit) as program:
                    program.wait_until(lambda p=program: b'"state":"unloaded"' in p.get("/v1/models")[1])
                    silent = [socket.create_connection(("127.0.0.1", program.port)) for _ in range(clients)]
                    began = time.monotonic()
                    with Probe(program.port, "/health") as health:
                        for _ in range(3):
                            self.assertEqual(program.draw(), 200)
                            threading.Event().wait(0.5)
                    seconds = time.monotonic() - began
                    for client in silent:
                        client.close()
                    self.assertEqual(program.exit_code(), 0)
                print(f"{clients} connections, {allowed} descriptors: /health: {health}")
                self.assertEqual(set(health.statuses), {200})
                self.assertLess(health.percentile(0.99), HEALTH_SECONDS)
                log.seek(0)
                text = log.read().decode()
                self.assertLessEqual(text.count("connections have to wait"), seconds + 2)
                self.assertNotIn("cannot be loaded", text)


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    unittest.main(argv=sys.argv[:1], verbosity=1)
