"""Keeps CONTRIBUTING's layer table true: every #include of src/ and include/ against the table below.

usage: check_includes.py PROJECT-FOLDER
"""
import pathlib
import re
import sys

# An arrow: a layer may include the layers that it points at, and the layers that these point at in turn.
# "interface" is the part of include/easel that engine and pipelines share: plain requests, and the Pipeline they meet at.
ARROWS = {
    "core": [],
    "image": ["core"],
    "image/files": ["image"],
    "tokenizers": ["core"],
    "tokenizers/unigram": ["tokenizers"],
    "interface": ["image"],
    "provenance": ["interface", "core"],
    "engine/device": ["interface", "core"],
    "engine/residency": ["engine/device"],
    "engine/waiting": ["engine/device"],
    "engine": ["engine/residency", "engine/waiting"],
    "server interface": ["interface"],
    "model interface": ["interface"],
    "http/transport": ["core"],
    "http/wire": ["http/transport"],
    "http/access": ["http/wire"],
    "http/metrics": ["server interface", "http/transport"],
    "http/openai/responses": ["provenance", "http/wire", "server interface", "image"],
    "http/openai/streaming": ["http/wire", "engine", "image"],
    "http/openai/jobs": ["http/openai/responses", "http/openai/streaming"],
    "http/openai/fields": ["http/openai/responses", "http/openai/streaming", "http/wire", "engine", "image"],
    "http/openai/requests": ["http/openai/fields", "http/access"],
    "http/openai/description": ["http/openai/fields"],
    "http/openai": ["http/openai/description", "http/openai/requests", "http/openai/jobs", "http/metrics", "engine", "image"],
    "http/sdapi": ["http/openai", "tokenizers"],
    "http": ["http/sdapi"],
    "hub": ["core"],
    "tensor": ["core"],
    "weights/format": ["core"],
    "weights/loading": ["weights/format", "tensor"],
    "weights/stores": ["weights/loading"],
    "weights/convert": ["weights/stores"],
    "schedulers/numerics": ["tensor"],
    "schedulers/schedule": ["schedulers/numerics"],
    "schedulers/algorithms": ["schedulers/schedule"],
    "schedulers": ["schedulers/algorithms"],
    "nn/kernels": ["tensor"],
    "nn": ["nn/kernels", "weights/loading"],
    "nn/unet": ["nn"],
    "nn/transformer": ["nn"],
    "models": ["nn", "weights/stores"],
    "models/autoencoders": ["models", "nn/unet"],
    "models/text_encoders": ["models", "nn/transformer"],
    "models/transformers": ["models", "nn/transformer"],
    "models/unet": ["models", "nn/unet"],
    "models/memory": ["models/autoencoders", "models/text_encoders", "models/transformers", "models/unet"],
    "adapters": ["nn", "weights/stores", "tokenizers", "interface"],
    "checkpoints/layouts": ["weights/stores"],
    "checkpoints": ["checkpoints/layouts", "tokenizers", "interface"],
    "pipelines/images": ["models/memory", "image", "interface"],
    "pipelines/prompts": ["pipelines/images", "adapters", "checkpoints", "tokenizers"],
    "pipelines/denoising": ["pipelines/prompts", "schedulers"],
    "pipelines/starts": ["pipelines/denoising"],
    "pipelines/families": ["pipelines/starts"],
    "pipelines": ["pipelines/families", "model interface"],
    "app/command_line": ["http", "hub", "engine", "pipelines", "weights/convert"],
    "app/models": ["app/command_line"],
    "app": ["app/models"],
}

# Which node a public header speaks for.
PUBLIC_HEADERS = {
    "error.h": "core",
    "stop.h": "core",
    "noise.h": "tensor",
    "image.h": "image",
    "image_file.h": "image",
    "image_metadata.h": "image",
    "image_output.h": "image",
    "tokenizer.h": "tokenizers",
    "generation.h": "interface",
    "hires.h": "interface",
    "pipeline.h": "interface",
    "engine.h": "interface",
    "observer.h": "interface",
    "scheduler.h": "schedulers/schedule",
    "server.h": "server interface",
    "model_library.h": "server interface",
    "model.h": "model interface",
}

TORCH_LAYERS = {"tensor", "weights", "schedulers", "nn", "models", "adapters", "checkpoints", "pipelines", "app"}

