"""What a response to an image request must be."""
import base64
import hashlib
import json
import struct

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def is_error(reply, status):
    """An error object in OpenAI's form."""
    try:
        error = reply.json()["error"]
        return reply.status == status and set(error) >= {"message", "type", "param", "code"} and bool(error["message"])
    except (ValueError, KeyError, TypeError):
        return False


def png_size(data):
    if data[:8] != PNG_SIGNATURE or data[12:16] != b"IHDR" or data[-8:-4] != b"IEND":
        raise ValueError("is no whole PNG")
    return "%dx%d" % struct.unpack(">II", data[16:24])


class ResponseChecker:
    """Judges responses one by one and remembers the images seen, so that equal requests can be compared."""

    def __init__(self, same_images):
        self.same_images = same_images
        self.seen = {}  # request and index -> digest

    def faults(self, arrival, request_id, reply):
        """What is wrong with the reply, as sentences. A refusal for now (429) must say when to come back."""
        found = []
        if reply.extra:
            found.append(f"{len(reply.extra)} bytes behind the response")
        if reply.headers.get("x-request-id") != request_id:
            found.append(f"x-request-id is {reply.headers.get('x-request-id')!r}, sent was {request_id!r}")
        if reply.status == 429:
            if not reply.headers.get("retry-after", "").isdigit() or int(reply.headers["retry-after"]) < 1:
                found.append("429 without a sensible retry-after")
            if not is_error(reply, 429):
                found.append("429 without an error object")
        elif reply.status != arrival.status:
            found.append(f"status {reply.status}, wanted {arrival.status}: {reply.body[:200]!r}")
        elif arrival.status != 200:
            if not is_error(reply, arrival.status):
                found.append(f"{arrival.status} without an error object")
        else:
            found += self.image_faults(arrival.body, reply)
        return found

    def image_faults(self, body, reply):
        try:
            response = reply.json()
            images = [base64.b64decode(item["b64_json"], validate=True) for item in response["data"]]
            sizes = {png_size(image) for image in images}
            seeds = [item["seed"] for item in response["data"]]
        except (ValueError, KeyError, TypeError, IndexError, struct.error) as error:
            return [f"unreadable response: {error!r}"]
        found = []
        if len(images) != body.get("n", 1):
            found.append(f"{len(images)} images, wanted {body.get('n', 1)}")
        if seeds != [body["seed"] + i for i in range(len(seeds))]:
            found.append(f"seeds {seeds}, asked for from {body['seed']}")
        if "size" in body and sizes != {body["size"]}:
            found.append(f"sizes {sizes}, wanted {body['size']}")
        if self.same_images:
            found += self.changed_images(body, images)
        return found

    def changed_images(self, body, images):
        """Image i of seed s is the image of seed s + i, whatever was drawn beside it."""
        found = []
        for i, image in enumerate(images):
            key = json.dumps({**body, "n": 1, "seed": body["seed"] + i}, sort_keys=True)
            digest = hashlib.sha256(image).digest()
            if self.seen.setdefault(key, digest) != digest:
                found.append(f"another image than before for {key}")
        return found
