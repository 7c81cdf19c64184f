"""Named checks for the client programs. Each prints one line: "ok NAME" or "not ok NAME: why"."""
import base64
import pathlib
import struct
import urllib.request
import zlib


def report(name, passed, why=""):
    print(f"ok {name}" if passed else f"not ok {name}: {why}", flush=True)


def expect_equal(name, got, wanted):
    report(name, got == wanted, f"got {got!r}, wanted {wanted!r}")


def expect_error(name, call, error_class, **attributes):
    """The call must raise exactly this class (not a subclass, not a parent), with these attributes."""
    try:
        response = call()
    except Exception as error:  # the point is to see which one it is
        got = {key: getattr(error, key, None) for key in attributes}
        report(name, type(error) is error_class and got == attributes,
               f"got {type(error).__name__} {got}, wanted {error_class.__name__} {attributes}: {error}")
    else:
        report(name, False, f"was answered with {str(response)[:200]}")


def png(width, height, row):
    """A PNG of 8 bits with alpha, whose rows are all these bytes."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress((b"\0" + row) * height)) + chunk(b"IEND", b"")


def mask_png(width, height, first_column):
    """A PNG in the form of OpenAI's masks: opaque up to this column, and transparent, that is, to be regenerated, from it on."""
    return png(width, height, b"\0\0\0\xff" * first_column + b"\0\0\0\0" * (width - first_column))


def color_png(width, height, color):
    return png(width, height, bytes((*color, 255)) * width)


def decode(b64_json):
    return base64.b64decode(b64_json, validate=True)


def fetch_base64(url):
    """The file that a link leads to, as base64."""
    with urllib.request.urlopen(url, timeout=60) as response:
        return base64.b64encode(response.read()).decode()


def save(folder, name, b64_json):
    """Saves an image for run_clients.py to examine."""
    (pathlib.Path(folder) / f"{name}.png").write_bytes(base64.b64decode(b64_json, validate=True))
