"""Random small transformers of diffusers and transformers, and what they compute. Usage: make_transformers.py FOLDER"""

import pathlib
import sys

import torch
from diffusers import PixArtTransformer2DModel, SD3Transformer2DModel, ZImageTransformer2DModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import Qwen3Config, Qwen3Model

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.dont_write_bytecode = True
from reference_vectors import must_matter, output_folder, randomize, save, tolerance  # noqa: E402

QWEN = dict(vocab_size=60, hidden_size=24, intermediate_size=40, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2,
            head_dim=8, max_position_embeddings=64, rope_parameters={"rope_theta": 900.0, "rope_type": "default"}, rms_norm_eps=1e-3)
Z_IMAGE = dict(all_patch_size=[2], all_f_patch_size=[1], in_channels=4, dim=96, n_layers=2, n_refiner_layers=2, n_heads=3, n_kv_heads=3,
               norm_eps=1e-3, qk_norm=True, cap_feat_dim=20, rope_theta=256.0, t_scale=1000.0, axes_dims=[8, 12, 12],
               axes_lens=[128, 16, 16])
SD3 = dict(sample_size=8, patch_size=2, in_channels=6, num_layers=3, attention_head_dim=16, num_attention_heads=3, joint_attention_dim=20,
           caption_projection_dim=48, pooled_projection_dim=12, out_channels=4, pos_embed_max_size=11)
PIXART = dict(sample_size=16, patch_size=2, in_channels=4, out_channels=8, num_layers=2, attention_head_dim=16, num_attention_heads=3,
              cross_attention_dim=48, caption_channels=20, interpolation_scale=2, use_additional_conditions=False)
LENGTHS = [5, 40, 32]  # of which the padded lengths are 32, 64 and 32


def make_qwen(folder, generator):
    def build(attention):
        config = Qwen3Config(**QWEN)
        config._attn_implementation = attention
        return Qwen3Model(config).eval()

    model = randomize(build("sdpa"), generator)
    input_ids = torch.tensor([[58, 3, 7, 11, 59, 20, 4], [1, 4, 44, 1, 17, 17, 2]])

    def states(attention):
        other = build(attention)
        other.load_state_dict(model.state_dict())
        with torch.no_grad():
            found = other(input_ids=input_ids, output_hidden_states=True).hidden_states
        return {f"hidden_state.{i}": state for i, state in enumerate(found)}

    outputs, other = states("sdpa"), states("eager")
    tolerances = {name: tolerance(outputs[name], other[name]) for name in outputs}
    config = {"architectures": ["Qwen3Model"], **model.config.to_dict()}
    save(folder, "qwen3", {"config": config, "tolerances": tolerances}, model.state_dict(), dict(outputs, input_ids=input_ids))


def call_z_image(model, sample, timesteps, prompts):
    with torch.no_grad():
        rows = model([row.unsqueeze(1) for row in sample], timesteps, prompts, return_dict=False)[0]
    return torch.stack([row.squeeze(1) for row in rows])


def make_z_image(folder, name, generator, height, width, **changes):
    model = randomize(ZImageTransformer2DModel(**{**Z_IMAGE, **changes}), generator)
    sample = torch.randn((len(LENGTHS), 4, height, width), generator=generator)
    timesteps = torch.tensor([0.1, 0.73, 0.4])
    prompts = [torch.randn((length, 20), generator=generator) for length in LENGTHS]
    together = call_z_image(model, sample, timesteps, prompts)
    output = torch.cat([call_z_image(model, sample[i : i + 1], timesteps[i : i + 1], prompts[i : i + 1]) for i in range(len(LENGTHS))])
    with sdpa_kernel([SDPBackend.MATH]):
        other = call_z_image(model, sample, timesteps, prompts)
    tolerance_ = max(tolerance(output, other), tolerance(output, together))
    must_matter("the timestep", output, call_z_image(model, sample, timesteps + 0.001, prompts), tolerance_)
    must_matter("a token", output, call_z_image(model, sample, timesteps, [prompt[:-1] for prompt in prompts]), tolerance_)
    for token in ("x_pad_token", "cap_pad_token"):
        if token == "x_pad_token" and height * width // 4 % 32 == 0:
            continue
        saved = getattr(model, token).detach().clone()
        getattr(model, token).data.mul_(2)
        must_matter(token, output, call_z_image(model, sample, timesteps, prompts), tolerance_)
        getattr(model, token).data.copy_(saved)
    embeds = torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True, padding_value=7.0)
    io = {"sample": sample, "timesteps": timesteps, "prompt_embeds": embeds, "output": output}
    config = {"_class_name": "ZImageTransformer2DModel", **Z_IMAGE, **changes}
    save(folder, name, {"config": config, "lengths": LENGTHS, "tolerance": tolerance_}, model.state_dict(), io)


