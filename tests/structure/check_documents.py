"""Keeps the documents true to the tree: links lead somewhere, named files exist, named tests exist.

usage: check_documents.py PROJECT-FOLDER

In the Markdown files of the project, a relative link must lead to a file, and its fragment to a heading of that file. A path in
`backticks` that begins with a folder of the project must exist (NAME, LAYER, FAMILY, * and {h,cpp} stand for several). `Suite.Name` must be a
GoogleTest test.
"""
import pathlib
import re
import sys

TEST = re.compile(r"\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:src|include|tests|scripts|docs|docker|models/emoji|examples|cmake)/[\w./*{},-]+")
PLACEHOLDER = re.compile(r"[*{]|NAME|LAYER|FAMILY")
NAMED_TEST = re.compile(r"[A-Z]\w+\.[A-Z][A-Za-z0-9]+")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
FOLDERS = ("docs", "examples", "models", "src", "tests")


def anchors(text):
    """The fragments that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def link_violation(project, path, target):
    """Why a link of the document `path` leads nowhere; None if it leads somewhere."""
    if re.match(r"[a-z]+:", target):
        return None
    name, _, fragment = target.partition("#")
    file = (project / path).parent / name if name else project / path
    if not file.exists():
        return f'the link "{target}" leads to no file'
    if fragment and fragment not in anchors(file.read_text()):
        return f'the link "{target}" leads to no heading'
    return None


def code_violation(project, code, tests):
    """Why what stands in backticks does not exist; None if it exists or is neither a path nor a test."""
    if PATH.fullmatch(code) and not PLACEHOLDER.search(code) and not (project / code).exists():
        return f"the file `{code}` does not exist"
    if NAMED_TEST.fullmatch(code) and code not in tests:
        return f"the test `{code}` does not exist"
    return None


def violations(project, path, text, tests):
    """What is wrong with one document, as sentences. `path` is relative to the project."""
    prose = FENCE.sub(lambda fence: "\n" * fence.group().count("\n"), text)
    found = [(match.start(), link_violation(project, path, match.group(1))) for match in LINK.finditer(prose)]
    found += [(match.start(), code_violation(project, match.group(1), tests)) for match in CODE.finditer(prose)]
    return [f"{path}:{prose.count(chr(10), 0, start) + 1}: {sentence}" for start, sentence in found if sentence]


def all_tests(project):
    return {f"{suite}.{name}" for path in (project / "tests").rglob("*.cpp") for suite, name in TEST.findall(path.read_text())}


def documents(project):
    found = [*project.glob("*.md"), *(path for folder in FOLDERS for path in (project / folder).rglob("*.md"))]
    return [path.relative_to(project) for path in sorted(found) if "node_modules" not in path.parts]


def main(project):
    tests, paths = all_tests(project), documents(project)
    found = [sentence for path in paths for sentence in violations(project, path, (project / path).read_text(), tests)]
    print("\n".join(found) if found else f"{len(paths)} documents agree with the tree")
    return 1 if found or not paths else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve()))
