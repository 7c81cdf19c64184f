"""What happens to the server during the soak, at random times: models come and go, keys are replaced, the process stands still."""
import asyncio
import hashlib
import json
import os
import pathlib
import signal

import wire

KEY, OPERATOR_KEY = "a key of the clients of the soak", "a key of the operator of the soak"
CROWD = 400  # more silent connections than there are descriptors
CROWD_SOURCE = "127.0.0.66"
DESCRIPTORS = 300  # that the server has


class Chores:
    """Runs until it is cancelled. `counts` has how often each chore was done."""

    def __init__(self, server, folder, source):
        self.server, self.source = server, source
        self.keys = pathlib.Path(folder, "keys.json")
        self.counts = {}
        self.faults = []
        self.write_keys()

    def write_keys(self):
        def entry(name, key, **more):
            return {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), **more}

        entries = [entry("clients", KEY), entry("operator", OPERATOR_KEY, operator=True), entry("other", str(self.source.random()))]
        self.source.shuffle(entries)
        self.replace_keys(json.dumps({"keys": entries}))

    def replace_keys(self, text):
        new = self.keys.with_suffix(".new")
        new.write_text(text, encoding="ascii")
        new.rename(self.keys)

    async def post(self, path):
        request = wire.request_bytes("POST", path, headers={"Authorization": f"Bearer {OPERATOR_KEY}"})
        reply = await asyncio.wait_for(wire.exchange(self.server.port, request), 60)
        if reply.status not in (200, 202):
            self.faults.append(f"{path}: status {reply.status}: {reply.body[:200]!r}")

    async def unload_a_model(self):
        await self.post(f"/v1/models/{self.source.choice('ab')}/unload")

    async def load_a_model(self):
        await self.post(f"/v1/models/{self.source.choice('ab')}/load")

    async def replace_the_key_file(self):
        self.write_keys()

    async def break_the_key_file(self):
        """The keys that were read before stay in force."""
        self.replace_keys(self.source.choice(["", "{", '{"keys": []}']))
        await asyncio.sleep(1.5)
        self.write_keys()

    async def stop_the_process(self):
        os.kill(self.server.process.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(self.source.uniform(0.1, 1))
        finally:
            os.kill(self.server.process.pid, signal.SIGCONT)

    async def send_a_crowd(self):
        """More silent connections than the server has descriptors, from another address."""
        crowd = []
        try:
            for _ in range(CROWD):
                crowd.append((await asyncio.open_connection(wire.HOST, self.server.port, local_addr=(CROWD_SOURCE, 0)))[1])
            await asyncio.sleep(1)
        finally:
            for writer in crowd:
                writer.close()

    ALL = [(unload_a_model, 20), (load_a_model, 20), (replace_the_key_file, 15), (break_the_key_file, 60), (stop_the_process, 30),
           (send_a_crowd, 60)]  # and the seconds from one to the next, on average

    async def repeat(self, chore, seconds):
        name = chore.__name__.replace("_", " ")
        self.counts[name] = 0
        while True:
            await asyncio.sleep(self.source.expovariate(1 / seconds))
            try:
                await chore(self)
            except (OSError, EOFError, ValueError, KeyError, asyncio.TimeoutError) as error:
                self.faults.append(f"{name}: {error!r}")
            self.counts[name] += 1

    async def run(self):
        await asyncio.gather(*(self.repeat(chore, seconds) for chore, seconds in self.ALL))
