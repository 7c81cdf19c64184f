"""Exports a Stable Diffusion checkpoint (1.x or 2.x) in diffusers' layout to the folder that OpenVINO GenAI's pipelines open.

usage: export.py CHECKPOINT FOLDER

Numbers stay float32, so that OpenVINO computes in the precision that it is asked for. Takes about 12 GB of memory.
"""
import json
import pathlib
import shutil
import sys

import openvino
import openvino_tokenizers
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizerFast

DYNAMIC = -1
TOKENS = 77


class TextEncoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        out = self.model(input_ids, return_dict=False)
        return out[0], out[1]


class Denoiser(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.model(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class Decoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, latent_sample):
        return self.model.decode(latent_sample, return_dict=False)[0]


def export(module, examples, inputs, outputs, path):
    """@param inputs  name and shape of each input, in the order of forward's arguments"""
    with torch.no_grad():
        model = openvino.convert_model(module.eval(), example_input=examples, input=[shape for _, shape in inputs])
    for port, (name, _) in zip(model.inputs, inputs):
        port.get_tensor().set_names({name})
    for port, name in zip(model.outputs, outputs):
        port.get_tensor().set_names({name})
    model.validate_nodes_and_infer_types()
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, path, compress_to_fp16=False)
    print(f"wrote {path}", flush=True)


def export_text_encoder(source, target):
    model = CLIPTextModel.from_pretrained(source / "text_encoder", dtype=torch.float32)
    ids = torch.zeros((2, TOKENS), dtype=torch.int64)
    export(TextEncoder(model), {"input_ids": ids}, [("input_ids", [DYNAMIC, DYNAMIC])], ["last_hidden_state", "pooler_output"],
           target / "text_encoder" / "openvino_model.xml")


def export_denoiser(source, target):
    model = UNet2DConditionModel.from_pretrained(source / "unet", torch_dtype=torch.float32)
    channels, width = model.config.in_channels, model.config.cross_attention_dim
    examples = {"sample": torch.zeros((2, channels, 32, 32)), "timestep": torch.ones(1, dtype=torch.int64),
                "encoder_hidden_states": torch.zeros((2, TOKENS, width))}
    export(Denoiser(model), examples,
           [("sample", [DYNAMIC, channels, DYNAMIC, DYNAMIC]), ("timestep", [DYNAMIC]), ("encoder_hidden_states", [DYNAMIC, DYNAMIC, width])],
           ["out_sample"], target / "unet" / "openvino_model.xml")


def export_decoder(source, target):
    model = AutoencoderKL.from_pretrained(source / "vae", torch_dtype=torch.float32)
    channels = model.config.latent_channels
    export(Decoder(model), {"latent_sample": torch.zeros((1, channels, 32, 32))},
           [("latent_sample", [DYNAMIC, channels, DYNAMIC, DYNAMIC])], ["sample"], target / "vae_decoder" / "openvino_model.xml")


def export_tokenizer(source, target):
    tokenizer = CLIPTokenizerFast.from_pretrained(source / "tokenizer")
    (target / "tokenizer").mkdir(parents=True, exist_ok=True)
    openvino.save_model(openvino_tokenizers.convert_tokenizer(tokenizer), target / "tokenizer" / "openvino_tokenizer.xml")


def copy_configs(source, target):
    for part, name in (("text_encoder", "text_encoder"), ("unet", "unet"), ("vae", "vae_decoder")):
        shutil.copy(source / part / "config.json", target / name / "config.json")
    (target / "scheduler").mkdir(exist_ok=True)
    shutil.copy(source / "scheduler" / "scheduler_config.json", target / "scheduler")
    for file in (source / "tokenizer").iterdir():
        shutil.copy(file, target / "tokenizer")
    # Last, because side_by_side.py takes a folder with it for complete.
    index = json.loads((source / "model_index.json").read_text())
    (target / "model_index.json").write_text(json.dumps(index))


def main(source, target):
    for step in (export_tokenizer, export_text_encoder, export_decoder, export_denoiser, copy_configs):
        step(source, target)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
