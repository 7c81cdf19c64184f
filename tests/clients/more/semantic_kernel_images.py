"""Semantic Kernel's OpenAITextToImage: images, and edits with one and with several images.

usage: semantic_kernel_images.py BASE_URL FOLDER
"""
import asyncio
import base64
import pathlib
import sys

import checks
import openai
from semantic_kernel.connectors.ai.open_ai import OpenAITextToImage

base_url, folder = sys.argv[1:]


async def main():
    client = openai.AsyncOpenAI(api_key="any key", base_url=base_url, max_retries=0)
    service = OpenAITextToImage(ai_model_id="gpt-image-1", async_client=client)
    made = await service.generate_images("a red apple on a pink background", n=2)
    checks.expect_equal("n images", len(made), 2)
    path = pathlib.Path(folder) / "input.png"
    path.write_bytes(base64.b64decode(made[0]))
    edited = await service.edit_image("a red apple on a blue background", image_paths=[str(path)])
    checks.expect_equal("an edit", len(edited), 1)
    several = await service.edit_image("a red apple on a blue background", image_paths=[str(path), str(path)])
    checks.expect_equal("an edit of two images", len(several), 1)
    linked = await OpenAITextToImage(ai_model_id="dall-e-3", async_client=client).generate_image("a fox", 1024, 1024)
    checks.report("an image as the client gives it", bool(linked), str(linked)[:200])
    try:
        await OpenAITextToImage(ai_model_id="no-such-model", async_client=client).generate_images("a fox")
        checks.report("unknown model", False, "was answered")
    except Exception as error:
        checks.report("unknown model", "no-such-model" in f"{error} {error.__cause__}", str(error))


asyncio.run(main())
