"""LiteLLM's SDK: images, links, formats, edits, masks, variations, models, errors.

usage: litellm_sdk.py BASE_URL FOLDER
"""
import os
import pathlib
import sys

import checks

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would ask the network for prices
import litellm  # after the setting that it reads when it is imported

base_url, folder = sys.argv[1:]
litellm.telemetry = False


def draw(prompt, model="openai/dall-e-2", n=1, **fields):
    """LiteLLM refuses `response_format` for names that its list of models does not have, so the fields go around it."""
    return litellm.image_generation(prompt=prompt, model=model, size="128x128", n=n, api_base=base_url, api_key="any key", max_retries=0,
                                    extra_body=fields)


first = draw("a red apple on a pink background", response_format="b64_json", seed=7).data[0]
checks.save(folder, "apple--128x128--pink", first.b64_json)
linked = draw("a red apple on a pink background", response_format="url", n=2, seed=7).data
checks.expect_equal("n images", len(linked), 2)
checks.expect_equal("a link leads to the image of the same seed", checks.fetch_base64(linked[0].url), first.b64_json)
webp = draw("a fox", model="openai/gpt-image-1", seed=1, output_format="webp")
checks.report("output_format webp", checks.decode(webp.data[0].b64_json).startswith(b"RIFF"), str(webp)[:200])
checks.report("tokens are booked", webp.usage.total_tokens > 0, str(webp.usage))
small = pathlib.Path(folder) / "apple--128x128--pink.png"


def edit(images, **fields):
    return litellm.image_edit(image=images, prompt="a red apple on a blue background", model="openai/gpt-image-1", size="128x128",
                              api_base=base_url, api_key="any key", **fields)


checks.expect_equal("an edit", len(edit([small.open("rb")]).data), 1)
checks.expect_equal("an edit of two images", len(edit([small.open("rb"), small.open("rb")]).data), 1)
mask = pathlib.Path(folder) / "mask.png"
mask.write_bytes(checks.mask_png(128, 128, 64))
masked = edit([small.open("rb")], mask=mask.open("rb"), n=2).data
checks.report("n masked edits", len(masked) == 2 and masked[0].b64_json != masked[1].b64_json, str(masked)[:200])
varied = litellm.image_variation(image=small.open("rb"), model="openai/dall-e-2", n=1, size="128x128", response_format="b64_json", api_base=base_url,
                                 api_key="any key")
checks.report("a variation", checks.decode(varied.data[0].b64_json).startswith(b"\x89PNG"), str(varied)[:200])
models = litellm.get_valid_models(check_provider_endpoint=True, custom_llm_provider="openai", api_base=base_url, api_key="any key")
checks.report("models are listed", any("emoji" in model for model in models), str(models)[:200])
try:
    litellm.image_generation(prompt="a fox", model="openai/dall-e-2", api_base=base_url, api_key="any key", max_retries=0, timeout=0.2,
                             extra_body={"num_inference_steps": 250})
    checks.report("a client that gives up", False, "was answered")
except litellm.Timeout as error:
    checks.report("a client that gives up", True, str(error))
checks.report("the next request is answered", draw("a red apple on a pink background", response_format="b64_json", seed=7).data[0].b64_json == first.b64_json)
try:
    draw("a fox", model="openai/no-such-model")
    checks.report("unknown model", False, "was answered")
except litellm.BadRequestError as error:
    checks.report("unknown model", "no-such-model" in str(error), str(error))
