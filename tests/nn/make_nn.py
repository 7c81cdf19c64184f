"""Single blocks of diffusers with random weights, and what they compute. Usage: make_nn.py FOLDER"""

import copy
import pathlib
import sys

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.embeddings import TextTimeEmbedding, TimestepEmbedding, get_timestep_embedding
from diffusers.models.normalization import RMSNorm
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.transformers.transformer_z_image import FeedForward as GatedMlp
from diffusers.models.transformers.transformer_z_image import RopeEmbedder
from diffusers.models.upsampling import Upsample2D
from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
sys.dont_write_bytecode = True
from reference_vectors import must_matter, output_folder, randomize, save, to_channels_last, tolerance  # noqa: E402

GENERATOR = torch.Generator().manual_seed(7)


def randn(*shape):
    return torch.randn(shape, generator=GENERATOR)


def block(folder, name, module, inputs, call=lambda module, *inputs: module(*inputs), prepare=lambda module: None):
    """Saves inputs as 0, 1, ... and the output; each input must matter."""
    prepare(randomize(module, GENERATOR))
    with torch.no_grad():
        output = call(module, *inputs)
        other = call(copy.deepcopy(module).to(memory_format=torch.channels_last), *map(to_channels_last, inputs))
        tolerance_ = tolerance(output, other)
        for i, value in enumerate(inputs):
            changed = [*inputs[:i], value * 1.3 + 0.2 * randn(*value.shape), *inputs[i + 1 :]]
            must_matter(f"{name}: input {i}", output, call(module, *changed), tolerance_)
    io = {str(i): value for i, value in enumerate(inputs)}
    save(folder, name, {"tolerance": tolerance_}, module.state_dict(), dict(io, output=output))


def resnets(folder):
    common = dict(groups=4, eps=1e-5)
    x, temb = randn(2, 8, 5, 7), randn(2, 20)
    block(folder, "resnet", ResnetBlock2D(in_channels=8, out_channels=12, temb_channels=20, **common), [x, temb])
    block(folder, "resnet_same_width", ResnetBlock2D(in_channels=8, temb_channels=20, non_linearity="mish", **common), [x, temb])
    block(folder, "resnet_scale_shift",
          ResnetBlock2D(in_channels=8, out_channels=12, temb_channels=20, time_embedding_norm="scale_shift",
                        non_linearity="gelu", output_scale_factor=1.5, **common), [x, temb])
    block(folder, "resnet_no_time", ResnetBlock2D(in_channels=8, out_channels=4, temb_channels=None, **common), [x],
          lambda module, x: module(x, None))


def transformers(folder):
    def call(module, x, prompt):
        return module(x, encoder_hidden_states=prompt, return_dict=False)[0]

    def shrink(module):
        """What the first LayerNorm sees becomes so small that its epsilon shows."""
        with torch.no_grad():
            for parameter in module.proj_in.parameters():
                parameter.mul_(3e-3)

    # So small that the epsilon of the GroupNorm shows.
    x, prompt = 2e-3 * randn(2, 12, 5, 3), randn(2, 6, 10)
    common = dict(in_channels=12, norm_num_groups=4, cross_attention_dim=10)
    block(folder, "transformer_conv", Transformer2DModel(3, 4, num_layers=1, **common), [x, prompt], call)
    block(folder, "transformer_linear", Transformer2DModel(2, 6, num_layers=2, use_linear_projection=True, **common), [x, prompt], call, shrink)
    block(folder, "transformer_only_cross", Transformer2DModel(3, 4, num_layers=1, only_cross_attention=True, **common), [x, prompt], call)
    block(folder, "transformer_uneven", Transformer2DModel(5, 2, num_layers=1, use_linear_projection=True, **common), [x, prompt], call)
    block(folder, "feed_forward", FeedForward(12), [randn(2, 5, 12)])
    block(folder, "attention", Attention(query_dim=12, cross_attention_dim=10, heads=3, dim_head=4), [randn(2, 5, 12), prompt])


def resampling(folder):
    x = randn(2, 6, 7, 4)
    for padding in (0, 1):
        block(folder, f"downsample_{padding}", Downsample2D(6, use_conv=True, padding=padding, name="op"), [x])
    for height, width in ((14, 8), (13, 7), (15, 9)):
        block(folder, f"upsample_{height}x{width}", Upsample2D(6, use_conv=True), [x],
              lambda module, x, size=(height, width): module(x, size))


def embeddings(folder):
    block(folder, "timestep_embedding", TimestepEmbedding(6, 10, act_fn="mish", post_act_fn="relu", cond_proj_dim=4), [randn(3, 6), randn(3, 4)])
    block(folder, "text_time_embedding", TextTimeEmbedding(12, 10, num_heads=3), [randn(2, 5, 12)])
    timesteps = torch.tensor([0.0, 1.0, 0.5, 333.25, 999.0])
    io, tolerances = {"timesteps": timesteps}, {}
    for dim in (8, 9, 320):
        for flip in (False, True):
            for shift in (0, 1, 0.5):
                name = f"{dim}.{int(flip)}.{shift}"
                io[name] = get_timestep_embedding(timesteps, dim, flip_sin_to_cos=flip, downscale_freq_shift=shift)
                # Angles reach 999, where the spacing of float32 is 6e-5.
                tolerances[name] = 1e-4
    save(folder, "timesteps", {"tolerances": tolerances}, {"none": torch.zeros(1)}, io)


def activations(folder):
    x = torch.cat([torch.linspace(-12, 12, 241), randn(50)])
    io = {"x": x, "silu": torch.nn.functional.silu(x), "gelu": torch.nn.functional.gelu(x),
          "mish": torch.nn.functional.mish(x), "relu": torch.nn.functional.relu(x), "quick_gelu": x * torch.sigmoid(1.702 * x)}
    save(folder, "activations", {}, {"none": torch.zeros(1)}, io)


def rotary(folder):
    block(folder, "rms_norm", RMSNorm(12, eps=0.3), [randn(2, 5, 12)])
    block(folder, "gated_mlp", GatedMlp(12, 20), [randn(2, 5, 12)])
    x, positions = randn(2, 7, 3, 20), torch.randint(0, 40, (7, 3), generator=GENERATOR)
    table = RopeEmbedder(256.0, [4, 6, 10], [40, 40, 40])(positions)
    pairs = torch.view_as_real(torch.view_as_complex(x.reshape(2, 7, 3, 10, 2)) * table[None, :, None]).flatten(3)
    angles = torch.arange(7.0)[:, None] / 900.0 ** (torch.arange(0, 20, 2).float() / 20)
    angles = torch.cat([angles, angles], -1)
    halves, _ = apply_rotary_pos_emb(x, x, angles.cos()[None], angles.sin()[None], unsqueeze_dim=2)
    save(folder, "rotary", {}, {"none": torch.zeros(1)}, {"x": x, "positions": positions, "pairs": pairs, "halves": halves})


if __name__ == "__main__":
    FOLDER = output_folder()
    for make in (resnets, transformers, resampling, embeddings, activations, rotary):
        make(FOLDER)
