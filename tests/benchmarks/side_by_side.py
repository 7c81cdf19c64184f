"""Compares easel with diffusers and OpenVINO: the same checkpoint, prompt, seed and threads, alternately, each run in a new process.

usage: side_by_side.py --easel build/release/easel [--model sd15|sd21|sdxl|refiner|x4|x2|ip2p] [--checkpoint FOLDER]
                       [--size 512x512] [--steps 4] [--scheduler euler] [--rounds 2] [--easel-flags="--weights-dtype stored"]
                       [--references diffusers openvino] [--dtype bfloat16]

Without --checkpoint, a full-size checkpoint with random weights is made first, once (tests/reference/make_sd15.py,
make_full_size.py). --size is the size of the result. Models that take an image get one: upscalers enlarge it to that size, and the
refiner starts from it with strength 0.5 and twice the steps, so that the requested number of steps is run. The x2 upscaler needs
--scheduler euler. diffusers runs with contiguous and with channels-last memory unless --references names one; in each row easel is
compared with the better of the two. OpenVINO GenAI runs Stable Diffusion 1.x, 2.x and SDXL with the schedulers pndm, ddim and euler, if
--references names it and the packages of openvino/requirements.txt are installed along with the reference's; the checkpoint is exported
first, once (openvino/export.py). Its noise is its own, so that its image is another one. SDXL in float32 takes diffusers about 19 GB at
256x256 and more at 1024x1024. Prints medians over all rounds, the ratios, and the differences between the two images. Run it with the
Python of the reference, on a machine without other work.
"""
import argparse
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
OWN_CHECKPOINTS = PROJECT / ".deps" / "bench"
# How the checkpoint of each model is made: a script in tests/reference and its arguments before the folder.
MAKERS = {"sd15": ["make_sd15.py"], **{name: ["make_full_size.py", name] for name in ("sd21", "sdxl", "refiner", "x4", "x2", "ip2p")}}
# Classes of checkpoints that take an image, and the factor by which they enlarge it.
REFINER = "StableDiffusionXLImg2ImgPipeline"
UPSCALE_FACTORS = {REFINER: 1, "StableDiffusionInstructPix2PixPipeline": 1, "StableDiffusionUpscalePipeline": 4,
                   "StableDiffusionLatentUpscalePipeline": 2}
REFINER_STRENGTH = 0.5
PROMPT = "a photograph of an astronaut riding a horse"
GUIDANCE_SCALE = 7.5
SEED = 42
# (row, key in a run's result, text of one value)
ROWS = [
    ("seconds a step", "step_s", "{:.3f}"),
    ("decode, seconds", "decode_s", "{:.3f}"),
    ("cold start to first step, seconds", "cold_start_s", "{:.3f}"),
    ("cold start to first step's end, s", "first_step_end_s", "{:.3f}"),
    ("peak memory (VmHWM), GB", "memory_gb", "{:.2f}"),
]
INPUT_IMAGE_NAME = "image.png"
OUTPUT_IMAGE_NAMES = {"diffusers": "contiguous.png", "diffusers channels_last": "channels_last.png"}
DIFFUSERS = tuple(OUTPUT_IMAGE_NAMES)
OPENVINO = "openvino"


def steps_of_schedule(options):
    return round(options.steps / REFINER_STRENGTH) if options.class_name == REFINER else options.steps


def result(timings, cold_start_s):
    """The first step of a process also pays for its first use of everything, so it counts only where there is no other."""
    steps = timings["step_s"]
    return {"step_s": statistics.median(steps[1:] or steps), "decode_s": timings["decode_s"], "cold_start_s": cold_start_s,
            "first_step_end_s": cold_start_s + steps[0], "memory_gb": timings["vm_hwm_bytes"] / 1e9}


