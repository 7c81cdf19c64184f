"""How long a short request takes while long ones are running: the real server, with the model that ships. Run by hand; takes
some minutes.

A request of 4 steps is sent several times to an idle server, and then at random times while one or three requests of 100 steps
are running, each for the account of another API key. Prints the time on the idle server, the percentiles under load as multiples
of it, and the throughput relative to running all requests one after the other (FIFO). Everything is measured by the clock and by
the server's own processor time between request and response, because on a shared machine the clock depends on other programs.

usage: short_request_latency.py --easel build/release/easel [--model models/emoji] [--rounds 3] [--shorts 4] [--threads 0]
"""
import argparse
import asyncio
import dataclasses
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time

import metrics
import wire

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clients"))
from server import Server  # noqa: E402

SHORT, LONG = 4, 100  # steps
TIMEOUT_SECONDS = 900
PAUSE_SECONDS = 0.3  # between short requests, at most


@dataclasses.dataclass
class Span:
    """Seconds between two times, by the clock and in processor time of the server."""
    clock: float
    processor: float

    def __sub__(self, other):
        return Span(self.clock - other.clock, self.processor - other.processor)

    def __add__(self, other):
        return Span(self.clock + other.clock, self.processor + other.processor)


class Meter:
    def __init__(self, pid):
        self.stat = pathlib.Path(f"/proc/{pid}/stat")

    def now(self):
        user, system = self.stat.read_text().rsplit(")", 1)[1].split()[11:13]
        return Span(time.monotonic(), (int(user) + int(system)) / os.sysconf("SC_CLK_TCK"))


async def draw(server, meter, steps, seed, key):
    """@return the time from sending to the response"""
    body = {"prompt": "a fox on a blue background", "size": "128x128", "num_inference_steps": steps, "seed": seed}
    request = wire.request_bytes("POST", metrics.IMAGE_ROUTE, body, {"Authorization": f"Bearer {key}"})
    start = meter.now()
    reply = await asyncio.wait_for(wire.exchange(server.port, request), TIMEOUT_SECONDS)
    if reply.status != 200:
        raise SystemExit(f"{reply.status}: {reply.body[:300]!r}")
    return meter.now() - start


def median_span(spans):
    return Span(statistics.median(s.clock for s in spans), statistics.median(s.processor for s in spans))


async def alone(server, meter, steps, times):
    return median_span([await draw(server, meter, steps, seed, "short") for seed in range(times)])


async def beside(server, meter, longs, shorts, source):
    """Sends short requests one after the other with pauses, while the long ones run. @return their spans, and the span of the whole"""
    start = meter.now()
    running = [asyncio.create_task(draw(server, meter, LONG, i, f"long-{i}")) for i in range(longs)]
    spans = []
    for i in range(shorts):
        await asyncio.sleep(source.uniform(0, PAUSE_SECONDS))
        if any(task.done() for task in running):
            break
        spans.append(await draw(server, meter, SHORT, 1000 + i, "short"))
    await asyncio.gather(*running)
    return spans, meter.now() - start


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


async def measure(server, options):
    source, meter = random.Random(1), Meter(server.process.pid)
    await alone(server, meter, SHORT, 2)  # warm
    print(f"{'long':>8}{'by':>11}{'idle s':>9}{'p50':>7}{'p95':>7}{'samples':>9}{'throughput of FIFO':>20}")
    for longs in (1, 3):
        spans, shorts_alone, needed, taken = [], [], Span(0, 0), Span(0, 0)
        for _ in range(options.rounds):  # measured again in each round: other programs come and go
            short_alone, long_alone = await alone(server, meter, SHORT, 5), await alone(server, meter, LONG, 1)
            found, whole = await beside(server, meter, longs, options.shorts, source)
            shorts_alone.append(short_alone)
            spans += found
            taken += whole
            for alone_again in [long_alone] * longs + [short_alone] * len(found):
                needed += alone_again
        base = median_span(shorts_alone)
        for by in ("clock", "processor"):
            ratios = [getattr(span, by) / getattr(base, by) for span in spans]
            print(f"{longs:>8}{by:>11}{getattr(base, by):>9.2f}{percentile(ratios, 0.5):>7.2f}{percentile(ratios, 0.95):>7.2f}"
                  f"{len(spans):>9}{getattr(needed, by) / getattr(taken, by):>20.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--easel", required=True)
    parser.add_argument("--model", default=str(HERE.parent.parent / "models" / "emoji"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shorts", type=int, default=4, help="short requests a round")
    parser.add_argument("--threads", default="0")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        keys = [flag for name in ("short", "long-0", "long-1", "long-2") for flag in ("--api-key", name)]
        log = pathlib.Path(scratch) / "server.log"
        with Server(options.easel, options.model, 0, log, "--threads", options.threads, *keys) as server:
            asyncio.run(measure(server, options))


if __name__ == "__main__":
    main()
