"""torch.Generator's numbers for several seeds and shapes.  usage: make_noise.py OUT"""
import json
import pathlib
import sys

import torch

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
cases = []
for seed in (0, 1, 42, 2**32 - 1, 2**32, 2**40 + 3, 2**63 - 1, 2**63, 2**64 - 1):
    generator = torch.Generator("cpu").manual_seed(seed)
    # Under 16 numbers torch draws them another way; the second draw goes on where the first stopped.
    draws = [torch.randn(shape, generator=generator) for shape in ((1, 4, 8, 8), (3,), (1, 4, 5, 7), (1, 4, 65, 37))]
    cases.append({"seed": str(seed), "draws": [{"shape": list(d.shape), "values": d.flatten().tolist()} for d in draws]})
json.dump(cases, open(out / "noise.json", "w"))
