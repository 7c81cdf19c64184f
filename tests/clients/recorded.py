"""Requests of programs with a user interface, rebuilt from their sources (recorded/*.json), against the server, and what these programs
read of the responses. Each file names the source and its commit.
"""
import base64
import io
import json
import pathlib
import urllib.error
import urllib.request
import uuid

from PIL import Image

FILES = sorted((pathlib.Path(__file__).resolve().parent / "recorded").glob("*.json"))
SECONDS = 120
SHOWN = 300  # characters of a response in the report of a failure


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (128, 128), (250, 177, 200)).save(buffer, "PNG")
    return buffer.getvalue()


def multipart(fields, files):
    """(Content-Type, body) of a form as browsers and SDKs send it."""
    boundary = uuid.uuid4().hex
    parts = [(f'name="{name}"', "", value.encode()) for name, value in fields.items()]
    parts += [(f'name="{name}"; filename="{file}"', "Content-Type: image/png\r\n", png()) for name, file in files]
    body = b"".join(f"--{boundary}\r\nContent-Disposition: form-data; {names}\r\n{kind}\r\n".encode() + value + b"\r\n"
                    for names, kind, value in parts)
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def send(port, request):
    headers = {"Authorization": "Bearer any", **request.get("headers", {})}
    body = None
    if "json" in request:
        body, headers["Content-Type"] = json.dumps(request["json"]).encode(), "application/json"
    elif "form" in request:
        headers["Content-Type"], body = multipart(request["form"], request.get("files", []))
    elif "data" in request:
        body = request["data"].encode()
    elif request.get("method", "POST") == "POST":
        body = b""
    message = urllib.request.Request(f"http://127.0.0.1:{port}{request['path']}", body, headers, method=request.get("method", "POST"))
    if "data" in request:
        message.add_header("Content-Type", "")  # urllib adds one of its own otherwise
    try:
        with urllib.request.urlopen(message, timeout=SECONDS) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def at(value, pointer):
    """The member that a JSON pointer names; None if there is none."""
    for key in pointer.split("/")[1:]:
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return value


def size_of(data):
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return list(image.size)


def faults(status, body, expect):
    """What a client would miss in the response."""
    if status != expect["status"]:
        return [f"status {status}, wanted {expect['status']}: {body[:SHOWN]!r}"]
    value = json.loads(body)
    found = []
    if "image" in expect:
        text = at(value, expect["image"])
        if not isinstance(text, str):
            found.append(f"no image at {expect['image']}: {body[:SHOWN]!r}")
        elif "size" in expect and size_of(base64.b64decode(text)) != expect["size"]:
            found.append(f"an image of {size_of(base64.b64decode(text))}, wanted {expect['size']}")
        else:
            size_of(base64.b64decode(text, validate=True))
    if "link" in expect:
        link = at(value, expect["link"]) or ""
        if not link.endswith(expect.get("link_ends_with", "")) or not link.startswith("http"):
            found.append(f"no link at {expect['link']}: {body[:SHOWN]!r}")
        else:
            with urllib.request.urlopen(link, timeout=SECONDS) as response:
                size_of(response.read())
    if "text" in expect and not isinstance(at(value, expect["text"]), str):
        found.append(f"no text at {expect['text']}: {body[:SHOWN]!r}")
    if "list" in expect and not isinstance(at(value, expect["list"]), list):
        found.append(f"no list at {expect['list']}: {body[:SHOWN]!r}")
    for pointer in expect.get("integer", []):
        if not isinstance(at(value, pointer), int):
            found.append(f"no integer at {pointer}")
    for pointer, wanted in expect.get("equal", {}).items():
        if at(value, pointer) != wanted:
            found.append(f"{pointer} is {at(value, pointer)!r}, wanted {wanted!r}")
    if "info" in expect and not set(expect["info"]) <= set(json.loads(value["info"])):
        found.append(f"info lacks some of {expect['info']}")
    return found


def test(tally, port):
    """@param port  of a server that serves the model emoji, with the flags that the files name"""
    for path in FILES:
        record = json.loads(path.read_text())
        for request in record["requests"]:
            status, body = send(port, request)
            wrong = faults(status, body, request["expect"])
            tally.add(f"{record['client']} {record['version']}: {request['what']}", not wrong, "; ".join(wrong))


def flags():
    """The flags that the server needs for these clients."""
    return [flag for path in FILES for flag in json.loads(path.read_text()).get("flags", [])]
