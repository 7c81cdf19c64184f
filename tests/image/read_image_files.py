"""Reads the metadata of easel's image files with Pillow, exiftool and AUTOMATIC1111's own expression.

Usage: read_image_files.py WRITE_IMAGE_FILES FOLDER
"""
import json
import pathlib
import re
import subprocess
import sys

from PIL import Image

EXIF_DIRECTORY, MAKER_NOTE, USER_COMMENT = 0x8769, 0x927C, 0x9286
SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"

# From modules/infotext_utils.py of AUTOMATIC1111's web UI.
re_param_code = r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)'
re_param = re.compile(re_param_code)


def unquote(text):
    if len(text) == 0 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def parse_as_a1111(x):
    """The first part of parse_generation_parameters() of the same file: prompt, negative prompt, settings."""
    prompt, negative_prompt, done_with_prompt = "", "", False
    *lines, lastline = x.strip().split("\n")
    if len(re_param.findall(lastline)) < 3:
        lines.append(lastline)
        lastline = ""
    for line in lines:
        line = line.strip()
        if line.startswith("Negative prompt:"):
            done_with_prompt = True
            line = line[16:].strip()
        if done_with_prompt:
            negative_prompt += ("" if negative_prompt == "" else "\n") + line
        else:
            prompt += ("" if prompt == "" else "\n") + line
    return prompt, negative_prompt, {name: unquote(value) for name, value in re_param.findall(lastline)}


def read_with_pillow(path):
    with Image.open(path) as image:
        image.load()
        if path.suffix == ".png":
            return image.text["parameters"], image.text["easel"]
        exif = image.getexif().get_ifd(EXIF_DIRECTORY)
        assert exif[USER_COMMENT].startswith(b"UNICODE\0"), exif[USER_COMMENT][:8]
        return exif[USER_COMMENT][8:].decode("utf-16-be"), exif[MAKER_NOTE].decode("ascii")


def read_with_exiftool(path):
    """(parameters, name of the digital source type)"""
    found = json.loads(subprocess.run(["exiftool", "-json", "-n", "-G1", "-charset", "utf8", path], check=True, capture_output=True).stdout)[0]
    assert not any(name.endswith((":Warning", ":Error")) for name in found), found
    parameters = found.get("PNG:Parameters", found.get("ExifIFD:UserComment"))
    return parameters, found["XMP-iptcExt:DigitalSourceType"]


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    subprocess.run([program, folder], check=True)
    cases = json.loads((folder / "cases.json").read_text())
    for number, case in enumerate(cases):
        for extension in (".png", ".jpg", ".webp"):
            path = folder / f"{number}{extension}"
            parameters, record = read_with_pillow(path)
            assert parameters == case["parameters"], (path, parameters)
            assert record == case["record"] and json.loads(record)["prompt"] == case["prompt"], (path, record)
            assert parse_as_a1111(parameters) == (case["prompt"], case["negative_prompt"], case["settings"]), parse_as_a1111(parameters)
            parameters, source = read_with_exiftool(path)
            assert parameters.split("\n") == case["parameters"].split("\n"), (path, parameters)
            expected = "compositeWithTrainedAlgorithmicMedia" if case["composite"] else "trainedAlgorithmicMedia"
            assert source == SOURCES + expected, (path, source)
    print(f"{3 * len(cases)} files agree")


if __name__ == "__main__":
    main()
