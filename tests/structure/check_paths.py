"""No file of the project may name a place on the machine it was written on.

usage: check_paths.py PROJECT-FOLDER
"""
import pathlib
import re
import subprocess
import sys

# Spelled in parts, so that this file does not find itself.
HOME_LIKE = ("home", "work", "tmp", "Users", "mnt")
MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(" + "|".join(HOME_LIKE) + r")/[\w.-]+")
TEXT_SUFFIXES = {".cpp", ".h", ".py", ".mjs", ".sh", ".cmake", ".txt", ".md", ".json", ".yaml", ".yml", ".cpu", ".cuda", ""}
# Upstream configs and vocabularies are data.
SKIPPED = ("models/emoji/tokenizer/",)


def machine_paths(text):
    return [match.group(0) for match in MACHINE_PATH.finditer(text)]


def project_files(project):
    """What git tracks, or would: neither build folders nor installed dependencies."""
    listed = subprocess.run(["git", "-C", str(project), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            check=True, stdout=subprocess.PIPE).stdout.decode()
    return [name for name in listed.split("\0") if name and not name.startswith(SKIPPED)]


def main(project):
    found, seen = [], 0
    for name in project_files(project):
        path = project / name
        if path.suffix not in TEXT_SUFFIXES or not path.is_file():
            continue
        seen += 1
        found += [f"{name}: {place}" for place in machine_paths(path.read_text(errors="replace"))]
    print("\n".join(found) if found else f"{seen} files name no place on one machine")
    return 1 if found or seen == 0 else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve()))
