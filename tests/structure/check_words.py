"""Keeps the project's language: no retired identifiers in src and include, and plain English in everything people read.

usage: check_words.py PROJECT-FOLDER [--only PATH...]

Three rules:
  1. Identifiers in src and include use the terms of CONTRIBUTING's glossary, not the words that it replaced.
  2. The result of a generation is an image; "picture" appears only in the names that users already depend on.
  3. Comments, string literals and documents avoid the phrases of PHRASES, which read like a translation.

--only limits the check to files and folders given relative to the project.
"""
import argparse
import fnmatch
import io
import pathlib
import re
import sys
import tokenize

FOLDERS = ("src", "include", "tests", "examples", "scripts", "docs", "models", "docker", "cmake")
CODE = {".h", ".cpp", ".mjs"}
OTHER_SUFFIXES = {".py", ".md", ".cmake", ".yaml", ".yml", ".sh", ""}
SKIPPED_FOLDERS = {"build", "node_modules", "__pycache__"}

# A retired identifier, and the term that replaced it.
RETIRED_IDENTIFIERS = {
    "Answer": "Response", "Answers": "Responses", "Figures": "Metrics", "Patience": "ConnectionTimeouts", "Turnstile": "a semaphore",
    "Caller": "Principal", "Suspects": "NonFiniteWeightCheck", "accuse": "throw_if_non_finite", "fly": "enqueue",
    "shown": "quote", "InstructedPicture": "FromInstruction", "Residence": "OffloadHandle", "AdaptersInUse": "ScopedAdapters",
    "LearnedVectors": "TokenEmbeddingOverrides", "WordVector": "PlaceholderVector", "Conditions": "UNetConditioning",
    "UNetConditions": "ProvidedConditioning", "UNetSignals": "UNetBlockInputs", "OutputFile": "AtomicFile",
    "CheckpointFolder": "Checkpoint", "DeviceSlot": "ComponentOffloader", "SingleFileParts": "SingleFileOverrides",
    "OtherVae": "VaeOverrideSource", "RefusedFamily": "UnsupportedFamily", "BeginLatents": "PrepareLatents",
    "begin_latents": "prepare_latents", "spends_strength": "applies_strength", "plain_name": "normalize_name",
    "quoted_if_needed": "quote_if_needed", "name_text": "quote_name", "shape_text": "format_shape",
    "start_at": "set_begin_index", "handed_on_": "from_config_", "forget_peak": "reset_peak", "to_answer": "to_output",
}
# A word that no identifier contains, as CamelCase or snake_case part, and what to write instead.
RETIRED_PARTS = {
    "told": "conditioning", "taught": "learned embeddings", "suspects": "non-finite weights", "doubt": "circuit breaker",
    "doubted": "circuit breaker", "patience": "timeouts", "hurried": "under load", "crowded": "under load", "company": "batch",
    "companions": "batch mates", "companion": "batch mate", "vouches": "promotes_to_special", "kin": "related", "alone": "only", "likewise": "also",
    "beside": "next to", "foretold": "estimated", "colours": "channels or rgb", "wordless": "drops_prompt",
}
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# Names with "picture" that users depend on.
USER_NAMES = re.compile(r"easel_pictures_total|easel_batch_limit_pictures|EMOJI_PICTURES")

