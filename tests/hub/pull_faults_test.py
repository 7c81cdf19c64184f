"""`easel pull` from a hub that is hostile, slow or broken, and killed meanwhile.  usage: pull_faults_test.py EASEL"""
import email.utils
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

from hostile_hub import COMMIT, checkpoint
from pull_case import PLAIN, UNET, PullTest, once


class Faults(PullTest):
    def test_paths_that_climb_out(self):
        for path in ("../x.safetensors", "unet/../../x", "/etc/passwd", "unet//x", "a\\..\\b", "unet/\x1b[2J", "C:x", "unet/.hidden/../x",
                     ".hidden/..", "./x", ".hidden\\x"):
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

    def test_what_is_not_http_or_leads_nowhere(self):
        def send(text):
            return lambda handler, kind: kind == "file" and (handler.wfile.write(text) and False or setattr(handler, "close_connection", True) or True)
        self.hub.fault = send(b"hello\r\n")
        self.assert_refused("127.0.0.1 does not answer in HTTP (3 attempts)")
        self.hub.fault = send(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")
        self.assert_refused("redirects to an invalid address")

    def test_sizes_whose_sum_is_too_large(self):
        tree = self.hub.tree()
        for size in (2**64 - 1, 2**63):
            for entry in tree:
                if entry["path"] in (UNET, "vae/diffusion_pytorch_model.safetensors"):
                    entry["lfs"]["size"] = size
            self.hub.tree = lambda: tree
            self.assert_refused("MiB left")
        self.assertEqual(self.fetched(), {"model_index.json"})

    def test_something_else_in_place_of_an_unfinished_file(self):
        partial = self.models / ".easel/model" / (UNET + ".partial")
        for make, says in ((os.mkfifo, "is in the way"), (lambda path: path.symlink_to("/etc/passwd"), "cannot write"), (pathlib.Path.mkdir, "cannot write")):
            def replace(handler, kind, make=make):
                if kind == "file" and handler.path.endswith("unet/config.json"):
                    make(partial)
                return False
            self.hub.fault = replace
            self.assert_refused(says)
            shutil.rmtree(self.models)

    def test_what_is_still_of_use_is_kept_when_a_repository_changes(self):
        broken = lambda handler, kind: kind == "file" and "refiner" in handler.path and handler.path.endswith(UNET)
        self.hub.fault = lambda handler, kind: broken(handler, kind) and (handler.respond(500) or True)
        self.assert_refused("status 500", "sdxl-refined")
        newer = "f" * 40
        self.hub.requests.clear()

        def moved(handler, kind):
            if kind == "revision" and "refiner" in handler.path:
                handler.respond_json({"sha": newer, "cardData": {"license": "openrail"}})
            elif kind == "file" and newer in handler.path:
                handler.send_file(self.hub.files, handler.path.partition(f"/{newer}/")[2])
            else:
                return False
            return True
        self.hub.fault = moved
        self.assert_pulled("sdxl-refined")
        fetched = {path for kind, path, *_ in self.hub.requests if kind == "file" and not path.endswith("model_index.json")}
        refiner = f"/stabilityai/stable-diffusion-xl-refiner-1.0/resolve/{newer}/"
        self.assertIn(refiner + UNET, fetched)
        self.assertNotIn(refiner + "text_encoder/model.safetensors", fetched, "it was there before, and has not changed")
        self.assertTrue(all(path.startswith(refiner) or not self.hub.files[path.partition("/resolve/")[2].partition("/")[2]] for path in fetched), fetched)

    def test_another_dtype_keeps_what_it_shares_with_the_first(self):
        vae = "vae/diffusion_pytorch_model.safetensors"
        self.hub.fault = lambda handler, kind: kind == "file" and handler.path.endswith(vae) and (handler.respond(500) or True)
        self.assert_refused("status 500")
        self.hub.fault = None
        self.hub.requests.clear()
        self.assert_pulled("org/model", "--dtype", "float16")
        self.assertNotIn("text_encoder/model.safetensors", self.fetched())
        self.assert_whole(PLAIN - {UNET} | {"unet/diffusion_pytorch_model.fp16.safetensors"})

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
        for header in (email.utils.formatdate(time.time() + 3600, usegmt=True), "9" * 30):
            self.hub.fault = lambda handler, kind, header=header: handler.respond(429, Retry_After=header) or True
            self.assert_refused("asks to wait")
        for header in ("-5", "soon", email.utils.formatdate(time.time() - 3600, usegmt=True)):
            self.hub.fault = once(lambda handler, header=header: handler.respond(429, Retry_After=header) or True)
            self.assert_pulled()
            shutil.rmtree(self.models)
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

    def test_settings_of_the_hub_that_cannot_be_right(self):
        for endpoint in ("hub.test", "ftp://hub.test", "https://", "not an address"):
            self.assert_refused(f'HF_ENDPOINT is "{endpoint.rstrip("/")}"', env={"HF_ENDPOINT": endpoint, "HF_TOKEN": "secret"})
        self.assert_pulled(env={"HF_TOKEN": " secret\n"})
        self.assertEqual({token for _, _, token, _ in self.hub.requests}, {"Bearer secret"})

    def test_terms_of_a_model_are_named_with_their_page_where_only_files_are_refused(self):
        for status, name in ((401, "org/model"), (403, "org/model"), (401, "org/model:v1-5.safetensors"), (403, "org/model:v1-5.safetensors")):
            self.hub.fault = lambda handler, kind, status=status: kind == "file" and (handler.respond(status, X_Error_Code="GatedRepo") or True)
            self.assert_refused(f"accept them at {self.hub.url}/org/model and set HF_TOKEN", name)

    def test_an_index_that_is_not_what_the_listing_says(self):
        for body, says in ((b"{}", "does not have the expected checksum"), (b"x" * (2 << 20), "has more than 1048576 bytes")):
            self.hub.fault = lambda handler, kind, body=body: kind == "file" and (handler.respond(200, body) or True)
            self.assert_refused(says)
        for index in (b"<html>", b"[]", b"[" * 1000, b'{"a": ' * 1000):
            self.hub.fault, self.hub.files["model_index.json"] = None, index
            self.assert_refused("org/model: model_index.json is")

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
        self.hub.files["a.safetensors"] = b""
        self.assert_refused("a.safetensors is empty", "org/model:a.safetensors")

    def test_an_absurd_size_is_refused_before_anything_is_fetched(self):
        tree = self.hub.tree()
        for entry in tree:
            if entry["path"] == UNET:
                entry["lfs"]["size"] = 1 << 60
        self.hub.tree = lambda: tree
        self.assert_refused("MiB left")
        self.assertEqual(self.fetched(), {"model_index.json"})


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
