"""What the reference scripts share: random weights, the reference's own rounding, and the files that tests read."""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

# Our rounding may be this many times the reference's own between two memory formats.
ROUNDING_FACTOR = 4
# Where the reference happens to agree with itself exactly: some units in the last place of the largest element.
FLOOR = 2e-6


def output_folder():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def randomize(module, generator, gain=1.0):
    """Weights with which every layer, bias and norm matters, and signals neither fade nor grow."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(gain * noise / parameter[0].numel() ** 0.5)
            elif name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(1 + 0.3 * noise)
    return module.eval()


def to_channels_last(value):
    if isinstance(value, torch.Tensor) and value.dim() == 4:
        return value.contiguous(memory_format=torch.channels_last)
    return value


def contiguous(tensors):
    return {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}


def tolerance(output, other):
    """How far a right answer may be from `output`, given another right answer."""
    own = (output.double() - other.double()).abs().max().item()
    return ROUNDING_FACTOR * max(own, FLOOR / ROUNDING_FACTOR * output.abs().max().item())


def must_matter(name, output, other, tolerance_):
    """A test on inputs or fields that change nothing could not fail."""
    difference = (output.double() - other.double()).abs().max().item()
    assert difference > 100 * tolerance_, f"{name} changes the output by {difference} only"


def save(folder, name, notes, weights, io):
    (folder / f"{name}.json").write_text(json.dumps(notes, indent=1))
    save_file(contiguous(weights), folder / f"{name}.safetensors")
    save_file(contiguous(io), folder / f"{name}.io.safetensors")
