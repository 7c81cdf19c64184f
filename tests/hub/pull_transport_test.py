"""`easel pull` over https, through proxies, and by addresses.  usage: pull_transport_test.py EASEL"""
import hashlib
import shutil
import ssl
import subprocess
import sys
import unittest

from hostile_hub import COMMIT, Hub, Proxy
from pull_case import UNET, PullTest


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

    def test_refusals_of_civitai_name_its_token(self):
        address = "https://civitai.com/api/download/models/7"
        for token, says in (("", "set CIVITAI_TOKEN"), ("secret", "check CIVITAI_TOKEN")):
            environment = {"SSL_CERT_FILE": self.certificate, "HTTPS_PROXY": self.proxy.url, "CIVITAI_TOKEN": token}
            self.hub.fault = lambda handler, kind: handler.respond(401) or True
            self.assert_refused(says, address, env=environment)
            self.hub.fault = lambda handler, kind: handler.respond(200, b"<html>log in", Content_Type="text/html") or True
            result = self.assert_refused(says, address, env=environment)
            self.assertNotIn("secret", result.stderr)

    def test_a_redirect_to_an_address_without_encryption_is_refused(self):
        plain = Hub()
        self.addCleanup(plain.close)
        self.hub.fault = lambda handler, kind: kind == "file" and (handler.respond(302, Location=plain.url + handler.path) or True)
        self.assert_refused("an address without encryption", env={"SSL_CERT_FILE": self.certificate})
        self.assertEqual(plain.requests, [])


class Addresses(PullTest):
    def test_a_file_by_address_with_its_checksum(self):
        data = self.hub.files["v1-5.safetensors"]
        url = f"{self.hub.url}/mirror/org/model/resolve/{COMMIT}/v1-5.safetensors?download=true"
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

    def test_names_of_files_in_every_form(self):
        for header, path, expected in ((None, "my%20model%20%28v1%29.safetensors", "my model (v1).safetensors"),
                                       ("attachment; filename*=UTF-8''na%C3%AFve.safetensors", "7", "na\u00efve.safetensors"),
                                       ("attachment; filename=\"plain.safetensors\"; filename*=UTF-8''better.safetensors", "7", "better.safetensors"),
                                       ('Attachment; FileName="dream.safetensors"', "7", "dream.safetensors")):
            headers = {} if header is None else {"Content_Disposition": header}
            self.hub.fault = lambda handler, kind, headers=headers: handler.respond(200, b"weights", **headers) or True
            self.assert_pulled(f"{self.hub.url}/api/download/models/{path}")
            self.assertEqual([path.name for path in self.models.iterdir() if not path.name.startswith(".")], [expected])
            shutil.rmtree(self.models)
        for name in ("..%2f..%2fclimb.safetensors", "%2e%2e", ".hidden.safetensors"):
            self.hub.fault = lambda handler, kind, name=name: handler.respond(200, b"x", Content_Disposition=f"attachment; filename*=UTF-8''{name}") or True
            self.pull(f"{self.hub.url}/api/download/models/7")
            self.assertEqual([path for path in self.models.parent.rglob("*.safetensors") if path.name != "climb.safetensors" or path.parent != self.models], [])

    def test_a_page_in_place_of_a_file_is_refused(self):
        for kind_of_page in ("text/html; charset=utf-8", "application/json"):
            self.hub.fault = lambda handler, kind, type=kind_of_page: handler.respond(200, b"<!doctype html>log in", Content_Type=type) or True
            self.assert_refused("leads to a page", f"{self.hub.url}/x.safetensors")
        self.assertEqual([path for path in self.models.rglob("*") if path.is_file()], [])

    def test_secrets_in_an_address_are_neither_shown_nor_kept(self):
        self.hub.fault = lambda handler, kind: handler.respond(200, b"w", Content_Disposition="attachment; filename=w.safetensors") or True
        address = f"{self.hub.url}/api/download/models/7?type=Model&token=SECRET"
        result = self.assert_pulled(address)
        record = (self.models / ".w.safetensors.easel-pull.json").read_text()
        self.assertNotIn("SECRET", result.stdout + result.stderr + record)
        self.assertIn("type=Model&token=***", record)
        self.assertIn("is complete already", self.assert_pulled(address).stdout)
        self.assertEqual(self.run_easel("rm", "w.safetensors").returncode, 0)
        for status in (401, 404, 500):
            self.hub.fault = lambda handler, kind, status=status: handler.respond(status) or True
            self.assertNotIn("SECRET", self.assert_refused(f"status {status}", address).stderr)

    def test_a_file_by_address_that_changes_is_not_mixed_with_the_old_one(self):
        for validator in ("ETag", "Last-Modified"):
            self.change_meanwhile(validator)
            shutil.rmtree(self.models)

    def change_meanwhile(self, validator):
        old, new = b"o" * 300_000, b"n" * 300_000
        versions = iter([("one", old), ("one", old[:100_000]), ("two", new), ("two", new)])

        def serve(handler, kind):
            etag, data = next(versions)
            handler.send_response(200)
            handler.send_header("Content-Length", "300000")
            handler.send_header(validator, f'"{etag}"')
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
        self.hub.fault = lambda handler, kind: handler.respond(200) or True
        self.assert_refused("x.safetensors is empty on the server", f"{self.hub.url}/x.safetensors")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=1)
