"""Random small models of FLUX.2 klein, and what they compute. Usage: make_flux2_models.py FOLDER"""

import pathlib
import sys

import torch
from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import Qwen3Config, Qwen3Model

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.dont_write_bytecode = True
from reference_vectors import must_matter, output_folder, randomize, save, to_channels_last, tolerance  # noqa: E402

TRANSFORMER = dict(patch_size=1, in_channels=12, out_channels=None, num_layers=2, num_single_layers=2, attention_head_dim=32,
                   num_attention_heads=3, joint_attention_dim=20, timestep_guidance_channels=64, mlp_ratio=2.5,
                   axes_dims_rope=[4, 8, 12, 8], rope_theta=500, eps=1e-3, guidance_embeds=False)
VAE = dict(block_out_channels=[16, 32], decoder_block_out_channels=[16, 24], layers_per_block=1, norm_num_groups=8, latent_channels=3,
           down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2, sample_size=64, batch_norm_eps=0.05)
QWEN = dict(vocab_size=60, hidden_size=24, intermediate_size=40, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2,
            head_dim=8, max_position_embeddings=64, rope_parameters={"rope_theta": 900.0, "rope_type": "default"}, rms_norm_eps=1e-3)
REAL_TOKENS = 6


def call_transformer(model, sample, timesteps, prompts, references):
    pack = Flux2KleinPipeline._pack_latents
    tokens, ids = [pack(sample)], [Flux2KleinPipeline._prepare_latent_ids(sample)]
    if references:
        rows = [Flux2KleinPipeline._prepare_image_ids([reference[:1] for reference in references])] * sample.shape[0]
        tokens += [pack(reference) for reference in references]
        ids.append(torch.cat(rows))
    with torch.no_grad():
        out = model(hidden_states=torch.cat(tokens, 1), timestep=timesteps, encoder_hidden_states=prompts,
                    txt_ids=Flux2KleinPipeline._prepare_text_ids(prompts), img_ids=torch.cat(ids, 1), return_dict=False)[0]
    return out[:, : sample.shape[2] * sample.shape[3]].transpose(1, 2).reshape(sample.shape)


def make_transformer(folder, name, generator, sizes):
    model = randomize(Flux2Transformer2DModel(**TRANSFORMER), generator)
    sample = torch.randn((2, 12, 6, 9), generator=generator)
    timesteps = torch.tensor([0.73, 0.1])
    prompts = torch.randn((2, 11, 20), generator=generator)
    references = [torch.randn((2, 12, height, width), generator=generator) for height, width in sizes]
    output = call_transformer(model, sample, timesteps, prompts, references)
    with sdpa_kernel([SDPBackend.MATH]):
        other = call_transformer(model, sample, timesteps, prompts, references)
    tolerance_ = tolerance(output, other)
    must_matter("the timestep", output, call_transformer(model, sample, timesteps + 0.001, prompts, references), tolerance_)
    must_matter("a token", output, call_transformer(model, sample, timesteps, prompts.roll(1, 1), references), tolerance_)
    if references:
        must_matter("the order", output, call_transformer(model, sample, timesteps, prompts, references[::-1]), tolerance_)
    io = {"sample": sample, "timesteps": timesteps, "prompt_embeds": prompts, "output": output}
    io |= {f"reference.{i}": reference for i, reference in enumerate(references)}
    config = {"_class_name": "Flux2Transformer2DModel", **TRANSFORMER}
    save(folder, name, {"config": config, "tolerance": tolerance_}, model.state_dict(), io)


def make_vae(folder, generator):
    model = randomize(AutoencoderKLFlux2(**VAE), generator)
    channels = 4 * VAE["latent_channels"]
    model.bn.running_mean.copy_(torch.randn(channels, generator=generator))
    model.bn.running_var.copy_(0.2 + torch.rand(channels, generator=generator))
    pixels, latents = torch.rand((1, 3, 24, 40), generator=generator) * 2 - 1, torch.randn((1, channels, 6, 10), generator=generator)

    def run(layout):
        with torch.no_grad():
            mode = model.encode(layout(pixels)).latent_dist.mode()
            patches = Flux2KleinPipeline._patchify_latents(mode.contiguous())
            deviation = torch.sqrt(model.bn.running_var.view(1, -1, 1, 1) + model.config.batch_norm_eps)
            mean = model.bn.running_mean.view(1, -1, 1, 1)
            z = Flux2KleinPipeline._unpatchify_latents(latents * deviation + mean)
            return {"mode": mode, "patches": (patches - mean) / deviation, "z": z, "decoded": model.decode(layout(z)).sample}

    outputs, other = run(lambda x: x), run(to_channels_last)
    tolerances = {name: tolerance(outputs[name], other[name]) for name in outputs}
    config = {"_class_name": "AutoencoderKLFlux2", "patch_size": [2, 2], "batch_norm_momentum": 0.1, **VAE}
    save(folder, "flux2_vae", {"config": config, "tolerances": tolerances}, model.state_dict(),
         dict(outputs, pixels=pixels, latents=latents))


def make_padded_qwen(folder, generator):
    def build(attention):
        config = Qwen3Config(**QWEN)
        config._attn_implementation = attention
        return Qwen3Model(config).eval()

    model = randomize(build("sdpa"), generator)
    input_ids = torch.tensor([[58, 3, 7, 11, 59, 20, 0, 0, 0, 0]])
    mask = (torch.arange(10) < REAL_TOKENS).long().unsqueeze(0)

    def states(attention):
        other = build(attention)
        other.load_state_dict(model.state_dict())
        with torch.no_grad():
            found = other(input_ids=input_ids, attention_mask=mask, output_hidden_states=True).hidden_states
        return {f"hidden_state.{i}": found[i] for i in (1, 3)}

    outputs, other = states("sdpa"), states("eager")
    tolerances = {name: tolerance(outputs[name], other[name]) for name in outputs}
    with torch.no_grad():
        unmasked = model(input_ids=input_ids, output_hidden_states=True).hidden_states[3]
    must_matter("the mask", outputs["hidden_state.3"], unmasked, tolerances["hidden_state.3"])
    config = {"architectures": ["Qwen3Model"], **model.config.to_dict()}
    save(folder, "qwen3_padded", {"config": config, "tolerances": tolerances, "length": REAL_TOKENS}, model.state_dict(),
         dict(outputs, input_ids=input_ids))


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = output_folder()
    make_transformer(folder, "flux2", torch.Generator().manual_seed(600), [])
    make_transformer(folder, "flux2_references", torch.Generator().manual_seed(601), [(4, 5), (3, 7)])
    make_vae(folder, torch.Generator().manual_seed(602))
    make_padded_qwen(folder, torch.Generator().manual_seed(603))


if __name__ == "__main__":
    main()
