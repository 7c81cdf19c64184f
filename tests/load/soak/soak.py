"""The soak: requests at random times to the real server with the model that ships, while clients leave, stop and are slow, models are
loaded and unloaded, keys are replaced, the process stands still and descriptors are short. Every response is checked, and at the end the
server's memory, descriptors, threads and metrics. Run by hand, since it takes as long as the mix says.

usage: soak.py --easel build/release/easel [--requests 100000] [--rate 20] [--mix ../mixes/one_step.json] [--page docs/measurements/soak.md]
"""
import argparse
import asyncio
import collections
import hashlib
import os
import pathlib
import random
import resource
import signal
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "faults")]
import metrics  # noqa: E402
import mix as mixes  # noqa: E402
import responses  # noqa: E402

import clients  # noqa: E402
import page  # noqa: E402
from chores import DESCRIPTORS, KEY, OPERATOR_KEY, Chores  # noqa: E402
from program import Program  # noqa: E402

# Connections of clients at a time. With more of them than of the crowd, the server would close theirs when descriptors
# are short, because it takes the place from the address with the most connections.
MAX_OPEN = 60
SETTLE_SECONDS = 120
END_SECONDS = 120
SAMPLES = 10
MEMORY_SLACK_MIB = 64  # for allocators; leaking the latents and pixels of one image per request would be more
DESCRIPTOR_SLACK = 8
EDITS, STREAMS, WRONG_KEYS = 0.1, 0.1, 0.01  # of the valid requests
FAILURES = (OSError, EOFError, ValueError, KeyError, asyncio.TimeoutError, asyncio.LimitOverrunError)


