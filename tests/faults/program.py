"""The real program with descriptors and limits of a test's choice."""
import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

START_SECONDS = 60
PLAIN_USER = 54321  # has no other processes, and no privileges that would lift a limit


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("EASEL_")}


class Program:
    """`easel serve` on a free port. Its log goes to the descriptor `stderr`, so the port is read from /proc."""

    def __init__(self, easel, model, *flags, stderr, prepare=None, environment=None, wait=True):
        self.process = subprocess.Popen([easel, "serve", "--model", model, "--port", "0", *flags], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=stderr, env={**clean_environment(), **(environment or {})},
                                        preexec_fn=prepare)
        try:
            self.port = self.find_port()
            if wait:
                self.wait_until(lambda: self.get("/ready")[0] == 200)
        except BaseException:
            self.process.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def wait_until(self, condition, seconds=START_SECONDS):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the program ended with {self.process.returncode}")
            if condition():
                return
            time.sleep(0.02)
        raise AssertionError("the condition did not come true")

    def find_port(self):
        """The port of the only socket on which the process listens."""
        found = []

        def look():
            folder = f"/proc/{self.process.pid}/fd"
            links = {os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}
            own = {match.group(1) for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}
            with open(f"/proc/{self.process.pid}/net/tcp", encoding="ascii") as table:
                rows = [line.split() for line in table.readlines()[1:]]
            found.extend(int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in own)
            return bool(found)

        self.wait_until(look)
        return found[0]

    def ask(self, path, body=None, timeout=30):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def get(self, path):
        try:
            return self.ask(path, timeout=5)
        except OSError:
            return None, b""

    def draw(self):
        """The status of a small image with one step."""
        return self.ask("/v1/images/generations", {"prompt": "a fox", "size": "64x64", "steps": 1, "seed": 1})[0]

    def metric(self, name):
        text = self.get("/metrics")[1].decode()
        return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE).group(1))

    def exit_code(self, seconds=30):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)
