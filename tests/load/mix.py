"""A mix of requests as a JSON file: their bodies, their rate, and how many clients disconnect.

    {"seed": 1, "requests": 200, "rate": 20,          arrivals per second, at random times (Poisson)
     "time_limit_s": 120,                             upper bound on the whole run
     "answer_within_s": 60,                           upper bound on one response; later it counts as lost
     "hang_up": {"share": 0.2, "after_s": [0, 0.5]},  share of the valid requests that disconnect, after a time in this range
     "same_images": true,                           equal requests must give equal bytes
     "classes": [{"name": "short", "share": 0.95, "seeds": 5, "bodies": [{"prompt": "a fox"}]},
                 {"name": "bad", "share": 0.05, "status": 400, "bodies": [{"n": 0}]}],
     "chores": [{"every_s": 1, "post": "/v1/models/b/unload"}]}

The same file gives the same requests at the same times.
"""
import dataclasses
import json
import pathlib
import random

MAX_REQUESTS = 100_000
MAX_SECONDS = 24 * 3600
KNOWN = {"seed", "requests", "rate", "time_limit_s", "answer_within_s", "hang_up", "same_images", "classes", "chores"}


class InvalidMix(Exception):
    """A field of the file is wrong; the message names it."""


@dataclasses.dataclass(frozen=True)
class Arrival:
    number: int
    at: float  # seconds since the start
    name: str  # of its class
    body: dict
    status: int  # that the response must have, unless the request is rejected with 429
    disconnect_after: float | None  # seconds; None: the client waits for its response


@dataclasses.dataclass(frozen=True)
class Chore:
    every: float
    path: str


@dataclasses.dataclass(frozen=True)
class Mix:
    arrivals: list
    chores: list
    time_limit: float
    response_timeout: float
    same_images: bool


def require(condition, sentence):
    if not condition:
        raise InvalidMix(sentence)


def number(fields, name, low, high, default=None):
    value = fields.get(name, default)
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    require(good, f"{name} is {value!r}; expected a number from {low} to {high}")
    return value


def read_class(fields):
    require(isinstance(fields, dict) and isinstance(fields.get("name"), str), "a class needs a name")
    name = fields["name"]
    bodies = fields.get("bodies")
    require(isinstance(bodies, list) and bodies and all(isinstance(body, dict) for body in bodies), f"class {name}: bodies must be objects")
    number(fields, "share", 0, 1)
    number(fields, "status", 200, 599, default=200)
    number(fields, "seeds", 1, 2**31, default=1)
    return fields


def read_hang_up(fields):
    share = number(fields, "share", 0, 1)
    after = fields.get("after_s")
    good = isinstance(after, list) and len(after) == 2 and all(isinstance(a, (int, float)) for a in after) and 0 <= after[0] <= after[1]
    require(good, f"after_s is {after!r}; expected [from, to] in seconds")
    return share, after


def read_chore(fields):
    path = fields.get("post") if isinstance(fields, dict) else None
    require(isinstance(path, str) and path.startswith("/"), f"a chore is {fields!r}; expected every_s and post, a path")
    return Chore(every=number(fields, "every_s", 0.01, MAX_SECONDS), path=path)


def plan(fields, requests=None, rate=None):
    """The mix of a parsed file. `requests` and `rate`, if given, replace the file's."""
    require(isinstance(fields, dict), "a mix is an object")
    unknown = set(fields) - KNOWN
    require(not unknown, f"unknown fields: {sorted(unknown)}")
    classes = [read_class(entry) for entry in fields.get("classes") or []]
    require(classes, "there are no classes")
    share, after = read_hang_up(fields.get("hang_up", {"share": 0, "after_s": [0, 0]}))
    count = number({"requests": requests} if requests else fields, "requests", 1, MAX_REQUESTS)
    rate = number({"rate": rate} if rate else fields, "rate", 0.001, 10_000)
    source = random.Random(number(fields, "seed", 0, 2**63))
    arrivals, now = [], 0.0
    for i in range(int(count)):
        now += source.expovariate(rate)
        chosen = source.choices(classes, [entry["share"] for entry in classes])[0]
        body = dict(source.choice(chosen["bodies"]))
        status = chosen.get("status", 200)
        leaves = source.random() < share
        leave_after = source.uniform(*after)
        if status == 200:
            body.setdefault("seed", source.randrange(chosen.get("seeds", 1)))
        arrivals.append(Arrival(i, now, chosen["name"], body, status, leave_after if leaves and status == 200 else None))
    return Mix(arrivals, [read_chore(chore) for chore in fields.get("chores") or []],
               number(fields, "time_limit_s", 1, MAX_SECONDS), number(fields, "answer_within_s", 0.1, MAX_SECONDS, default=300),
               bool(fields.get("same_images", True)))


def read(path, requests=None, rate=None):
    try:
        fields = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError) as error:
        raise InvalidMix(f"{path}: {error}") from error
    return plan(fields, requests, rate)
