"""A small hub for tests, with the API of Hugging Face, that misbehaves on request.

A Hub serves one repository, org/model, on a free port of loopback. `fault` is called before each response with the
request handler and the kind of request ("revision", "tree" or "file") and may send a response of its own; then it
returns True.
"""
import hashlib
import http.server
import json
import random
import socket
import threading
import time
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_id(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


INDEX = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1", "unet": ["diffusers", "UNet2DConditionModel"],
         "vae": ["diffusers", "AutoencoderKL"], "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
         "scheduler": ["diffusers", "DDIMScheduler"], "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
         "feature_extractor": [None, None], "requires_safety_checker": True}


def checkpoint(weight_bytes=300_000, seed=1):
    """The files of a repository in the layout of diffusers, with files that a model does not need."""
    bits = random.Random(seed)
    weights = bits.randbytes
    return {
        "model_index.json": json.dumps(INDEX).encode(), "README.md": b"---\nlicense: openrail\n---\n",
        ".gitattributes": b"*.safetensors filter=lfs\n", "sample.png": b"\x89PNG", "v1-5.safetensors": weights(1000), "v1-5.ckpt": weights(1000),
        "unet/config.json": b"{}", "unet/diffusion_pytorch_model.safetensors": weights(weight_bytes),
        "unet/diffusion_pytorch_model.fp16.safetensors": weights(weight_bytes // 2), "unet/diffusion_pytorch_model.bin": weights(1000),
        "unet/diffusion_pytorch_model.non_ema.safetensors": weights(1000), "unet/model.onnx": weights(1000), "unet/flax_model.msgpack": weights(1000),
        "vae/config.json": b"{}", "vae/diffusion_pytorch_model.safetensors": weights(5000), "tokenizer/vocab.json": b"{}", "tokenizer/merges.txt": b"",
        "text_encoder/config.json": b"{}", "text_encoder/model.safetensors": weights(5000), "scheduler/scheduler_config.json": b"{}",
        "vae_1_0/config.json": b"{}", "vae_1_0/diffusion_pytorch_model.safetensors": weights(5000), "vae_encoder/config.json": b"{}",
        "vae_encoder/model.onnx": weights(1000), "safety_checker/config.json": b"{}", "safety_checker/model.safetensors": weights(1000),
    }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def respond(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if not any(name.lower() in ("content_length", "transfer_encoding") for name in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def respond_json(self, value, **headers):
        self.respond(200, json.dumps(value).encode(), Content_Type="application/json", **headers)

    def do_GET(self):
        hub = self.server.hub
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        kind = "revision" if "/revision/" in path else "tree" if "/tree/" in path else "file"
        with hub.lock:
            hub.requests.append((kind, path, self.headers.get("Authorization", ""), self.headers.get("Range", "")))
        try:
            if hub.fault is not None and hub.fault(self, kind):
                return
            if kind == "revision":
                self.respond_json({"sha": COMMIT, "cardData": {"license": "openrail"}})
            elif kind == "tree":
                self.send_tree(hub)
            else:
                self.send_file(hub.files, path.partition(f"/resolve/{COMMIT}/")[2])
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def send_tree(self, hub):
        entries = hub.tree()
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        begin = int(query.get("cursor", 0))
        page = entries[begin:begin + hub.page_size]
        more = {}
        if begin + hub.page_size < len(entries):
            more["Link"] = f'<{hub.url}{urllib.parse.urlsplit(self.path).path}?recursive=true&cursor={begin + hub.page_size}>; rel="next"'
        self.respond_json(page, **more)

    def send_file(self, files, name):
        data = files.get(name)
        if data is None:
            self.respond(404)
            return
        begin = 0
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            begin = int(asked[6:].rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        for at in range(begin, len(data), 1 << 16):
            self.wfile.write(data[at:at + (1 << 16)])
            time.sleep(self.server.hub.pause)
            with self.server.hub.lock:
                self.server.hub.bytes_sent += len(data[at:at + (1 << 16)])


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that are killed or refuse a response break the connection."""


class Proxy:
    """A proxy for CONNECT that leads every host to one port of loopback, and notes which hosts were asked for."""

    def __init__(self, port):
        self.hosts = []
        self.port = port
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        self.hosts.append(head.split()[1].decode())
        server = socket.create_connection(("127.0.0.1", self.port))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self.copy, args=(server, client), daemon=True).start()
        self.copy(client, server)

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.socket.close()


class Hub:
    def __init__(self, files=None, tls=None):
        self.files = checkpoint() if files is None else files
        self.fault = None
        self.page_size = 5
        self.pause = 0  # seconds after each 64 KiB of a file
        self.requests = []
        self.bytes_sent = 0
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.hub = self
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def tree(self):
        """What the listing says: large files by SHA-256, small ones by git's id."""
        entries = [{"type": "directory", "path": "unet", "oid": "0" * 40, "size": 0}]
        for path, data in self.files.items():
            entry = {"type": "file", "path": path, "oid": git_id(data), "size": len(data)}
            if path.endswith((".safetensors", ".bin", ".ckpt")):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            entries.append(entry)
        return entries
