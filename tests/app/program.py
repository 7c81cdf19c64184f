"""The program that the tests of this folder start, and the model that it serves: the first two arguments of a test."""
import os
import subprocess
import sys
import tempfile

EASEL, MODEL = sys.argv[1], sys.argv[2]


def run(*args, env=None, timeout=120):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EASEL_")}
    return subprocess.run([EASEL, *args], capture_output=True, text=True, timeout=timeout, env={**clean, **(env or {})},
                          cwd=tempfile.gettempdir())
