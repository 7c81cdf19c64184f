"""`easel pull` and `easel rm` against a hub that is hostile, slow or broken.  usage: pull_test.py EASEL"""
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

from hostile_hub import COMMIT, Hub, Proxy, checkpoint

EASEL = os.path.abspath(sys.argv[1])
ROOT = pathlib.Path(__file__).resolve().parents[2]
PLAIN = {"model_index.json", "README.md", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json",
         "vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json", "tokenizer/merges.txt", "text_encoder/config.json",
         "text_encoder/model.safetensors", "scheduler/scheduler_config.json", ".easel-pull.json"}
NOBODY = 65534
UNET = "unet/diffusion_pytorch_model.safetensors"


def once(response):
    """A fault that replaces the first response for the UNet's weights."""
    seen = []

    def fault(handler, kind):
        if kind != "file" or not handler.path.endswith(UNET) or seen:
            return False
        seen.append(1)
        return response(handler)
    return fault


class PullTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.models = pathlib.Path(folder.name) / "models"
        self.hub = self.start_hub()

    def start_hub(self, **options):
        hub = Hub(**options)
        self.addCleanup(hub.close)
        return hub

    def command(self, *args):
        return [EASEL, *args, "--models-dir", str(self.models)]

    def environment(self, **extra):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("EASEL_", "HF_", "CIVITAI_")) and "proxy" not in name.lower()}
        return {**clean, "HF_ENDPOINT": self.hub.url, **extra}

    def run_easel(self, *args, timeout=60, env=None):
        return subprocess.run(self.command(*args), capture_output=True, text=True, timeout=timeout, env=self.environment(**(env or {})), check=False)

    def pull(self, name="org/model", *args, **options):
        return self.run_easel("pull", name, "--retry-pause", "0.01", "--slow-seconds", "1", *args, **options)

    def assert_pulled(self, *args, **options):
        result = self.pull(*args, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def assert_refused(self, says, *args, **options):
        result = self.pull(*args, **options)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(says, result.stderr)
        self.assertNotIn("terminate called", result.stderr)
        self.assertFalse((self.models / "model").exists(), "a model that is not whole is not there")
        return result

    def assert_whole(self, expected=PLAIN):
        folder = self.models / "model"
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        self.assertEqual(found, expected)
        for name in expected - {".easel-pull.json"}:
            self.assertEqual((folder / name).read_bytes(), self.hub.files[name], name)
        self.assertEqual([path.name for path in self.models.iterdir()], ["model"], "nothing is left next to the model")


class Repositories(PullTest):
    def test_fetches_what_a_model_needs_and_nothing_else(self):
        result = self.assert_pulled()
        self.assert_whole()
        self.assertIn("licence: openrail", result.stdout)
        self.assertEqual({kind for kind, *_ in self.hub.requests if kind == "revision"}, {"revision"})
        self.assertTrue(all(COMMIT in path for kind, path, *_ in self.hub.requests if kind != "revision"), "one commit for all requests")
        self.assertNotIn("\x1b", result.stderr)

    def test_takes_the_half_precision_variant_for_float16(self):
        self.assert_pulled("org/model", "--dtype", "float16")
        self.assert_whole(PLAIN - {UNET} | {"unet/diffusion_pytorch_model.fp16.safetensors"})

    def test_takes_shards_and_pickles_where_there_is_nothing_else(self):
        files = {name: data for name, data in self.hub.files.items() if not name.startswith("unet/diffusion")}
        names = ["unet/diffusion_pytorch_model.safetensors.index.json", "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
                 "unet/diffusion_pytorch_model-00002-of-00002.safetensors"]
        self.hub.files = files | {name: b"x" * 100 for name in names}
        self.assert_pulled()
        self.assert_whole(PLAIN - {UNET} | set(names))
        shutil.rmtree(self.models)
        self.hub.files = files | {"unet/diffusion_pytorch_model.bin": b"x"}
        self.assertIn("easel convert", self.assert_pulled().stdout)

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

    def test_malformed_names(self):
        for name in ("model", "org/", "/model", "org/model/../x", "org/model@", "org/model:", "org/..", "a b/c", "org/model:../x.safetensors", ""):
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
        self.assertEqual({kind for kind, *_ in self.hub.requests}, {"revision", "tree"}, "no file is fetched")

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


class Encrypted(PullTest):
    """Hubs by https, with a certificate of the tests' own."""

    def setUp(self):
        super().setUp()
        folder = self.models.parent
        key, self.certificate = f"{folder}/key.pem", f"{folder}/certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", self.certificate, "-days", "1", "-subj",
                        "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:civitai.com,DNS:hub.test,DNS:other.test"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.hub = self.start_hub(tls=context)
        self.proxy = Proxy(self.hub.server.server_address[1])
        self.addCleanup(self.proxy.close)

    def test_certificates_are_verified(self):
        self.assert_refused("cannot be verified")
        self.assertEqual(self.hub.requests, [])
        self.assert_pulled(env={"SSL_CERT_FILE": self.certificate})
        self.assert_whole_in(self.models)

    def assert_whole_in(self, models):
        self.assertEqual((models / "model" / UNET).read_bytes(), self.hub.files[UNET])

    def test_the_proxy_is_used_except_for_the_hosts_of_no_proxy(self):
        self.hub.url = "https://hub.test"
        self.assert_pulled(env={"SSL_CERT_FILE": self.certificate, "HTTPS_PROXY": self.proxy.url})
        self.assertEqual(set(self.proxy.hosts), {"hub.test:443"})
        self.assert_whole_in(self.models)
        shutil.rmtree(self.models)
        self.proxy.hosts.clear()
        self.hub.url = f"https://127.0.0.1:{self.hub.server.server_address[1]}"
        self.assert_pulled(env={"SSL_CERT_FILE": self.certificate, "HTTPS_PROXY": self.proxy.url, "NO_PROXY": "127.0.0.1"})
        self.assertEqual(self.proxy.hosts, [])

    def test_the_token_of_civitai_goes_only_there(self):
        def elsewhere(handler, kind):
            return handler.headers["Host"] == "civitai.com" and (handler.respond(302, Location="https://other.test" + handler.path) or True)
        self.hub.fault = elsewhere
        self.hub.files["v1-5.safetensors"] = b"weights"
        path = f"/org/model/resolve/{COMMIT}/v1-5.safetensors"
        environment = {"SSL_CERT_FILE": self.certificate, "HTTPS_PROXY": self.proxy.url, "CIVITAI_TOKEN": "secret", "HF_TOKEN": "other"}
        self.assert_pulled(f"https://civitai.com{path}", env=environment)
        self.assertEqual((self.models / "v1-5.safetensors").read_bytes(), b"weights")
        self.assertEqual(set(self.proxy.hosts), {"civitai.com:443", "other.test:443"})
        self.assertEqual([token for _, _, token, _ in self.hub.requests], ["Bearer secret", "", "Bearer secret", ""])

    def test_a_redirect_to_an_address_without_encryption_is_refused(self):
        plain = Hub()
        self.addCleanup(plain.close)
        self.hub.fault = lambda handler, kind: kind == "file" and (handler.respond(302, Location=plain.url + handler.path) or True)
        self.assert_refused("an address without encryption", env={"SSL_CERT_FILE": self.certificate})
        self.assertEqual(plain.requests, [])


class Addresses(PullTest):
    def test_a_file_by_address_with_its_checksum(self):
        data = self.hub.files["v1-5.safetensors"]
        url = f"{self.hub.url}/org/model/resolve/{COMMIT}/v1-5.safetensors?download=true"
        self.assert_refused("does not have the expected checksum", url, "--sha256", "0" * 64)
        self.assert_pulled(url, "--sha256", hashlib.sha256(data).hexdigest())
        self.assertEqual((self.models / "v1-5.safetensors").read_bytes(), data)

    def test_the_name_comes_from_content_disposition_without_folders(self):
        def named(name):
            return lambda handler, kind: handler.respond(200, b"weights", Content_Disposition=f'attachment; filename="{name}"') or True
        for name in ("../../climb.safetensors", "..\\..\\climb.safetensors", "/etc/climb.safetensors"):
            self.hub.fault = named(name)
            self.assert_pulled(f"{self.hub.url}/api/download/models/7")
            self.assertEqual([path.name for path in self.models.iterdir() if not path.name.startswith(".")], ["climb.safetensors"])
            shutil.rmtree(self.models)
        for name in ("..", ".hidden.safetensors", "run.sh", "a\x01.safetensors"):
            self.hub.fault = named(name)
            self.assertNotEqual(self.pull(f"{self.hub.url}/api/download/models/7").returncode, 0, name)

    def test_a_file_by_address_that_changes_is_not_mixed_with_the_old_one(self):
        old, new = b"o" * 300_000, b"n" * 300_000
        versions = iter([("one", old), ("one", old[:100_000]), ("two", new), ("two", new)])

        def serve(handler, kind):
            etag, data = next(versions)
            handler.send_response(200)
            handler.send_header("Content-Length", "300000")
            handler.send_header("ETag", f'"{etag}"')
            handler.end_headers()
            handler.wfile.write(data)
            handler.wfile.flush()
            if len(data) < 300_000:
                handler.connection.close()
            return True
        self.hub.fault = serve
        self.assert_refused("has changed on the server", f"{self.hub.url}/x.safetensors")
        versions = iter([("two", new), ("two", new)])
        self.assert_pulled(f"{self.hub.url}/x.safetensors")
        self.assertEqual((self.models / "x.safetensors").read_bytes(), new)

    def test_addresses_without_encryption_or_length(self):
        self.assert_refused("not encrypted", "http://example.com/x.safetensors")
        self.hub.fault = lambda handler, kind: handler.respond(200, b"1\r\nx\r\n0\r\n\r\n", Transfer_Encoding="chunked") or True
        self.assert_refused("does not say how long", f"{self.hub.url}/x.safetensors")


class Faults(PullTest):
    def test_paths_that_climb_out(self):
        for path in ("../x.safetensors", "unet/../../x", "/etc/passwd", "unet//x", "a\\..\\b", "unet/\x1b[2J", "C:x", "unet/.hidden"):
            self.hub.files = checkpoint() | {path: b"x"}
            result = self.assert_refused("which easel does not write")
            self.assertIn("lists a file with the path", result.stderr)
            self.assertNotIn("\x1b", result.stderr)

    def test_tokens_stay_with_the_hub(self):
        other = self.start_hub()
        self.hub.fault = lambda handler, kind: kind == "file" and (handler.respond(302, Location=other.url + handler.path) or True)
        self.assert_pulled(env={"HF_TOKEN": "secret"})
        self.assert_whole()
        self.assertEqual({token for _, _, token, _ in self.hub.requests}, {"Bearer secret"})
        self.assertEqual({token for _, _, token, _ in other.requests}, {""})

    def test_pages_of_other_hosts_do_not_get_the_token(self):
        other = self.start_hub()
        self.hub.fault = lambda handler, kind: kind == "tree" and (handler.respond_json([], Link=f'<{other.url}/x>; rel="next"') or True)
        self.assert_refused("invalid pages", env={"HF_TOKEN": "secret"})
        self.assertEqual(other.requests, [])

    def test_redirects_without_end_or_to_other_schemes(self):
        for target, says in (("/loop", "redirects more than 5 times"), ("file:///etc/passwd", "invalid address"), ("ftp://127.0.0.1/x", "invalid address")):
            self.hub.fault = lambda handler, kind, target=target: kind == "file" and (handler.respond(302, Location=target) or True)
            self.assert_refused(says)

    def test_wrong_sizes_and_checksums(self):
        real = self.hub.files[UNET]
        for data, says in ((real[:-1], "expected 300000"), (real + b"x", "expected 300000"), (real[:-1] + b"x", "expected checksum"),
                           (b"<html>Please log in</html>", "expected 300000")):
            self.hub.fault = lambda handler, kind, data=data: kind == "file" and handler.path.endswith(UNET) and (handler.respond(200, data) or True)
            self.assert_refused(says)

    def test_a_file_that_changes_between_two_requests_is_fetched_again(self):
        real = self.hub.files[UNET]
        self.hub.fault = once(lambda handler: handler.respond(200, bytes(len(real))) or True)
        self.assertIn("fetching it once more", self.assert_pulled().stderr)
        self.assert_whole()

    def test_bodies_without_end(self):
        def endless(handler, kind):
            if kind != "file" or not handler.path.endswith(UNET):
                return False
            handler.respond(200, b"", Transfer_Encoding="chunked")
            while True:
                handler.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")
        self.hub.fault = endless
        self.assert_refused("more than the expected 300000 bytes")
        self.hub.fault = lambda handler, kind: kind == "tree" and (handler.respond(200, b"[" * (17 << 20)) or True)
        self.assert_refused("has more than")

    def test_breaks_are_survived(self):
        def cut(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "300000")
            handler.end_headers()
            handler.wfile.write(self.hub.files[UNET][:100_000])
            handler.wfile.flush()
            handler.connection.close()
            return True
        self.hub.fault = once(cut)
        self.assert_pulled()
        self.assert_whole()
        self.assertIn("bytes=100000-", {asked for _, path, _, asked in self.hub.requests if path.endswith(UNET)})

    def test_ranges_that_are_ignored_or_answered_wrongly(self):
        real = self.hub.files[UNET]
        answers = [lambda handler: handler.respond(200, real), lambda handler: handler.respond(206, real[:50], Content_Range="bytes 0-49/300000"),
                   lambda handler: handler.respond(206, real[100_000:]), lambda handler: handler.respond(416)]
        for answer in answers:
            state = []

            def fault(handler, kind, answer=answer, state=state):
                if kind != "file" or not handler.path.endswith(UNET) or len(state) > 1:
                    return False
                state.append(1)
                if len(state) == 2:
                    answer(handler)
                    return True
                handler.send_response(200)
                handler.send_header("Content-Length", "300000")
                handler.end_headers()
                handler.wfile.write(real[:100_000])
                handler.wfile.flush()
                handler.connection.close()
                return True
            self.hub.fault = fault
            self.assert_pulled()
            self.assert_whole()
            shutil.rmtree(self.models)

    def test_slow_bodies_end_with_a_sentence(self):
        def trickle(handler, kind):
            if kind != "file" or not handler.path.endswith(UNET):
                return False
            handler.send_response(200)
            handler.send_header("Content-Length", "300000")
            handler.end_headers()
            for _ in range(200):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.1)
            return True
        self.hub.fault = trickle
        begin = time.monotonic()
        self.assert_refused("(3 attempts)")
        self.assertLess(time.monotonic() - begin, 30)

    def test_overload_is_waited_out_unless_it_takes_too_long(self):
        for status, retry in ((429, "0"), (503, "0"), (500, None)):
            headers = {} if retry is None else {"Retry_After": retry}
            self.hub.fault = once(lambda handler, status=status, headers=headers: handler.respond(status, **headers) or True)
            self.assert_pulled()
            shutil.rmtree(self.models)
        self.hub.fault = lambda handler, kind: handler.respond(429, Retry_After="3600") or True
        self.assert_refused("asks to wait 3600 seconds")
        self.hub.fault = lambda handler, kind: handler.respond(502) or True
        self.hub.requests.clear()
        self.assert_refused("status 502 (3 attempts)")
        self.assertEqual(len(self.hub.requests), 3)

    def test_refusals_say_what_to_do(self):
        def refuse(status, **headers):
            return lambda handler, kind: handler.respond(status, **headers) or True
        for fault, says in ((refuse(401), "set HF_TOKEN"), (refuse(401, X_Error_Code="GatedRepo"), f"accept them at {self.hub.url}/org/model"),
                            (refuse(403), f"accept them at {self.hub.url}/org/model"), (refuse(404), "no such repository"), (refuse(418), "status 418")):
            self.hub.fault = fault
            result = self.assert_refused(says, env={"HF_TOKEN": ""})
        self.hub.fault = refuse(401)
        result = self.assert_refused("check HF_TOKEN", env={"HF_TOKEN": "hidden"})
        self.assertNotIn("hidden", result.stderr + result.stdout)

    def test_descriptions_that_are_not_what_the_api_promises(self):
        for kind, body in (("revision", b"<html>"), ("revision", b"{}"), ("revision", b'{"sha": "../x"}'), ("revision", b"[" * 100_000), ("tree", b"{}"),
                           ("tree", b'[{"type": "file", "path": "model_index.json", "oid": "x", "size": 1}]'),
                           ("tree", b'[{"type": "file", "path": "model_index.json", "oid": "' + b"0" * 40 + b'", "size": -1}]')):
            self.hub.fault = lambda handler, found, kind=kind, body=body: found == kind and (handler.respond(200, body) or True)
            self.assert_refused("the hub's description of org/model")

    def test_a_listing_of_a_million_files(self):
        page = [{"type": "file", "path": f"a{i}.safetensors", "oid": "0" * 40, "size": 1} for i in range(10_000)]
        self.hub.fault = lambda handler, kind: kind == "tree" and (
            handler.respond_json(page, Link=f'<{self.hub.url}/api/models/org/model/tree/{COMMIT}?again>; rel="next"') or True)
        self.assert_refused("lists more than 20000 files")

    def test_a_repository_without_a_model(self):
        self.hub.files = {"a.safetensors": b"x", "b.safetensors": b"x"}
        self.assert_refused("e.g. :a.safetensors, :b.safetensors")

    def test_an_absurd_size_is_refused_before_anything_is_fetched(self):
        tree = self.hub.tree()
        for entry in tree:
            if entry["path"] == UNET:
                entry["lfs"]["size"] = 1 << 60
        self.hub.tree = lambda: tree
        self.assert_refused("MiB left")
        self.assertEqual(self.hub.bytes_sent, 0)


