"""Compares one step of a full-size transformer in bfloat16 with diffusers': the prediction, seconds, and memory.

usage: full_size.py pixart|sd35|sd35-no-t5|z-image|klein|flux --program build/dev/tests/full_size_step --checkpoint FOLDER
                    [--reuse FOLDER ...] [--q4-k] [--threads 1] [--rounds 2]

Makes the checkpoint with random weights (tests/reference/make_full_size_transformer.py) where it does not exist. Then, one after the
other, each in a process of its own: easel encodes a prompt and makes one step without guidance, twice; diffusers does the same in
bfloat16; and diffusers encodes the prompt and makes the step in float32, block by block. Both steps of diffusers start from the
embeddings and the latents that easel had. The latents after the step are compared: their difference from diffusers' in bfloat16 may be
at most twice that by which these differ from float32. With --q4-k the denoiser is a GGUF file, and only easel runs.

Seconds are those of the clock and, in brackets, of the processor. Both programs release the text encoders before they read the
denoiser. The first step of easel includes the layout of its weights; diffusers lays them out while it loads. Run it with the Python of
the reference.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from safetensors.torch import load_file

HERE = pathlib.Path(__file__).resolve().parent
MAKER = HERE.parent / "reference" / "make_full_size_transformer.py"
PROMPT = "a fox and a whale on a green background, painting of a mountain river at night"
MOST_OF_BFLOAT16 = 2  # times the difference between bfloat16 and float32 in the reference
# Guidance that makes one row: what turns it off differs.
GUIDANCE = {"z-image": 0.0, "flux": 3.5}


def run(command, environment):
    start = time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment, text=True)
    timings = json.loads(done.stdout.splitlines()[-1])
    return timings | {"cold_start_s": timings["first_step_clock"] - start}


def pack(latents):
    """[1, C, h, w] -> tokens of 2 x 2 cells, as FluxPipeline has them"""
    rows, channels, height, width = latents.shape
    patches = latents.view(rows, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(rows, height * width // 4, channels * 4)


def tokens_of(name, latents):
    """Latents in the layout in which the scheduler of diffusers' pipeline has them."""
    if name == "flux":
        return pack(latents)
    return latents.flatten(2).transpose(1, 2) if name == "klein" else latents


def difference(a, b):
    a, b = a.double().flatten(), b.double().flatten()
    return ((a - b).norm() / b.norm()).item()


def compare(name, tensor, files):
    easel, bfloat16, float32 = (load_file(file) for file in files)
    if tensor not in easel:
        return True
    own = easel[tensor] if tensor != "first" else tokens_of(name, easel[tensor])
    between, reference = difference(own, bfloat16[tensor]), difference(bfloat16[tensor], float32[tensor])
    print(f"{tensor:14} easel and diffusers in bfloat16 differ by {between:.5f}, diffusers in bfloat16 and float32 by {reference:.5f} "
          f"(ratio {between / reference:.2f}), easel and float32 by {difference(own, float32[tensor]):.5f}", flush=True)
    return between <= MOST_OF_BFLOAT16 * reference


def report(who, timings):
    steps = ", ".join(f"{s:.1f} ({cpu:.1f})" for s, cpu in zip(timings["step_s"], timings["step_processor_s"]))
    print(f"{who:20} prompt {timings['encode_s']:.1f} ({timings['encode_processor_s']:.1f}) s, steps {steps} s, start to first step "
          f"{timings['cold_start_s']:.1f} s, to its end {timings['cold_start_s'] + timings['step_s'][0]:.1f} s, "
          f"peak memory {timings['vm_hwm_bytes'] / 1e9:.2f} GB", flush=True)
    if "denoiser_bytes" in timings:
        print(f"weights of the denoiser: estimated {timings['denoiser_bytes'] / 2**30:.2f} GiB, resident after the steps "
              f"{timings['resident_bytes'] / 2**30:.2f} GiB", flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=["pixart", "sd35", "sd35-no-t5", "z-image", "klein", "flux"])
    parser.add_argument("--program", required=True)
    parser.add_argument("--checkpoint", required=True, type=pathlib.Path)
    parser.add_argument("--reuse", nargs="*", default=[], help="folders whose components may be used")
    parser.add_argument("--q4-k", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args()


def make_checkpoint(options):
    if (options.checkpoint / "model_index.json").exists():
        return
    command = [sys.executable, MAKER, options.model, options.checkpoint, "--reuse", *options.reuse]
    subprocess.run(command + (["--q4-k"] if options.q4_k else []), check=True)


def main():
    options = parse_arguments()
    make_checkpoint(options)
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
    common = {"checkpoint": str(options.checkpoint), "prompt": PROMPT, "seed": 42, "width": 512, "height": 512,
              "guidance_scale": GUIDANCE.get(options.model, 1.0), "threads": options.threads, "rounds": options.rounds}
    with tempfile.TemporaryDirectory() as scratch:
        files = [str(pathlib.Path(scratch) / f"{name}.safetensors") for name in ("easel", "bfloat16", "float32")]
        own = common | {"variant": "q4_k" if options.q4_k else "", "output": files[0]}
        report("easel", run([options.program, json.dumps(own)], environment))
        if options.q4_k:
            return
        for dtype, output in (("bfloat16", files[1]), ("float32", files[2])):
            given = common | {"dtype": dtype, "inputs": files[0], "output": output}
            if dtype == "float32":
                given["rounds"] = 1
            report(f"diffusers {dtype}", run([sys.executable, str(HERE / "full_size_diffusers.py"), json.dumps(given)], environment))
        agreed = [compare(options.model, tensor, files) for tensor in ("prompt_embeds", "pooled", "first")]
    if not all(agreed):
        sys.exit("the difference is larger than what bfloat16 explains")


if __name__ == "__main__":
    main()
