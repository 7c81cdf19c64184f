"""Images that Pillow resized. Usage: make_pillow_resize.py FOLDER

For each case N-in.rgb and N-out.rgb hold 8-bit pixels as easel::Image has them; cases.json lists the sizes and filters.
"""
import json
import pathlib
import sys

import numpy as np
from PIL import Image

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
SIZES = [((31, 17), (64, 64)), ((64, 64), (31, 17)), ((64, 48), (64, 20)), ((64, 48), (40, 48)), ((100, 3), (8, 24)), ((1, 1), (9, 5)),
         ((7, 250), (8, 8)), ((129, 65), (128, 64)), ((50, 50), (51, 150)), ((300, 200), (16, 16)), ((64, 64), (34, 4)), ((64, 64), (35, 4)), ((70, 90), (71, 89)), ((70, 90), (71, 91)), ((20, 20), (20, 20))]


def source(rng, kind, width, height):
    if kind == "noise":
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    # Hard edges overshoot both ends of the range.
    return (rng.integers(0, 2, (height, width, 3)) * 255).astype(np.uint8)


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng, cases = np.random.default_rng(5), []
    for before, after in SIZES:
        for kind in ("noise", "edges"):
            pixels = source(rng, kind, *before)
            for name, resample in FILTERS.items():
                number = len(cases)
                resized = Image.fromarray(pixels).resize(after, resample)
                (out / f"{number}-in.rgb").write_bytes(pixels.tobytes())
                (out / f"{number}-out.rgb").write_bytes(resized.tobytes())
                cases.append({"filter": name, "from": before, "to": after})
    (out / "cases.json").write_text(json.dumps(cases))


main()
