"""Random adapter files in every kind and key style, and diffusers pipelines that draw with them: see make_adapters.py.

An Adapter is a file, and how the reference takes it up: diffusers with PEFT where those can, else the modules of lycoris_lora.
"""
import contextlib
import json

import torch
from lycoris.modules.full import FullModule
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from safetensors.torch import save_file

COMPONENTS = ("unet", "text_encoder", "text_encoder_2")
KOHYA_PREFIXES = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}
RANK = 4
GAIN = 0.25  # of a layer's change, as a share of its weight


def layers(pipe, component, keep, kinds=(torch.nn.Linear, torch.nn.Conv2d)):
    """Names and modules of the linear layers and convolutions, or of other kinds, for which keep(name) holds."""
    model = getattr(pipe, component, None)
    found = {} if model is None else {
        name: module for name, module in model.named_modules() if isinstance(module, kinds) and keep(name)}
    return found


def attention(name):
    return name.endswith(("to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj"))


def transformer(name):
    return attention(name) or ".ff." in name or "proj_in" in name or "proj_out" in name or ".mlp." in name


def everything(name):
    return name != "text_projection"  # only some of the reference's loaders find it


def low_rank(module, generator, rank):
    """down and up whose product is GAIN as long as the weight."""
    weight = module.weight
    shape = (rank, *weight.shape[1:])
    down = torch.randn(shape, generator=generator)
    up = torch.randn(weight.shape[0], rank, *[1] * (weight.dim() - 2), generator=generator)
    product = up.flatten(1) @ down.flatten(1)
    gain = (GAIN * weight.norm() / product.norm()).sqrt()
    return down * gain, up * gain


def text_model(component, name):
    """transformers 5 dropped CLIPTextModel's inner module, which files still name."""
    return name if component == "unet" or name.startswith("text_") else f"text_model.{name}"


class Style:
    """How keys are spelled: (component, layer's name, part) -> key; a part is down, up or magnitude."""

    def __init__(self, down, up, magnitude=None):
        self.endings = {"down": down, "up": up, "magnitude": magnitude}

    def key(self, component, name, part):
        return f"{component}.{text_model(component, name)}{self.endings[part]}"


class PeftStyle(Style):
    """transformers, which loads text encoders' adapters, wants the magnitude's parameter by its full name."""

    def __init__(self):
        super().__init__(".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector")

    def key(self, component, name, part):
        full = ".weight" if part == "magnitude" and component != "unet" else ""
        return super().key(component, name, part) + full


class DiffusersStyle(Style):
    """LoRA files of diffusers before PEFT, which has another ending in text encoders."""

    def __init__(self):
        super().__init__(".lora.down.weight", ".lora.up.weight")

    def key(self, component, name, part):
        ending = self.endings[part] if component == "unet" else f".lora_linear_layer.{part}.weight"
        return f"{component}.{text_model(component, name)}{ending}"


class ProcessorStyle(Style):
    """The oldest: attention processors, with UNet names in text encoders too."""

    def __init__(self):
        super().__init__("_lora.down.weight", "_lora.up.weight")

    def key(self, component, name, part):
        path, _, last = name.removesuffix(".0").rpartition(".")
        last = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}.get(last, last)
        path = f"{path}.processor" if component == "unet" else text_model(component, path)
        return f"{component}.{path}.{last}{self.endings[part]}"


class KohyaStyle(Style):
    def __init__(self, first_text_encoder="lora_te_"):
        super().__init__(".lora_down.weight", ".lora_up.weight", ".dora_scale")
        self.prefixes = {**KOHYA_PREFIXES, "text_encoder": first_text_encoder}

    def name(self, component, name):
        return self.prefixes[component] + text_model(component, name).replace(".", "_")

    def key(self, component, name, part):
        return self.name(component, name) + self.endings[part]


