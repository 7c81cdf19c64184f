"""easel draw from outside: what it writes, prints and refuses.  usage: cli_test.py EASEL MODEL_FOLDER"""
import base64
import os
import pathlib
import struct
import sys
import tempfile
import unittest
import zlib

from program import MODEL, run

# Flat images of 64x32.
JPEG = base64.b64decode("/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI//////////////////////////////////////////////////"
                        "//wAALCAAgAEABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAAL/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/9oACAEBAAA/AIAAAAAAAAAAH//Z")
WEBP = base64.b64decode("UklGRkIAAABXRUJQVlA4IDYAAABQAwCdASpAACAAP3G41WM0ryqmJAgCkC4JZwAW30EEaOdBQAD+0Mr+kulyG//F3YjjJIAAAAA=")


def png_size(path):
    head = pathlib.Path(path).read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


def write_png(path, rows):
    """A gray image of 8 bits."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    body = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    pathlib.Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def png_rows(path):
    """The pixels of an RGB image of 8 bits, row by row."""
    content, at, data = pathlib.Path(path).read_bytes(), 8, b""
    width, height = png_size(path)
    while at < len(content):
        length, = struct.unpack(">I", content[at:at + 4])
        if content[at + 4:at + 8] == b"IDAT":
            data += content[at + 8:at + 8 + length]
        at += length + 12
    raw, stride, rows = zlib.decompress(data), 3 * width, []
    before = bytearray(stride)
    for y in range(height):
        method, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride):
            left, above, corner = (row[x - 3], before[x], before[x - 3]) if x >= 3 else (0, before[x], 0)
            estimate = left + above - corner
            paeth = min((left, above, corner), key=lambda value: abs(estimate - value))
            row[x] = (row[x] + (0, left, above, (left + above) // 2, paeth)[method]) & 255
        rows.append(bytes(row))
        before = row
    return rows


class Draw(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def draw(self, name, *args):
        path = f"{self.folder.name}/{name}"
        result = run("draw", *args, "-o", path, "--model", MODEL)
        self.assertEqual(result.returncode, 0, result.stderr)
        return path

    def test_same_seed_same_file_and_words_need_no_quotes(self):
        one = self.draw("1.png", "a", "fox", "--seed", "3", "--steps", "4")
        two = self.draw("2.png", "a fox", "--seed", "3", "--steps", "4")
        other = self.draw("3.png", "a fox", "--seed", "4", "--steps", "4")
        self.assertEqual(png_size(one), (128, 128))
        self.assertEqual(pathlib.Path(one).read_bytes(), pathlib.Path(two).read_bytes())
        self.assertNotEqual(pathlib.Path(one).read_bytes(), pathlib.Path(other).read_bytes())

    def test_seeds_have_64_bits(self):
        largest = self.draw("largest.png", "a fox", "--seed", str(2**64 - 1), "--steps", "1")
        self.assertIn(b'"seed":"18446744073709551615"', pathlib.Path(largest).read_bytes())
        for seed in (str(2**64), "-1", "x"):
            result = run("draw", "a fox", "-o", f"{self.folder.name}/x.png", "--seed", seed, "--model", MODEL)
            self.assertNotEqual(result.returncode, 0, seed)

    def test_a_mask_keeps_pixels_on_request_and_small_parts_are_put_back(self):
        def pixels(name, *flags):
            path = self.draw(name, "a cat", "--image", image, "--mask", mask, "--seed", "3", "--steps", "2", *flags)
            return png_size(path), png_rows(path)

        image = self.draw("image.png", "a fox", "--seed", "1", "--steps", "2", "--size", "128x128")
        original = png_rows(image)
        mask = f"{self.folder.name}/mask.png"
        write_png(mask, [[255 if 64 <= x < 96 and 64 <= y < 96 else 0 for x in range(128)] for y in range(128)])
        kept_rows = [y for y in range(128) if not 64 <= y < 96]
        size, plain = pixels("plain.png")
        self.assertNotEqual([plain[y] for y in kept_rows], [original[y] for y in kept_rows], "as in diffusers")
        for flags in (("--keep-unmasked",), ("--padding-mask-crop", "4", "--size", "64x64")):
            size, rows = pixels("kept.png", *flags)
            self.assertEqual(size, (128, 128))
            self.assertEqual([rows[y] for y in kept_rows], [original[y] for y in kept_rows], flags)
            self.assertNotEqual(rows, original)

    def test_like_makes_an_image_again(self):
        first = self.draw("first.png", "a fox", "--seed", "3", "--steps", "3", "--size", "64x48", "--guidance-scale", "3.5", "--guidance-interval", "0.4,1",
                          "--dtype", "float32")
        again = self.draw("again.png", "--like", first, "--dtype", "float32")
        self.assertEqual(pathlib.Path(first).read_bytes(), pathlib.Path(again).read_bytes())
        other = self.draw("other.png", "--like", first, "--seed", "4")
        self.assertEqual(png_size(other), (64, 48))
        self.assertNotEqual(pathlib.Path(first).read_bytes(), pathlib.Path(other).read_bytes())
        said = run("draw", "--like", first, "-o", f"{self.folder.name}/x.png", "--model", MODEL, "--steps", "2", "--dtype", "bfloat16").stderr
        self.assertIn('the dtype was "float32" and is now "bfloat16"', said)
        self.assertIn('num_inference_steps was "3" and is now "2"', said)
        edited = self.draw("edited.png", "a cat", "--image", first, "--seed", "3", "--steps", "2")
        said = run("draw", "--like", edited, "-o", f"{self.folder.name}/x.png", "--model", MODEL)
        self.assertNotEqual(said.returncode, 0)
        self.assertIn("was made from an image; give it with --image", said.stderr)
        self.assertEqual(pathlib.Path(self.draw("y.png", "--like", edited, "--image", first)).read_bytes(), pathlib.Path(edited).read_bytes())

    def test_flags_ask_for_a_second_pass(self):
        plain = ("a fox", "--seed", "3", "--steps", "3", "--size", "64x48", "--dtype", "float32")
        larger = self.draw("larger.png", *plain, "--hires-upscaler", "Nearest")
        self.assertEqual(png_size(larger), (128, 96))
        again = self.draw("again.png", "--like", larger, "--dtype", "float32")
        self.assertEqual(pathlib.Path(larger).read_bytes(), pathlib.Path(again).read_bytes())
        wide = self.draw("wide.png", "--like", larger, "--hires-size", "96x64", "--dtype", "float32")
        self.assertEqual(png_size(wide), (96, 64))
        self.assertIn(b'"upscaler":"Nearest"', pathlib.Path(wide).read_bytes(), "what no flag changes is kept")
        for flags, said in ((("--hires-scale", "9"), "--hires-scale"), (("--hires-size", "96"), "--hires-size is `96`"),
                            (("--hires-scale", "2", "--hires-size", "96x96"), "excludes"), (("--hires-upscaler", "x"), "expected one of: Latent, ")):
            result = run("draw", *plain, "-o", f"{self.folder.name}/x.png", "--model", MODEL, *flags)
            self.assertNotEqual(result.returncode, 0, flags)
            self.assertIn(said, result.stderr)
        said = run("draw", "a cat", "--image", larger, "--hires-scale", "2", "--steps", "2", "-o", f"{self.folder.name}/x.png", "--model", MODEL)
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("`hires` is ignored: it has a use without --image only", said.stderr)

    def test_metadata_and_the_mark_can_be_left_out(self):
        for flags, text, mark in (((), True, True), (("--no-metadata",), False, True), (("--no-ai-mark",), True, False),
                                  (("--no-metadata", "--no-ai-mark"), False, False)):
            content = pathlib.Path(self.draw("x.png", "a fox", "--steps", "1", *flags)).read_bytes()
            self.assertEqual(b"a fox" in content, text, flags)
            self.assertEqual(b"trainedAlgorithmicMedia" in content, mark, flags)
        without = f"{self.folder.name}/without.png"
        self.draw("without.png", "a fox", "--steps", "1", "--no-metadata")
        said = run("draw", "--like", without, "-o", f"{self.folder.name}/y.png", "--model", MODEL)
        self.assertNotEqual(said.returncode, 0)
        self.assertIn("has no record of how easel made it", said.stderr)

    def test_reports_truncated_prompts_and_parses_weights_with_a1111_syntax(self):
        def draw(*args, env=None):
            path = f"{self.folder.name}/x.png"
            result = run("draw", *args, "-o", path, "--model", MODEL, "--seed", "1", "--steps", "1", "--no-metadata", env=env)
            self.assertEqual(result.returncode, 0, result.stderr)
            return pathlib.Path(path).read_bytes(), result.stdout

        fox, said = draw("a fox")
        self.assertNotIn("too long", said)
        cut, said = draw("fox " * 80)
        self.assertIn("a prompt was too long", said)
        whole, said = draw("fox " * 80, "--prompt-syntax", "a1111")
        self.assertNotIn("too long", said)
        self.assertNotEqual(cut, whole)
        self.assertEqual(draw("a fox", env={"EASEL_PROMPT_SYNTAX": "a1111"})[0], fox)
        self.assertNotEqual(draw("a (fox:0.2)", "--prompt-syntax", "a1111")[0], fox)

    def test_textual_inversion_files(self):
        self.assertEqual(self.draw("x.png", "a fox", "--steps", "1", "--embeddings-dir", self.folder.name), f"{self.folder.name}/x.png")
        pathlib.Path(f"{self.folder.name}/foxy-word.pt").write_text("not a pickle")
        result = run("draw", "a foxy-word", "-o", f"{self.folder.name}/y.png", "--model", MODEL, "--embeddings-dir", self.folder.name)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("foxy-word.pt", result.stderr)

    def test_options_without_use_are_named_or_refused(self):
        flags = ("draw", "a fox", "-o", f"{self.folder.name}/x.png", "--model", MODEL, "--steps", "1", "--seed", "1", "--scheduler", "euler")
        plain = run(*flags)
        self.assertEqual(plain.returncode, 0, plain.stderr)
        image = pathlib.Path(f"{self.folder.name}/x.png").read_bytes()
        self.assertNotIn("ignored", plain.stderr)
        said = run(*flags, "--eta", "0.5", "--denoising-end", "0.5")
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("`eta` is ignored", said.stderr)
        self.assertIn("`denoising_end` is ignored", said.stderr)
        self.assertEqual(pathlib.Path(f"{self.folder.name}/x.png").read_bytes(), image)
        strict = run(*flags, "--eta", "0.5", "--strict")
        self.assertNotEqual(strict.returncode, 0)
        self.assertIn("`eta`", strict.stderr)

    def test_size_count_and_timings(self):
        path = self.draw("p.png", "a whale", "--size", "333x77", "-n", "2", "--steps", "2", "--timings", f"{self.folder.name}/t.json")
        self.assertEqual(png_size(path), (333, 77))
        self.assertEqual(png_size(f"{self.folder.name}/p-2.png"), (333, 77))
        import json
        timings = json.loads(pathlib.Path(f"{self.folder.name}/t.json").read_text())
        self.assertEqual(len(timings["step_s"]), 4)
        self.assertGreater(timings["vm_hwm_bytes"], 0)

    def test_image_to_image_and_inpainting(self):
        common = ("--seed", "7", "--steps", "4")
        first = self.draw("first.png", "a fox on a blue background", *common)
        again = self.draw("again.png", "a cat on a pink background", "--image", first, "--strength", "0.5", *common)
        part = self.draw("part.png", "a cat on a pink background", "--image", first, "--mask", first, "--strength", "0.5", *common)
        self.assertEqual({png_size(path) for path in (first, again, part)}, {(128, 128)})
        self.assertEqual(len({pathlib.Path(path).read_bytes() for path in (first, again, part)}), 3)

    def test_reads_every_image_format(self):
        # Content decides, whatever the file is called.
        for name, content in (("photo.jpg", JPEG), ("photo.webp", WEBP), ("misnamed.png", JPEG)):
            path = f"{self.folder.name}/{name}"
            pathlib.Path(path).write_bytes(content)
            self.assertEqual(png_size(self.draw("o.png", "a cat", "--image", path, "--mask", path, "--seed", "1", "--steps", "2")), (64, 32))

    def test_unreadable_images_are_errors(self):
        broken = f"{self.folder.name}/broken.png"
        pathlib.Path(broken).write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        for path, says in ((broken, "damaged"), ("/nowhere/a.png", "/nowhere/a.png"), (os.path.join(MODEL, "README.md"), "not a PNG")):
            result = run("draw", "a cat", "-o", f"{self.folder.name}/x.png", "--image", path, "--model", MODEL)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(says, result.stderr)

    def test_unwritable_output(self):
        # Said before anything is loaded or drawn.
        for path in ("/nowhere/cat.png", self.folder.name):
            for flags in (("-o", path), ("-o", f"{self.folder.name}/x.png", "--timings", path)):
                result = run("draw", "a cat", "--model", "/nowhere/model", *flags)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(f"cannot write {path}", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
