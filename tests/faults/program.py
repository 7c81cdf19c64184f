"""The real program with descriptors, limits and faults of a test's choice."""
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

START_SECONDS = 60
PLAIN_USER = 54321  # has no other processes, and no privileges that would lift a limit
IMAGES = "/v1/images/generations"


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("EASEL_")}


class Program:
    """`easel serve` on a free port. Its log goes to the descriptor `stderr`, so the port is read from /proc."""

    def __init__(self, easel, model, *flags, stderr, prepare=None, environment=None, wait=True):
        """`model`: None if the flags name the models. `wait`: until it can generate images, not only until it listens."""
        models = [] if model is None else ["--model", model]
        self.process = subprocess.Popen([easel, "serve", *models, "--port", "0", *flags], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=stderr, env={**clean_environment(), **(environment or {})},
                                        preexec_fn=prepare)
        try:
            self.port = self.find_port()
            if wait:
                self.wait_until(lambda: self.get("/ready")[0] == 200)
        except BaseException:
            self.process.kill()
            self.process.wait()
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
            try:
                links = {os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}
            except FileNotFoundError:  # a file that was closed meanwhile
                return False
            own = {match.group(1) for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}
            with open(f"/proc/{self.process.pid}/net/tcp", encoding="ascii") as table:
                rows = [line.split() for line in table.readlines()[1:]]
            found.extend(int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in own)
            return bool(found)

        self.wait_until(look)
        return found[0]

    def ask(self, path, body=None, timeout=30, headers=None, source="127.0.0.1", method=None):
        """One request. `body`: an object, or bytes with a Content-Type in `headers`. @return (status, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout, source_address=(source, 0))
        try:
            content = json.dumps(body) if isinstance(body, dict) else body
            fields = {"Content-Type": "application/json", **(headers or {})}
            connection.request(method or ("GET" if body is None else "POST"), path, content, fields)
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise OSError(f"no response: {error!r}") from error
        finally:
            connection.close()

    def get(self, path):
        try:
            return self.ask(path, timeout=5)
        except OSError:
            return None, b""

    def draw(self, **fields):
        """The status of a small image with one step."""
        return self.ask(IMAGES, {"prompt": "a fox", "size": "64x64", "steps": 1, "seed": 1, **fields}, timeout=120)[0]

    def metric(self, name):
        """The value of a series, with its labels in the name; 0 before it exists."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics")[1].decode(), re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"^VmRSS:\s+(\d+) kB", status.read(), re.MULTILINE).group(1)) / 1024

    def exit_code(self, seconds=30):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


class SlowMount:
    """For `with`: files whose paths have a text can be made slow to open. `environment` is that of the program."""

    def __init__(self, injected_faults):
        self.folder = tempfile.TemporaryDirectory()
        self.file = pathlib.Path(self.folder.name, "slow")
        self.environment = {"LD_PRELOAD": injected_faults, "FAULT_SLOW": str(self.file)}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def delay(self, text, milliseconds):
        new = self.file.with_suffix(".new")
        new.write_text(f"{milliseconds}:{text}", encoding="ascii")
        new.rename(self.file)
