"""The server's own metrics, from GET /metrics."""
import re

import wire

SERIES = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")
IMAGE_ROUTE = "/v1/images/generations"


def parse(text):
    """{(name, ((label, value), ...)): number}, labels sorted."""
    found = {}
    for line in text.splitlines():
        if match := SERIES.match(line):
            labels = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match.group(2) or "")
            found[match.group(1), tuple(sorted(labels))] = float(match.group(3))
    return found


def total(metrics, name, **labels):
    """The sum of a family's series that have these labels."""
    return sum(value for (family, pairs), value in metrics.items()
               if family == name and all((label, wanted) in pairs for label, wanted in labels.items()))


async def scrape(port, headers=None):
    reply = await wire.exchange(port, wire.request_bytes("GET", "/metrics", headers=headers))
    if reply.status != 200:
        raise ValueError(f"GET /metrics gave {reply.status}")
    return parse(reply.body.decode())


def counted_image_requests(metrics):
    return total(metrics, "easel_http_requests_total", route=IMAGE_ROUTE)


def unfinished(metrics):
    """Requests that the engine still holds."""
    return total(metrics, "easel_queue_requests")


def memory(metrics):
    return total(metrics, "process_resident_memory_bytes")