class OriginalStyle(KohyaStyle):
    """kohya's files of SDXL: UNet layers by the original implementation's names, written out here for blocks of one layer."""
    OUTSIDE = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2", "time_embedding.linear_1": "time_embed.0",
               "time_embedding.linear_2": "time_embed.2", "add_embedding.linear_1": "label_emb.0.0",
               "add_embedding.linear_2": "label_emb.0.2"}
    PLACES = {"down_blocks.0.resnets.0": "input_blocks.1.0", "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
              "down_blocks.1.resnets.0": "input_blocks.3.0", "down_blocks.1.attentions.0": "input_blocks.3.1",
              "down_blocks.1.downsamplers.0.conv": "input_blocks.4.0.op",
              "down_blocks.2.resnets.0": "input_blocks.5.0", "down_blocks.2.attentions.0": "input_blocks.5.1",
              "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2",
              "up_blocks.0.resnets.0": "output_blocks.0.0", "up_blocks.0.attentions.0": "output_blocks.0.1",
              "up_blocks.0.resnets.1": "output_blocks.1.0", "up_blocks.0.attentions.1": "output_blocks.1.1",
              "up_blocks.0.upsamplers.0": "output_blocks.1.2",
              "up_blocks.1.resnets.0": "output_blocks.2.0", "up_blocks.1.attentions.0": "output_blocks.2.1",
              "up_blocks.1.resnets.1": "output_blocks.3.0", "up_blocks.1.attentions.1": "output_blocks.3.1",
              "up_blocks.1.upsamplers.0": "output_blocks.3.2",
              "up_blocks.2.resnets.0": "output_blocks.4.0", "up_blocks.2.resnets.1": "output_blocks.5.0"}
    INSIDE = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}

    def __init__(self):
        super().__init__(first_text_encoder="lora_te1_")

    def name(self, component, name):
        if component != "unet":
            return super().name(component, name)
        if name in self.OUTSIDE:
            original = self.OUTSIDE[name]
        else:
            place = next(place for place in sorted(self.PLACES, key=len, reverse=True) if f"{name}.".startswith(f"{place}."))
            rest = name[len(place) + 1:]
            original = ".".join(part for part in (self.PLACES[place], self.INSIDE.get(rest, rest)) if part)
        return "lora_unet_" + original.replace(".", "_")


STYLES = {"peft": PeftStyle(), "diffusers": DiffusersStyle(), "processor": ProcessorStyle(), "kohya": KohyaStyle(),
          "original": OriginalStyle()}


class PeftAdapter:
    """LoRA or DoRA that diffusers loads."""

    def __init__(self, pipe, path, style, keep, seed, components=COMPONENTS, alpha=None, metadata=None, dora=False):
        self.path = path
        generator = torch.Generator().manual_seed(seed)
        tensors = {}
        for component in components:
            for name, module in layers(pipe, component, keep).items():
                down, up = low_rank(module, generator, RANK)
                tensors[style.key(component, name, "down")], tensors[style.key(component, name, "up")] = down, up
                if alpha is not None:
                    tensors[style.name(component, name) + ".alpha"] = torch.tensor(float(alpha))
                if dora:
                    lengths = module.weight.flatten(1).norm(dim=1)
                    lengths = lengths * (1 + 0.2 * torch.randn(lengths.shape, generator=generator))
                    shape = (-1,) if module.weight.dim() == 2 else (1, -1, 1, 1)
                    tensors[style.key(component, name, "magnitude")] = lengths.reshape(shape).contiguous()
        save_file(tensors, path, {"format": "pt", **({"lora_adapter_metadata": json.dumps(metadata)} if metadata else {})})

    def load(self, pipe):
        pipe.load_lora_weights(self.path.parent, weight_name=self.path.name, adapter_name=self.path.stem)


