"""Edits of several images by a model that uses all of them, through OpenAI's Python package or through LiteLLM: whichever there is.

usage: references.py BASE_URL FOLDER
"""
import importlib.util
import io
import os
import pathlib
import sys

import checks

base_url, folder = sys.argv[1:]
PROMPT, SIZE, SETTINGS = "a fox", "128x96", {"num_inference_steps": 2, "seed": 5}


def png(*color):
    path = pathlib.Path(folder) / f"{'-'.join(map(str, color))}.png"
    path.write_bytes(checks.color_png(96, 80, color))
    return path


def edit_by_litellm(images):
    import litellm
    files = [io.BytesIO(path.read_bytes()) for path in images]
    return litellm.image_edit(image=files, prompt=PROMPT, model="openai/klein", size=SIZE, api_base=base_url, api_key="any key", extra_body=SETTINGS)


def edit_by_openai(images):
    import openai
    client = openai.OpenAI(api_key="any key", base_url=base_url, max_retries=0)
    return client.images.edit(image=images, prompt=PROMPT, model="klein", size=SIZE, extra_body=SETTINGS)


os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would ask the network for prices
edit = edit_by_litellm if importlib.util.find_spec("litellm") else edit_by_openai
first, second, other = png(200, 40, 40), png(40, 200, 40), png(40, 40, 200)


def edited(*images):
    return edit(list(images)).data[0].b64_json


both = edited(first, second)
checks.expect_equal("two images give the same image again", edited(first, second), both)
for name, images in (("another second image", (first, other)), ("no second image", (first,)), ("another order", (second, first))):
    checks.report(f"{name} gives another result", edited(*images) != both, "it is the same")
