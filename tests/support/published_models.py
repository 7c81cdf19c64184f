"""The published architectures as models without memory, from the configs of tests/models/configs."""
import diffusers
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, Qwen3Config, Qwen3ForCausalLM, T5Config, T5EncoderModel


def hollow_model(component, config):
    """@param component  "unet", "transformer", "vae", "text_encoder", "text_encoder_2" or "text_encoder_3"
    @return the reference's model on the meta device: names and shapes only"""
    with torch.device("meta"):
        if component == "unet":
            return UNet2DConditionModel.from_config(config)
        if component == "transformer":
            return getattr(diffusers, config["_class_name"]).from_config(config)
        if component == "vae":
            return getattr(diffusers, config["_class_name"]).from_config(config)
        if config["model_type"] == "qwen3":
            return Qwen3ForCausalLM(Qwen3Config(**config))
        if config["model_type"] == "t5":
            return T5EncoderModel(T5Config(**config))
        cls = CLIPTextModelWithProjection if "WithProjection" in config["architectures"][0] else CLIPTextModel
        return cls(CLIPTextConfig(**config))
