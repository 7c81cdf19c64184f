"""How the clients of the soak behave: most wait for their response, others leave, stop, or are slow.

Each behaviour sends one request and returns an Outcome. It raises what a failed connection raises.
"""
import asyncio
import base64
import dataclasses
import json
import random
import struct
import zlib

import wire

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
EDIT_EDGE = 64
BOUNDARY = "soak"


@dataclasses.dataclass
class Outcome:
    reply: wire.Reply | None = None  # none: the client did not wait for it
    counted: bool = True  # the server has seen a whole head, so it counts the request


@dataclasses.dataclass
class Call:
    """One request, as bytes."""
    port: int
    head: bytes
    body: bytes
    source: random.Random

    async def connect(self):
        return await asyncio.open_connection(wire.HOST, self.port, limit=wire.MAX_HEAD_BYTES)


def make_call(port, path, body, headers, source):
    """`body`: an object for generations and streams, or the bytes of a form."""
    is_form = isinstance(body, bytes)
    content = body if is_form else json.dumps(body).encode()
    fields = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(content)),
              "Content-Type": f"multipart/form-data; boundary={BOUNDARY}" if is_form else "application/json", **headers}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    return Call(port, head.encode(), content, source)


def png():
    """A small image with one colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x80\x40\x20" * EDIT_EDGE) * EDIT_EDGE
    head = struct.pack(">IIBBBBB", EDIT_EDGE, EDIT_EDGE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PNG = png()


def edit_form(body):
    """A form with the fields of a body and an image."""
    texts = "".join(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in body.items())
    file = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    return texts.encode() + file.encode() + PNG + f"\r\n--{BOUNDARY}--\r\n".encode()


def without_chunks(data):
    """The content of a chunked body and what follows the body."""
    content = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if size == 0:
            return content, data[2:]
        if data[size:size + 2] != b"\r\n":
            raise ValueError("a chunk without its end")
        content, data = content + data[:size], data[size + 2:]


async def read_whole(reader, pause=0.0):
    """The reply with everything up to the end of the connection. `pause`: between pieces of 512 bytes."""
    data = b""
    while piece := await reader.read(512 if pause else 65536):
        data += piece
        await asyncio.sleep(pause)
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        raise EOFError(f"{len(data)} bytes without a whole head")
    status, headers = wire.parse_head(head)
    if headers.get("transfer-encoding") == "chunked":
        content, extra = without_chunks(rest)
        return wire.Reply(status, headers, content, extra)
    length = int(headers["content-length"])
    if len(rest) < length:
        raise EOFError("the response ended early")
    return wire.Reply(status, headers, rest[:length], rest[length:])


async def wait(call, pause=0.0):
    reader, writer = await call.connect()
    try:
        writer.write(call.head + call.body)
        return Outcome(await read_whole(reader, pause))
    finally:
        writer.close()


async def read_slowly(call):
    return await wait(call, pause=0.01)


async def send_slowly(call):
    reader, writer = await call.connect()
    try:
        whole = call.head + call.body
        for at in range(0, len(whole), 200):
            writer.write(whole[at:at + 200])
            await writer.drain()
            await asyncio.sleep(0.02)
        return Outcome(await read_whole(reader))
    finally:
        writer.close()


async def leave_after(call, data, seconds, counted=True):
    _, writer = await call.connect()
    try:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(seconds)
    finally:
        writer.close()
    return Outcome(counted=counted)


async def leave_in_head(call):
    return await leave_after(call, call.head[:len(call.head) // 2], call.source.uniform(0, 0.5), counted=False)


async def leave_in_body(call):
    return await leave_after(call, call.head + call.body[:len(call.body) // 2], call.source.uniform(0, 0.5))


async def stop_sending(call):
    return await leave_after(call, call.head + call.body[:len(call.body) // 2], call.source.uniform(2, 5))


async def leave_waiting(call):
    return await leave_after(call, call.head + call.body, call.source.uniform(0, 0.3))


async def reset_while_waiting(call):
    """Leaves with a reset instead of an end."""
    _, writer = await call.connect()
    writer.write(call.head + call.body)
    await writer.drain()
    await asyncio.sleep(call.source.uniform(0, 0.3))
    writer.transport.abort()
    return Outcome()


async def leave_in_response(call):
    reader, writer = await call.connect()
    try:
        writer.write(call.head + call.body)
        await reader.read(100)
    finally:
        writer.close()
    return Outcome()


# Of all clients. The first one is the usual one.
BEHAVIOURS = {
    "wait": (wait, 0.80), "read slowly": (read_slowly, 0.04), "send slowly": (send_slowly, 0.03), "leave in the head": (leave_in_head, 0.02),
    "leave in the body": (leave_in_body, 0.02), "stop in the body": (stop_sending, 0.01), "leave while waiting": (leave_waiting, 0.04),
    "reset while waiting": (reset_while_waiting, 0.02), "leave in the response": (leave_in_response, 0.02)}


def stream_images(reply):
    """The images of a stream of events, from its last event."""
    events = [event.split("\n") for event in reply.body.decode().strip().split("\n\n")]
    completed = [json.loads(lines[1].removeprefix("data: ")) for lines in events if lines[0] == "event: image_generation.completed"]
    if len(completed) != 1 or events[-1][0] != "event: image_generation.completed":
        raise ValueError(f"{len(completed)} completed images in a stream of {len(events)} events")
    return base64.b64decode(completed[0]["b64_json"], validate=True)
