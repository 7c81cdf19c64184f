"""Parts of images that a mask selects, as diffusers cuts them out and puts them back. Usage: make_mask_region.py FOLDER

For each case N-image.rgb, N-mask.rgb and N-drawn.rgb hold 8-bit pixels as easel::Image has them. N-filled.rgb is the
part of the image at the size at which it is drawn, N-pasted.rgb the image with what was drawn in it, and N-blended.rgb
the image blended with one of its own size. cases.json lists sizes, paddings and boxes.
"""
import json
import pathlib
import sys

import numpy as np
from diffusers.image_processor import VaeImageProcessor
from PIL import Image, ImageFilter

# Width and height of the image, the rectangle that the mask selects, the size at which it is drawn, the padding.
CASES = [((64, 48), (20, 10, 30, 18), (32, 32), 4), ((64, 48), (0, 0, 5, 5), (32, 32), 8), ((64, 48), (60, 40, 64, 48), (32, 32), 0),
         ((64, 32), (2, 10, 62, 14), (32, 32), 2), ((32, 64), (10, 2, 14, 60), (48, 24), 3), ((100, 30), (0, 0, 100, 30), (16, 40), 0),
         ((30, 100), (5, 50, 6, 51), (40, 16), 0), ((50, 50), (10, 10, 40, 12), (24, 32), 1000), ((70, 41), (33, 20, 34, 21), (64, 64), 0),
         ((64, 33), (1, 1, 63, 32), (33, 31), 1), ((33, 64), (1, 1, 32, 63), (31, 35), 1), ((40, 40), (0, 39, 40, 40), (40, 40), 5)]


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    processor, rng, listed = VaeImageProcessor(), np.random.default_rng(16), []
    for index, (size, (left, top, right, bottom), drawn_size, padding) in enumerate(CASES):
        image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
        marks = np.zeros((size[1], size[0]), dtype=np.uint8)
        marks[top:bottom, left:right] = 255
        mask = Image.fromarray(marks)
        if index % 2:
            mask = mask.filter(ImageFilter.GaussianBlur(2))  # partial values
        mask = mask.convert("RGB")
        drawn = Image.fromarray(rng.integers(0, 256, (drawn_size[1], drawn_size[0], 3), dtype=np.uint8))
        whole = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
        box = processor.get_crop_region(mask, *drawn_size, pad=padding)
        files = {"image": image, "mask": mask, "drawn": drawn, "whole": whole,
                 "filled": processor.resize(image.crop(box), drawn_size[1], drawn_size[0], resize_mode="fill"),
                 "pasted": processor.apply_overlay(mask, image, drawn, box), "blended": processor.apply_overlay(mask, image, whole)}
        for name, pixels in files.items():
            (out / f"{index}-{name}.rgb").write_bytes(pixels.tobytes())
        listed.append({"size": size, "drawn_size": drawn_size, "padding": padding, "box": box})
    (out / "cases.json").write_text(json.dumps(listed))


main()