class Soak:
    def __init__(self, program, mix, chores, source):
        self.program, self.mix, self.chores, self.source = program, mix, chores, source
        self.checker = responses.ResponseChecker(mix.same_images)
        self.faults = []
        self.behaved = collections.Counter()  # by behaviour
        self.sent = collections.Counter()  # by route: requests that the server has to count
        self.answered = collections.defaultdict(collections.Counter)  # by route and status
        self.left = collections.Counter()  # by route: clients that did not wait for the response
        self.seconds = []  # of clients that wait, from the time at which their request was due
        self.samples = []
        self.open = self.most_open = self.done = 0

    def fault(self, what, sentence):
        self.faults.append(f"{what}: {sentence}")

    def choose(self, arrival):
        """@return (kind, route, body as it is sent)"""
        if arrival.status != 200:
            return "generate", clients.GENERATIONS, arrival.body
        kind = self.source.choices(["edit", "stream", "wrong key", "generate"], [EDITS, STREAMS, WRONG_KEYS, 1 - EDITS - STREAMS - WRONG_KEYS])[0]
        if kind == "edit":
            return kind, clients.EDITS, clients.edit_form({**arrival.body, "strength": 1})
        return kind, clients.GENERATIONS, {**arrival.body, "stream": True} if kind == "stream" else arrival.body

    async def one(self, arrival, due):
        kind, route, body = self.choose(arrival)
        request_id = f"soak-{arrival.number}"
        key = "nobody's key" if kind == "wrong key" else KEY
        call = clients.make_call(self.program.port, route, body, {"Authorization": f"Bearer {key}", "x-request-id": request_id}, self.source)
        behaviour = self.source.choices(list(clients.BEHAVIOURS), [share for _, share in clients.BEHAVIOURS.values()])[0]
        self.behaved[behaviour] += 1
        self.sent[route] += 1
        try:
            outcome = await asyncio.wait_for(clients.BEHAVIOURS[behaviour][0](call), self.mix.response_timeout)
        except FAILURES as error:
            self.left[route] += 1
            return self.fault(f"{request_id} ({kind}, {behaviour})", f"lost: {error!r}")
        if not outcome.counted:
            self.sent[route] -= 1
        elif outcome.reply is None:
            self.left[route] += 1
        else:
            self.answered[route][outcome.reply.status] += 1
            for sentence in self.faults_of(arrival, kind, request_id, outcome.reply):
                self.fault(f"{request_id} ({kind}, {behaviour})", sentence)
            if behaviour == "wait":
                self.seconds.append(time.monotonic() - due)

    def faults_of(self, arrival, kind, request_id, reply):
        if kind == "wrong key":
            return [] if responses.is_error(reply, 401) else [f"status {reply.status} for a wrong key"]
        if kind == "edit":
            body = {**arrival.body, "image": "that of the soak"}  # has an image of its own
            return self.checker.faults(mixes.dataclasses.replace(arrival, body=body), request_id, reply)
        if kind != "stream" or reply.status != 200:
            return self.checker.faults(arrival, request_id, reply)
        found = [] if reply.headers.get("x-request-id") == request_id and not reply.extra else ["not exactly one response of its own"]
        try:
            return found + self.checker.changed_images(arrival.body, [clients.stream_images(reply)])
        except FAILURES as error:
            return [*found, f"unreadable stream: {error!r}"]

    async def tracked(self, arrival, due):
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self.one(arrival, due)
        finally:
            self.open -= 1
            self.done += 1
            if self.done * SAMPLES % len(self.mix.arrivals) < SAMPLES and self.done < len(self.mix.arrivals):
                self.sample()

    def sample(self):
        folder = f"/proc/{self.program.process.pid}"
        self.samples.append(page.Sample(self.done, self.program.resident_mib(), len(os.listdir(f"{folder}/fd")), len(os.listdir(f"{folder}/task")),
                                        self.seconds[page.last_tenth(self.seconds):]))

    async def arrivals(self, started):
        tasks = set()
        for arrival in self.mix.arrivals:
            due = started + arrival.at
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            while self.open >= MAX_OPEN:
                await asyncio.sleep(0.1)
            task = asyncio.create_task(self.tracked(arrival, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def run(self):
        self.sample()
        started = time.monotonic()
        chores = asyncio.create_task(self.chores.run())
        try:
            await asyncio.wait_for(self.arrivals(started), self.mix.time_limit)
        except asyncio.TimeoutError:
            self.fault("the run", f"did not finish within {self.mix.time_limit} s")
        self.took = time.monotonic() - started
        chores.cancel()
        await asyncio.gather(chores, return_exceptions=True)
        os.kill(self.program.process.pid, signal.SIGCONT)
        self.faults += self.chores.faults
        await self.settle()
        self.sample()
        self.check_level()

    async def settle(self):
        """Waits until the server has noticed that its clients have left, and compares what both have counted."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            counted = await metrics.scrape(self.program.port, {"Authorization": f"Bearer {OPERATOR_KEY}"})
            if metrics.unfinished(counted) == 0 and all(self.counted(counted, route) == count for route, count in self.sent.items()):
                break
            await asyncio.sleep(0.5)
        if metrics.unfinished(counted):
            self.fault("the server", f"still holds {metrics.unfinished(counted):.0f} requests")
        for route, sent in self.sent.items():
            if self.counted(counted, route) != sent:
                self.fault(route, f"the server counted {self.counted(counted, route):.0f} requests, {sent} were sent")
            for status, answered in self.answered[route].items():
                of_status = metrics.total(counted, "easel_http_requests_total", route=route, status=str(status))
                if not answered <= of_status <= answered + self.left[route]:
                    self.fault(route, f"the server counted {of_status:.0f} responses with {status}; {answered} clients got one, {self.left[route]} left")
        for outcome in ("failed", "timed_out", "unavailable"):
            if number := metrics.total(counted, "easel_requests_total", outcome=outcome):
                self.fault("the server", f"{number:.0f} requests ended as {outcome}")

    @staticmethod
    def counted(metric_values, route):
        return metrics.total(metric_values, "easel_http_requests_total", route=route)

    def check_level(self):
        first, warm, last = self.samples[0], self.samples[len(self.samples) // 2], self.samples[-1]
        if last.memory_mib > warm.memory_mib + MEMORY_SLACK_MIB:
            self.fault("the server", f"its memory grew by {last.memory_mib - warm.memory_mib:.0f} MiB in the second half")
        if last.descriptors > first.descriptors + DESCRIPTOR_SLACK:
            self.fault("the server", f"has {last.descriptors} descriptors, {first.descriptors} at the start")
        # Threads that serve are made when all are busy, and stay.
        if last.threads > first.threads + self.most_open:
            self.fault("the server", f"has {last.threads} threads, {first.threads} at the start, for {self.most_open} connections at a time")


def limit_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--easel", required=True)
    parser.add_argument("--model", default=str(HERE.parent.parent.parent / "models" / "emoji"))
    parser.add_argument("--mix", default=str(HERE.parent / "mixes" / "one_step.json"))
    parser.add_argument("--requests", type=int, help="instead of the mix's own number")
    parser.add_argument("--rate", type=float, help="requests per second, instead of the mix's own")
    parser.add_argument("--seed", type=int, default=1, help="of what clients and chores do")
    parser.add_argument("--page", help="file for the results, as Markdown")
    options = parser.parse_args()
    try:
        return options, mixes.read(options.mix, options.requests, options.rate)
    except mixes.InvalidMix as error:
        parser.error(str(error))


def main():
    options, mix = read_options()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    source = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        chores = Chores(None, scratch, source)
        log = pathlib.Path(scratch, "server.log")
        with log.open("wb") as sink, Program(options.easel, None, "--model", f"a={options.model}", "--model", f"b={options.model}", "--api-keys-file",
                                             str(chores.keys), "--log-format", "json", stderr=sink.fileno(), prepare=limit_descriptors) as program:
            chores.server = program
            soak = Soak(program, mix, chores, source)
            asyncio.run(soak.run())
            code = program.exit_code(END_SECONDS)
        if code != 0:
            soak.fault("the server", f"ended with {code} on SIGTERM")
        lines = log.read_text(errors="replace").count('"path":"/v1/images/')
        if lines < sum(soak.sent.values()):
            soak.fault("the log", f"has {lines} lines of image requests, {sum(soak.sent.values())} were sent")
        text = page.write(soak, hashlib.sha256(pathlib.Path(options.easel).read_bytes()).hexdigest()[:12])
        print(text)
        if options.page:
            pathlib.Path(options.page).write_text(text, encoding="utf-8")
        if soak.faults:
            print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