class LycorisAdapter:
    """Modules of lycoris_lora, one a layer; `options(name, module)` gives the class and its arguments."""

    def __init__(self, pipe, path, style, keep, seed, options, components=COMPONENTS, kinds=(torch.nn.Linear, torch.nn.Conv2d)):
        self.options, self.keep, self.style, self.components, self.kinds = options, keep, style, components, kinds
        torch.manual_seed(seed)
        self.state = {}
        tensors = {}
        for key, module, network in self.networks(pipe, 1.0):
            fill(network, module)
            state = {part: tensor.clone().contiguous() for part, tensor in state_of(network).items()}
            self.state[key] = state
            tensors |= {f"{key}.{part}": tensor for part, tensor in state.items()}
        save_file(tensors, path)

    def networks(self, pipe, multiplier):
        for component in self.components:
            for name, module in layers(pipe, component, self.keep, self.kinds).items():
                cls, arguments = self.options(name, module)
                key = self.style.name(component, name)
                yield key, module, cls(key, module, multiplier, **arguments)

    def apply(self, pipe, multiplier):
        applied = []
        for key, _, network in self.networks(pipe, multiplier):
            network.load_state_dict(self.state[key])
            network.apply_to()
            applied.append(network)
        return applied


def state_of(network):
    if not isinstance(network, FullModule):
        return network.state_dict()
    # Its own, before it is applied, takes the layer's weight off a second time.
    return {"diff": network.weight.data} | ({} if network.bias is None else {"diff_b": network.bias.data})


def fill(network, module):
    """Random factors; the change is GAIN as long as the weight, and DoRA's lengths differ from the weight's own."""
    if isinstance(network, NormModule):
        # Biases are 0 in models that were not trained.
        for p in (network.w_norm, network.b_norm):
            torch.nn.init.normal_(p)
            p.mul_(GAIN * module.weight.norm() / p.norm())
        return
    if isinstance(network, FullModule):
        for p, own in ((network.weight, module.weight), (network.bias, module.bias)):
            if p is not None:
                torch.nn.init.normal_(p)
                p.mul_(GAIN * own.norm() / p.norm())
        return
    factors = [p for name, p in network.named_parameters() if name != "dora_scale"]
    for p in factors:
        torch.nn.init.normal_(p)
    change = network.make_weight() * network.scale if isinstance(network, LoConModule) else network.get_weight(network.shape)
    for p in factors:
        p.mul_((GAIN * module.weight.norm() / change.norm()) ** (1 / len(factors)))
    if hasattr(network, "dora_scale"):
        network.dora_scale.mul_(1 + 0.2 * torch.randn_like(network.dora_scale))


def peft_weight(use):
    """A weight for all, or one for each component."""
    if "text_encoder_weight" not in use:
        return use["weight"]
    return {"unet": use["weight"], "text_encoder": use["text_encoder_weight"], "text_encoder_2": use["text_encoder_weight"]}


@contextlib.contextmanager
def adapted(pipe, adapters, uses):
    """The pipeline with adapters[use["name"]] at use["weight"], all of one library."""
    chosen = [(adapters[use["name"]], use["weight"]) for use in uses]
    if all(isinstance(adapter, PeftAdapter) for adapter, _ in chosen):
        for adapter, _ in chosen:
            adapter.load(pipe)
        if chosen:
            pipe.set_adapters([adapter.path.stem for adapter, _ in chosen], [peft_weight(use) for use in uses])
        yield
        if chosen:
            pipe.unload_lora_weights()
        return
    applied = [network for adapter, weight in chosen for network in adapter.apply(pipe, weight)]
    yield
    for network in reversed(applied):
        network.restore()


def locon(tucker=False, dora=False):
    # Alphas differ, as trainers let them: 1 for convolutions, 2 for the rest.
    return lambda name, module: (LoConModule, dict(lora_dim=RANK, alpha=1 if isinstance(module, torch.nn.Conv2d) else 2,
                                                   use_tucker=tucker, weight_decompose=dora))


def norms():
    return lambda name, module: (NormModule, {})


def full():
    return lambda name, module: (FullModule, {})


def loha(tucker=False, dora=False):
    return lambda name, module: (LohaModule, dict(lora_dim=RANK, alpha=2, use_tucker=tucker, weight_decompose=dora))


def lokr(tucker=False, dora=False, both=False, full=False, factor=4):
    return lambda name, module: (LokrModule, dict(lora_dim=1 if both else 2, alpha=1, use_tucker=tucker, weight_decompose=dora,
                                                  decompose_both=both, full_matrix=full, factor=factor))
