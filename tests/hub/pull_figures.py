"""Measures `easel pull` against a hub on loopback, for docs/measurements/pulling.md: speed, breaks, and kills.

usage: pull_figures.py EASEL        (by hand; it takes some minutes and 2 GB in the folder for temporary files)
"""
import random
import shutil
import subprocess
import sys
import time
import unittest

from hostile_hub import checkpoint
from pull_case import PLAIN, UNET, PullTest

MEGABYTE = 1_000_000


class Figures(PullTest):
    def serve(self, megabytes):
        """A model with weights of this size, whose checksums the hub computes once."""
        self.hub.files = checkpoint(weight_bytes=megabytes * MEGABYTE)
        tree = self.hub.tree()
        self.hub.tree = lambda: tree

    def timed_pull(self):
        begin, sent = time.monotonic(), self.hub.bytes_sent
        result = self.run_easel("pull", "org/model", "--retry-pause", "0.01", timeout=600)
        self.assertEqual(result.returncode, 0, result.stderr)
        return time.monotonic() - begin, self.hub.bytes_sent - sent

    def test_speed(self):
        self.serve(250)
        for _ in range(3):
            seconds, sent = self.timed_pull()
            shutil.rmtree(self.models)
            print(f"speed: {sent / MEGABYTE:.0f} MB in {seconds:.2f} s, {sent / MEGABYTE / seconds:.0f} MB/s")
        seconds, _ = self.timed_pull()
        again, sent = self.timed_pull()
        print(f"complete already: {again:.2f} s, {sent} bytes of files")

    def test_breaks(self):
        """Connections that break after every 5 MB; each attempt gets further."""
        self.serve(200)
        breaks = []

        def cut(handler, kind):
            if kind != "file" or not handler.path.endswith(UNET):
                return False
            begin = int(handler.headers.get("Range", "bytes=0-")[6:].rstrip("-"))
            data = self.hub.files[UNET]
            handler.send_response(206 if begin else 200)
            handler.send_header("Content-Length", str(len(data) - begin))
            handler.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
            handler.end_headers()
            part = data[begin:begin + 5 * MEGABYTE]
            handler.wfile.write(part)
            handler.close_connection = True
            with self.hub.lock:
                self.hub.bytes_sent += len(part)
                breaks.append(begin + len(part) < len(data))
            return True
        self.hub.fault = cut
        seconds, sent = self.timed_pull()
        print(f"breaks: {sum(breaks)} survived in {seconds:.1f} s, {sent / MEGABYTE:.1f} MB sent")

    def test_kills(self):
        """Each pull is killed when the hub has sent so many bytes of it."""
        self.serve(50)
        whole = sum(len(self.hub.files[name]) for name in PLAIN - {".easel-pull.json"})
        self.hub.pause = 0.002
        amounts = random.Random(11)
        lines = []
        for _ in range(20):
            kill_at = amounts.randrange(whole)
            before = self.hub.bytes_sent
            process = subprocess.Popen(self.command("pull", "org/model"), env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while self.hub.bytes_sent - before < kill_at and process.poll() is None:
                time.sleep(0.001)
            process.kill()
            process.wait(60)
            is_whole = (self.models / "model").exists()
            sent = self.hub.bytes_sent - before
            again = 0 if is_whole else self.timed_pull()[1]
            self.assert_whole()
            shutil.rmtree(self.models)
            lines.append(f"killed after {sent / MEGABYTE:.1f} MB, {'whole' if is_whole else 'absent'}, fetched then {again / MEGABYTE:.1f} MB")
        print("\n".join(sorted(lines)))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=1)
