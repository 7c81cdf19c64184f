"""webuiapi, the Python client of AUTOMATIC1111's API.

usage: webui.py BASE_URL FOLDER
"""
import io
import pathlib
import sys
import threading
import time
import urllib.parse

import checks
import webuiapi
from PIL import Image

base_url, folder = sys.argv[1:]
where = urllib.parse.urlparse(base_url)
api = webuiapi.WebUIApi(host=where.hostname, port=where.port, steps=20)


def draw(prompt="a red apple on a pink background", **fields):
    return api.txt2img(prompt=prompt, **{"width": 128, "height": 128, "seed": 7, "sampler_name": "DDIM", **fields})


first = draw()
first.image.convert("RGB").save(pathlib.Path(folder) / "apple--128x128--pink.png")
checks.expect_equal("the seed that was used comes back", first.info["seed"], 7)
checks.expect_equal("the size comes back", [first.info["width"], first.info["height"]], [128, 128])
pair = draw(batch_size=2).images
checks.expect_equal("batch_size", len(pair), 2)
checks.report("image i has the seed + i", pair[1].tobytes() == draw(seed=8).image.tobytes() != pair[0].tobytes(), "it has not")
larger = draw(enable_hr=True, hr_scale=2, hr_upscaler=webuiapi.HiResUpscaler.Latent, denoising_strength=0.6)
checks.expect_equal("enable_hr", larger.image.size, (256, 256))
checks.report("what changes nothing here is not named", "ignored" not in first.parameters, str(first.parameters)[:300])
checks.expect_equal("what is not honoured is named", draw(tiling=True).parameters["ignored"], ["tiling"])

edited = api.img2img(images=[first.image], prompt="a red apple on a blue background", denoising_strength=0.7, width=128, height=128, seed=1,
                     sampler_name="DDIM")
checks.expect_equal("img2img", edited.image.size, (128, 128))
mask = Image.new("L", (128, 128), 0)
mask.paste(255, (64, 0, 128, 128))
masked = api.img2img(images=[first.image], mask_image=mask, prompt="a fox", denoising_strength=0.9, inpaint_full_res=False, width=128, height=128,
                     seed=1, sampler_name="DDIM")
checks.expect_equal("img2img with a mask", masked.image.size, (128, 128))
checks.expect_equal("extra_single_image", api.extra_single_image(first.image, upscaler_1=webuiapi.Upscaler.Lanczos, upscaling_resize=1.5).image.size,
                    (192, 192))
checks.expect_equal("extra_batch_images", [image.size for image in api.extra_batch_images([first.image, first.image], upscaling_resize=2).images],
                    [(256, 256)] * 2)

file = io.BytesIO()
made = draw()
made.image.save(file, "PNG", pnginfo=None)
checks.report("png_info", isinstance(api.png_info(made.image).info, (str, dict)), "no info")
checks.expect_equal("util_get_model_names", api.util_get_model_names(), ["emoji"])
api.util_set_model("emoji")
checks.expect_equal("the model that was set", api.util_get_current_model(), "emoji")
checks.report("samplers", "DDIM" in api.util_get_sampler_names(), str(api.util_get_sampler_names()))
checks.report("schedulers", "karras" in [name.lower() for name in api.util_get_scheduler_names()], str(api.util_get_scheduler_names()))
checks.expect_equal("get_progress", [api.get_progress()["progress"], api.get_progress()["state"]["job_count"]], [0, 0])
for name in ("get_sd_vae", "get_upscalers", "get_latent_upscale_modes", "get_loras", "get_hypernetworks", "get_face_restorers",
             "get_realesrgan_models", "get_prompt_styles"):
    checks.report(name, isinstance(getattr(api, name)(), list), "is not a list")
checks.report("get_embeddings", "loaded" in api.get_embeddings(), "has no loaded")
checks.report("get_memory", api.get_memory()["ram"]["total"] > 0, str(api.get_memory()))
checks.report("get_scripts", "txt2img" in api.get_scripts(), "has no txt2img")
for name in ("interrupt", "skip", "refresh_checkpoints", "get_cmd_flags", "get_options"):
    checks.report(name, isinstance(getattr(api, name)(), dict), "is not an object")
try:
    draw(sampler_name="no such sampler")
    checks.report("an unknown sampler", False, "was answered")
except RuntimeError as error:
    checks.report("an unknown sampler", error.args[0] == 404 and "Sampler not found" in error.args[1], str(error))
# What is running ends when it is interrupted, and the next call is answered.
failures = []


def draw_slowly():
    try:
        draw(steps=250)
        failures.append("was answered")
    except RuntimeError as error:
        failures.append(error.args[0])


slow = threading.Thread(target=draw_slowly)
slow.start()
deadline = time.monotonic() + 20
while api.get_progress()["state"]["job_count"] == 0 and time.monotonic() < deadline:
    time.sleep(0.05)
api.interrupt()
slow.join(20)
checks.expect_equal("interrupt ends the running call", failures, [503])
checks.report("the next call is answered", draw().image.tobytes() == first.image.tobytes(), "it is another image")
