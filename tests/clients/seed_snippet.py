"""The most common call of openai 0.28.1, as its users write it, and the calls next to it.

usage: seed_snippet.py BASE_URL FOLDER
"""
import pathlib
import sys

import checks
import openai

base_url, folder = sys.argv[1:]

# Exactly as users write it; the port differs only if 9225 is taken.
openai.api_key = "any key"
openai.api_base = "http://localhost:9225/v1"
if base_url != openai.api_base:
    openai.api_base = base_url
response = openai.Image.create(prompt="a fox on a blue background", n=1, size="512x512", response_format="b64_json")
image = response["data"][0]["b64_json"]

checks.save(folder, "fox--512x512--blue", image)
checks.report("created is a time", isinstance(response["created"], int) and response["created"] > 1_600_000_000)
checks.expect_equal("one image", len(response["data"]), 1)

image = pathlib.Path(folder) / "fox--512x512--blue.png"
with image.open("rb") as file:
    edited = openai.Image.create_edit(image=file, prompt="a fox on a pink background", n=1, size="512x512",
                                      response_format="b64_json", seed="3", strength="0.9")
checks.save(folder, "edited--512x512--pink", edited["data"][0]["b64_json"])
masked = openai.Image.create_edit(image=image.read_bytes(), mask=checks.mask_png(512, 512, 256), prompt="a red apple",
                                  response_format="b64_json", num_inference_steps="4")
checks.expect_equal("one masked edit", len(masked["data"]), 1)
checks.expect_error("an edit of a file that is not an image", lambda: openai.Image.create_edit(image=b"text", prompt="a fox"),
                    openai.error.InvalidRequestError, param="image", http_status=400)

checks.expect_error("bad size", lambda: openai.Image.create(prompt="a fox", size="512"),
                    openai.error.InvalidRequestError, param="size", http_status=400)
checks.expect_error("unknown model", lambda: openai.Image.create(prompt="a fox", model="no-such-model", response_format="b64_json"),
                    openai.error.InvalidRequestError, param="model", http_status=400)
plain = openai.Image.create(prompt="a fox on a blue background", size="128x128", seed=3)["data"][0]
checks.expect_equal("a plain call gets a link to its image", checks.fetch_base64(plain["url"]), plain["b64_json"])
linked = openai.Image.create(prompt="a fox on a blue background", size="128x128", seed=3, n=2, response_format="url")["data"]
checks.expect_equal("two links", [sorted(set(image) - {"seed", "prompt_cut"}) for image in linked], [["url"], ["url"]])
checks.expect_equal("a link leads to the image of the same seed", checks.fetch_base64(linked[0]["url"]), plain["b64_json"])
varied = openai.Image.create_variation(image=image.read_bytes(), size="128x128", response_format="url")
checks.report("a variation has a link", checks.fetch_base64(varied["data"][0]["url"]).startswith("iVBORw0KGgo"), str(varied)[:200])
checks.report("models are listed", "emoji" in [model["id"] for model in openai.Model.list()["data"]])
checks.expect_equal("a model is found", openai.Model.retrieve("emoji")["id"], "emoji")
# openai 0.28 sends `request_timeout` of this call to the server, so the limit is that of its connections.
try:
    openai.api_requestor.APIRequestor(api_base=openai.api_base).request("post", "/images/generations", {"prompt": "a fox", "num_inference_steps": 250},
                                                                        request_timeout=0.2)
    checks.report("a client that gives up", False, "was answered")
except openai.error.Timeout as error:
    checks.report("a client that gives up", True, str(error))
checks.expect_equal("the next request is answered", openai.Image.create(prompt="a fox on a blue background", size="128x128", seed=3)["data"][0]["b64_json"],
                    plain["b64_json"])
