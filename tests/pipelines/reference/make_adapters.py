"""LoRA, LoCon, LoHa, LoKr, DoRA and full differences on SD 1.x and SDXL: see checkpoints.py. Usage: make_adapters.py OUT

A case's `loras` names files of OUT/adapters: [{"name", "weight"}].
"""
import pathlib
import sys

import torch
from diffusers import (DDIMScheduler, EulerDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline)

sys.dont_write_bytecode = True
from adapter_files import (STYLES, LycorisAdapter, PeftAdapter, adapted, attention, everything, full, loha, lokr, locon, norms, transformer)  # noqa: E402
from checkpoints import PROMPT, SD_BETAS, Writer, calibrate, channels_last, draw, text_encoder, tokenizer, unet, vae  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from sdxl_checkpoints import sdxl_parts  # noqa: E402
from transformers import CLIPTextModel  # noqa: E402

# Of checkpoints.py, for clip_skip; here diffusers would take it for a sign that layers are called "text_model...".
del CLIPTextModel.text_model

# What diffusers saves with an adapter: a rank, alphas by layer, rank stabilisation.
METADATA = {"unet.r": 4, "unet.lora_alpha": 2, "unet.alpha_pattern": {"attn2.to_q": 6, "mid_block.attentions.0.proj_in": 1},
            "unet.rank_pattern": {}, "unet.use_rslora": True,
            "unet.target_modules": ["to_q", "to_k", "to_v", "to_out.0", "net.0.proj", "net.2", "proj_in", "proj_out"],
            "text_encoder.r": 4, "text_encoder.lora_alpha": 3,
            "text_encoder.target_modules": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]}


NORMS = (torch.nn.GroupNorm, torch.nn.LayerNorm)


