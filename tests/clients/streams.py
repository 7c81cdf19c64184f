"""Streams of events from the real server with the model that ships."""
import base64
import http.client
import io
import json

import numpy
from PIL import Image

STEPS = 20
PARTIAL_IMAGES = 3


def events(port, route, fields, headers=None):
    """[(type, JSON)] of the stream that a request is answered with, read as the specification of server-sent events says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", route, json.dumps(fields), {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        text = response.read().decode()
        if response.status != 200 or not response.getheader("Content-Type").startswith("text/event-stream"):
            raise AssertionError(f"got {response.status} {response.getheader('Content-Type')}: {text[:300]}")
    finally:
        connection.close()
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    parsed = []
    for block in blocks:
        kind, data = block.split("\n")
        parsed.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return parsed


def pixels(event):
    with Image.open(io.BytesIO(base64.b64decode(event["b64_json"], validate=True))) as image:
        return numpy.asarray(image.convert("RGB")).astype(float)


def test(tally, server):
    """Successive partial images get nearer to the finished one, which is the image of an ordinary response."""
    for prompt, seed in (("a fox on a yellow background", 0), ("a red apple on a pink background", 7), ("a cat on a blue background", 3)):
        fields = {"prompt": prompt, "seed": seed, "size": "128x128", "num_inference_steps": STEPS}
        found = events(server.port, "/v1/images/generations", {**fields, "stream": True, "partial_images": PARTIAL_IMAGES})
        kinds = [kind for kind, _ in found]
        wanted = ["image_generation.partial_image"] * PARTIAL_IMAGES + ["image_generation.completed"]
        tally.add(f"stream: {prompt}: its events", kinds == wanted, f"got {kinds}")
        if kinds != wanted:
            continue
        final = pixels(found[-1][1])
        distances = [float(numpy.sqrt(((pixels(event) - final) ** 2).mean())) for _, event in found[:-1]]
        tally.add(f"stream: {prompt}: partial images get nearer to the final one", distances == sorted(distances, reverse=True),
                  f"root mean squares of the differences: {distances}")
        tally.add(f"stream: {prompt}: all images have the size asked for", all(pixels(event).shape == (128, 128, 3) for _, event in found))
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        connection.request("POST", "/v1/images/generations", json.dumps({**fields, "response_format": "b64_json"}),
                           {"Content-Type": "application/json"})
        plain = json.loads(connection.getresponse().read())["data"][0]["b64_json"]
        connection.close()
        tally.add(f"stream: {prompt}: the image is that of an ordinary response", found[-1][1]["b64_json"] == plain, "they differ")
    found = events(server.port, "/v1/images/generations", {"prompt": "a fox", "size": "128x128", "stream": True, "num_inference_steps": STEPS},
                   {"x-easel-progress": "1"})
    steps = [event["step"] for kind, event in found if kind == "image_generation.progress"]
    tally.add("stream: progress is reported in order", len(steps) > 1 and steps == sorted(steps), f"got {steps}")
