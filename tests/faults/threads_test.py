"""Too few threads.  usage: threads_test.py EASEL MODEL_FOLDER"""
import os
import resource
import subprocess
import sys
import unittest

from program import PLAIN_USER, clean_environment

EASEL, MODEL = sys.argv[1:3]


class Threads(unittest.TestCase):
    def test_too_few_threads_are_reported_at_the_start(self):
        def limit_threads():
            resource.setrlimit(resource.RLIMIT_NPROC, (8, 8))
            if os.getuid() == 0:
                os.setuid(PLAIN_USER)  # the limit does not hold for root

        result = subprocess.run([EASEL, "serve", "--model", MODEL, "--port", "0", "--threads", "16"], capture_output=True, text=True, timeout=60,
                                env=clean_environment(), preexec_fn=limit_threads, check=False)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("threads that compute", result.stderr)
        self.assertNotIn("libgomp", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
