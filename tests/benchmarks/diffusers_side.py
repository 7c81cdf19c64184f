"""Generates one image with diffusers and writes how long each stage took. side_by_side.py runs it in a process of its own.

usage: diffusers_side.py OPTIONS-AS-JSON
"""
import functools
import json
import pathlib
import sys
import time

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler, EulerDiscreteScheduler, PNDMScheduler
from PIL import Image
from process_memory import peak_memory_bytes

SCHEDULERS = {"pndm": PNDMScheduler, "ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "dpmpp_2m": DPMSolverMultistepScheduler}


def load(options):
    pipeline = DiffusionPipeline.from_pretrained(options["checkpoint"], torch_dtype=getattr(torch, options["dtype"]))
    pipeline.scheduler = SCHEDULERS[options["scheduler"]].from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    if options["channels_last"]:
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
    return pipeline


def draw(pipeline, options):
    """(image, seconds of each step, seconds from the last to the image, clock at the first step's start)."""
    ticks = []
    forward, scheduler_step = pipeline.unet.forward, pipeline.scheduler.step

    def first_call_ticks(*arguments, **named):
        if not ticks:
            ticks.append(time.monotonic())
        return forward(*arguments, **named)

    @functools.wraps(scheduler_step)
    def step_ticks(*arguments, **named):
        result = scheduler_step(*arguments, **named)
        ticks.append(time.monotonic())
        return result

    pipeline.unet.forward, pipeline.scheduler.step = first_call_ticks, step_ticks
    given = {"width": options["width"], "height": options["height"]}
    if options["image"]:
        given = {"image": Image.open(options["image"])} | ({"strength": options["strength"]} if options["strength"] else {})
    image = pipeline(options["prompt"], num_inference_steps=options["steps"], guidance_scale=options["guidance_scale"],
                       generator=torch.Generator("cpu").manual_seed(options["seed"]), **given).images[0]
    return image, [after - before for before, after in zip(ticks, ticks[1:])], time.monotonic() - ticks[-1], ticks[0]


def main(options):
    torch.set_num_threads(options["threads"])
    pipeline = load(options)
    image, step_s, decode_s, first_step_clock = draw(pipeline, options)
    image.save(options["output"])
    pathlib.Path(options["timings"]).write_text(json.dumps(
        {"step_s": step_s, "decode_s": decode_s, "first_step_clock": first_step_clock, "vm_hwm_bytes": peak_memory_bytes()}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
