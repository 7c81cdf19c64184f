"""Starts the real program for a test and stops it afterwards."""
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

START_SECONDS = 60


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Server:
    """`easel serve` on a port; 0 takes a free one. Use it in a `with`."""

    def __init__(self, easel, model, port, log, *flags):
        self.log = pathlib.Path(log)
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen([easel, "serve", "--model", model, "--port", str(port), *flags], stdout=sink,
                                            stderr=subprocess.STDOUT)
        try:
            self.port = int(self.wait_for(r'listening on http://[^\s"]*:(\d+)').group(1))
            self.base_url = f"http://localhost:{self.port}/v1"
            self.wait_until_ready()
        except BaseException:
            self.process.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def wait_for(self, pattern, seconds=START_SECONDS):
        """Waits for a line in the log. @return its match"""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.log.read_text(errors="replace")):
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"the log never said {pattern!r}:\n{self.log.read_text(errors='replace')}")

    def wait_until_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.status_of("/ready") == 200:
                return
            time.sleep(0.02)
        raise AssertionError("the server never was ready")

    def health(self):
        return self.status_of("/health")

    def status_of(self, path):
        """The status of a GET; None if there is no response."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
