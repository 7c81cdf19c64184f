"""Image files and forms of edits."""
import random
import struct
import zlib

FORM = "multipart/form-data; boundary=x"
FIELDS = ((b"prompt", b"a fox"), (b"steps", b"1"), (b"strength", b"1"), (b"size", b"64x64"))


def png(edge, packed_rows):
    """A square RGB image."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed_rows) + chunk(b"IEND", b"")


def noise_png(edge):
    """An image whose file is about as large as its pixels."""
    return png(edge, zlib.compress(b"".join(b"\0" + random.Random(row).randbytes(3 * edge) for row in range(edge)), 0))


def png_with_rows_beyond_the_image(mebibytes):
    """64 x 64 pixels, and behind them what unpacks to so many mebibytes."""
    packer = zlib.compressobj(9)
    data = packer.compress(b"\0" * (64 * (64 * 3 + 1)))
    for _ in range(mebibytes):
        data += packer.compress(bytes(1 << 20))
    return png(64, data + packer.flush())


def edit_form(image):
    texts = b"".join(b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % field for field in FIELDS)
    file = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    return texts + file + image + b"\r\n--x--\r\n"
