"""The reader of the log ends, stops reading, or was never there.  usage: log_readers_test.py EASEL MODEL_FOLDER"""
import os
import select
import subprocess
import sys
import unittest

from program import Program

EASEL, MODEL = sys.argv[1:3]


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


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
