"""The lines of docs/guide/clients.md, to be run exactly as they are written, except for the port. A block that is run names the client
that it needs: ```python client=openai-3. Each writes fox.png.
"""
import re

FENCE = re.compile(r"^```(python|js|sh) client=([\w-]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples(path, port):
    """[(language, client, text)] in the order of the file."""
    return [(language, client, re.sub(r"\b9225\b", str(port), text)) for language, client, text in FENCE.findall(path.read_text())]
