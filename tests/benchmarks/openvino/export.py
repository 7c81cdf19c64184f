"""Exports a Stable Diffusion checkpoint (1.x, 2.x or SDXL) in diffusers' layout to the folder that OpenVINO GenAI's pipelines open.

usage: export.py CHECKPOINT FOLDER

The numbers of 1.x and 2.x become float32, and SDXL's float16, as they are stored. OpenVINO computes in the precision that it is asked
for in both cases. Takes about 12 GB of memory, with SDXL about 18.
"""
import gc
import pathlib
import shutil
import sys

import openvino
import openvino_tokenizers
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizerFast

DYNAMIC = -1
TOKENS = 77


class TextEncoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        out = self.model(input_ids, return_dict=False)
        return out[0], out[1]


class TextEncoderWithHiddenStates(torch.nn.Module):
    """SDXL's pipelines use the result of the layer before the last one."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        first, second, hidden_states = self.model(input_ids, output_hidden_states=True, return_dict=False)
        return first, second, *hidden_states


class Denoiser(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.model(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class DenoiserOfXl(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, sample, timestep, encoder_hidden_states, text_embeds, time_ids):
        further = {"text_embeds": text_embeds, "time_ids": time_ids}
        return self.model(sample, timestep, encoder_hidden_states, added_cond_kwargs=further, return_dict=False)[0]


class Decoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, latent_sample):
        return self.model.decode(latent_sample, return_dict=False)[0]


def export(module, examples, inputs, outputs, path, compress=False):
    """@param inputs  name and shape of each input, in the order of forward's arguments"""
    with torch.no_grad():
        model = openvino.convert_model(module.eval(), example_input=examples, input=[shape for _, shape in inputs])
    for port, (name, _) in zip(model.inputs, inputs):
        port.get_tensor().set_names({name})
    for port, name in zip(model.outputs, outputs):
        port.get_tensor().set_names({name})
    model.validate_nodes_and_infer_types()
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, path, compress_to_fp16=compress)
    print(f"wrote {path}", flush=True)


def export_text_encoder(source, target):
    model = CLIPTextModel.from_pretrained(source / "text_encoder", dtype=torch.float32)
    ids = torch.zeros((2, TOKENS), dtype=torch.int64)
    export(TextEncoder(model), {"input_ids": ids}, [("input_ids", [DYNAMIC, DYNAMIC])], ["last_hidden_state", "pooler_output"],
           target / "text_encoder" / "openvino_model.xml")


def export_text_encoders_of_xl(source, target):
    for name, kind, outputs in (("text_encoder", CLIPTextModel, ["last_hidden_state", "pooler_output"]),
                                ("text_encoder_2", CLIPTextModelWithProjection, ["text_embeds", "last_hidden_state"])):
        model = kind.from_pretrained(source / name, dtype=torch.float32)
        ids = torch.zeros((2, TOKENS), dtype=torch.int64)
        hidden_states = [f"hidden_states.{i}" for i in range(model.config.num_hidden_layers + 1)]
        export(TextEncoderWithHiddenStates(model), {"input_ids": ids}, [("input_ids", [DYNAMIC, DYNAMIC])], outputs + hidden_states,
               target / name / "openvino_model.xml", compress=True)


def denoiser_inputs(config):
    """The inputs that all UNets have: examples, names and shapes."""
    channels, width = config.in_channels, config.cross_attention_dim
    examples = {"sample": torch.zeros((2, channels, 32, 32)), "timestep": torch.ones(1, dtype=torch.int64),
                "encoder_hidden_states": torch.zeros((2, TOKENS, width))}
    return examples, [("sample", [DYNAMIC, channels, DYNAMIC, DYNAMIC]), ("timestep", [DYNAMIC]),
                      ("encoder_hidden_states", [DYNAMIC, DYNAMIC, width])]


def export_denoiser(source, target):
    model = UNet2DConditionModel.from_pretrained(source / "unet", torch_dtype=torch.float32)
    export(Denoiser(model), *denoiser_inputs(model.config), ["out_sample"], target / "unet" / "openvino_model.xml")


def export_denoiser_of_xl(source, target):
    model = UNet2DConditionModel.from_pretrained(source / "unet", torch_dtype=torch.float32)
    examples, inputs = denoiser_inputs(model.config)
    ids = 6
    pooled = model.config.projection_class_embeddings_input_dim - ids * model.config.addition_time_embed_dim
    examples |= {"text_embeds": torch.zeros((2, pooled)), "time_ids": torch.zeros((2, ids))}
    inputs += [("text_embeds", [DYNAMIC, pooled]), ("time_ids", [DYNAMIC, ids])]
    export(DenoiserOfXl(model), examples, inputs, ["out_sample"], target / "unet" / "openvino_model.xml", compress=True)


def export_decoder(source, target):
    model = AutoencoderKL.from_pretrained(source / "vae", torch_dtype=torch.float32)
    channels = model.config.latent_channels
    export(Decoder(model), {"latent_sample": torch.zeros((1, channels, 32, 32))},
           [("latent_sample", [DYNAMIC, channels, DYNAMIC, DYNAMIC])], ["sample"], target / "vae_decoder" / "openvino_model.xml")


def export_tokenizers(source, target):
    for folder in source.glob("tokenizer*"):
        tokenizer = CLIPTokenizerFast.from_pretrained(folder)
        (target / folder.name).mkdir(parents=True, exist_ok=True)
        openvino.save_model(openvino_tokenizers.convert_tokenizer(tokenizer), target / folder.name / "openvino_tokenizer.xml")


def copy_configs(source, target):
    for folder in target.iterdir():
        config = source / folder.name.removesuffix("_decoder") / "config.json"
        if config.exists():
            shutil.copy(config, folder)
    (target / "scheduler").mkdir(exist_ok=True)
    shutil.copy(source / "scheduler" / "scheduler_config.json", target / "scheduler")
    for folder in source.glob("tokenizer*"):
        for file in folder.iterdir():
            shutil.copy(file, target / folder.name)
    # Last, because side_by_side.py takes a folder with it for complete.
    shutil.copy(source / "model_index.json", target)


def main(source, target):
    is_xl = (source / "text_encoder_2").exists()
    for step in (export_tokenizers, export_text_encoders_of_xl if is_xl else export_text_encoder, export_decoder,
                 export_denoiser_of_xl if is_xl else export_denoiser, copy_configs):
        step(source, target)
        gc.collect()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
