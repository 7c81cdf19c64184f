"""One HTTP/1.1 exchange on a connection of its own to this machine, with asyncio."""
import asyncio
import dataclasses
import json

MAX_HEAD_BYTES = 64 * 1024
HOST = "127.0.0.1"


@dataclasses.dataclass
class Reply:
    status: int
    headers: dict  # names in lower case
    body: bytes
    extra: bytes = b""  # what followed the response: always a fault

    def json(self):
        return json.loads(self.body)


def request_bytes(method, path, body=None, headers=None):
    content = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(content)), **(headers or {})}
    if body is not None:
        fields["Content-Type"] = "application/json"
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    return head.encode() + content


def parse_head(head):
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first.split(" ", 2)[1])
    return status, {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


async def read_reply(reader):
    status, headers = parse_head((await reader.readuntil(b"\r\n\r\n"))[:-4])
    body = await reader.readexactly(int(headers["content-length"])) if "content-length" in headers else b""
    return Reply(status, headers, body, await reader.read())  # to the end of the connection


async def exchange(port, request):
    """Sends a request and reads the whole reply. Every failure of the connection is an OSError, EOFError, ValueError or KeyError."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=MAX_HEAD_BYTES)
    try:
        writer.write(request)
        return await read_reply(reader)
    finally:
        writer.close()


async def send_and_disconnect(port, request, after):
    """Disconnects that many seconds after sending. A reply that comes earlier is ignored."""
    _, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(request)
        await writer.drain()
        await asyncio.sleep(after)
    finally:
        writer.close()
