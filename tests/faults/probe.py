"""Asks a server all the time, from a process of its own, so that the test's work does not count as the server's delay."""
import http.client
import json
import multiprocessing
import time

SOURCE = "127.0.0.9"  # an account of its own


def ask_until(port, ended, path, body, interval, results):
    while not ended.is_set():
        began = time.monotonic()
        status = None
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(SOURCE, 0))
            connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            status = response.status
            connection.close()
        except (OSError, http.client.HTTPException):
            pass
        results.put((status, time.monotonic() - began))
        ended.wait(interval)


class Probe:
    """Use it in a `with`; afterwards `statuses` and `seconds` have what was observed, oldest first."""

    def __init__(self, port, path, body=None, interval=0.02):
        context = multiprocessing.get_context("fork")
        self.ended = context.Event()
        self.results = context.Queue()
        self.process = context.Process(target=ask_until, args=(port, self.ended, path, body, interval, self.results), daemon=True)
        self.statuses, self.seconds = [], []

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        while self.process.is_alive() or not self.results.empty():
            while not self.results.empty():
                status, seconds = self.results.get()
                self.statuses.append(status)
                self.seconds.append(seconds)
            self.process.join(0.05)

    def percentile(self, share):
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def __str__(self):
        return f"{len(self.seconds)} requests, 99th percentile {self.percentile(0.99) * 1000:.0f} ms, slowest {max(self.seconds) * 1000:.0f} ms"