class Serving(PullTest):
    """easel serve and easel draw with models by name."""

    def setUp(self):
        super().setUp()
        emoji = ROOT / "models/emoji"
        self.hub.files = {str(path.relative_to(emoji)): path.read_bytes() for path in emoji.rglob("*") if path.is_file()}

    def serve(self, *args):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        process = subprocess.Popen(self.command("serve", "--port", str(self.port), *args), env=self.environment(), stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def ask(self, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body and json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except urllib.error.URLError:
            return 0, {}

    def await_status(self, wanted):
        for _ in range(600):
            status, body = self.ask("/ready")
            if body.get("status") == wanted:
                return status, body
            time.sleep(0.05)
        self.fail(f"/ready does not become {wanted}: {body}")

    def test_a_missing_model_is_downloaded_while_ready_reports_the_progress(self):
        release = threading.Event()
        self.hub.fault = lambda handler, kind: kind == "file" and handler.path.endswith(".safetensors") and release.wait(60) and False
        process = self.serve("--model", "org/model")
        status, body = self.await_status("downloading")
        self.assertEqual((status, body["model"], body["ready"]), (503, "org/model", False))
        status, body = self.ask("/v1/images/generations", {"prompt": "a cat"})
        self.assertEqual(status, 503)
        self.assertIn("org/model is still being downloaded", body["error"]["message"])
        self.assertEqual(self.ask("/health")[0], 200)
        release.set()
        self.await_status("ready")
        status, body = self.ask("/v1/images/generations", {"prompt": "a cat", "num_inference_steps": 1})
        self.assertEqual(status, 200, body)
        self.assertEqual([model["id"] for model in self.ask("/v1/models")[1]["data"]], ["model"])
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 0)

    def test_what_was_pulled_is_found_by_its_name_without_the_hub(self):
        self.assert_pulled("org/model")
        self.hub.requests.clear()
        image = self.models.parent / "cat.png"
        result = self.run_easel("draw", "a cat", "-o", str(image), "--steps", "1", "--model", "org/model")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(image.read_bytes().startswith(b"\x89PNG"))
        self.serve("--model", "other=org/model")
        self.await_status("ready")
        self.assertEqual(self.ask("/v1/models")[1]["data"][0]["id"], "other")
        self.assertEqual(self.hub.requests, [])

    def test_commands_that_do_not_download_say_how_to(self):
        result = self.run_easel("models", "--model", "org/model")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("easel pull org/model", result.stderr)

    def test_a_misspelt_path_is_not_asked_for(self):
        (self.models / "known").mkdir(parents=True)
        result = subprocess.run([EASEL, "serve", "--model", "models/knwon"], capture_output=True, text=True, timeout=60, env=self.environment(),
                                cwd=self.models.parent, check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(self.hub.requests, [])

    def test_a_failed_download_ends_the_server_with_its_reason(self):
        self.hub.fault = lambda handler, kind: handler.respond(404) or True
        process = self.serve("--model", "org/model")
        self.assertEqual(process.wait(60), 1)
        self.assertIn("no such repository", process.stderr.read())

    def test_a_signal_ends_a_download_that_waits(self):
        release = threading.Event()
        self.addCleanup(release.set)
        self.hub.fault = lambda handler, kind: kind == "file" and release.wait(60) and False
        process = self.serve("--model", "org/model")
        self.await_status("downloading")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)

    def test_models_are_found_in_the_data_folder_of_the_user(self):
        home = self.models.parent / "home"
        work = self.models.parent / "work"
        work.mkdir()
        environment = self.environment(XDG_DATA_HOME=str(home))
        result = subprocess.run([EASEL, "pull", "org/model"], capture_output=True, text=True, timeout=60, env=environment, cwd=work, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue((home / "easel/models/model/model_index.json").is_file())
        listed = subprocess.run([EASEL, "models"], capture_output=True, text=True, timeout=60, env=environment, cwd=work, check=False)
        self.assertIn(f"folder      {home}/easel/models/model", listed.stdout)
        (work / "models").mkdir()
        subprocess.run([EASEL, "pull", "org/model"], capture_output=True, timeout=60, env=environment, cwd=work, check=True)
        self.assertTrue((work / "models/model/model_index.json").is_file(), "./models comes first where it exists")


class Killed(PullTest):
    def test_kill_at_random_moments_leaves_the_model_absent_or_whole(self):
        size, kills = 50_000_000, 20
        self.hub.files = checkpoint(weight_bytes=size)
        total = sum(len(self.hub.files[name]) for name in PLAIN - {".easel-pull.json"})
        self.hub.pause = 0.001
        random_moments = random.Random(7)
        resumed = 0
        for _ in range(kills):
            process = subprocess.Popen(self.command("pull", "org/model"), env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            timer = threading.Timer(random_moments.uniform(0.05, 2), process.send_signal, [signal.SIGKILL])
            timer.start()
            process.wait(60)
            timer.cancel()
            if (self.models / "model").exists():
                self.assert_whole()
                shutil.rmtree(self.models)
                continue
            staged = sum(path.stat().st_size for path in self.models.rglob("*") if path.is_file()) if self.models.exists() else 0
            before = self.hub.bytes_sent
            self.assert_pulled()
            self.assert_whole()
            if staged > 1_000_000:
                resumed += 1
                self.assertLess(self.hub.bytes_sent - before, total - staged // 2, "the next pull fetches less than the whole")
            shutil.rmtree(self.models)
        print(f"{kills} kills, {resumed} resumed", file=sys.stderr)
        self.assertGreater(resumed, 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=1)
