"""Extracts the published vocabularies of T5 and Qwen3 from the source package stable-diffusion-cpp-python.

usage: published_vocabularies.py PACKAGE.tar.gz OUT

  pip download --no-deps --no-binary :all: stable-diffusion-cpp-python==0.4.7
  tests/tokenizers/published_vocabularies.py stable_diffusion_cpp_python-0.4.7.tar.gz OUT
  EASEL_PUBLISHED_VOCABULARIES=OUT ctest --test-dir build/dev -R tokenizers --output-on-failure

The package has the files as arrays of bytes in C++ headers. OUT/t5_tokenizer.json and OUT/qwen_merges.txt are written.
"""

import pathlib
import re
import sys
import tarfile

ARRAYS = {
    "t5_tokenizer.json": ("clip_t5.hpp", "t5_tokenizer_json_str"),
    "qwen_merges.txt": ("qwen.hpp", "qwen2_merges_utf8_c_str"),
}


def array(text, name):
    begin = text.index(f"{name}[]")
    return bytes(int(x, 16) for x in re.findall(r"0x([0-9a-fA-F]{2})", text[begin:text.index("};", begin)]))


def main():
    out = pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    with tarfile.open(sys.argv[1]) as package:
        for file, (header, name) in ARRAYS.items():
            member = next(m for m in package.getmembers() if m.name.endswith(f"/tokenizers/vocab/{header}"))
            (out / file).write_bytes(array(package.extractfile(member).read().decode(), name))


if __name__ == "__main__":
    main()
