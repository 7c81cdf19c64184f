"""`easel pull` and `easel rm`: what they fetch, and where it goes.  usage: pull_test.py EASEL"""
import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import unittest

from hostile_hub import COMMIT
from pull_case import EASEL, NOBODY, PLAIN, ROOT, UNET, PullTest


class Repositories(PullTest):
    def test_fetches_what_a_model_needs_and_nothing_else(self):
        result = self.assert_pulled()
        self.assert_whole()
        self.assertIn("licence: openrail", result.stdout)
        self.assertEqual(json.loads((self.models / "model/.easel-pull.json").read_text())["licence"], "openrail")
        self.assertEqual({kind for kind, *_ in self.hub.requests if kind == "revision"}, {"revision"})
        self.assertTrue(all(COMMIT in path for kind, path, *_ in self.hub.requests if kind != "revision"), "one commit for all requests")
        self.assertRegex(result.stderr, r"^org/model: .* of 303 KiB")
        self.assertNotRegex(result.stderr, r"[^ -~\n]")

    def test_branches_with_a_slash_are_escaped_as_hubs_expect_it(self):
        asked = []
        self.hub.fault = lambda handler, kind: kind == "revision" and asked.append(handler.path)
        self.assert_pulled("org/model@refs/pr/1")
        self.assertEqual(asked, ["/api/models/org/model/revision/refs%2Fpr%2F1"])

    def test_takes_the_half_precision_variant_for_float16(self):
        self.assert_pulled("org/model", "--dtype", "float16")
        self.assert_whole(PLAIN - {UNET} | {"unet/diffusion_pytorch_model.fp16.safetensors"})

    def test_takes_shards_and_pickles_where_there_is_nothing_else(self):
        files = {name: data for name, data in self.hub.files.items() if not name.startswith("unet/diffusion")}
        names = ["unet/diffusion_pytorch_model.safetensors.index.json", "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
                 "unet/diffusion_pytorch_model-00002-of-00002.safetensors"]
        shards = [name.rpartition("/")[2] for name in names[1:]]
        self.hub.files = files | {name: b"x" * 100 for name in names[1:]} | {names[0]: json.dumps({"weight_map": {"a": shards[0], "b": shards[1]}}).encode()}
        self.assert_pulled()
        self.assert_whole(PLAIN - {UNET} | set(names))
        shutil.rmtree(self.models)
        self.hub.files = files | {"unet/diffusion_pytorch_model.bin": b"x"}
        self.assertIn("easel convert", self.assert_pulled().stdout)

    def test_hidden_files_are_left_out(self):
        self.hub.files |= {name: b"x" for name in (".DS_Store", "unet/.gitkeep", ".cache/huggingface/x.json", "unet/.ipynb_checkpoints/config.json")}
        self.assert_pulled()
        self.assert_whole()

    def test_takes_bf16_where_there_is_nothing_else(self):
        weights = self.hub.files.pop(UNET)
        for name in [name for name in self.hub.files if name.startswith("unet/diffusion")]:
            del self.hub.files[name]
        self.hub.files["unet/diffusion_pytorch_model.bf16.safetensors"] = weights
        self.assert_pulled()
        self.assert_whole(PLAIN - {UNET} | {"unet/diffusion_pytorch_model.bf16.safetensors"})

    def test_a_model_that_could_not_be_served_is_refused_before_its_weights_are_fetched(self):
        index = json.loads(self.hub.files["model_index.json"])
        self.hub.files["model_index.json"] = json.dumps(index | {"_class_name": "QwenImagePipeline"}).encode()
        self.assert_refused("org/model: model_index.json: `_class_name` is QwenImagePipeline; easel supports")
        self.assertEqual(self.fetched(), {"model_index.json"})

    def test_a_component_without_weights_is_refused(self):
        files = {name: data for name, data in self.hub.files.items() if not name.startswith("unet/")} | {"unet/config.json": b"{}"}
        for name, says in (("unet/diffusion_pytorch_model.non_ema.safetensors", "only diffusion_pytorch_model.non_ema.safetensors"),
                           ("unet/model.onnx", "only model.onnx"), ("README.md", "`unet` has no weights"), (UNET, f"{UNET} is empty")):
            self.hub.files = files | {name: b""}
            self.assert_refused(says)
        self.assertEqual(self.fetched(), {"model_index.json"})

    def test_repositories_of_files_and_folders_name_them(self):
        for files, says in (({"flux1-Q4_K_S.gguf": b"x", "a.SFT": b"x"}, "e.g. :a.SFT, :flux1-Q4_K_S.gguf"),
                            ({"split/vae/ae.safetensors": b"x"}, "e.g. :split/vae/ae.safetensors"),
                            ({f"v{i}/{name}": data for i in range(2) for name, data in self.hub.files.items() if "/" not in name and name[0] != "."},
                             "name one of its folders, e.g. /v0, /v1")):
            self.hub.files = dict(sorted(files.items()))
            self.assert_refused(says)

    def test_pages_of_the_hub_are_what_they_show(self):
        for page in ("", "/", "/tree/main", "?library=diffusers"):
            self.assert_pulled(f"{self.hub.url}/org/model{page}")
            self.assert_whole()
            self.assertEqual(self.run_easel("rm", "model").returncode, 0)
        for page in ("blob/main/v1-5.safetensors", "resolve/main/v1-5.safetensors?download=true"):
            self.assert_pulled(f"{self.hub.url}/org/model/{page}", env={"HF_TOKEN": "secret"})
            self.assertEqual((self.models / "v1-5.safetensors").read_bytes(), self.hub.files["v1-5.safetensors"])
            self.assertEqual(self.run_easel("rm", "org/model@main:v1-5.safetensors").returncode, 0)

    def test_a_checksum_is_compared_with_that_of_the_repository(self):
        right = hashlib.sha256(self.hub.files["v1-5.safetensors"]).hexdigest()
        self.assert_refused("is for a single file", "org/model", "--sha256", right)
        self.assert_refused("not that of --sha256", "org/model:v1-5.safetensors", "--sha256", "0" * 64)
        self.assert_pulled("org/model:v1-5.safetensors", "--sha256", right.upper())

    def test_extensions_in_every_spelling(self):
        for name in ("a.sft", "B.SAFETENSORS", "c.GGUF"):
            self.hub.files[name] = name.encode()
            self.assert_pulled(f"org/model:{name}")
            self.assertEqual((self.models / name).read_bytes(), name.encode())
        for name in ("d.PT", "e.pth"):
            self.hub.files[name] = b"pickle"
            self.assertIn("easel convert", self.assert_pulled(f"org/model:{name}").stdout)

    def test_a_second_pull_fetches_nothing(self):
        self.assert_pulled()
        sent = self.hub.bytes_sent
        self.assertIn("is complete already", self.assert_pulled().stdout)
        self.assertEqual(self.hub.bytes_sent, sent)

    def test_a_folder_and_a_single_file(self):
        self.hub.files = {f"sub/{name}": data for name, data in self.hub.files.items() if not name.startswith(".")}
        self.assert_pulled("org/model/sub")
        self.assertEqual((self.models / "sub" / UNET).read_bytes(), self.hub.files[f"sub/{UNET}"])
        self.assert_pulled("org/model@main:sub/v1-5.safetensors")
        self.assertEqual((self.models / "v1-5.safetensors").read_bytes(), self.hub.files["sub/v1-5.safetensors"])
        self.assertEqual(self.run_easel("rm", "v1-5.safetensors").returncode, 0)
        self.assertEqual([path.name for path in self.models.iterdir()], ["sub"])

    def test_lora_and_embedding_go_to_their_folders(self):
        loras, words = self.models.parent / "loras", self.models.parent / "words"
        self.assert_pulled("org/model:v1-5.safetensors", "--lora", "--lora-dir", str(loras))
        self.assert_pulled("org/model:v1-5.safetensors", "--embedding", "--embeddings-dir", str(words))
        self.assertTrue((loras / "v1-5.safetensors").is_file() and (words / "v1-5.safetensors").is_file())
        self.assert_refused("--lora-dir", "org/model:v1-5.safetensors", "--lora")

    def test_two_pulls_at_once(self):
        processes = [subprocess.Popen(self.command("pull", "org/model"), env=self.environment(), stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE) for _ in range(3)]
        for process in processes:
            self.assertEqual(process.wait(60), 0, process.communicate()[1])
        self.assert_whole()

    def test_rm_removes_only_what_was_pulled(self):
        self.assert_pulled()
        (self.models / "mine").mkdir()
        for name, says in (("mine", "was not pulled by easel"), ("nothing", "no model nothing"), ("../models", "no model"), (".", "no model")):
            result = self.run_easel("rm", name)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(says, result.stderr)
        self.assertEqual(self.run_easel("rm", "model").returncode, 0)
        self.assertEqual([path.name for path in self.models.iterdir()], ["mine"])

    def test_rm_takes_what_a_model_was_pulled_as(self):
        for name in ("org/model", "org/model:v1-5.safetensors", "sd15"):
            self.assert_pulled(name)
            self.assertNotEqual(self.run_easel("rm", f"other/{name.rpartition('/')[2]}").returncode, 0)
            result = self.run_easel("rm", name)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(list(self.models.iterdir()), [])
        self.assert_pulled()
        self.assertEqual(self.run_easel("rm", "model/").returncode, 0)
        loras = self.models.parent / "loras"
        self.assert_pulled("org/model:v1-5.safetensors", "--lora", "--lora-dir", str(loras))
        self.assertEqual(self.run_easel("rm", "v1-5.safetensors", "--lora", "--lora-dir", str(loras)).returncode, 0)
        self.assertEqual(list(loras.iterdir()), [])

    def test_a_file_that_took_the_place_of_a_pulled_one_is_kept(self):
        self.assert_pulled("org/model:v1-5.safetensors")
        mine = self.models / "v1-5.safetensors"
        mine.unlink()
        mine.write_bytes(self.hub.files["v1-5.safetensors"])
        os.utime(mine, (1e9, 1e9))
        result = self.run_easel("rm", "v1-5.safetensors")
        self.assertIn("was not pulled by easel", result.stderr)
        self.assert_refused("easel did not pull it", "org/model:v1-5.safetensors")
        self.assertTrue(mine.is_file())

    def test_a_terminal_shows_a_bar_that_fits_into_a_line(self):
        name = "org/model@" + "long-" * 9 + "branch"
        self.hub.pause = 0.1
        for asked, columns, bar in (("org/model", 80, True), (name, 80, False), (name, 140, True), (name, 20, False)):
            lines = self.pull_on_a_terminal(asked, columns)
            self.assertGreater(len(lines), 2, asked)
            for line in lines:
                self.assertLess(len(line), columns, line)
                self.assertEqual(bool(re.search(r"\[#*-*\]", line)), bar, line)
            self.assertIn("100% 303 KiB of 303 KiB"[:columns - 1], lines[-1])
            if columns > 20:
                self.assertRegex(lines[-1], r", [0-9.]+ [KM]iB/s, 0:00:00 left$")
            shutil.rmtree(self.models)

    def pull_on_a_terminal(self, name, columns):
        """What each redrawing showed."""
        terminal, stderr = pty.openpty()
        fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(self.command("pull", name), env=self.environment(), stdout=subprocess.DEVNULL, stderr=stderr)
        os.close(stderr)
        shown = b""
        try:
            while data := os.read(terminal, 4096):
                shown += data
        except OSError:  # how the end of a terminal is reported
            pass
        os.close(terminal)
        self.assertEqual(process.wait(60), 0, shown)
        return shown.decode().strip().split("\r\x1b[K")[1:]

    def test_malformed_names(self):
        for name in ("model", "model:q8", "model@main", "org/", "/model", "org/model/../x", "org/model@", "org/model:", "org/..", "a b/c", "org/model:../x.safetensors", ""):
            result = self.pull(name)
            self.assertNotEqual(result.returncode, 0, name)
        self.assertEqual(self.hub.requests, [])

    def test_existing_things_are_not_replaced(self):
        self.models.mkdir()
        (self.models / "model").symlink_to("/nowhere")
        result = self.pull()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("easel did not pull it", result.stderr)
        self.assertTrue((self.models / "model").is_symlink())

    def test_links_in_the_models_folder_are_not_followed(self):
        other = self.models.parent / "other"
        other.mkdir()
        self.models.mkdir()
        (self.models / ".easel").symlink_to(other)
        self.assert_refused("is in the way")
        self.assertEqual(list(other.iterdir()), [])

    def test_a_read_only_folder_is_refused_before_the_hub_is_asked(self):
        self.models.mkdir(mode=0o555)
        self.models.parent.chmod(0o755)
        # Root may write anywhere.
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        result = subprocess.run(self.command("pull", "org/model"), capture_output=True, text=True, timeout=60, env=self.environment(), check=False, **user)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("cannot write to the models folder", result.stderr)
        self.assertEqual(self.hub.requests, [])


