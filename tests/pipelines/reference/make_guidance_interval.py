"""Guidance in a part of the steps: see checkpoints.py. Usage: make_guidance_interval.py OUT

`guidance_interval` of a case is [start, end] in fractions of the run: steps int(start * n) to int(end * n) - 1 are guided, as diffusers'
guiders divide a run. The pipelines have no such argument, so guidance is switched at the ends of steps in the way that diffusers documents
("dynamic classifier-free guidance"): by the pipeline's scale and the rows of its prompts.
"""
import pathlib
import sys

import torch
from diffusers import EulerDiscreteScheduler, PNDMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline

sys.dont_write_bytecode = True
from checkpoints import FURTHER_SCHEDULERS, PROMPT, SCHEDULERS, SD_BETAS, Writer, calibrate, channels_last, text_encoder, tokenizer, unet, vae  # noqa: E402
from sdxl_checkpoints import sdxl_parts  # noqa: E402

CLASSES = {"sd1": StableDiffusionPipeline, "xl": StableDiffusionXLPipeline}


def make_checkpoints(out):
    pndm = PNDMScheduler(**SD_BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
    torch.manual_seed(1)
    tok = tokenizer()
    sd1 = StableDiffusionPipeline(vae(), text_encoder(tok), tok, unet(attention_head_dim=4), pndm, None, None, requires_safety_checker=False)
    torch.manual_seed(11)
    xl = StableDiffusionXLPipeline(**sdxl_parts(EulerDiscreteScheduler(**SD_BETAS, steps_offset=1, timestep_spacing="leading"), None),
                                   add_watermarker=False)
    for name, pipe in (("sd1", sd1), ("xl", xl)):
        pipe.set_progress_bar_config(disable=True)
        calibrate(pipe)
        pipe.save_pretrained(out / name)


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=6, guidance_scale=2.0, width=128, height=128, folder="sd1")
    return {
        "middle": dict(base, scheduler="ddim", guidance_interval=[0.2, 0.8]),
        # The run of PNDM has a step more than was asked for, and that of Heun's method nearly twice as many.
        "first": dict(base, guidance_interval=[0, 0.5], negative_prompt="a cat on a red background"),
        "heun": dict(base, scheduler="heun", guidance_interval=[0.3, 0.71]),
        "last": dict(base, scheduler="euler_ancestral", guidance_interval=[0.5, 1]),
        "one_step": dict(base, scheduler="dpmpp_2m_karras", guidance_interval=[0.4, 0.6]),
        "xl": dict(base, folder="xl", guidance_interval=[0.34, 0.8], negative_prompt="a cat on a red background"),
    }


def switcher(pipe, case):
    """What the end of a step changes for the next one."""
    start, end = case["guidance_interval"]
    encoded = pipe.encode_prompt(prompt=case["prompt"], device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True,
                                 negative_prompt=case.get("negative_prompt"))
    rows = {name: encoded[2 * i:2 * i + 2] for i, name in enumerate(("prompt_embeds", "add_text_embeds")[:len(encoded) // 2])}

    def switch(step, tensors):
        first, last = int(start * pipe.num_timesteps), int(end * pipe.num_timesteps)
        assert start == 0 or first > 0, "an interval that begins after 0 must leave out a step"
        guided = first <= step + 1 < last
        pipe._guidance_scale = case["guidance_scale"] if guided else 0.0
        changed = {name: torch.cat([negative, text]) if guided else text for name, (text, negative) in rows.items()}
        if "add_time_ids" in tensors:
            changed["add_time_ids"] = tensors["add_time_ids"][-1:].repeat(2 if guided else 1, 1)
        return changed

    return switch


def draw(pipe, case):
    own = pipe.scheduler
    if "scheduler" in case:
        cls, extra = (SCHEDULERS | FURTHER_SCHEDULERS)[case["scheduler"]]
        pipe.scheduler = cls.from_config(own.config, **extra)
    switch, steps = switcher(pipe, case), []

    def at_end(pipe, step, timestep, tensors):
        steps.append(tensors["latents"].clone())
        return switch(step, tensors)

    # Nothing can be switched before the first step.
    scale = case["guidance_scale"] if case["guidance_interval"][0] == 0 else 1.0
    listened = ["latents", *(name for name in ("add_time_ids",) if name in pipe._callback_tensor_inputs)]
    image = pipe(prompt=case["prompt"], negative_prompt=case.get("negative_prompt"), width=case["width"], height=case["height"],
                 num_inference_steps=case["steps"], guidance_scale=scale, output_type="np", callback_on_step_end=at_end,
                 callback_on_step_end_tensor_inputs=listened, generator=torch.Generator("cpu").manual_seed(case["seed"])).images[0]
    pipe.scheduler = own
    return torch.stack(steps), torch.from_numpy((image * 255).round().astype("uint8"))


def load(folder, cls):
    pipe = cls.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe, channels_last(pipe)


def main():
    writer = Writer(pathlib.Path(sys.argv[1]), draw)
    make_checkpoints(writer.out)
    pipes = {name: load(writer.out / name, cls) for name, cls in CLASSES.items()}
    cases = make_cases()
    for name, case in cases.items():
        writer.add(name, *pipes[case["folder"]], case)
    whole = dict(cases["middle"], guidance_scale=4.0, guidance_interval=[0, 1])
    for interval in ([0, 0.5], [0.5, 1]):
        writer.check_changes("interval", pipes["sd1"][0], whole, guidance_interval=interval)
    writer.finish()


main()