def make_sd3(folder, name, generator, **changes):
    model = randomize(SD3Transformer2DModel(**{**SD3, **changes}), generator)
    inputs = dict(hidden_states=torch.randn((2, 6, 12, 18), generator=generator), timestep=torch.tensor([961.3, 412.0]),
                  encoder_hidden_states=torch.randn((2, 9, 20), generator=generator),
                  pooled_projections=torch.randn((2, 12), generator=generator))

    def call(**other):
        with torch.no_grad():
            return model(**{**inputs, **other}, return_dict=False)[0]

    output = call()
    with sdpa_kernel([SDPBackend.MATH]):
        tolerance_ = tolerance(output, call())
    for key, value in inputs.items():
        must_matter(f"{name}: {key}", output, call(**{key: value * 1.01}), tolerance_)
    positions = model.pos_embed.pos_embed.clone()
    for shift in ((1, 0), (0, 1)):
        moved = positions.view(1, 11, 11, 48).roll(shift, (1, 2)).reshape(positions.shape)
        model.pos_embed.pos_embed.copy_(moved)
        must_matter(f"{name}: positions {shift}", output, call(), tolerance_)
    model.pos_embed.pos_embed.copy_(positions)
    config = {"_class_name": "SD3Transformer2DModel", **SD3, **changes}
    save(folder, name, {"config": config, "tolerance": tolerance_}, model.state_dict(), dict(inputs, output=output))


def make_pixart(folder, name, generator, height, width, **changes):
    model = randomize(PixArtTransformer2DModel(**{**PIXART, **changes}), generator)
    inputs = dict(hidden_states=torch.randn((3, 4, height, width), generator=generator), timestep=torch.tensor([999, 412, 3]),
                  encoder_hidden_states=torch.randn((3, max(LENGTHS), 20), generator=generator))
    mask = torch.tensor([[1] * length + [0] * (max(LENGTHS) - length) for length in LENGTHS])

    def call(**other):
        with torch.no_grad():
            return model(**{**inputs, "encoder_attention_mask": mask, **other}, return_dict=False)[0]

    output = call()
    with sdpa_kernel([SDPBackend.MATH]):
        tolerance_ = tolerance(output, call())
    for key, value in dict(inputs, encoder_attention_mask=1 - mask).items():
        must_matter(f"{name}: {key}", output, call(**{key: value if "mask" in key else value * 1.01}), tolerance_)
    config = {"_class_name": "PixArtTransformer2DModel", **PIXART, **changes}
    save(folder, name, {"config": config, "lengths": LENGTHS, "tolerance": tolerance_}, model.state_dict(), dict(inputs, output=output))


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = output_folder()
    make_qwen(folder, torch.Generator().manual_seed(400))
    make_z_image(folder, "z_image", torch.Generator().manual_seed(500), 12, 20)
    make_z_image(folder, "z_image_whole", torch.Generator().manual_seed(501), 8, 16, qk_norm=False, n_refiner_layers=1)
    make_sd3(folder, "sd3", torch.Generator().manual_seed(600), qk_norm=None)
    make_sd3(folder, "sd35", torch.Generator().manual_seed(601), qk_norm="rms_norm", dual_attention_layers=[0, 2])
    make_pixart(folder, "pixart", torch.Generator().manual_seed(700), 12, 20)
    make_pixart(folder, "pixart_native", torch.Generator().manual_seed(701), 16, 16, interpolation_scale=None, out_channels=4,
                attention_bias=False, norm_eps=1e-3)


if __name__ == "__main__":
    main()
