"""Sends a mix of requests to a server on this machine and checks every response.

usage: driver.py --port 9225 --mix mixes/smoke.json [--requests N] [--key KEY] [--memory-slack-mib MIB]

Requests are sent at their scheduled times, whether or not earlier ones have been answered, and latency is measured from the
scheduled time, so a slow server has high latencies. Prints throughput, latency by class, rejections and faults. Exits with 1 if
there was a fault: a response that was lost, sent twice, late or wrong; a number of requests that differs between the server's
metrics and the driver; a request that the server still holds at the end; or memory that grew by more than the slack.
"""
import argparse
import asyncio
import collections
import sys
import time

import responses
import metrics
import mix as mixes
import wire

MAX_OPEN = 2000  # connections at a time
SETTLE_SECONDS = 60
WARM_SHARE = 0.1  # of the requests; memory growth is measured from then on
MAX_PRINTED_FAULTS = 20
IMAGES = metrics.IMAGE_ROUTE


class Run:
    """The run of one mix on one server."""

    def __init__(self, port, mix, key=None):
        self.port, self.mix = port, mix
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.checker = responses.ResponseChecker(mix.same_images)
        self.seconds = collections.defaultdict(list)  # class -> latencies of good responses
        self.counts = collections.defaultdict(collections.Counter)  # class -> outcome -> number
        self.faults = []
        self.images = 0
        self.open = 0
        self.done = 0
        self.memory_warm = None

    def fault(self, what, sentence):
        self.faults.append(f"{what}: {sentence}")

    async def one(self, arrival, due):
        request_id = f"load-{arrival.number}"
        request = wire.request_bytes("POST", IMAGES, arrival.body, {**self.headers, "x-request-id": request_id})
        counts = self.counts[arrival.name]
        counts["sent"] += 1
        try:
            if arrival.disconnect_after is not None:
                await asyncio.wait_for(wire.send_and_disconnect(self.port, request, arrival.disconnect_after), self.mix.response_timeout)
                counts["hung up"] += 1
                return
            reply = await asyncio.wait_for(wire.exchange(self.port, request), self.mix.response_timeout)
        except (OSError, EOFError, ValueError, KeyError, asyncio.TimeoutError, asyncio.LimitOverrunError) as error:
            self.fault(f"{request_id} ({arrival.name})", f"lost: {error!r}")
            return
        found = self.checker.faults(arrival, request_id, reply)
        for sentence in found:
            self.fault(f"{request_id} ({arrival.name})", sentence)
        if reply.status == 429:
            counts["refused"] += 1
        elif not found:
            counts["answered"] += 1
            self.images += arrival.body.get("n", 1) if reply.status == 200 else 0
            self.seconds[arrival.name].append(time.monotonic() - due)

    async def tracked(self, arrival, due):
        self.open += 1
        try:
            await self.one(arrival, due)
        finally:
            self.open -= 1
            self.done += 1

    async def chore(self, chore):
        """Runs until it is cancelled."""
        while True:
            await asyncio.sleep(chore.every)
            try:
                reply = await asyncio.wait_for(
                    wire.exchange(self.port, wire.request_bytes("POST", chore.path, headers=self.headers)), self.mix.response_timeout)
            except (OSError, EOFError, ValueError, KeyError, asyncio.TimeoutError) as error:
                self.fault(chore.path, f"lost: {error!r}")
                continue
            self.counts["chores"]["sent"] += 1
            self.counts["chores"]["answered"] += reply.status in (200, 202)
            if reply.status not in (200, 202):
                self.fault(chore.path, f"status {reply.status}: {reply.body[:200]!r}")

    async def watch_memory(self):
        """Records the memory once the server has warmed up."""
        while self.done < WARM_SHARE * len(self.mix.arrivals):
            await asyncio.sleep(0.1)
        self.memory_warm = metrics.memory(await metrics.scrape(self.port, self.headers))

    async def arrivals(self, started):
        tasks = []
        for arrival in self.mix.arrivals:
            due = started + arrival.at
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self.open >= MAX_OPEN:
                self.fault(f"load-{arrival.number}", f"not sent: {MAX_OPEN} connections are open")
            else:
                tasks.append(asyncio.create_task(self.tracked(arrival, due)))
        await asyncio.gather(*tasks)

    async def run(self):
        """@return (metrics before, metrics after, seconds)"""
        before = await metrics.scrape(self.port, self.headers)
        started = time.monotonic()
        background_tasks = [asyncio.create_task(self.chore(chore)) for chore in self.mix.chores]
        background_tasks.append(asyncio.create_task(self.watch_memory()))
        try:
            await asyncio.wait_for(self.arrivals(started), self.mix.time_limit)
        except asyncio.TimeoutError:
            self.fault("the run", f"did not finish within {self.mix.time_limit} s")
        seconds = time.monotonic() - started
        for task in background_tasks:
            task.cancel()
        await asyncio.gather(*background_tasks, return_exceptions=True)
        return before, await self.settled(before), seconds

    async def settled(self, before):
        """The metrics after the server has noticed all disconnects. Requests that it still holds after a minute are a fault."""
        sent = sum(counts["sent"] for name, counts in self.counts.items() if name != "chores")
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            after = await metrics.scrape(self.port, self.headers)
            counted = metrics.counted_image_requests(after) - metrics.counted_image_requests(before)
            if (counted == sent and metrics.unfinished(after) == 0) or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.2)
        if counted != sent:
            self.fault("the server", f"counted {counted:.0f} image requests, {sent} were sent")
        if metrics.unfinished(after) != 0:
            self.fault("the server", f"still holds {metrics.unfinished(after):.0f} requests")
        self.check_outcomes(before, after)
        return after

    def check_outcomes(self, before, after):
        """The outcomes in the engine's metrics must match the accepted requests: each was either answered once or cancelled once."""
        def ended(*outcomes):
            return sum(metrics.total(f, "easel_requests_total", outcome=o) * sign for o in outcomes for f, sign in ((after, 1), (before, -1)))
        answered = sum(len(self.seconds[a]) for a in {arrival.name for arrival in self.mix.arrivals if arrival.status == 200})
        hung_up = sum(counts["hung up"] for counts in self.counts.values())
        drawn, cancelled = ended("drawn"), ended("cancelled")
        if not answered <= drawn <= answered + hung_up:
            self.fault("the server", f"drew {drawn:.0f} requests; {answered} were answered and {hung_up} given up")
        if cancelled > hung_up:
            self.fault("the server", f"cancelled {cancelled:.0f} requests; {hung_up} were given up")
        if other := ended("failed", "timed_out", "unavailable"):
            self.fault("the server", f"{other:.0f} requests failed")