class Recipes(PullTest):
    def test_a_recipe_brings_every_part_and_the_manifest(self):
        self.assert_pulled("sdxl-refined")
        folder = self.models / "sdxl-refined"
        for name in PLAIN - {".easel-pull.json"}:
            self.assertEqual((folder / name).read_bytes(), self.hub.files[name], name)
            self.assertEqual((folder / "refiner" / name).read_bytes(), self.hub.files[name], name)
        manifest = json.loads((folder / "easel.json").read_text())
        self.assertEqual(manifest, {"name": "Stable Diffusion XL 1.0 with its refiner", "licence": "openrail", "refiner": "refiner"})
        repositories = {path.split("/resolve/")[0] for kind, path, *_ in self.hub.requests if kind == "file"}
        self.assertEqual(repositories, {"/stabilityai/stable-diffusion-xl-base-1.0", "/stabilityai/stable-diffusion-xl-refiner-1.0"})
        self.assertIn("is complete already", self.assert_pulled("sdxl-refined").stdout)
        self.assertEqual(self.run_easel("rm", "sdxl-refined").returncode, 0)
        self.assertEqual(list(self.models.iterdir()), [])

    def test_recipes_check_compares_the_file_with_the_hub_and_pins_it(self):
        recipes = self.models.parent / "recipes.json"
        recipe = {"name": "a", "title": "A", "family": "stable-diffusion", "licence": "openrail", "parts": [{"source": "org/model"}]}
        recipes.write_text(json.dumps({"recipes": [recipe, recipe | {"name": "b", "licence": "mit"}]}))
        result = subprocess.run([ROOT / "scripts/recipes-check", "--easel", EASEL, "--recipes", recipes, "--pin"], capture_output=True, text=True,
                                timeout=60, env=self.environment(), check=False)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "a: agrees with the hub\nb: the licence is openrail, not mit\n")
        pinned, other = json.loads(recipes.read_text())["recipes"]
        size = sum(len(self.hub.files[name]) for name in PLAIN - {".easel-pull.json"})
        self.assertEqual(pinned["parts"], [{"source": f"org/model@{COMMIT}", "bytes": size}])
        self.assertTrue(pinned["verified"])
        self.assertEqual(other, recipe | {"name": "b", "licence": "mit"})
        self.assertEqual(self.fetched(), {"model_index.json"}, "no weights are fetched")

    def test_an_unknown_name_refers_to_the_list(self):
        self.assert_refused("easel models --available", "no-such-recipe")
        self.assertEqual(self.hub.requests, [])

    def test_the_list_says_what_is_known(self):
        text = self.run_easel("models", "--available").stdout
        for recipe in json.loads((ROOT / "models/recipes.json").read_text())["recipes"]:
            self.assertIn(f"  {recipe['name']}{'' if recipe.get('verified') else ' (unverified)'}\n", text)
            self.assertIn(recipe["licence"], text)
            self.assertIn(f"\n{recipe['family']}\n", "\n" + text)
        self.assertIn("GiB in float32", text)
        self.assertRegex(text, "fits     (yes|no): .* are free on cpu")

    def test_each_recipe_is_of_a_family_that_easel_serves(self):
        served = set(re.findall(r'\.name = "([^"]+)"', (ROOT / "src/pipelines/families/families.cpp").read_text()))
        for recipe in json.loads((ROOT / "models/recipes.json").read_text())["recipes"]:
            self.assertIn(recipe["family"], served, recipe["name"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=1)
