"""The README's own examples, to be run as they are written but for the port."""
import re

FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What a block must hold to be an example of this client, and how it is run.
KINDS = {"curl edit": ("sh", "/images/edits"), "curl": ("sh", "curl "), "openai 0": ("python", "openai.Image"),
         "openai": ("python", "OpenAI("), "node": ("js", "openai")}


def examples(path, port):
    """[(kind, text)] in the order of the file: each draws fox.png, and an edit makes pink.png of it."""
    found = []
    for language, text in FENCE.findall(path.read_text()):
        for kind, (wanted_language, mark) in KINDS.items():
            if language == wanted_language and mark in text:
                found.append((kind, re.sub(r"(localhost|127\.0\.0\.1):9225", rf"\1:{port}", text)))
                break
    return found
