"""The results of the soak as a page."""
import dataclasses
import datetime
import pathlib
import re

MAX_FAULTS = 20  # on the page, of each kind
SHARES = (0.5, 0.9, 0.99)


@dataclasses.dataclass
class Sample:
    """The server after so many requests."""
    done: int
    memory_mib: float
    descriptors: int
    threads: int
    seconds: list  # of the responses since about the sample before


def last_tenth(values):
    """Where the last tenth of a list begins."""
    return len(values) * 9 // 10


def percentile(values, share):
    ordered = sorted(values)
    return f"{ordered[min(len(ordered) - 1, int(share * len(ordered)))]:.3f}" if ordered else ""


def processor():
    names = re.findall(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return f"{len(names)} processors {names[0]}" if names else "an unknown processor"


def fault_list(faults):
    """All faults, counted by the part of the sentence that says what happened, and the first of each kind."""
    kinds = {}
    for sentence in faults:
        kinds.setdefault(re.sub(r"[0-9]+", "N", sentence.partition(": ")[2])[:60], []).append(sentence)
    lines = [f"{len(faults)} of {len(kinds)} kinds." if faults else "None."]
    for sentences in kinds.values():
        lines += ["", f"{len(sentences)} times:", "", *(f"- {sentence}" for sentence in sentences[:MAX_FAULTS])]
    return "\n".join(lines)


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def write(soak, program):
    """The page of a finished run. `program`: the beginning of the hash of the program."""
    requests = len(soak.mix.arrivals)
    times = ", ".join(f"p{share * 100:.0f} {percentile(soak.seconds, share)} s" for share in SHARES)
    statuses = sorted({status for route in soak.answered.values() for status in route})
    rows = [[route, soak.sent[route], *(soak.answered[route][status] for status in statuses), soak.left[route]] for route in sorted(soak.sent)]
    behaved = "\n".join(f"- {name}: {count}" for name, count in soak.behaved.most_common())
    chores = "\n".join(f"- {name}: {count}" for name, count in soak.chores.counts.items())
    samples = [[s.done, f"{s.memory_mib:.0f}", s.descriptors, s.threads, percentile(s.seconds, 0.5), percentile(s.seconds, 0.99)] for s in soak.samples]
    faults = fault_list(soak.faults)
    return f"""# Soak

`tests/load/soak/soak.py` sent {requests} requests to the real program with the model that ships, at random times whether or not earlier ones
had been answered, while clients, models, keys and the process misbehaved. It checked every response: exactly one for each request, with
the request's own id, and for equal requests the same image. On {datetime.date.today()}, on {processor()}; the program has the SHA-256
{program}... The run took {soak.took / 60:.0f} minutes, with {soak.most_open} connections at a time at most.

{table(["route", "requests", *(f"status {status}" for status in statuses), "clients that left"], rows)}

These are the numbers of the clients. The server counted the same number of requests, and as many responses of each status as its clients
that waited, and a part of the ones that left, can explain, unless a fault is listed below. Responses to clients that waited: {times}.

| after requests | memory, MiB | descriptors | threads | p50, s | p99, s |
|---|---|---|---|---|---|
""" + "\n".join("| " + " | ".join(map(str, row)) + " |" for row in samples) + f"""

What the clients did:

{behaved}

What was done to the server:

{chores}

Faults:

{faults}
"""