def make_pipes(out):
    torch.manual_seed(21)
    tok = tokenizer()
    ddim = DDIMScheduler(**SD_BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    sd = StableDiffusionPipeline(vae(), text_encoder(tok), tok, unet(attention_head_dim=4), ddim, None, None,
                                 requires_safety_checker=False)
    torch.manual_seed(22)
    euler = EulerDiscreteScheduler(**SD_BETAS, steps_offset=1, timestep_spacing="leading")
    xl = StableDiffusionXLPipeline(**sdxl_parts(euler), add_watermarker=False)
    pipes = {"sd": sd, "xl": xl}
    for name, pipe in pipes.items():
        pipe.set_progress_bar_config(disable=True)
        calibrate(pipe)
        pipe.save_pretrained(out / name)
    return pipes


def make_adapters(folder, pipes):
    folder.mkdir()
    sd, xl = pipes["sd"], pipes["xl"]
    made = {}

    def peft(name, pipe, style, keep, **options):
        made[name] = PeftAdapter(pipe, folder / f"{name}.safetensors", STYLES[style], keep, seed=len(made), **options)

    def lycoris(name, pipe, options, style="kohya", **more):
        made[name] = LycorisAdapter(pipe, folder / f"{name}.safetensors", STYLES[style], everything, seed=len(made), options=options,
                                    **more)

    peft("peft", sd, "peft", everything)
    peft("peft_settings", sd, "peft", transformer, metadata=METADATA)
    peft("diffusers", sd, "diffusers", transformer)
    peft("processor", sd, "processor", attention)
    peft("kohya", sd, "kohya", transformer, alpha=3)
    peft("kohya_text", sd, "kohya", everything, alpha=6, components=["text_encoder"])
    peft("locon", sd, "kohya", everything, alpha=2, components=["unet"])
    peft("dora", sd, "peft", everything, dora=True)
    lycoris("locon_tucker", sd, locon(tucker=True))
    lycoris("locon_dora", sd, locon(dora=True))
    lycoris("loha", sd, loha())
    lycoris("loha_tucker", sd, loha(tucker=True, dora=True))
    lycoris("lokr", sd, lokr())
    lycoris("lokr_both", sd, lokr(both=True, dora=True, factor=8))
    lycoris("lokr_full", sd, lokr(full=True))
    lycoris("lokr_tucker", sd, lokr(tucker=True))
    lycoris("full", sd, full())
    peft("xl_peft", xl, "peft", transformer)
    peft("xl_kohya", xl, "kohya", transformer, alpha=2)
    peft("xl_original", xl, "original", everything, alpha=2)
    lycoris("xl_lokr", xl, lokr(tucker=True), style="original")
    lycoris("norms", sd, norms(), kinds=NORMS)
    lycoris("xl_norms", xl, norms(), style="original", kinds=NORMS)
    return made


def uses(*pairs):
    return [{"name": name, "weight": weight} for name, weight in pairs]


def make_cases():
    sd = dict(prompt=PROMPT, seed=7, steps=3, guidance_scale=3.0, width=128, height=128, folder="sd")
    xl = dict(sd, folder="xl", negative_prompt="a cat")
    alone = {"peft": 1.0, "peft_settings": 0.8, "diffusers": 1.0, "processor": 1.0, "kohya": 0.7, "kohya_text": 1.0, "locon": 1.0,
             "dora": 0.6, "locon_tucker": 1.0, "locon_dora": 0.7, "loha": 1.0, "loha_tucker": 0.6, "lokr": 0.8, "lokr_both": 1.0,
             "lokr_full": -0.5, "lokr_tucker": 1.0, "full": 0.7, "norms": 0.8}
    cases = {"sd_plain": dict(sd, loras=[]), "xl_plain": dict(xl, loras=[])}
    cases |= {name: dict(sd, loras=uses((name, weight))) for name, weight in alone.items()}
    cases |= {name: dict(xl, loras=uses((name, weight))) for name, weight in {"xl_peft": 1.0, "xl_kohya": 0.6, "xl_original": 0.9,
                                                                            "xl_lokr": 1.0, "xl_norms": 1.0}.items()}
    cases |= {
        "two": dict(sd, loras=uses(("peft", 0.7), ("kohya", -0.4))),
        "text_apart": dict(sd, loras=[{"name": "peft", "weight": 0.4, "text_encoder_weight": -0.9}, *uses(("kohya", 0.5))]),
        "xl_text_alone": dict(xl, loras=[{"name": "xl_peft", "weight": 0.0, "text_encoder_weight": 1.0}]),
        "dora_last": dict(sd, loras=uses(("locon", 0.5), ("dora", 0.6))),
        "dora_first": dict(sd, loras=uses(("dora", 0.6), ("locon", 0.5))),
        "two_of_lycoris": dict(sd, loras=uses(("loha", 0.6), ("lokr_both", 0.5))),
        "norms_and_lokr": dict(sd, loras=uses(("norms", 0.5), ("lokr", 0.4))),
        "three_of_lycoris": dict(sd, loras=uses(("locon_dora", 0.6), ("loha", -0.3), ("lokr", 0.4))),
        "xl_two": dict(xl, loras=uses(("xl_original", 0.5), ("xl_peft", 0.5))),
    }
    return cases


def main():
    writer = Writer(pathlib.Path(sys.argv[1]))
    pipes = make_pipes(writer.out)
    adapters = make_adapters(writer.out / "adapters", pipes)

    def draw_adapted(pipe, case, generator=None):
        with adapted(pipe, adapters, case["loras"]):
            return draw(pipe, case, generator)

    writer.draw = draw_adapted
    both = {name: (pipe, channels_last(pipe)) for name, pipe in pipes.items()}
    cases = make_cases()
    for name, case in cases.items():
        writer.add(name, *both[case["folder"]], case)
        check_effect(writer.out, name, f"{case['folder']}_plain")
    writer.finish()


def check_effect(out, name, plain):
    """Adapters must move most pixels; the plain images are the first cases."""
    if name == plain:
        return
    pixels, unadapted = (load_file(out / f"{case}.safetensors")["pixels"].int() for case in (name, plain))
    moved = (pixels - unadapted).abs().float().mean()
    assert moved > 1, f"{name}: the adapters moved the image by only {moved:.3f}"


main()