# (name, pattern of the included path, whether a file of this layer may include it)
THIRD_PARTY = [
    ("torch", re.compile(r"^(ATen|c10|torch|caffe2)/"), lambda layer, path: layer.split("/")[0] in TORCH_LAYERS and layer != "weights/format"),
    ("stb", re.compile(r"^(stb/)?stb_"), lambda layer, path: layer in ("image", "image/files")),
    ("libpng", re.compile(r"^png\.h"), lambda layer, path: layer == "image/files"),
    ("libjpeg", re.compile(r"^(jpeglib|jerror)\.h"), lambda layer, path: layer == "image/files"),
    ("libwebp", re.compile(r"^webp/"), lambda layer, path: layer == "image/files"),
    ("giflib", re.compile(r"^gif_lib\.h"), lambda layer, path: layer == "image/files"),
    ("libavif", re.compile(r"^avif/"), lambda layer, path: layer == "image/files"),
    ("libheif", re.compile(r"^libheif/"), lambda layer, path: layer == "image/files"),
    ("zlib", re.compile(r"^zlib\.h"), lambda layer, path: layer == "image/files"),
    ("spdlog", re.compile(r"^spdlog/"), lambda layer, path: path.name in ("log.cpp", "log.h") and layer == "core"),
    ("CLI11", re.compile(r"^CLI/"), lambda layer, path: layer == "app/command_line"),
    ("OpenSSL", re.compile(r"^openssl/"), lambda layer, path: (layer, path.name) in {("core", "digest.cpp"), ("http/access", "api_keys.cpp")}),
    ("libcurl", re.compile(r"^curl/"), lambda layer, path: (layer, path.name) == ("hub", "http_client.cpp")),
    ("cpp-httplib", re.compile(r"^httplib\.h"), lambda layer, path: layer == "http/transport"),
    ("prometheus-cpp", re.compile(r"^prometheus/"), lambda layer, path: layer == "http/metrics"),
    ("libsentencepiece", re.compile(r"^sentencepiece_"), lambda layer, path: layer == "tokenizers/unigram"),
    ("ICU", re.compile(r"^unicode/"), lambda layer, path: layer == "tokenizers"),
]
# What no public header may include. Tensors are the purpose of scheduler.h; a forward declaration is allowed.
HIDDEN_FROM_PUBLIC = re.compile(r"^(nlohmann/(?!json_fwd)|(stb/)?stb_|png\.h|jpeglib\.h|webp/|spdlog/|curl/|CLI/|unicode/|openssl/|prometheus/|sentencepiece_|httplib\.h)")
# These headers cost ten to thirty seconds of compile time each, the header of an operator one second.
UMBRELLA_HEADERS = {"torch/torch.h", "torch/all.h", "torch/extension.h", "ATen/ATen.h", "ATen/Functions.h"}

# A file of src named in a public header: nobody who has only the installed headers can look it up.
PRIVATE_NAME = re.compile(r"\b(?:src|core|image|tokenizers|engine|http|tensor|weights|schedulers|nn|models|adapters|checkpoints|pipelines|app)/[a-z_][a-z0-9_/]*(?:\.h|\.cpp)?")

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def reachable(layer):
    """The layer itself and all that its arrows lead to."""
    found, waiting = set(), [layer]
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            waiting += ARROWS[here]
    return found


def layer_of(path):
    """The layer of a file of this project, given relative to the project; None where it has none."""
    if path.parts[:2] == ("include", "easel"):
        return PUBLIC_HEADERS.get(path.name)
    if path.parts[0] == "src" and len(path.parts) > 2:
        folder = "/".join(path.parts[1:-1])
        return folder if folder in ARROWS else None
    return None


def included_layer(included):
    """The layer of a file that is included as "..."; None if the file belongs to no layer."""
    return layer_of(pathlib.PurePath("include") / included) if included.startswith("easel/") else layer_of(pathlib.PurePath("src") / included)


def violations(path, text):
    """What is wrong with one file's includes, as sentences. `path` is relative to the project."""
    layer = layer_of(path)
    if layer is None:
        return [f"{path}: belongs to no layer that this check knows"]
    found = []
    for quote, included in INCLUDE.findall(text):
        if quote == '"':
            target = included_layer(included)
            if target is None:
                found.append(f'{path}: "{included}" is not a header of a layer; write "layer/x.h" or "easel/x.h"')
            elif target not in reachable(layer):
                found.append(f'{path}: {layer} may not include "{included}" of {target}')
        found += third_party_violations(path, layer, included)
    if path.parts[0] == "include":
        found += [f"{path}: names {name}, which is not installed" for name in PRIVATE_NAME.findall(text)]
    return found


def third_party_violations(path, layer, included):
    found = [f"{path}: <{included}>: {name} has no place in this file" for name, pattern, allowed in THIRD_PARTY
             if pattern.match(included) and not allowed(layer, path)]
    if path.parts[0] == "include" and HIDDEN_FROM_PUBLIC.match(included):
        found.append(f"{path}: <{included}> in a public header")
    if included in UMBRELLA_HEADERS:
        found.append(f"{path}: <{included}> takes all of torch in; include the operators that are used")
    if path.suffix == ".h" and included.startswith("ATen/ops/"):
        found.append(f"{path}: <{included}> in a header; operators are included by sources")
    return found


def main(project):
    files = sorted(path for folder in ("src", "include") for path in (project / folder).rglob("*") if path.suffix in (".h", ".cpp"))
    if not files:
        print(f"{project} has no sources")
        return 1
    found = [sentence for path in files for sentence in violations(path.relative_to(project), path.read_text())]
    print("\n".join(found) if found else f"{len(files)} files keep to the table")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve()))
