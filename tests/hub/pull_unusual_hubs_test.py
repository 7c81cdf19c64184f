"""`easel pull` from hubs that are unusual, but not broken, and what it refuses of them.  usage: pull_unusual_hubs_test.py EASEL"""
import gzip
import json
import shutil
import sys
import unittest
import urllib.parse

from hostile_hub import COMMIT
from pull_case import PLAIN, UNET, PullTest

SHARDS = [f"unet/diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
INDEX = "unet/diffusion_pytorch_model.safetensors.index.json"


class Listings(PullTest):
    def test_pages_are_followed_by_their_relation_wherever_it_stands(self):
        entries = self.hub.tree()

        def pages(handler, kind):
            if kind != "tree":
                return False
            path, _, query = handler.path.partition("?")
            page = int(dict(urllib.parse.parse_qsl(query)).get("cursor", 0))
            last = (len(entries) - 1) // 7
            links = [f'<{self.hub.url}{path}?cursor=0>; rel="first"', f'<{path}?cursor={page + 1}>; title="a, b"; rel=next', f'<?cursor={last}>; rel="last"']
            handler.respond_json(entries[page * 7:page * 7 + 7], Link=", ".join(links if page < last else links[::2]))
            return True
        self.hub.fault = pages
        self.assert_pulled()
        self.assert_whole()

    def test_names_that_no_model_needs_are_passed_over(self):
        self.hub.files |= {name: b"x" for name in ("samples/" + "a red fox, " * 21 + ".png", "samples/2026-11-30 12:00:00.png",
                                                   "unet/" + "\u00e9" * 120 + ".safetensors", "UNET/config.json", "unet/Config.json")}
        self.assert_pulled()
        self.assert_whole()

    def test_files_with_names_of_every_kind(self):
        for name in ("100%25 #1?&b=c;d.safetensors", "na\u00efve \U0001f98a+b it's \"q\" $x.safetensors"):
            self.hub.files = {name.upper().replace(".SAFETENSORS", ".safetensors"): b"another"} | {name: name.encode()}
            self.assert_pulled(f"org/model:{name}")
            self.assertEqual((self.models / name).read_bytes(), name.encode())

    def test_licences_are_a_name_or_several(self):
        for card, shown in (({"license": ["mit", "openrail"]}, "mit, openrail"), ({"license": "other", "license_name": "flux-1-dev"}, "flux-1-dev"),
                            ({"license": 7}, "not stated")):
            self.hub.fault = lambda handler, kind, card=card: kind == "revision" and (handler.respond_json({"sha": COMMIT, "cardData": card}) or True)
            self.assertIn(f"licence: {shown})", self.assert_pulled().stdout)
            self.assertEqual(json.loads((self.models / "model/.easel-pull.json").read_text())["licence"], "" if "not" in shown else shown)
            shutil.rmtree(self.models)


class Shards(PullTest):
    def setUp(self):
        super().setUp()
        self.hub.files = {name: data for name, data in self.hub.files.items() if not name.startswith("unet/diffusion")}

    def set_index(self, *shards):
        self.hub.files[INDEX] = json.dumps({"weight_map": {f"tensor{i}": shard for i, shard in enumerate(shards)}}).encode()

    def test_an_index_without_all_of_its_shards_is_refused_before_weights_are_fetched(self):
        self.hub.files[SHARDS[1]] = b"x"
        names = [name.rpartition("/")[2] for name in SHARDS]
        self.set_index(*names)
        self.assert_refused(f"has {INDEX} but not the shard {names[0]}")
        self.hub.files[SHARDS[0]] = b"x"
        for other in ("elsewhere.safetensors", "../vae/diffusion_pytorch_model.safetensors"):
            self.set_index(*names, other)
            self.assert_refused(f'"tensor2" is in "{other}", which is not a shard of it')
        self.hub.files[INDEX] = b"{}"
        self.assert_refused("has no `weight_map`")
        self.assertEqual({name for name in self.fetched() if name.endswith(".safetensors")}, set())

    def test_shards_of_an_earlier_division_do_not_matter(self):
        self.hub.files |= {name: name.encode() for name in SHARDS} | {"unet/diffusion_pytorch_model-00003-of-00003.safetensors": b"old"}
        self.set_index(*(name.rpartition("/")[2] for name in SHARDS))
        self.assert_pulled()
        self.assert_whole(PLAIN - {UNET} | {INDEX, *SHARDS})

    def test_an_index_without_shards_stands_for_nothing(self):
        self.set_index("x")
        self.assert_refused("`unet` has no weights that easel reads")
        self.hub.files["unet/diffusion_pytorch_model.bin"] = b"pickle"
        self.assertIn("easel convert", self.assert_pulled().stdout)


class Transfers(PullTest):
    def test_encodings_that_were_not_asked_for_are_refused(self):
        asked = []
        for kind, name in (("revision", "org/model"), ("file", f"{self.hub.url}/x.safetensors")):

            def compress(handler, found, kind=kind):
                asked.append(handler.headers["Accept-Encoding"])
                return found == kind and (handler.respond(200, gzip.compress(b"weights"), Content_Encoding="gzip") or True)
            self.hub.fault = compress
            self.assert_refused('127.0.0.1 responds in the encoding "gzip"', name)
            self.assertEqual(asked.pop(), "identity")
        self.assertEqual(list(self.models.rglob("*.safetensors")), [])

    def test_parts_that_are_shorter_than_asked_for_are_put_together(self):
        data = self.hub.files[UNET]
        asked = []

        def parts(handler, kind):
            if kind != "file" or not handler.path.endswith(UNET):
                return False
            begin = int(handler.headers.get("Range", "bytes=0-")[6:-1])
            asked.append(begin)
            if begin == 0:
                handler.respond(200, data[:100_000], Content_Length=str(len(data)))
                handler.close_connection = True
            else:
                end = min(begin + 150_000, len(data))
                handler.respond(206, data[begin:end], Content_Range=f"bytes {begin}-{end - 1}/{'*' if len(asked) == 2 else len(data)}")
            return True
        self.hub.fault = parts
        self.assert_pulled()
        self.assert_whole()
        self.assertEqual(asked, [0, 100_000, 250_000])

    def test_a_part_of_a_file_of_another_length_is_refused(self):
        def parts(handler, kind):
            if kind != "file" or not handler.path.endswith(UNET):
                return False
            if "Range" in handler.headers:
                handler.respond(206, b"x" * 200_000, Content_Range="bytes 100000-299999/400000")
            else:
                handler.respond(200, self.hub.files[UNET][:100_000], Content_Length="300000")
                handler.close_connection = True
            return True
        self.hub.fault = parts
        self.assert_refused("has 400000 bytes, expected 300000")

    def test_overload_without_a_time_to_wait_and_redirects_by_paths(self):
        asked = []

        def fault(handler, kind):
            if not handler.path.partition("?")[0].endswith(UNET):
                return False
            asked.append(handler.path)
            if len(asked) == 1:
                handler.respond(429)
            elif len(asked) == 2:
                handler.respond(307, Location=f"../../elsewhere/./{UNET}?signature=a%2Bb")
            else:
                handler.respond(200, self.hub.files[UNET])
            return True
        self.hub.fault = fault
        self.assert_pulled()
        self.assert_whole()
        self.assertEqual(asked[2:], [f"/org/model/resolve/elsewhere/{UNET}?signature=a%2Bb"])

    def test_a_version_that_is_not_text_is_kept(self):
        self.hub.fault = lambda handler, kind: handler.respond(200, b"weights", ETag="caf\u00e9") or True
        address = f"{self.hub.url}/x.safetensors"
        self.assert_pulled(address)
        self.assertIn("is complete already", self.assert_pulled(address).stdout)

    def test_passwords_of_the_endpoint_are_not_shown(self):
        self.hub.fault = lambda handler, kind: handler.respond(403) or True
        endpoint = self.hub.url.replace("://", "://user:hidden@")
        for wrong in (endpoint, endpoint.replace("http", "ftp")):
            result = self.assert_refused("127.0.0.1", env={"HF_ENDPOINT": wrong})
            self.assertNotIn("hidden", result.stdout + result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=1)
