"""Tests that draw random tensors draw the same ones in every run.

libtorch seeds its generator from the system's random numbers, so a test that compares with a limit would fail once in many
runs. A test program with a call such as at::randn must therefore link easel_fixed_seed.

usage: check_seeds.py PROJECT-FOLDER
"""
import pathlib
import re
import sys

from check_unity import TARGET

DRAW = re.compile(r"\bat::rand\w*\(|\.(?:normal|uniform|random)_\(")


def violations(cmake, files):
    """What is wrong with a CMakeLists.txt, where {name: text} are the sources next to it, as sentences."""
    found = []
    for program, arguments in TARGET.findall(cmake):
        drawing = [name for name in re.findall(r"[\w./]+\.cpp", arguments) if DRAW.search(files.get(name, ""))]
        if drawing and "easel_fixed_seed" not in arguments:
            found.append(f"{program} does not link easel_fixed_seed, and {', '.join(drawing)} draws random tensors")
    return found


def main(project):
    found = []
    for cmake in sorted((project / "tests").rglob("CMakeLists.txt")):
        files = {str(file.relative_to(cmake.parent)): file.read_text() for file in cmake.parent.rglob("*.cpp")}
        found += violations(cmake.read_text(), files)
    print("\n".join(found) if found else "all tests that draw random tensors have a fixed seed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve()))
