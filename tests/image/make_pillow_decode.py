"""Image files with what Pillow decodes from them. Usage: make_pillow_decode.py FOLDER

For each case N.file is the file and N.rgba the pixels that Pillow finds, upright, with 255 as the alpha of opaque
images. cases.json lists size, used size (for JPEG's draft; else null), original size and the largest difference that is
allowed.
"""
import io
import json
import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

# libavif's conversion from YUV to RGB is rounded differently in its versions.
AVIF_TOLERANCE = 2


def photograph(width, height, seed=1):
    """Smooth colours with some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 120 * np.sin(x / (7 + 3 * c) + c) * np.cos(y / (11 + c)) for c in range(3)]
    return Image.fromarray(np.clip(np.stack(waves, -1) + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8))


class Cases:
    def __init__(self, folder):
        self.folder, self.cases = folder, []

    def add(self, name, bytes_, used=None, tolerance=0):
        image = Image.open(io.BytesIO(bytes_))
        orientation = image.getexif().get(0x0112, 1)
        turned = orientation >= 5
        original = image.size[::-1] if turned else image.size
        if used:
            target = used[::-1] if turned else used
            if image.width * image.height > 4 * used[0] * used[1]:
                image.draft("RGB", target)
        image = ImageOps.exif_transpose(image).convert("RGBA")
        number = len(self.cases)
        (self.folder / f"{number}.file").write_bytes(bytes_)
        (self.folder / f"{number}.rgba").write_bytes(image.tobytes())
        self.cases.append({"name": name, "width": image.width, "height": image.height, "used": used, "original": original, "tolerance": tolerance})


def saved(image, format_, **options):
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def add_jpegs(cases):
    for width, height, used in ((801, 603, (100, 75)), (801, 603, (64, 300)), (640, 480, (320, 240)), (643, 481, (320, 240)), (1000, 90, (110, 10)), (300, 200, (300, 200))):
        for progressive in (False, True):
            cases.add(f"jpeg {width}x{height} used at {used}", saved(photograph(width, height), "JPEG", quality=88, progressive=progressive), used)
    cases.add("jpeg 4:4:4", saved(photograph(500, 400), "JPEG", subsampling=0), (60, 60))
    cases.add("jpeg gray", saved(photograph(500, 400).convert("L"), "JPEG"), (60, 60))
    for orientation in (3, 6, 8):
        cases.add(f"jpeg turned {orientation}", saved(photograph(500, 300), "JPEG", exif=oriented(orientation)), (70, 110))
    for orientation in range(1, 9):
        cases.add(f"jpeg of orientation {orientation}", saved(photograph(61, 47), "JPEG", exif=oriented(orientation)))
        cases.add(f"png of orientation {orientation}", saved(photograph(31, 17), "PNG", exif=oriented(orientation)))
        cases.add(f"webp of orientation {orientation}", saved(photograph(31, 17), "WEBP", lossless=True, exif=oriented(orientation)))
    for progressive in (False, True):
        cases.add("jpeg cmyk", saved(photograph(97, 61).convert("CMYK"), "JPEG", progressive=progressive))
        cases.add("jpeg cmyk drawn small", saved(photograph(397, 261).convert("CMYK"), "JPEG", progressive=progressive), (40, 30))
    cases.add("jpeg of a pixel", saved(photograph(1, 1), "JPEG"))
    cases.add("jpeg of a column", saved(photograph(1, 700), "JPEG"), (1, 9))


def png(width, height, depth, colour, rows, *chunks):
    """A PNG file, for the kinds that Pillow does not write. `rows` are its bytes without the filter of each row."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunk(*each) for each in chunks) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def add_pngs(cases):
    image = photograph(61, 47)
    faded = image.copy()
    faded.putalpha(Image.linear_gradient("L").resize(image.size))
    palette = image.quantize(40)
    for mode in ("1", "L", "LA", "RGB", "RGBA"):
        cases.add(f"png {mode}", saved(faded.convert(mode), "PNG"))
    for bits in (1, 2, 4, 8):
        cases.add(f"png with a palette of {bits} bits", saved(image.quantize(2**bits), "PNG", bits=bits))
    cases.add("png with a transparent index", saved(palette, "PNG", transparency=3))
    cases.add("png with an opacity for each index", saved(palette, "PNG", transparency=bytes(range(0, 240, 6))))
    cases.add("png with a transparent colour", saved(image, "PNG", transparency=image.getpixel((5, 5))))
    cases.add("png with a transparent gray", saved(image.convert("L"), "PNG", transparency=image.convert("L").getpixel((5, 5))))
    cases.add("png of a pixel", saved(photograph(1, 1), "PNG"))
    cases.add("png of a row", saved(photograph(999, 1), "PNG"))
    rng = np.random.default_rng(3)
    for colour, name, channels in ((2, "RGB", 3), (4, "LA", 2), (6, "RGBA", 4)):
        rows = [rng.bytes(2 * channels * 23) for _ in range(11)]
        cases.add(f"png {name} of 16 bits", png(23, 11, 16, colour, rows))
    cases.add("png animated", saved(faded, "PNG", save_all=True, append_images=[faded.rotate(90)], duration=40))
    cases.add("webp with alpha", saved(faded, "WEBP", lossless=True, exact=True))
    cases.add("webp with a column", saved(photograph(1, 77), "WEBP", lossless=True))
    cases.add("webp of a pixel", saved(photograph(1, 1), "WEBP", lossless=True))
    cases.add("gif of a pixel", saved(photograph(1, 1).quantize(2), "GIF"))


