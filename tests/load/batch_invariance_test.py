"""An image has the same bytes whatever else the server does: by itself, together with requests that have other prompts, seeds,
schedulers, step counts, guidance scales and numbers of images, and together with clients that disconnect. Runs the real program
on a CPU with the model that ships.

usage: batch_invariance_test.py EASEL MODEL_FOLDER
"""
import asyncio
import pathlib
import random
import sys
import tempfile
import unittest

import metrics
import wire

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clients"))
from server import Server  # noqa: E402

EASEL, MODEL = (sys.argv.pop(1) for _ in range(2)) if len(sys.argv) > 2 else ("", "")
TIMEOUT_SECONDS = 300
PROMPTS = ("a fox on a blue background", "a whale", "", "a red apple on a table, with a long shadow")
BODIES = [
    {"prompt": PROMPTS[0], "seed": 1, "num_inference_steps": 4},
    {"prompt": PROMPTS[1], "seed": 2, "num_inference_steps": 9, "scheduler": "euler_ancestral"},
    {"prompt": PROMPTS[3], "seed": 3, "num_inference_steps": 6, "scheduler": "ddim", "guidance_scale": 1},
    {"prompt": PROMPTS[1], "seed": 4, "num_inference_steps": 5, "scheduler": "heun", "guidance_scale": 7.5, "n": 2},
    {"prompt": PROMPTS[0], "seed": 5, "num_inference_steps": 7, "scheduler": "dpmpp_2m_sde_karras", "negative_prompt": "blue"},
    {"prompt": PROMPTS[3], "seed": 6, "num_inference_steps": 3, "scheduler": "lcm", "guidance_scale": 2},
]


def request(body):
    return wire.request_bytes("POST", metrics.IMAGE_ROUTE, {**body, "size": "128x128", "response_format": "b64_json"})


class BatchInvariance(unittest.IsolatedAsyncioTestCase):
    async def draw(self, body):
        reply = await asyncio.wait_for(wire.exchange(self.server.port, request(body)), TIMEOUT_SECONDS)
        self.assertEqual(reply.status, 200, reply.body)
        return [entry["b64_json"] for entry in reply.json()["data"]]

    async def test_image_does_not_depend_on_its_batch(self):
        with tempfile.TemporaryDirectory() as scratch:
            with Server(EASEL, MODEL, 0, pathlib.Path(scratch) / "log", "--device", "cpu") as self.server:
                alone = [await self.draw(body) for body in BODIES]
                self.assertEqual(len({image for images in alone for image in images}), 7, "they differ from each other")

                crowd = await asyncio.gather(*(self.draw(body) for body in reversed(BODIES)))
                self.assertEqual(list(reversed(crowd)), alone, "together with other requests")

                source = random.Random(1)
                leaving = [wire.send_and_disconnect(self.server.port, request({**body, "seed": 100 + i, "num_inference_steps": 40}),
                                               source.uniform(0, 0.5)) for i, body in enumerate(BODIES)]
                together = await asyncio.gather(*(self.draw(body) for body in BODIES), *leaving)
                self.assertEqual(together[:len(BODIES)], alone, "together with clients that disconnect")

                after = await metrics.scrape(self.server.port)
                self.assertEqual(metrics.total(after, "easel_requests_total", outcome="failed"), 0)
                self.assertGreater(metrics.total(after, "easel_requests_total", outcome="cancelled"), 0, "no client disconnected in time")


if __name__ == "__main__":
    unittest.main()