SENTENCE_START = r"(?:^|[.;:(!?]\s|\s[-–]\s)\s*"
LEADING = r"\b(?:meets|by|of|to|for|with|from|as|and|or|than|on|at|if|so|that|what|how|tell|tells|sees|between|before|after|unless|until|when|where)\s+"
# What to look for in text (white space matches line breaks as well), and what to write instead.
PHRASES = [
    (r"(?<!\bthere\s)\b(?:is|are|was|were)\s+no\s+(?!longer\b|more\s+than\b|less\s+than\b|fewer\s+than\b|better\b|larger\b|smaller\b|"
     r"shorter\b|later\b|earlier\b|faster\b|slower\b)\w+", '"is not a", "does not", or "there is no"'),
    (r"(?<!\bthere\s)\b(?:is|are|was|were)\s+(?-i:none)\b", '"is not one", "is invalid", or "there is none"'),
    (rf"(?:{SENTENCE_START}|{LEADING})(?:who|whoever|(?<!\w )whose)\b(?![^.;]*\?)", 'the noun that "who" stands for'),
    (r"\b(?:those\s+(?:who|whose|that|which)|(?:he|she|they|them)\s+(?:who|which))\b", 'a noun instead of "those"'),
    (rf"(?:{SENTENCE_START}|\b(?:by|of|to|for|from)\s+)one\s+(?:who|that|which)\b", 'a noun instead of "one"'),
    (r"\bthat\s+which\b", '"what", or a noun'),
    (r"\bof\s+(?:that|theirs)(?=[.,;:)]|\s*$|\s+(?:is|are|was|were|which|who|that|what)\b)", 'the noun that "that" stands for'),
    (r"\bbeside\b", '"along with", "next to" or "in addition to"'),
    (r"(?<!stand-)(?<!let )\balone\b", '"only" or "by itself"'),
    (r"\bkin\b", '"related"'),
    (r"\blikewise\b", '"also" or "in the same way"'),
    (r"\b(?:fore)?told\b", 'the exact verb: "passed", "reported", "informed", "distinguished"'),
    (r"\bthe\s+very\s+(?:same|numbers|one|image|bits|bytes|file)\b", '"the same" or "exactly"'),
    (r"\b(?:company|companions?)\b", '"batch" or "batch mates"'),
    (r"\b(?:hurried|crowded)\b", '"under load"'),
    (r"\bto\s+and\s+fro\b", '"back and forth" or "between"'),
    (r"\bnowhere\s+(?:else\s+)?said\b|\bsaid\s+so\b", '"documented" or "reported"'),
    (r"\bby\s+and\s+by\b|\bat\s+one\s+go\b|\bin\s+one\s+go\b", '"gradually" or "in one call"'),
    (r"\bwhich\s+(?:none|no\s+\w+)\s+is\b", "a plain negation"),
]
PHRASES = [(re.compile(pattern, re.IGNORECASE), advice) for pattern, advice in PHRASES]

# (files, the text found, why it stands). Fewer than 40 rows; self_test counts them.
EXCEPTIONS = [
    ("tests/structure/check_words.py", r".", "lists what it looks for"),
    ("tests/structure/structure_test.py", r".", "contains examples of what the check finds"),
    *((f"src/http/transport/{name}.*", r".", "is replaced together with the transport")
      for name in ("listener", "connection", "chunked", "turnstile")),
    ("src/http/*", r"^Turnstile$", "is replaced together with the transport"),
    ("src/image/files/webp_encode.cpp", r"^WebPPicture", "a type of libwebp"),
    ("models/emoji/recipe/data.py", r"^picture$", "a caption that the published model was trained with"),
]

