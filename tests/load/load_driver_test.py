"""Tests of the load driver: which mixes it rejects, that it finds every kind of fault, and a short run.

usage: load_driver_test.py LOAD_TEST_SERVER
"""
import asyncio
import base64
import json
import pathlib
import struct
import subprocess
import sys
import threading
import unittest

import responses
import driver
import metrics
import mix as mixes
import wire

HERE = pathlib.Path(__file__).resolve().parent
SERVER = sys.argv.pop(1) if len(sys.argv) > 1 else None
GOOD = {"seed": 1, "requests": 5, "rate": 100, "time_limit_s": 20, "answer_within_s": 5,
        "classes": [{"name": "one", "share": 1, "bodies": [{"prompt": "x", "size": "2x1"}]}]}


def png(width, height, fill=b""):
    return responses.PNG_SIGNATURE + struct.pack(">I4sII", 13, b"IHDR", width, height) + fill + b"IEND" + b"0000"


def drawn(body, **changes):
    fields = {"created": 1, "data": [{"b64_json": base64.b64encode(png(2, 1)).decode(), "seed": body["seed"] + i}
                                     for i in range(body.get("n", 1))], **changes}
    return json.dumps(fields).encode()


class Mixes(unittest.TestCase):
    def assert_rejected(self, **changes):
        with self.assertRaises(mixes.InvalidMix, msg=changes):
            mixes.plan({**GOOD, **changes})

    def test_bad_fields(self):
        for changes in ({"requests": 0}, {"requests": 10**9}, {"requests": "5"}, {"rate": 0}, {"rate": True}, {"time_limit_s": 0},
                        {"seed": None}, {"classes": []}, {"classes": [{}]}, {"classes": ["x"]}, {"surprise": 1},
                        {"classes": [{"name": "a", "share": 1, "bodies": []}]}, {"classes": [{"name": "a", "share": 2, "bodies": [{}]}]},
                        {"hang_up": {"share": 1}}, {"hang_up": {"share": 1, "after_s": [2, 1]}}, {"chores": [{"every_s": 1}]},
                        {"chores": [{"every_s": 0, "post": "/x"}]}, {"chores": [{"every_s": 1, "post": "http://elsewhere"}]}):
            self.assert_rejected(**changes)
        with self.assertRaises(mixes.InvalidMix):
            mixes.plan([])
        with self.assertRaises(mixes.InvalidMix):
            mixes.read(HERE / "no-such-mix.json")

    def test_the_same_file_gives_the_same_requests(self):
        for path in sorted((HERE / "mixes").glob("*.json")):
            one, two = mixes.read(path), mixes.read(path)
            self.assertEqual(one, two)
            self.assertEqual([a.at for a in one.arrivals], sorted(a.at for a in one.arrivals))

    def test_soak_mix_has_the_documented_shares(self):
        arrivals = mixes.read(HERE / "mixes" / "soak.json").arrivals
        self.assertEqual(len(arrivals), 2000)
        self.assertAlmostEqual(sum(a.disconnect_after is not None for a in arrivals) / 2000, 0.20, delta=0.02)
        self.assertAlmostEqual(sum(a.status == 400 for a in arrivals) / 2000, 0.05, delta=0.01)


