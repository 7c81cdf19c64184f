"""A unity build compiles several files of a target as one, so the functions in their anonymous namespaces share a scope.

Two different definitions of one function are a compiler error. Two overloads are not: a call in one file could silently
choose the function of another file. This check therefore refuses a name that two files of one target define in anonymous
namespaces, unless cmake/EaselUnity.cmake lists one of the files as compiled on its own.

usage: check_unity.py PROJECT-FOLDER
"""
import collections
import pathlib
import re
import sys

TARGET = re.compile(r"easel_add_(?:layer|test)\(\s*(\w+)(.*?)\)\n", re.DOTALL)
EXECUTABLE = re.compile(r"add_executable\((\w+)((?:\s+[\w./]+\.cpp)+)\)")
ANONYMOUS = re.compile(r"^namespace \{\n(.*?)^\}  // namespace\n", re.DOTALL | re.MULTILINE)
# A definition begins at the left margin, because namespaces do not indent: return type, name, parameters, body.
FUNCTION = re.compile(r"^(?!TEST|INSTANTIATE|using|namespace|struct|class|enum|#|//)\w[\w:<>,&*\[\] ]*?[ &*](\w+)\((?:[^;{}]|\{\})*?\)[^;{}()]*\{", re.MULTILINE)
TEXT = re.compile(r"""//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])'""")


def without_text(source):
    """A source without its comments and literals."""
    return TEXT.sub("", source)


def separate(cmake):
    """The files that EaselUnity.cmake lists as compiled on their own."""
    return set(re.search(r"set\(EASEL_SEPARATE_SOURCES(.*?)\)", cmake, re.DOTALL).group(1).split())


def targets(cmake):
    """(name, source files) of each target that a CMakeLists.txt declares."""
    for name, arguments in [*TARGET.findall(cmake), *EXECUTABLE.findall(cmake)]:
        yield name, re.findall(r"[\w./]+\.cpp", arguments)


def functions(text):
    """Names of the functions that a file defines in its anonymous namespaces."""
    return {name for body in ANONYMOUS.findall(text) for name in FUNCTION.findall(without_text(body))}


def violations(target, files):
    """What is wrong with the files of one target, given as {name: text}, as sentences."""
    owners = collections.defaultdict(list)
    for file, text in files.items():
        for name in functions(text):
            owners[name].append(file)
    return [f"{target}: {' and '.join(sorted(owning))} define {name} in anonymous namespaces"
            for name, owning in sorted(owners.items()) if len(owning) > 1]


def main(project):
    apart = separate((project / "cmake/EaselUnity.cmake").read_text())
    found = [f"cmake/EaselUnity.cmake lists {name}, which does not exist" for name in sorted(apart) if not (project / name).is_file()]
    for cmake in sorted([*(project / "src").rglob("CMakeLists.txt"), *(project / "tests").rglob("CMakeLists.txt")]):
        for target, names in targets(cmake.read_text()):
            paths = [path for path in ((cmake.parent / name).resolve() for name in names) if path.is_file()]
            united = [path for path in paths if str(path.relative_to(project)) not in apart]
            found += violations(target, {str(path.relative_to(project)): path.read_text() for path in united})
    print("\n".join(found) if found else "no two files of a target share a function name in anonymous namespaces")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve()))
