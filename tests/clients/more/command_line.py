"""The command line of OpenAI's Python package 1.x, which always reads links.

usage: command_line.py BASE_URL FOLDER
"""
import pathlib
import re
import subprocess
import sys

import checks

base_url, folder = sys.argv[1:]


def run(*arguments):
    done = subprocess.run([sys.executable, "-m", "openai", "-b", base_url + "/", "-k", "any-key", "api", *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120)
    return done.returncode, done.stdout


def fetched(name, *arguments):
    code, text = run(*arguments)
    links = re.findall(r"http://[^\s\"']+", text)
    checks.report(name, code == 0 and bool(links), text[-500:])
    return checks.fetch_base64(links[0]) if links else None


checks.save(folder, "apple--256x256--pink", fetched("image.generate", "images.generate", "-p", "a red apple on a pink background", "-n", "1", "-s", "256x256"))
small = pathlib.Path(folder) / "apple--256x256--pink.png"
fetched("image.edit", "images.edit", "-p", "a red apple on a blue background", "-n", "1", "-s", "256x256", "-I", str(small))
fetched("image.create_variation", "images.create_variation", "-n", "1", "-s", "256x256", "-I", str(small))
code, text = run("models.list")
checks.report("models.list", code == 0 and "emoji" in text, text[-500:])
