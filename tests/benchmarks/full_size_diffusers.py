"""What diffusers computes from the inputs that full_size_step wrote. full_size.py runs it in processes of its own.

usage: full_size_diffusers.py OPTIONS-AS-JSON

With "dtype" bfloat16 as a user runs it who has little memory: the text encoders encode the prompt and are released, then the denoiser
is loaded and makes the steps. With float32, every block of a model is read when it is called and released after it, because a
whole model would not fit.
"""
import gc
import importlib
import json
import pathlib
import sys
import time

import torch
from accelerate import init_empty_weights
from accelerate.utils import set_module_tensor_to_device
from diffusers import DiffusionPipeline
from diffusers_side import peak_memory_bytes
from full_size import pack
from safetensors import safe_open
from safetensors.torch import load_file, save_file

# Tensors that share their numbers with another one, which is the one in the file.
SHARED = {"encoder.embed_tokens.weight": "shared.weight", "lm_head.weight": "model.embed_tokens.weight"}


class BlockStream:
    """Reads the tensors of each block of a model while the block is called, and all others at once."""

    def __init__(self, model, folder, dtype):
        self.dtype = dtype
        self.files = {key: file for path in folder.glob("*.safetensors") for file in [safe_open(path, "pt")] for key in file.keys()}
        lists = [name for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)]
        outer = [name for name in lists if not any(name.startswith(other + ".") for other in lists)]
        blocks = {f"{name}.{i}": block for name in outer for i, block in enumerate(model.get_submodule(name))}
        self.fill(model, "", skipped=tuple(name + "." for name in blocks))
        for name, block in blocks.items():
            block.register_forward_pre_hook(lambda module, _, prefix=name + ".": self.fill(module, prefix))
            block.register_forward_hook(lambda module, *_: self.empty(module))

    def fill(self, module, prefix, skipped=()):
        names = [name for name, _ in (*module.named_parameters(remove_duplicate=False), *module.named_buffers())]
        for full, name in ((prefix + name, name) for name in names):
            key = next((key for key in (full, SHARED.get(full), "model." + full) if key in self.files), None)
            if key and not full.startswith(skipped):
                set_module_tensor_to_device(module, name, "cpu", value=self.files[key].get_tensor(key).to(self.dtype))

    def empty(self, module):
        for name, _ in list(module.named_parameters()):
            set_module_tensor_to_device(module, name, "meta")


def hollow(folder, component, kind):
    library, name = kind
    cls = getattr(importlib.import_module(library), name)
    with init_empty_weights(include_buffers=False):
        if library == "diffusers":
            return cls.from_config(cls.load_config(folder / component))
        return cls(cls.config_class.from_pretrained(folder / component))


class Run:
    def __init__(self, options):
        self.folder, self.dtype = pathlib.Path(options["checkpoint"]), getattr(torch, options["dtype"])
        self.options = options
        self.index = json.loads((self.folder / "model_index.json").read_text())
        self.name = self.index["_class_name"]
        self.encoders = [name for name, kind in self.index.items() if name.startswith("text_encoder") and kind[0]]
        self.streams = self.dtype == torch.float32

    def pipeline(self, **given):
        absent = {name: None for name, kind in self.index.items() if kind == [None, None]}
        pipe = DiffusionPipeline.from_pretrained(self.folder, torch_dtype=self.dtype, **absent, **given)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def component(self, name):
        model = hollow(self.folder, name, self.index[name]).eval()
        BlockStream(model, self.folder / name, self.dtype)
        return model

    def encode(self):
        """[1, T, D], and the pooled prompt or nothing."""
        given = {name: self.component(name) for name in self.encoders} if self.streams else {}
        # Encoding asks the denoiser for its config only.
        pipe = self.pipeline(vae=None, transformer=hollow(self.folder, "transformer", self.index["transformer"]), **given)
        prompt, without = self.options["prompt"], dict(device="cpu", do_classifier_free_guidance=False)
        if self.name == "PixArtSigmaPipeline":
            embeds, mask, *_ = pipe.encode_prompt(prompt, **without)
            return embeds[:, :int(mask.sum())], None
        if self.name == "StableDiffusion3Pipeline":
            embeds, _, pooled, _ = pipe.encode_prompt(prompt, None, None, **without)
            return embeds, pooled
        if self.name == "ZImagePipeline":
            return pipe.encode_prompt(prompt, **without)[0][0].unsqueeze(0), None
        if self.name == "FluxPipeline":
            return pipe.encode_prompt(prompt, None, device="cpu")[:2]
        return pipe.encode_prompt(prompt, device="cpu")[0], None

    def arguments(self, inputs):
        embeds, start = inputs["prompt_embeds"].to(self.dtype), inputs["start"]
        pooled = {"pooled_prompt_embeds": inputs["pooled"].to(self.dtype)} if "pooled" in inputs else {}
        given = {"prompt_embeds": [embeds[0]] if self.name == "ZImagePipeline" else embeds, **pooled}
        if self.name == "PixArtSigmaPipeline":
            given |= {"prompt_attention_mask": torch.ones(embeds.shape[:2])}
        if self.name == "FluxPipeline":
            start = pack(start)
        return given | {"latents": start.to(torch.float32 if self.name == "ZImagePipeline" else self.dtype)}

    def draw(self, pipe, given):
        options = self.options
        pipe(width=options["width"], height=options["height"], num_inference_steps=1, guidance_scale=options["guidance_scale"],
             output_type="latent", **given)


@torch.inference_mode()
def main(options):
    torch.set_num_threads(options["threads"])
    run = Run(options)
    start, processor_start = time.monotonic(), time.process_time()
    embeds, pooled = run.encode()
    result = {"encode_s": time.monotonic() - start, "encode_processor_s": time.process_time() - processor_start}
    tensors = {"prompt_embeds": embeds.contiguous()} | ({} if pooled is None else {"pooled": pooled.contiguous()})
    gc.collect()
    given = dict.fromkeys(name for name, kind in run.index.items() if name.startswith(("text_encoder", "tokenizer")) and kind[0])
    if run.streams:
        given["transformer"] = run.component("transformer")
    pipe = run.pipeline(**given)
    scheduler_step, clocks, step_s, step_processor_s = pipe.scheduler.step, [], [], []
    forward = pipe.transformer.forward

    def clocked_forward(*arguments, **named):
        clocks.append((time.monotonic(), time.process_time()))
        return forward(*arguments, **named)

    def watched_step(*arguments, **named):
        out = scheduler_step(*arguments, **named)
        step_s.append(time.monotonic() - clocks[-1][0])
        step_processor_s.append(time.process_time() - clocks[-1][1])
        tensors.setdefault("first", out[0].contiguous())
        return out

    pipe.transformer.forward, pipe.scheduler.step = clocked_forward, watched_step
    for _ in range(options["rounds"]):
        run.draw(pipe, run.arguments(load_file(options["inputs"])))
    save_file(tensors, options["output"])
    print(json.dumps(result | {"first_step_clock": clocks[0][0], "step_s": step_s, "step_processor_s": step_processor_s,
                               "vm_hwm_bytes": peak_memory_bytes()}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