class Answers(unittest.TestCase):
    def setUp(self):
        self.arrival = mixes.plan(GOOD).arrivals[0]
        self.checker = responses.ResponseChecker(same_images=True)

    def faults(self, body=None, status=200, headers=None, extra=b"", arrival=None):
        arrival = arrival or self.arrival
        body = drawn(arrival.body) if body is None else body
        return self.checker.faults(arrival, "id", wire.Reply(status, {"x-request-id": "id", **(headers or {})}, body, extra))

    def test_valid_response_has_no_faults(self):
        self.assertEqual(self.faults(), [])
        self.assertEqual(self.faults(), [])

    def test_each_kind_of_fault_is_found(self):
        other = base64.b64encode(png(2, 1, b"other")).decode()
        tall = base64.b64encode(png(1, 2)).decode()
        self.assertEqual(self.faults(), [])
        for body in (b"", b"{", b"[]", b"{}", drawn(self.arrival.body, data=[]), drawn(self.arrival.body, data=[{"seed": 0}]),
                     drawn(self.arrival.body, data=[{"b64_json": "!", "seed": 0}]), drawn(self.arrival.body, data=[{"b64_json": other[:8], "seed": 0}]),
                     drawn(self.arrival.body, data=[{"b64_json": tall, "seed": 0}]), drawn(self.arrival.body, data=[{"b64_json": other, "seed": 0}]),
                     drawn({**self.arrival.body, "seed": 7}), drawn({**self.arrival.body, "n": 2})):
            self.assertNotEqual(self.faults(body), [], body)
        self.assertNotEqual(self.faults(status=500), [])
        self.assertNotEqual(self.faults(extra=b"HTTP/1.1 200 OK"), [], "a second response")
        self.assertNotEqual(self.faults(headers={"x-request-id": "another"}), [])
        error = json.dumps({"error": {"message": "m", "type": "t", "param": None, "code": None}}).encode()
        self.assertEqual(self.faults(error, 429, {"retry-after": "3"}), [])
        for headers in ({}, {"retry-after": "0"}, {"retry-after": "soon"}):
            self.assertNotEqual(self.faults(error, 429, headers), [])
        self.assertNotEqual(self.faults(b"{}", 429, {"retry-after": "3"}), [])

    def test_images_are_compared_across_requests(self):
        several = mixes.plan({**GOOD, "classes": [{"name": "n", "share": 1, "bodies": [{"prompt": "x", "size": "2x1", "n": 2}]}]}).arrivals[0]
        self.assertEqual(self.faults(), [])
        self.assertEqual(self.faults(arrival=several), [])
        changed = json.loads(drawn(several.body))
        changed["data"][0]["b64_json"] = base64.b64encode(png(2, 1, b"other")).decode()
        self.assertNotEqual(self.faults(json.dumps(changed).encode(), arrival=several), [])

    def test_percentiles(self):
        values = list(range(1, 101))
        self.assertEqual([driver.percentile(values, share) for share in (0.5, 0.9, 0.99)], [51, 91, 100])
        self.assertEqual(driver.percentile([3], 0.99), 3)


class FaultyServer:
    """Answers every POST with the result of `reply(body)`, and has metrics that count one request too few."""

    def __init__(self, reply):
        self.reply, self.requests = reply, 0
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(self.serve, wire.HOST, 0))
        self.port = self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.server.close()
        self.loop.close()

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        _, headers = wire.parse_head(b"x 0\r\n" + head.split("\r\n", 1)[1][:-4].encode())
        body = await reader.readexactly(int(headers["content-length"]))
        if head.startswith("GET /metrics"):
            content = f'easel_http_requests_total{{route="{metrics.IMAGE_ROUTE}"}} {max(0, self.requests - 1)}\n'.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content))
        else:
            self.requests += 1
            content = self.reply(json.loads(body))
            if content is not None:
                writer.write(b"HTTP/1.1 200 OK\r\nx-request-id: %s\r\nContent-Length: %d\r\n\r\n%s"
                             % (headers["x-request-id"].encode(), len(content), content))
        writer.close()


class Driver(unittest.TestCase):
    def test_finds_lost_wrong_and_uncounted_responses(self):
        replies = iter([None, b"nonsense"])
        server = FaultyServer(lambda body: next(replies, drawn(body)))
        settle, driver.SETTLE_SECONDS = driver.SETTLE_SECONDS, 0.5
        try:
            faults = "\n".join(driver.drive(server.port, mixes.plan(GOOD)))
        finally:
            driver.SETTLE_SECONDS = settle
            server.stop()
        self.assertIn("lost", faults)
        self.assertIn("unreadable response", faults)
        self.assertIn("counted 4 image requests, 5 were sent", faults)
        self.assertIn("drew 0 requests", faults)

    def test_smoke_run_on_the_real_server_has_no_faults(self):
        with subprocess.Popen([SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            port = int(server.stdout.readline().split()[1])
            try:
                faults = driver.drive(port, mixes.read(HERE / "mixes" / "smoke.json"))
            finally:
                server.stdin.close()
            self.assertEqual(server.wait(30), 0)
        self.assertEqual(faults, [])


if __name__ == "__main__":
    unittest.main()
