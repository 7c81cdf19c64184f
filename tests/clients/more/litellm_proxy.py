"""LiteLLM's proxy in front of the server, with the configuration of the guide, as its users ask it.

usage: litellm_proxy.py BASE_URL FOLDER
"""
import json
import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import checks
import yaml

base_url, folder = sys.argv[1:]
START_SECONDS = 120
MASTER_KEY = "sk-" + secrets.token_hex(32)  # without a strong one the proxy does not start
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
config = pathlib.Path(folder) / "config.yaml"
guide = pathlib.Path(__file__).resolve().parents[3] / "docs" / "guide" / "clients.md"
written = re.search(r"^```yaml client=litellm-proxy\n(.*?)^```$", guide.read_text(), re.DOTALL | re.MULTILINE).group(1)
settings = yaml.safe_load(written.replace("http://localhost:9225/v1", base_url))
for name, model in {"dall-e-2": "openai/dall-e-2", "unknown": "openai/no-such-model"}.items():
    settings["model_list"].append({"model_name": name, "litellm_params": {"model": model, "api_base": base_url, "api_key": "any", "max_retries": 0}})
config.write_text(yaml.safe_dump({**settings, "litellm_settings": {"num_retries": 0}, "router_settings": {"num_retries": 0}}))
log = (pathlib.Path(folder) / "proxy.log").open("wb")
proxy = subprocess.Popen([sys.executable, "-c", "from litellm.proxy.proxy_cli import run_server; run_server()", "--config", str(config), "--port",
                          str(port), "--host", "127.0.0.1"], stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                         env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": MASTER_KEY})


def post(path, fields):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(fields).encode(), {"Content-Type": "application/json", "Authorization": f"Bearer {MASTER_KEY}"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def is_up():
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


try:
    deadline = time.monotonic() + START_SECONDS
    while not is_up() and proxy.poll() is None and time.monotonic() < deadline:
        time.sleep(0.5)
    checks.report("the proxy runs", is_up(), (pathlib.Path(folder) / "proxy.log").read_text(errors="replace")[-1000:])
    status, made = post("/v1/images/generations", {"model": "gpt-image-1", "prompt": "a red apple on a pink background", "size": "1024x1024"})
    checks.report("an image", status == 200, str(made)[:500])
    checks.save(folder, "apple--1024x1024--pink", made["data"][0]["b64_json"])
    checks.report("tokens are booked", made["usage"]["total_tokens"] > 0, str(made.get("usage")))
    status, two = post("/v1/images/generations", {"model": "dall-e-2", "prompt": "a fox", "n": 2, "size": "256x256", "response_format": "url"})
    checks.report("links", status == 200 and all(checks.fetch_base64(image["url"]) for image in two["data"]), str(two)[:500])
    status, refused = post("/v1/images/generations", {"model": "unknown", "prompt": "a fox"})
    checks.report("unknown model", status >= 400 and "no-such-model" in str(refused), f"{status} {str(refused)[:500]}")
finally:
    if proxy.poll() is None:
        os.killpg(proxy.pid, signal.SIGTERM)
        proxy.wait(30)