def add_gifs(cases):
    image = photograph(61, 47).quantize(40)
    cases.add("gif", saved(image, "GIF", interlace=0))
    cases.add("gif interlaced", saved(image, "GIF", interlace=1))
    cases.add("gif transparent", saved(image, "GIF", transparency=3))
    cases.add("gif gray", saved(photograph(30, 20).convert("L"), "GIF"))
    frames = [photograph(61, 47, seed).quantize(16) for seed in range(3)]
    cases.add("gif animated", saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50))
    # A frame that is smaller than the screen: the sizes in the file's head are enlarged.
    for name, bytes_ in (("gif small frame", saved(image, "GIF")), ("gif small transparent frame", saved(image, "GIF", transparency=3))):
        bytes_ = bytearray(bytes_)
        bytes_[6:10] = (70).to_bytes(2, "little") + (50).to_bytes(2, "little")
        cases.add(name, bytes(bytes_))


def add_newer(cases):
    image = photograph(96, 64)
    alpha = Image.linear_gradient("L").resize((96, 64))
    transparent = image.copy()
    transparent.putalpha(alpha)
    frames = [photograph(96, 64, seed) for seed in range(3)]
    cases.add("webp animated", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    cases.add("webp animated lossy", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], quality=80))
    cases.add("webp animated transparent", saved(transparent, "WEBP", save_all=True, append_images=frames[1:], lossless=True, exact=True))
    cases.add("avif", saved(image, "AVIF", quality=90, speed=10), tolerance=AVIF_TOLERANCE)
    cases.add("avif 4:4:4", saved(image, "AVIF", quality=90, speed=10, subsampling="4:4:4"), tolerance=AVIF_TOLERANCE)
    cases.add("avif transparent", saved(transparent, "AVIF", quality=90, speed=10), tolerance=AVIF_TOLERANCE)
    cases.add("avif animated", saved(frames[0], "AVIF", save_all=True, append_images=frames[1:], speed=10), tolerance=AVIF_TOLERANCE)
    for orientation in range(2, 9):
        cases.add(f"avif turned {orientation}", saved(image, "AVIF", quality=90, speed=10, exif=oriented(orientation)), tolerance=AVIF_TOLERANCE)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    cases = Cases(folder)
    add_jpegs(cases)
    add_pngs(cases)
    add_gifs(cases)
    add_newer(cases)
    (folder / "cases.json").write_text(json.dumps(cases.cases))


if __name__ == "__main__":
    main()