def write_input_image(options, path):
    width, height = (int(edge) // UPSCALE_FACTORS[options.class_name] for edge in options.size.split("x"))
    coarse = numpy.random.default_rng(SEED).integers(0, 256, (12, 12, 3), numpy.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path)


def run_easel(options, folder):
    timings_file = folder / "easel.json"
    flags = ["--image", str(folder / INPUT_IMAGE_NAME)] if options.class_name in UPSCALE_FACTORS else []
    if options.class_name == REFINER:
        flags += ["--strength", str(REFINER_STRENGTH)]
    start = time.monotonic()
    subprocess.run([options.easel, "draw", PROMPT, "--model", str(options.checkpoint), "-o", str(folder / "easel.png"),
                    "--size", options.size, "--seed", str(SEED), "--steps", str(steps_of_schedule(options)),
                    "--guidance-scale", str(GUIDANCE_SCALE), "--scheduler", options.scheduler, "--device", "cpu", "--dtype", options.dtype,
                    "--threads", str(options.threads), "--timings", str(timings_file), *flags,
                    *shlex.split(options.easel_flags)],
                   check=True, stdout=subprocess.DEVNULL)
    timings = json.loads(timings_file.read_text())
    return result(timings, timings["first_step_clock"] - start)


def run_reference(options, folder, script, **further):
    timings_file = folder / "reference.json"
    width, height = map(int, options.size.split("x"))
    arguments = {"checkpoint": str(options.checkpoint), "scheduler": options.scheduler, "prompt": PROMPT, "width": width, "height": height,
                 "steps": steps_of_schedule(options), "guidance_scale": GUIDANCE_SCALE, "seed": SEED, "threads": options.threads,
                 "dtype": options.dtype, "timings": str(timings_file), **further}
    start = time.monotonic()
    subprocess.run([sys.executable, str(HERE / script), json.dumps(arguments)], check=True,
                   stderr=subprocess.DEVNULL if options.quiet else None)
    timings = json.loads(timings_file.read_text())
    return result(timings, timings["first_step_clock"] - start)


def run_diffusers(options, folder, channels_last):
    return run_reference(options, folder, "diffusers_side.py", channels_last=channels_last,
                         output=str(folder / OUTPUT_IMAGE_NAMES[DIFFUSERS[channels_last]]),
                         image=str(folder / INPUT_IMAGE_NAME) if options.class_name in UPSCALE_FACTORS else None,
                         strength=REFINER_STRENGTH if options.class_name == REFINER else None)


def openvino_folder(checkpoint):
    return checkpoint.with_name(checkpoint.name + "_openvino")


def run_openvino(options, folder):
    return run_reference(options, folder, "openvino_side.py", checkpoint=str(openvino_folder(options.checkpoint)),
                         output=str(folder / "openvino.png"))


def run(name, options, folder):
    if name == "easel":
        return run_easel(options, folder)
    if name == OPENVINO:
        return run_openvino(options, folder)
    return run_diffusers(options, folder, channels_last=name != DIFFUSERS[0])


def compare_images(folder, one, other):
    a, b = (numpy.asarray(Image.open(folder / name)).astype(int) for name in (one, other))
    if a.shape != b.shape:
        raise SystemExit(f"{one} and {other} differ in size: {a.shape}, {b.shape}")
    apart = numpy.abs(a - b)
    saturated = 100 * numpy.mean((b == 0) | (b == 255))
    print(f"{one} and {other}: at most {apart.max()} of 255 apart, {100 * (apart == 0).mean():.3f} % equal; "
          f"standard deviation {b.std():.1f}, {saturated:.1f} % saturated")


def processor():
    fields = dict(map(str.strip, line.split(":", 1)) for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    flags = fields.get("flags", "").split()
    instructions = [name for flag, name in (("avx2", "AVX2"), ("avx512f", "AVX-512"), ("avx512_bf16", "AVX512-BF16"), ("amx_bf16", "AMX")) if flag in flags]
    return f"{fields.get('model name', 'unknown processor')} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')}; {', '.join(instructions)})"


def print_table(results, references):
    """Medians, and how many times as much easel needs as the better format of diffusers, and as OpenVINO."""
    medians = {name: {key: statistics.median(run[key] for run in runs) for _, key, _ in ROWS} for name, runs in results.items()}
    compared = {"easel / diffusers": [name for name in references if name in DIFFUSERS],
                "easel / openvino": [name for name in references if name == OPENVINO]}
    compared = {label: names for label, names in compared.items() if names}
    print(f"{'':36}{'easel':>10}" + "".join(f"{name:>26}" for name in references) + "".join(f"{label:>20}" for label in compared))
    for label, key, form in ROWS:
        ratios = (medians["easel"][key] / min(medians[name][key] for name in names) for names in compared.values())
        print(f"{label:36}{form.format(medians['easel'][key]):>10}" +
              "".join(f"{form.format(medians[name][key]):>26}" for name in references) + "".join(f"{ratio:>20.2f}" for ratio in ratios))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--easel", required=True)
    parser.add_argument("--model", default="sd15", choices=MAKERS)
    parser.add_argument("--checkpoint", type=pathlib.Path)
    parser.add_argument("--easel-flags", default="", help="further flags of `easel draw`, in one word")
    parser.add_argument("--references", nargs="+", default=DIFFUSERS, choices=(*DIFFUSERS, OPENVINO))
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="what all of them compute in")
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--scheduler", default="pndm", choices=["pndm", "ddim", "euler", "dpmpp_2m"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quiet", action="store_true", help="leave out diffusers' own warnings")
    options = parser.parse_args()
    if options.checkpoint is None:
        options.checkpoint = OWN_CHECKPOINTS / options.model
        if not (options.checkpoint / "model_index.json").exists():
            print(f"making {options.checkpoint}", flush=True)
            script, *arguments = MAKERS[options.model]
            subprocess.run([sys.executable, str(PROJECT / "tests" / "reference" / script), *arguments, str(options.checkpoint)], check=True)
    if OPENVINO in options.references and not (openvino_folder(options.checkpoint) / "model_index.json").exists():
        print(f"exporting {openvino_folder(options.checkpoint)}", flush=True)
        subprocess.run([sys.executable, str(HERE / "openvino" / "export.py"), str(options.checkpoint), str(openvino_folder(options.checkpoint))],
                       check=True)
    options.class_name = json.loads((options.checkpoint / "model_index.json").read_text())["_class_name"]
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    return options


def main():
    options = parse_arguments()
    results = {name: [] for name in ("easel", *options.references)}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        if options.class_name in UPSCALE_FACTORS:
            write_input_image(options, folder / INPUT_IMAGE_NAME)
        for number in range(1, options.rounds + 1):
            for name in results:
                results[name].append(run(name, options, folder))
                print(f"round {number} {name}: " + ", ".join(f"{key} {value:.3f}" for key, value in results[name][-1].items()), flush=True)
        print(f"\n{processor()}\n{options.checkpoint.name} at {options.size}, {options.steps} steps of {options.scheduler}, guidance "
              f"{GUIDANCE_SCALE}, {options.dtype}, {options.threads} threads, medians of {options.rounds} rounds")
        print_table(results, options.references)
        images = [OUTPUT_IMAGE_NAMES[name] for name in options.references if name in DIFFUSERS]
        if images:
            compare_images(folder, "easel.png", images[0])
        if len(images) == 2:
            compare_images(folder, images[1], images[0])


if __name__ == "__main__":
    main()
