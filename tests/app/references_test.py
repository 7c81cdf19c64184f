"""Edits with reference images through the real program.  usage: references_test.py EASEL REFERENCE_FOLDER

REFERENCE_FOLDER is what tests/pipelines/reference/make_flux2_klein.py wrote.
"""
import base64
import json
import pathlib
import struct
import sys
import tempfile
import unittest
import urllib.error
import urllib.request
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))
sys.dont_write_bytecode = True
from server import Server  # noqa: E402

EASEL, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])


def png(width, height, kind):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + bytes((x * kind + y * 3 + c * 50) % 256 for x in range(width) for c in range(3)) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def data_url(image):
    return {"image_url": "data:image/png;base64," + base64.b64encode(image).decode()}


class References(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        log = pathlib.Path(tempfile.mkdtemp()) / "log"
        cls.server = Server(EASEL, f"klein={FOLDER / 'flux2_klein'},base={FOLDER / 'flux2_klein_base'}", 0, log, "--dtype", "float32",
                            "--threads", "1")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def edit(self, *images, status=200, **fields):
        body = {"model": "klein", "prompt": "a fox", "num_inference_steps": 2, "seed": 5, "size": "128x96",
                "images": [data_url(image) for image in images], **fields}
        request = urllib.request.Request(self.server.base_url + "/images/edits", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                answer, code = json.load(response), response.status
        except urllib.error.HTTPError as error:
            answer, code = json.load(error), error.code
        self.assertEqual(code, status, answer)
        return answer

    def test_every_image_counts(self):
        first, second, other = png(96, 80, 3), png(64, 112, 5), png(64, 112, 11)
        answer = self.edit(first, second)
        self.assertEqual(answer["images_used"], 2)
        image = answer["data"][0]["b64_json"]
        self.assertEqual(self.edit(first, second)["data"][0]["b64_json"], image)
        for changed in ((first, other), (second, first), (first,)):
            self.assertNotEqual(self.edit(*changed)["data"][0]["b64_json"], image)

    def test_the_size_that_was_made_is_said(self):
        self.assertEqual(self.edit(png(96, 80, 3), size="143x100")["size"], "128x96")
        self.assertEqual(self.edit(png(100, 143, 3), size="auto")["size"], "96x128")

    def test_several_images_have_seeds_of_their_own(self):
        answer = self.edit(png(96, 80, 3), n=2)
        files = [item["b64_json"] for item in answer["data"]]
        self.assertNotEqual(*files)
        self.assertEqual(self.edit(png(96, 80, 3), seed=6)["data"][0]["b64_json"], files[1])

    def test_fields_without_use_are_listed(self):
        answer = self.edit(png(96, 80, 3), strength=0.5, negative_prompt="a cat", guidance_scale=3)
        self.assertEqual(answer["ignored"], ["guidance_scale", "negative_prompt", "strength"])
        self.edit(png(96, 80, 3), strength=0.5, strict=True, status=400)
        base = self.edit(png(96, 80, 3), model="base", negative_prompt="a cat", guidance_scale=3)
        self.assertNotIn("ignored", base)
        self.assertNotEqual(self.edit(png(96, 80, 3), model="base", guidance_scale=3)["data"], base["data"])

    def test_images_that_cannot_be_references_are_refused(self):
        error = self.edit(png(96, 80, 3), png(63, 100, 3), status=400)["error"]
        self.assertEqual(error["param"], "image")
        self.assertIn("63x100", error["message"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
