"""Random small models of FLUX.1 and its text encoder T5, and what they compute. Usage: make_flux_models.py FOLDER"""

import copy
import pathlib
import sys

import torch
from diffusers import FluxTransformer2DModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import T5Config, T5EncoderModel

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.dont_write_bytecode = True
from reference_vectors import must_matter, output_folder, randomize, save, tolerance  # noqa: E402

T5 = dict(vocab_size=60, d_model=24, d_kv=8, d_ff=40, num_layers=3, num_heads=3, feed_forward_proj="gated-gelu",
          layer_norm_epsilon=1e-3, tie_word_embeddings=False)
TOKENS = 150  # more than the largest distance that has a bucket of its own
FLUX = dict(patch_size=1, in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=24, num_attention_heads=3,
            joint_attention_dim=20, pooled_projection_dim=12, axes_dims_rope=[4, 8, 12])


def make_t5(folder, generator):
    def build(attention):
        config = T5Config(**T5)
        config._attn_implementation = attention
        return T5EncoderModel(config).eval()

    model = randomize(build("sdpa"), generator)
    input_ids = torch.randint(3, 60, (2, TOKENS), generator=generator)
    mask = torch.ones((2, TOKENS), dtype=torch.long)
    mask[0, 20:], mask[1, 90:] = 0, 0

    def state(attention, **arguments):
        other = build(attention)
        other.load_state_dict(model.state_dict())
        with torch.no_grad():
            return other(input_ids=input_ids, **arguments).last_hidden_state

    def in_dtype(dtype):
        # As from_pretrained loads it: in float16 the last layer of each MLP stays in float32.
        other = build("sdpa")
        other.load_state_dict(model.state_dict())
        other.to(dtype)
        if dtype == torch.float16:
            for block in other.encoder.block:
                block.layer[1].DenseReluDense.wo.float()
        with torch.no_grad():
            return other(input_ids=input_ids).last_hidden_state

    outputs = {"state": state("sdpa"), "masked": state("sdpa", attention_mask=mask)}
    others = {"state": state("eager"), "masked": state("eager", attention_mask=mask)}
    tolerances = {name: tolerance(outputs[name], others[name]) for name in outputs}
    must_matter("the mask", outputs["state"], outputs["masked"], tolerances["state"])
    config = {"architectures": ["T5EncoderModel"], **model.config.to_dict(), "tie_word_embeddings": False}
    weights = {name: tensor for name, tensor in model.state_dict().items() if name != "encoder.embed_tokens.weight"}
    save(folder, "t5", {"config": config, "tolerances": tolerances}, weights,
         dict(outputs, input_ids=input_ids, attention_mask=mask.float(), bfloat16=in_dtype(torch.bfloat16), float16=in_dtype(torch.float16)))


def pack(latents):
    batch, channels, height, width = latents.shape
    patches = latents.view(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(batch, height // 2 * (width // 2), channels * 4)


def unpack(tokens, height, width):
    batch, _, channels = tokens.shape
    patches = tokens.view(batch, height // 2, width // 2, channels // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return patches.reshape(batch, channels // 4, height, width)


def ids(image, height, width):
    positions = torch.zeros(height // 2, width // 2, 3)
    positions[..., 0] = image
    positions[..., 1] += torch.arange(height // 2)[:, None]
    positions[..., 2] += torch.arange(width // 2)[None, :]
    return positions.reshape(-1, 3)


def make_flux(folder, name, generator, reference_size=None, **changes):
    model = randomize(FluxTransformer2DModel(**{**FLUX, **changes}), generator)
    rows, height, width, tokens = 3, 6, 10, 17
    io = {"sample": torch.randn((rows, 4, height, width), generator=generator), "timesteps": torch.tensor([0.1, 0.73, 1.0]),
          "prompt_embeds": torch.randn((rows, tokens, 20), generator=generator), "pooled_prompt": torch.randn((rows, 12), generator=generator)}
    if model.config.guidance_embeds:
        io["guidance"] = torch.tensor([3.5, 1.0, 7.25])
    if reference_size:
        io["reference"] = torch.randn((rows, 4, *reference_size), generator=generator)

    def call(model=model, dtype=torch.float32, **other):
        given = {key: value if key in ("timesteps", "guidance") else value.to(dtype) for key, value in {**io, **other}.items()}
        states, positions = [pack(given["sample"])], [ids(0, height, width)]
        if "reference" in given:
            states.append(pack(given["reference"]))
            positions.append(ids(1, *reference_size))
        with torch.no_grad():
            out = model(hidden_states=torch.cat(states, dim=1), timestep=given["timesteps"], guidance=given.get("guidance"),
                        encoder_hidden_states=given["prompt_embeds"], pooled_projections=given["pooled_prompt"],
                        txt_ids=torch.zeros(tokens, 3), img_ids=torch.cat(positions), return_dict=False)[0]
        return unpack(out[:, : height * width // 4], height, width)

    output = call()
    with sdpa_kernel([SDPBackend.MATH]):
        tolerance_ = tolerance(output, call())
    for key, value in io.items():
        changed = value * 1.01 if key in ("timesteps", "guidance") else value + 0.01
        must_matter(key, output, call(**{key: changed}), tolerance_)
    halves = {}
    for dtype in (torch.bfloat16, torch.float16):
        halves[str(dtype).removeprefix("torch.")] = call(copy.deepcopy(model).to(dtype), dtype)
    config = {"_class_name": "FluxTransformer2DModel", **FLUX, **changes}
    save(folder, name, {"config": config, "tolerance": tolerance_}, model.state_dict(), dict(io, output=output, **halves))


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = output_folder()
    make_t5(folder, torch.Generator().manual_seed(600))
    make_flux(folder, "flux", torch.Generator().manual_seed(601))
    make_flux(folder, "flux_guidance", torch.Generator().manual_seed(602), guidance_embeds=True)
    make_flux(folder, "flux_reference", torch.Generator().manual_seed(603), reference_size=(8, 4), guidance_embeds=True)


if __name__ == "__main__":
    main()
