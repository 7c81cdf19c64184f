"""The examples of README.md, to be run exactly as they are written, except for the port."""
import re

FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# How the example of each client is recognised: the language of its block, and a text that it contains.
KINDS = {"curl edit": ("sh", "/images/edits"), "curl": ("sh", "curl "), "openai 0": ("python", "openai.Image"),
         "openai": ("python", "OpenAI("), "node": ("js", "openai")}


def examples(path, port):
    """[(kind, text)] in the order of the file. Each writes fox.png, and the edit reads it and writes pink.png."""
    found = []
    for language, text in FENCE.findall(path.read_text()):
        for kind, (wanted_language, mark) in KINDS.items():
            if language == wanted_language and mark in text:
                found.append((kind, re.sub(r"(localhost|127\.0\.0\.1):9225", rf"\1:{port}", text)))
                break
    return found
