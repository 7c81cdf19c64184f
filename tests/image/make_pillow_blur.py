"""Masks that Pillow blurred. Usage: make_pillow_blur.py FOLDER

For each case N-in.rgb and N-out.rgb hold 8-bit pixels as easel::Image has them; cases.json lists sizes and radii.
"""
import json
import pathlib
import sys

import numpy as np
from PIL import Image, ImageFilter

SIZES = [(64, 48), (17, 90), (5, 3), (1, 1), (200, 2)]
RADII = [1, 2, 3, 4, 7, 16, 33, 64]


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng, cases = np.random.default_rng(6), []
    for size in SIZES:
        for radius in RADII:
            pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            pixels[:, : size[0] // 2] = 255
            blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius))
            (out / f"{len(cases)}-in.rgb").write_bytes(pixels.tobytes())
            (out / f"{len(cases)}-out.rgb").write_bytes(blurred.tobytes())
            cases.append({"size": size, "radius": radius})
    (out / "cases.json").write_text(json.dumps(cases))


main()