CPP_TOKEN = re.compile(
    r'(?P<comment>//[^\n]*|/\*.*?\*/)'
    r'|(?P<include>^[ \t]*#[ \t]*include[^\n]*)'
    r'|R"(?P<delimiter>[^\s()\\]{0,16})\((?P<raw>.*?)\)(?P=delimiter)"'
    r'|"(?P<string>(?:\\.|[^"\\\n])*)"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.DOTALL | re.MULTILINE)
IDENTIFIER = re.compile(r"\b[A-Za-z_]\w*\b")


def cpp_pieces(text):
    """The pieces of a C++ file: (kind, start, text) with kind "comment" or "string", and the code with those blanked out."""
    pieces, code = [], list(text)
    for match in CPP_TOKEN.finditer(text):
        code[match.start():match.end()] = " " * len(match.group())
        for group, kind in (("comment", "comment"), ("raw", "string"), ("string", "string")):
            if match.group(group) is not None:
                pieces.append((kind, match.start(group), match.group(group)))
    return pieces, "".join(code)


def python_pieces(text):
    """Comments and strings of a Python file, as cpp_pieces."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    kinds = {tokenize.COMMENT: "comment", tokenize.STRING: "string", getattr(tokenize, "FSTRING_MIDDLE", -1): "string"}
    return [(kinds[token.type], starts[token.start[0] - 1] + token.start[1], token.string)
            for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type in kinds]


def passages(pieces, text):
    """Joins comments of consecutive lines, and adjacent string literals, so that a phrase may wrap. @return [(start, text)]"""
    joined = []
    for kind, start, piece in pieces:
        if joined:
            last_kind, last_start, last = joined[-1]
            end = last_start + len(last)
            gap = text[end:start]
            if kind == last_kind and re.fullmatch(r'\s*"?\s*[fR]?"?\s*', gap) and gap.count("\n") < 2:
                joined[-1] = (kind, last_start, last + " " * len(gap) + piece)
                continue
        joined.append((kind, start, piece))
    return [(start, re.sub(r"\\[nt]|//[/!]?<?|/\*+|\*+/|^[ \t]*[*#]+|[\n#\"]", lambda found: " " * len(found.group()), piece, flags=re.MULTILINE))
            for _, start, piece in joined]


def document_passages(text):
    """Paragraphs of Markdown, of a script or of a CMake file. @return [(start, text)]"""
    blank = re.sub(r"\n(?=[ \t]*(?:\n|[-*|#>] |\d+\. |```))", "\v", text)  # ends of paragraphs, items, table rows and headings
    position, found = 0, []
    for paragraph in blank.split("\v"):
        found.append((position, re.sub(r"[#*`>]", " ", paragraph)))
        position += len(paragraph) + 1
    return found


def identifier_violations(code):
    """Retired names in code. @return [(offset, text, advice)]"""
    found = []
    for match in IDENTIFIER.finditer(code):
        name = match.group()
        if name in RETIRED_IDENTIFIERS:
            found.append((match.start(), name, f"use {RETIRED_IDENTIFIERS[name]}"))
            continue
        for part in PART.findall(name):
            advice = RETIRED_PARTS.get(part.lower())
            if advice:
                found.append((match.start(), name, f'"{part.lower()}" in an identifier: use {advice}'))
    return found


def picture_violations(text):
    return [(match.start(), match.group(), 'use "image"') for match in re.finditer(r"\w*picture\w*", text, re.IGNORECASE)
            if not USER_NAMES.fullmatch(match.group())]


def phrase_violations(found_passages):
    """Phrases in passages of text. @return [(offset, text, advice)]"""
    found = []
    for start, passage in found_passages:
        for pattern, advice in PHRASES:
            for match in pattern.finditer(passage):
                lead = len(match.group()) - len(match.group().lstrip(" .;:(!?\t\n"))
                found.append((start + match.start() + lead, " ".join(match.group().split()), f"write {advice}"))
    return found


def violations(path, text):
    """What is wrong with one file, as sentences. `path` is relative to the project."""
    found = picture_violations(text)
    if "picture" in path.name:
        found.append((0, path.name, 'use "image" in the name of the file'))
    if path.suffix in CODE:
        pieces, code = cpp_pieces(text)
        found += phrase_violations(passages(pieces, text))
        if path.parts[0] in ("src", "include"):
            found += identifier_violations(code)
    elif path.suffix == ".py":
        found += phrase_violations(passages(python_pieces(text), text))
    else:
        found += phrase_violations(document_passages(text))
    return [f'{path}:{text.count(chr(10), 0, offset) + 1}: "{what}": {advice}' for offset, what, advice in sorted(set(found))
            if not is_exception(path, what)]


def is_exception(path, what):
    return any(fnmatch.fnmatch(path.as_posix(), files) and re.search(pattern, what) for files, pattern, _ in EXCEPTIONS)


def checked_files(project, only):
    """All files that people read or compile, in order."""
    tops = [path for path in project.iterdir() if path.is_file()]
    files = tops + [path for folder in FOLDERS for path in (project / folder).rglob("*") if path.is_file()]
    for path in sorted(files):
        relative = path.relative_to(project)
        known = path.suffix in CODE | OTHER_SUFFIXES or path.name in ("CMakeLists.txt", "Dockerfile.cpu", "Dockerfile.cuda")
        hidden = any(part.startswith(".") or part in SKIPPED_FOLDERS for part in relative.parts)
        wanted = not only or any(relative == place or place in relative.parents for place in map(pathlib.PurePath, only))
        if known and not hidden and wanted and relative.name not in ("LICENSE", "NOTICE.md"):
            yield relative


def main():
    parser = argparse.ArgumentParser(description="Checks the project's language.")
    parser.add_argument("project", type=pathlib.Path)
    parser.add_argument("--only", nargs="+", default=[], metavar="PATH", help="files and folders to check, relative to the project")
    arguments = parser.parse_args()
    project = arguments.project.resolve()
    files = list(checked_files(project, arguments.only))
    if not files:
        print(f"{project} has no such files")
        return 1
    found = [sentence for path in files for sentence in violations(path, (project / path).read_text(errors="replace"))]
    print("\n".join(found) if found else f"{len(files)} files keep to the project's language")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
