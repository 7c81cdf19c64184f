"""Haystack's OpenAIImageGenerator, which gives up after 30 seconds.

usage: haystack_images.py BASE_URL FOLDER
"""
import os
import sys

import checks

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
from haystack.components.generators import OpenAIImageGenerator  # after the setting that it reads when it is imported
from haystack.utils import Secret

base_url, folder = sys.argv[1:]
generator = OpenAIImageGenerator(model="gpt-image-1", size="1024x1024", api_key=Secret.from_token("any key"), api_base_url=base_url)
generator.warm_up()
result = generator.run(prompt="a red apple on a pink background")
checks.expect_equal("an image", len(result["images"]), 1)
checks.save(folder, "apple--1024x1024--pink", result["images"][0])
try:
    OpenAIImageGenerator(model="no-such-model", api_key=Secret.from_token("any key"), api_base_url=base_url, max_retries=0).run(prompt="a fox")
    checks.report("unknown model", False, "was answered")
except Exception as error:
    checks.report("unknown model", "no-such-model" in str(error), str(error))
