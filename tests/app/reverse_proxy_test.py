"""The configurations of docs/guide/reverse-proxy.md, with the real nginx and Caddy.

usage: reverse_proxy_test.py EASEL MODEL_FOLDER PAGE NGINX CADDY
"""
import json
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))
from server import Server

EASEL, MODEL, PAGE, NGINX, CADDY = sys.argv[1:6]
NAME = "pics.example"
CLIENT = "127.0.0.2"  # so that it differs from the proxy, which calls from 127.0.0.1
KEY = "0123456789abcdef0123456789abcdef"
START_SECONDS = 20


def block(language):
    return re.search(rf"```{language}\n(.*?)```", pathlib.Path(PAGE).read_text(encoding="utf-8"), re.DOTALL).group(1)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def replaced(text, *pairs):
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def noise_png(edge):
    """An image whose file is about as large as its pixels."""
    state, rows = 1, []
    for _ in range(edge):
        row = bytearray(1)
        while len(row) < 3 * edge + 1:
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            row += state.to_bytes(8, "little")
        rows.append(bytes(row[: 3 * edge + 1]))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(rows), 0)) + chunk(b"IEND", b"")


class Proxy:
    """One of the proxies, with the configuration of the page; names, ports and certificates are those of the test."""

    def __init__(self, folder, easel_port):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.easel_port = easel_port
        self.certificate, self.key = self.folder / "cert.pem", self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}", "-addext",
                        f"subjectAltName=DNS:{NAME}", "-keyout", str(self.key), "-out", str(self.certificate)], check=True, capture_output=True)
        self.log = (self.folder / "proxy.log").open("wb")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log, cwd=folder,
                                        env={"HOME": folder, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder})
        self.wait_until_it_listens()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()

    def wait_until_it_listens(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "proxy.log").read_text(errors="replace"))

    def ask(self, path, body, headers):
        """The status, the headers in lower case and the JSON of a POST."""
        fields = {"Host": f"{NAME}:{self.port}", "Content-Length": len(body), "Connection": "close", **headers}
        head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        context = ssl.create_default_context(cafile=str(self.certificate))
        with socket.create_connection(("127.0.0.1", self.port), timeout=60, source_address=(CLIENT, 0)) as plain:
            with context.wrap_socket(plain, server_hostname=NAME) as secure:
                secure.sendall(head.encode() + body)
                reply = b""
                while part := secure.recv(65536):
                    reply += part
        top, _, content = reply.partition(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        names = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if names.get("transfer-encoding") == "chunked":
            content = self.without_chunks(content)
        return int(first.split()[1]), names, json.loads(content)

    @staticmethod
    def without_chunks(content):
        whole = b""
        while content:
            size, _, content = content.partition(b"\r\n")
            whole += content[: int(size, 16)]
            content = content[int(size, 16) + 2:]
        return whole

    def draw(self, **headers):
        body = json.dumps({"prompt": "a fox", "size": "64x64", "steps": 1}).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("/v1/images/generations", body, {"Content-Type": "application/json", **named})

    def edit(self, image):
        boundary = "a-boundary"
        fields = {"prompt": "a fox", "size": "64x64", "steps": "4"}
        form = b"".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items())
        form += f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'.encode() + image
        form += f"\r\n--{boundary}--\r\n".encode()
        return self.ask("/v1/images/edits", form, {"Content-Type": f"multipart/form-data; boundary={boundary}"})


class Nginx(Proxy):
    def command(self):
        text = replaced(block("nginx"), ("listen 443", f"listen 127.0.0.1:{self.port}"), ("/etc/ssl/pics.example.pem", str(self.certificate)),
                        ("/etc/ssl/pics.example.key", str(self.key)), ("127.0.0.1:9225", f"127.0.0.1:{self.easel_port}"))
        folders = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        configuration = self.folder / "nginx.conf"
        configuration.write_text(f"daemon off;\nmaster_process off;\npid {self.folder}/pid;\nerror_log stderr;\nevents {{}}\n"
                                 f"http {{\naccess_log off;\n{folders}{text}}}\n")
        return [NGINX, "-p", str(self.folder), "-c", str(configuration)]


class Caddy(Proxy):
    def command(self):
        text = replaced(block("caddy"), ("pics.example {", f"https://{NAME}:{self.port} {{\n  tls {self.certificate} {self.key}"),
                        ("127.0.0.1:9225", f"127.0.0.1:{self.easel_port}"))
        configuration = self.folder / "Caddyfile"
        configuration.write_text(f"{{\n  admin off\n  auto_https disable_redirects\n}}\n{text}")
        return [CADDY, "run", "--config", str(configuration), "--adapter", "caddyfile"]


class ReverseProxy:
    def serve(self, *flags):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        server = self.enterContext(Server(EASEL, MODEL, 0, pathlib.Path(folder.name, "easel.log"), *flags))
        return server, self.enterContext(self.kind(folder.name, server.port))

    def enterContext(self, manager):  # Python 3.11 has it in unittest
        result = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return result

    def test_without_keys(self):
        server, proxy = self.serve("--trusted-proxies", "127.0.0.1", "--allow-host", NAME)
        status, headers, body = proxy.draw(Origin=f"https://{NAME}:{proxy.port}")
        self.assertEqual(status, 200, body)
        self.assertEqual(headers["access-control-allow-origin"], f"https://{NAME}:{proxy.port}")
        server.wait_for(f"status=200 account={re.escape(CLIENT)} ")
        self.assertEqual(proxy.draw(Origin="https://evil.example")[0], 403)

    def test_headers_of_the_client_are_not_believed(self):
        server, proxy = self.serve("--trusted-proxies", "127.0.0.1", "--allow-host", NAME, "--local-operator")
        status, _, body = proxy.draw(X_Forwarded_For="203.0.113.9", X_Forwarded_Host="evil.example")
        self.assertEqual(status, 200, body)
        server.wait_for(f"status=200 account={re.escape(CLIENT)} ")
        self.assertEqual(proxy.draw(x_easel_priority="1", X_Forwarded_For="127.0.0.1")[0], 403)

    def test_name_has_to_be_allowed_without_keys(self):
        _, proxy = self.serve("--trusted-proxies", "127.0.0.1")
        status, _, body = proxy.draw(X_Forwarded_Host="localhost")
        self.assertEqual((status, body["error"]["code"]), (403, "host_not_allowed"))

    def test_with_keys(self):
        _, proxy = self.serve("--trusted-proxies", "127.0.0.1", "--api-key", KEY)
        self.assertEqual(proxy.draw()[0], 401)
        self.assertEqual(proxy.draw(Authorization=f"Bearer {KEY}")[0], 200)

    def test_large_upload(self):
        _, proxy = self.serve("--trusted-proxies", "127.0.0.1", "--allow-host", NAME)
        image = noise_png(1600)
        self.assertGreater(len(image), 7_000_000)
        status, _, body = proxy.edit(image)
        self.assertEqual(status, 200, body)


class NginxTest(ReverseProxy, unittest.TestCase):
    kind = Nginx


class CaddyTest(ReverseProxy, unittest.TestCase):
    kind = Caddy


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
