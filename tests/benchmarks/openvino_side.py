"""Generates one image with OpenVINO GenAI and writes how long each stage took. side_by_side.py runs it in a process of its own.

usage: openvino_side.py OPTIONS-AS-JSON
"""
import json
import pathlib
import sys
import time

import openvino_genai
from PIL import Image
from process_memory import peak_memory_bytes

TYPES = openvino_genai.Scheduler.Type
SCHEDULERS = {"pndm": TYPES.PNDM, "ddim": TYPES.DDIM, "euler": TYPES.EULER_DISCRETE}
PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


def main(options):
    folder = pathlib.Path(options["checkpoint"])
    pipeline = openvino_genai.Text2ImagePipeline(folder, "CPU", INFERENCE_PRECISION_HINT=PRECISIONS[options["dtype"]],
                                                 INFERENCE_NUM_THREADS=options["threads"])
    pipeline.set_scheduler(openvino_genai.Scheduler.from_config(folder / "scheduler" / "scheduler_config.json", SCHEDULERS[options["scheduler"]]))
    image = pipeline.generate(options["prompt"], width=options["width"], height=options["height"], num_inference_steps=options["steps"],
                              guidance_scale=options["guidance_scale"], rng_seed=options["seed"])
    end = time.monotonic()
    # Its own measurements: a callback for each step would run on another thread, some time after the step.
    measured = pipeline.get_performance_metrics()
    step_s = [microseconds / 1e6 for microseconds in measured.raw_metrics.iteration_durations]
    decode_s = measured.get_vae_decoder_infer_duration() / 1e3
    Image.fromarray(image.data[0]).save(options["output"])
    pathlib.Path(options["timings"]).write_text(json.dumps(
        {"step_s": step_s, "decode_s": decode_s, "first_step_clock": end - decode_s - sum(step_s), "vm_hwm_bytes": peak_memory_bytes()}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
