"""Faults of the machine: readers of the log, closed descriptors, full disks, no threads.  usage: faults_test.py EASEL MODEL_FOLDER"""
import concurrent.futures
import os
import pathlib
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from program import PLAIN_USER, Program, clean_environment

EASEL, MODEL = sys.argv[1], sys.argv[2]


def read_available(descriptor, seconds=1.0):
    """What can be read until nothing has come for this time."""
    text = b""
    while select.select([descriptor], [], [], seconds)[0]:
        part = os.read(descriptor, 65536)
        if not part:
            break
        text += part
    return text.decode()


class LogReaders(unittest.TestCase):
    def setUp(self):
        self.reader, self.writer = os.pipe()

    def tearDown(self):
        for descriptor in (self.reader, self.writer):
            try:
                os.close(descriptor)
            except OSError:
                pass

    def test_reader_that_ends_does_not_end_the_server(self):
        with Program(EASEL, MODEL, stderr=self.writer) as program:
            os.close(self.writer)
            os.close(self.reader)
            for _ in range(3):
                self.assertEqual(program.draw(), 200)
            program.wait_until(lambda: program.metric("easel_log_lines_dropped_total") >= 3)
            self.assertEqual(program.exit_code(), 0)

    def test_reader_that_stops_reading_delays_no_request(self):
        with Program(EASEL, MODEL, "--log-level", "debug", stderr=self.writer) as program:
            os.close(self.writer)
            requests = 0
            while program.metric("easel_log_lines_dropped_total") == 0:
                # A line of each request has the path; long paths are shortened, so that this takes some ten thousand.
                self.assertEqual(program.get("/health")[0], 200)
                requests += 1
                if requests > 60000:
                    self.fail("no line was dropped")
            self.assertEqual(program.draw(), 200)
            self.assertIn("log lines were dropped", read_available(self.reader))
            self.assertEqual(program.exit_code(), 0)

    def test_server_ends_although_nobody_reads_its_log(self):
        with Program(EASEL, MODEL, "--log-level", "debug", stderr=self.writer) as program:
            os.close(self.writer)
            for _ in range(1000):
                program.get("/health")
            self.assertEqual(program.exit_code(), 0)

    def test_closed_standard_descriptors(self):
        def close_all():
            for descriptor in (0, 1, 2):
                os.close(descriptor)

        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL, prepare=close_all) as program:
            self.assertEqual(program.draw(), 200)
            self.assertEqual(program.exit_code(), 0)


class Disk(unittest.TestCase):
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
                result = subprocess.run([EASEL, "draw", "a fox", "--model", MODEL, "--size", "128x128", "--steps", "1", "-o", str(image)],
                                        capture_output=True, text=True, timeout=120, env=clean_environment(), preexec_fn=limit_files)
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn("fox.png cannot be written", result.stderr)
                self.assertEqual(os.listdir(folder), ["fox.png"] if before else [])
            self.assertEqual(image.read_bytes(), b"the old image")


class Threads(unittest.TestCase):
    def test_too_few_threads_are_reported_at_the_start(self):
        def limit_threads():
            resource.setrlimit(resource.RLIMIT_NPROC, (8, 8))
            if os.getuid() == 0:
                os.setuid(PLAIN_USER)  # the limit does not hold for root

        result = subprocess.run([EASEL, "serve", "--model", MODEL, "--port", "0", "--threads", "16"], capture_output=True, text=True, timeout=60,
                                env=clean_environment(), preexec_fn=limit_threads)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("threads that compute", result.stderr)
        self.assertNotIn("libgomp", result.stderr)


class Supervisor(unittest.TestCase):
    def test_systemd_gets_ready_watchdog_and_stopping(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"{folder}/notify")
            manager.settimeout(30)
            environment = {"NOTIFY_SOCKET": f"{folder}/notify", "WATCHDOG_USEC": "200000"}
            with Program(EASEL, MODEL, stderr=subprocess.DEVNULL, environment=environment) as program:
                self.assertEqual(manager.recv(100), b"READY=1")
                for _ in range(3):
                    self.assertEqual(manager.recv(100), b"WATCHDOG=1")
                program.process.send_signal(signal.SIGTERM)
                messages = set()
                while b"STOPPING=1" not in messages:
                    messages.add(manager.recv(100))
                self.assertEqual(program.process.wait(30), 0)

    def test_watchdog_of_another_process_gets_nothing(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"{folder}/notify")
            environment = {"NOTIFY_SOCKET": f"{folder}/notify", "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}
            with Program(EASEL, MODEL, stderr=subprocess.DEVNULL, environment=environment):
                manager.settimeout(2)
                self.assertEqual(manager.recv(100), b"READY=1")
                with self.assertRaises(socket.timeout):
                    manager.recv(100)


class Shutdown(unittest.TestCase):
    def test_sigterm_while_the_model_loads(self):
        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL, wait=False) as program:
            self.assertEqual(program.exit_code(), 0)

    def test_sigterm_while_requests_run_and_wait(self):
        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL) as program, concurrent.futures.ThreadPoolExecutor(8) as clients:
            body = {"prompt": "a fox", "size": "64x64", "steps": 25}
            answers = [clients.submit(program.ask, "/v1/images/generations", body, timeout=120) for _ in range(8)]
            program.wait_until(lambda: program.metric('easel_queue_requests{state="waiting"}') + program.metric('easel_queue_requests{state="drawing"}') == 8)
            self.assertEqual(program.exit_code(120), 0)
            self.assertEqual([answer.result()[0] for answer in answers], [200] * 8)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