def percentile(values, share):
    """The smallest value of a sorted list that this share of its values does not exceed."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def report(run, before, after, seconds, slack_mib):
    print(f"{'class':<12}{'sent':>7}{'answered':>10}{'refused':>9}{'hung up':>9}{'p50 s':>9}{'p90 s':>9}{'p99 s':>9}")
    for name, counts in sorted(run.counts.items()):
        latencies = sorted(run.seconds[name])
        percentiles = "".join(f"{percentile(latencies, share):>9.3f}" for share in (0.5, 0.9, 0.99))
        print(f"{name:<12}{counts['sent']:>7}{counts['answered']:>10}{counts['refused']:>9}{counts['hung up']:>9}{percentiles}")
    answered = sum(map(len, run.seconds.values()))
    print(f"throughput: {answered / seconds:.2f} responses/s, {run.images / seconds:.2f} images/s over {seconds:.1f} s")
    mib = 2**20
    warm = run.memory_warm if run.memory_warm is not None else metrics.memory(before)
    print(f"memory, MiB: {metrics.memory(before) / mib:.0f} before, {warm / mib:.0f} warm, {metrics.memory(after) / mib:.0f} after")
    if slack_mib is not None and metrics.memory(after) - warm > slack_mib * mib:
        run.fault("the server", f"its memory grew by more than {slack_mib} MiB since it was warm")
    for sentence in run.faults[:MAX_PRINTED_FAULTS]:
        print(f"FAULT {sentence}")
    print(f"{len(run.faults)} faults", flush=True)


def drive(port, mix, key=None, slack_mib=None):
    """@return the faults, as sentences"""
    async def whole():
        run = Run(port, mix, key)
        return run, *await run.run()

    run, before, after, seconds = asyncio.run(whole())
    report(run, before, after, seconds, slack_mib)
    return run.faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9225)
    parser.add_argument("--mix", required=True)
    parser.add_argument("--requests", type=int, help="instead of the mix's own number")
    parser.add_argument("--key", help="API key; an operator's, if the mix has chores and the server keys")
    parser.add_argument("--memory-slack-mib", type=float, help="growth beyond this is a fault")
    options = parser.parse_args()
    try:
        mix = mixes.read(options.mix, options.requests)
    except mixes.InvalidMix as error:
        parser.error(str(error))
    return 1 if drive(options.port, mix, options.key, options.memory_slack_mib) else 0


if __name__ == "__main__":
    sys.exit(main())
