"""Random small models of diffusers and transformers, and what they compute. Usage: make_models.py FOLDER"""

import copy
import json
import pathlib
import sys

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.dont_write_bytecode = True
from published_models import hollow_model  # noqa: E402
from reference_vectors import must_matter, output_folder, randomize, save, to_channels_last, tolerance  # noqa: E402
from unet_cases import CASES  # noqa: E402

TOKENS = 7


def unet_inputs(config, run, generator):
    def randn(*shape):
        return torch.randn(shape, generator=generator)

    batch, text_width = len(run["timesteps"]), config.cross_attention_dim
    text_width = text_width if isinstance(text_width, int) else text_width[0]
    inputs = {
        "sample": randn(batch, config.in_channels, run["height"], run["width"]),
        "timesteps": torch.tensor(run["timesteps"]),
        "encoder_hidden_states": randn(batch, TOKENS, text_width),
    }
    if config.addition_embed_type == "text_time":
        ids = config.projection_class_embeddings_input_dim - 10
        inputs["added_text_embeds"] = randn(batch, 10)
        inputs["added_time_ids"] = torch.randint(0, 1024, (batch, ids // config.addition_time_embed_dim), generator=generator).float()
    if config.class_embed_type is None and config.num_class_embeds is not None:
        inputs["class_labels"] = torch.randint(0, config.num_class_embeds, (batch,), generator=generator)
    elif config.class_embed_type == "timestep":
        inputs["class_labels"] = torch.rand(batch, generator=generator) * 5
    elif config.class_embed_type == "identity":
        inputs["class_labels"] = randn(batch, 4 * config.block_out_channels[0])
    elif config.class_embed_type is not None:
        inputs["class_labels"] = randn(batch, config.projection_class_embeddings_input_dim)
    if config.time_cond_proj_dim is not None and not run.get("no_cond"):
        inputs["timestep_cond"] = randn(batch, config.time_cond_proj_dim)
    if run.get("mask"):
        inputs["encoder_attention_mask"] = (torch.arange(TOKENS) < torch.tensor([[3], [6], [4]])[:batch]).float()
    return inputs


def add_residuals(model, inputs, generator):
    """A ControlNet's contribution, in the shapes that the UNet's own skip connections have."""
    shapes = []
    hooks = [model.conv_in.register_forward_hook(lambda module, args, out: shapes.append(out.shape))]
    for block in model.down_blocks:
        hooks.append(block.register_forward_hook(lambda module, args, out: shapes.extend(s.shape for s in out[1])))
    call_unet(model, inputs)
    for hook in hooks:
        hook.remove()
    for i, shape in enumerate(shapes):
        inputs[f"down_block_residuals.{i}"] = torch.randn(shape, generator=generator)
    inputs["mid_block_residual"] = torch.randn(shapes[-1], generator=generator)


def call_unet(model, inputs):
    residuals = [inputs[name] for name in inputs if name.startswith("down_block_residuals.")]
    added = {"text_embeds": inputs.get("added_text_embeds"), "time_ids": inputs.get("added_time_ids")}
    with torch.no_grad():
        return model(
            inputs["sample"], inputs["timesteps"], inputs["encoder_hidden_states"],
            class_labels=inputs.get("class_labels"), timestep_cond=inputs.get("timestep_cond"),
            encoder_attention_mask=inputs.get("encoder_attention_mask"), added_cond_kwargs=added,
            down_block_additional_residuals=tuple(residuals) or None,
            mid_block_additional_residual=inputs.get("mid_block_residual"),
        ).sample


def check_inputs_matter(model, inputs, output, tolerance_):
    no_attention = not any("Attn" in name for name in model.config.down_block_types)
    for name, value in inputs.items():
        if name == "encoder_hidden_states" and no_attention:
            continue
        changed = value * 1.3 + 0.2
        if name == "encoder_attention_mask":
            changed = 1 - value
        if name == "encoder_hidden_states":
            changed = value.flip(-1)  # K-blocks have a layer norm over it
        if value.dtype == torch.int64:
            changed = (value + 1) % model.config.num_class_embeds
        must_matter(name, output, call_unet(model, dict(inputs, **{name: changed})), tolerance_)


def both_formats(call, model, inputs):
    output = call(model, inputs)
    other = call(copy.deepcopy(model).to(memory_format=torch.channels_last), {k: to_channels_last(v) for k, v in inputs.items()})
    return output, tolerance(output, other)


def make_unet(folder, name, case, generator):
    config = dict(case["config"])
    model = randomize(UNet2DConditionModel.from_config(config), generator)
    io, notes = {}, {"config": config, "runs": [], "overrides": []}
    for i, run in enumerate(case["runs"]):
        inputs = unet_inputs(model.config, run, generator)
        if run.get("residuals"):
            add_residuals(model, inputs, generator)
        output, tolerance_ = both_formats(call_unet, model, inputs)
        check_inputs_matter(model, inputs, output, tolerance_)
        io.update({f"{i}.{key}": value for key, value in inputs.items()}, **{f"{i}.output": output})
        notes["runs"].append({"tolerance": tolerance_})
        if i == 0:
            first_inputs, first_output = inputs, output
    for key, value in case["overrides"].items():
        other = UNet2DConditionModel.from_config({**config, key: value}).eval()
        other.load_state_dict(model.state_dict())
        output, tolerance_ = both_formats(call_unet, other, first_inputs)
        must_matter(key, first_output, output, tolerance_)
        io[f"override.{key}"] = output
        notes["overrides"].append({"key": key, "value": value, "tolerance": tolerance_})
    save(folder, name, notes, model.state_dict(), io)


VAE = dict(
    block_out_channels=[8, 16, 16], down_block_types=["DownEncoderBlock2D"] * 3, up_block_types=["UpDecoderBlock2D"] * 3,
    layers_per_block=2, norm_num_groups=4, sample_size=32,
)
VAE_CASES = {
    "vae": dict(config=VAE, overrides={"norm_num_groups": 2, "act_fn": "mish"}, height=12, width=20),
    "vae_bare": dict(
        config=dict(VAE, block_out_channels=[8, 12], down_block_types=["DownEncoderBlock2D"] * 2,
                    up_block_types=["UpDecoderBlock2D"] * 2, layers_per_block=1, use_quant_conv=False,
                    use_post_quant_conv=False, mid_block_add_attention=False, latent_channels=3, in_channels=1, out_channels=2),
        overrides={}, height=9, width=7,
    ),
}


def call_vae(model, inputs):
    with torch.no_grad():
        moments = model.encode(inputs["x"]).latent_dist
        return {"decoded": model.decode(inputs["z"]).sample, "mean": moments.mean, "logvar": moments.logvar}


def make_vae(folder, name, case, generator):
    config = case["config"]
    model = randomize(AutoencoderKL.from_config(config), generator)
    with torch.no_grad():
        # A first norm whose input is so small that its epsilon shows, and logvar on both sides of its limits.
        for half in (model.encoder, model.decoder):
            half.conv_in.weight.mul_(2e-3)
            half.conv_in.bias.mul_(2e-3)
        if model.quant_conv is not None:
            model.quant_conv.weight[model.config.latent_channels :].mul_(30)
    scale = 2 ** (len(config["block_out_channels"]) - 1)
    latent_size = (case["height"], case["width"])
    inputs = {
        "x": torch.rand((2, model.config.in_channels, scale * latent_size[0], scale * latent_size[1] + 1), generator=generator) * 2 - 1,
        "z": torch.randn((2, model.config.latent_channels, *latent_size), generator=generator),
    }

    def outputs_of(model):
        first = call_vae(model, inputs)
        second = call_vae(copy.deepcopy(model).to(memory_format=torch.channels_last),
                          {k: to_channels_last(v) for k, v in inputs.items()})
        return first, {key: tolerance(first[key], second[key]) for key in first}

    outputs, tolerances = outputs_of(model)
    if model.quant_conv is not None:
        assert outputs["logvar"].min() == -30 and outputs["logvar"].max() == 20
    io = dict(inputs, **outputs)
    notes = {"config": config, "tolerances": tolerances, "overrides": []}
    for key, value in case["overrides"].items():
        other = AutoencoderKL.from_config({**config, key: value}).eval()
        other.load_state_dict(model.state_dict())
        changed, tolerances = outputs_of(other)
        for output in ("decoded", "mean"):
            must_matter(key, outputs[output], changed[output], tolerances[output])
        io.update({f"override.{key}.{output}": value for output, value in changed.items()})
        notes["overrides"].append({"key": key, "value": value, "tolerances": tolerances})
    save(folder, name, notes, model.state_dict(), io)


CLIP = dict(vocab_size=60, hidden_size=24, intermediate_size=40, projection_dim=10, num_hidden_layers=3, num_attention_heads=4,
            max_position_embeddings=16, bos_token_id=58, pad_token_id=59)
CLIP_CASES = {
    "clip": dict(cls=CLIPTextModel, config=dict(CLIP, eos_token_id=59, hidden_act="quick_gelu"),
                 overrides={"hidden_act": "gelu", "num_attention_heads": 2, "layer_norm_eps": 0.3, "eos_token_id": 7}),
    "clip_legacy_eos": dict(cls=CLIPTextModel, config=dict(CLIP, eos_token_id=2, hidden_act="gelu"), overrides={}),
    "clip_projection": dict(cls=CLIPTextModelWithProjection, config=dict(CLIP, eos_token_id=59, hidden_act="gelu"), overrides={}),
}


def call_clip(model, input_ids):
    with torch.no_grad():
        out = model(input_ids, output_hidden_states=True)
        norm = model.text_model.final_layer_norm if hasattr(model, "text_model") else model.final_layer_norm
        result = {"last_hidden_state": out.last_hidden_state}
        if hasattr(model, "text_projection"):
            result["text_embeds"] = out.text_embeds
        else:
            result["pooled_output"] = out.pooler_output
        for clip_skip in range(model.config.num_hidden_layers + 1):
            hidden_state = out.hidden_states[-(clip_skip + 1)]
            result[f"hidden_state.{clip_skip}"] = hidden_state
            result[f"prompt_embeds.{clip_skip}"] = norm(hidden_state)
        return result


def make_clip(folder, name, case, generator):
    def build(config, attention):
        config = CLIPTextConfig(**config)
        config._attn_implementation = attention
        return case["cls"](config).eval()

    config = dict(case["config"], architectures=[case["cls"].__name__])
    model = randomize(build(config, "sdpa"), generator)
    # Rows end at different places, with padding that repeats the end token or another one, and a 7 before it.
    input_ids = torch.tensor([[58, 3, 7, 11, 59, 59, 59, 59], [58, 4, 59, 1, 1, 1, 7, 59], [58, 12, 33, 8, 45, 20, 7, 59]])

    def outputs_of(config):
        outputs = []
        for attention in ("sdpa", "eager"):
            other = build(config, attention)
            other.load_state_dict(model.state_dict())
            outputs.append(call_clip(other, input_ids))
        return outputs[0], {key: tolerance(outputs[0][key], outputs[1][key]) for key in outputs[0]}

    outputs, tolerances = outputs_of(config)
    io = dict(outputs, input_ids=input_ids)
    notes = {"config": config, "tolerances": tolerances, "overrides": []}
    for key, value in case["overrides"].items():
        changed, tolerances = outputs_of({**config, key: value})
        must_matter(key, outputs["pooled_output"], changed["pooled_output"], tolerances["pooled_output"])
        io[f"override.{key}"] = changed["pooled_output"]
        notes["overrides"].append({"key": key, "value": value, "tolerance": tolerances["pooled_output"]})
    save(folder, name, notes, model.state_dict(), io)


def make_shapes(folder):
    """Names and shapes of the published architectures, without their memory."""
    shapes = {}
    for path in sorted((HERE / "configs").glob("*/*.json")):
        config = json.loads(path.read_text())
        if path.stem not in ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"):
            continue  # schedulers and indexes have no tensors
        model = hollow_model(path.stem, config)
        shapes[f"{path.parent.name}/{path.stem}"] = {name: list(value.shape) for name, value in model.state_dict().items()}
    (folder / "shapes.json").write_text(json.dumps(shapes))


def main():
    torch.manual_seed(0)
    folder = output_folder()
    for number, (name, case) in enumerate(CASES.items()):
        make_unet(folder, name, case, torch.Generator().manual_seed(100 + number))
    for number, (name, case) in enumerate(VAE_CASES.items()):
        make_vae(folder, name, case, torch.Generator().manual_seed(200 + number))
    for number, (name, case) in enumerate(CLIP_CASES.items()):
        make_clip(folder, name, case, torch.Generator().manual_seed(300 + number))
    make_shapes(folder)


if __name__ == "__main__":
    main()
