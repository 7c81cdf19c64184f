"""Uploads that are announced large and sent at the least rate that is allowed, and the memory that uploads leave behind.

usage: uploads_test.py EASEL MODEL_FOLDER INJECTED_FAULTS_LIBRARY
"""
import socket
import subprocess
import sys
import threading
import time
import unittest

from forms import FORM, edit_form, noise_png
from probe import Probe
from program import IMAGES, Program

EASEL, MODEL = sys.argv[1:3]
MEBIBYTE = 1 << 20
ANNOUNCED = 128 * MEBIBYTE
UPLOAD_MEMORY_MIB = 512
LEAST_RATE = 64 * 1024  # bytes per second; a little more is sent, so that the clients are never too slow
WATCHED_SECONDS = 45  # longer than a body waits for memory
HEALTH_SECONDS, IMAGE_SECONDS = 0.5, 2.0


class SlowUpload(threading.Thread):
    """Sends a form of one file at LEAST_RATE until it is stopped or answered."""

    def __init__(self, port, source, chunked, at_once=0):
        """`at_once`: bytes that are sent as fast as the server takes them, before the slow ones."""
        super().__init__(daemon=True)
        self.chunked, self.at_once = chunked, at_once
        self.status = None
        self.ended = threading.Event()
        self.connection = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {ANNOUNCED}"
        self.connection.sendall(f"POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\n{length}\r\n\r\n".encode())
        self.send(b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n')

    def send(self, data):
        self.connection.sendall(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    def run(self):
        piece = bytes(LEAST_RATE // 8)
        try:
            self.connection.settimeout(10)
            for _ in range(self.at_once // len(piece)):
                self.send(piece)
            while not self.ended.wait(0.12):
                self.send(piece)
                self.connection.settimeout(0.001)
                try:
                    if answer := self.connection.recv(4096):
                        self.status = int(answer.split(b" ")[1])
                        return
                except TimeoutError:
                    pass
                self.connection.settimeout(10)
        except OSError:
            pass

    def stop(self):
        self.ended.set()
        self.join()
        self.connection.close()


class Uploads(unittest.TestCase):
    def uploads_against_others(self, sources, chunked, at_once=0):
        """@return the statuses of the uploads, of which the last one sends `at_once` bytes fast"""
        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL) as program:
            edit = edit_form(noise_png(588))
            self.assertLess(len(edit), MEBIBYTE)
            self.assertGreater(len(edit), 0.95 * MEBIBYTE)
            self.assertEqual(program.draw(), 200)
            before = program.resident_mib()
            uploads = [SlowUpload(program.port, source, chunked) for source in sources[:-1]]
            uploads.append(SlowUpload(program.port, sources[-1], chunked, at_once))
            for upload in uploads:
                upload.start()
                self.addCleanup(upload.stop)
            began, slowest_edit = time.monotonic(), 0.0
            body = {"prompt": "a fox", "size": "64x64", "steps": 1, "seed": 1}
            with Probe(program.port, "/health", interval=0.1) as health, Probe(program.port, IMAGES, body, interval=0.3) as images:
                while time.monotonic() < began + WATCHED_SECONDS:
                    asked = time.monotonic()
                    self.assertEqual(program.ask("/v1/images/edits", edit, timeout=60, headers={"Content-Type": FORM})[0], 200)
                    slowest_edit = max(slowest_edit, time.monotonic() - asked)
                    time.sleep(1)
            grown = program.resident_mib() - before
            statuses = [upload.status for upload in uploads]
            print(f"{len(uploads)} uploads{' in chunks' if chunked else ''}: /health: {health}; images: {images}; slowest edit "
                  f"{slowest_edit * 1000:.0f} ms; memory grew by {grown:.0f} MiB; {statuses.count(429)} uploads got 429")
            self.assertEqual({*health.statuses, *images.statuses}, {200})
            self.assertLess(health.percentile(0.99), HEALTH_SECONDS)
            self.assertLess(images.percentile(0.99), IMAGE_SECONDS)
            self.assertLess(slowest_edit, IMAGE_SECONDS)
            self.assertLess(grown, UPLOAD_MEMORY_MIB)
            self.assertLessEqual(set(statuses), {None, 429})
            return statuses

    def test_eight_clients_that_announce_much_and_send_little(self):
        """Three of them fit into three quarters of the memory; the others wait for half a minute."""
        statuses = self.uploads_against_others([f"127.0.0.{10 + i}" for i in range(8)], chunked=False)
        self.assertEqual(statuses.count(429), 5)

    def test_forty_eight_clients_that_announce_nothing(self):
        """48 times 8 MiB are three quarters of the memory, so the one that needs more waits for it in the middle of its body."""
        statuses = self.uploads_against_others(["127.0.0.10"] * 48, chunked=True, at_once=9 * MEBIBYTE)
        self.assertEqual(statuses, [None] * 47 + [429])

    def test_memory_is_given_back_within_a_minute(self):
        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL) as program:
            self.assertEqual(program.draw(), 200)
            before = program.resident_mib()
            head = (f"POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: {20 * MEBIBYTE}\r\n\r\n"
                    '--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n')
            clients = [socket.create_connection(("127.0.0.1", program.port)) for _ in range(15)]
            for client in clients:
                client.sendall(head.encode() + bytes(19 * MEBIBYTE))
            program.wait_until(lambda: program.resident_mib() > before + 200)
            most = program.resident_mib() - before
            for client in clients:
                client.close()
            left = time.monotonic()
            program.wait_until(lambda: program.resident_mib() < before + 32, seconds=60)
            print(f"{most:.0f} MiB were given back after {time.monotonic() - left:.0f} s")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
