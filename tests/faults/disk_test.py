"""Disks that are full: images of `easel draw`, and the log of a server.  usage: disk_test.py EASEL MODEL_FOLDER"""
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import unittest

from program import Program, clean_environment

EASEL, MODEL = sys.argv[1:3]
IN_OWN_MOUNTS = ["unshare", "--map-root-user", "--mount"]  # needs no privileges where the kernel lets users have namespaces


def can_mount():
    command = [*IN_OWN_MOUNTS, "mount", "-t", "tmpfs", "none", tempfile.gettempdir()]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def draw(image, **keywords):
    command = [EASEL, "draw", "a fox", "--model", MODEL, "--size", "128x128", "--steps", "1", "-o", str(image)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=clean_environment(), check=False, **keywords)


class LimitedFiles(unittest.TestCase):
    def test_image_that_cannot_be_written_leaves_the_old_one(self):
        """A limit on the size of a file fails in the middle of the file, as a full disk does, and needs no privileges."""
        def limit_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        with tempfile.TemporaryDirectory() as folder:
            image = pathlib.Path(folder, "fox.png")
            for before in (None, b"the old image"):
                if before:
                    image.write_bytes(before)
                result = draw(image, preexec_fn=limit_files)
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn("fox.png cannot be written", result.stderr)
                self.assertEqual(os.listdir(folder), ["fox.png"] if before else [])
            self.assertEqual(image.read_bytes(), b"the old image")

    def test_log_that_cannot_be_written_delays_no_request(self):
        def limit_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

        with tempfile.TemporaryFile() as log, Program(EASEL, MODEL, stderr=log.fileno(), prepare=limit_files) as program:
            for _ in range(20):
                self.assertEqual(program.draw(), 200)
            program.wait_until(lambda: program.metric("easel_log_lines_dropped_total") > 0)
            self.assertEqual(program.exit_code(), 0)
            self.assertLessEqual(os.fstat(log.fileno()).st_size, 1024)


if can_mount():

    class FullDisk(unittest.TestCase):
        def test_image_on_a_full_disk_leaves_the_old_one(self):
            with tempfile.TemporaryDirectory() as folder:
                script = ('mount -t tmpfs -o size=16k none "$0" && printf old >"$0/fox.png" && head -c 8000 /dev/zero >"$0/rest" && '
                          '{ "$@" -o "$0/fox.png"; echo "status $?"; ls "$0"; cat "$0/fox.png"; }')
                command = [*IN_OWN_MOUNTS, "sh", "-c", script, folder, EASEL, "draw", "a fox", "--model", MODEL, "--size", "128x128",
                           "--steps", "1"]
                result = subprocess.run(command, capture_output=True, text=True, timeout=120, env=clean_environment(), check=False)
                self.assertEqual(result.stdout.split(), ["status", "1", "fox.png", "rest", "old"], result.stderr)
                self.assertIn("fox.png cannot be written", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
