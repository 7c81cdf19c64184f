"""Runs the scripts that make the reference's vectors, unless what they made is there and still current.

    run_reference.py SCRIPT OUT       runs SCRIPT, which writes into the folder OUT, its only argument
    run_reference.py --list FILE      the same for each line "SCRIPT OUT" of FILE, as many at once as there are processors

Importing diffusers takes longer than most of the scripts. With --list it is imported once, and each script runs in a fork of
that process.

What was made is current while everything is as it was when the script ended: the files of this repository that the script
imported or opened, the pinned packages, the models that come with easel, the environment variables and the processor that
decide about last bits, and the files that the script wrote. OUT.inputs.json has the list.
"""
import ast
import ctypes
import hashlib
import importlib
import json
import os
import pathlib
import runpy
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Folders of the repository with what is installed or built, not with what people write.
GENERATED = (ROOT / ".deps", ROOT / "build")
PACKAGES = ROOT / "tests/reference/requirements.lock"
MODELS = ROOT / "models"
VARIABLES = ("OMP_NUM_THREADS", "MKL_CBWR", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "EASEL_PUBLISHED_VOCABULARIES")
LIBRARIES = ("diffusers", "numpy", "peft", "PIL", "safetensors", "scipy", "sentencepiece", "tokenizers", "torch", "transformers")


def is_source(path):
    return path.is_relative_to(ROOT) and not any(path.is_relative_to(folder) for folder in GENERATED)


def listing(folder):
    """Name, size and time of every file in a folder."""
    return sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file())


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return "\n".join(next((line for line in lines if line.startswith(key)), "") for key in ("model name", "flags"))


def state(sources, outputs):
    """A digest of all that a script's vectors depend on, and of the files that it wrote."""
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{name}\n".encode() + pathlib.Path(name).read_bytes())
    written = [(name, pathlib.Path(name).stat().st_size, pathlib.Path(name).stat().st_mtime_ns) for name in sorted(outputs)]
    digest.update(json.dumps([written, listing(MODELS), [os.environ.get(name) for name in VARIABLES], processor()]).encode())
    return digest.hexdigest()


def record_of(out):
    return out.with_name(out.name + ".inputs.json")


def is_current(out):
    try:
        record = json.loads(record_of(out).read_text())
        return record["state"] == state(record["sources"], record["outputs"])
    except (OSError, ValueError, KeyError):
        return False


def keep_freed_memory():
    """Lets the C library keep what is freed. Otherwise it maps and unmaps each large tensor, and the kernel, which clears
    the pages each time, takes a third of the processor time of scripts that make large images."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        m_trim_threshold, m_mmap_max = -1, -4  # of malloc.h
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, -1)


def make(script, out):
    """Runs a script in this process, as `python SCRIPT OUT` would, and writes the record."""
    keep_freed_memory()
    record_of(out).unlink(missing_ok=True)
    opened = {str(PACKAGES), str(script), __file__}
    sys.addaudithook(lambda event, arguments: opened.add(str(arguments[0])) if event == "open" else None)
    sys.argv = [str(script), str(out)]
    sys.path[0] = str(script.parent)
    runpy.run_path(str(script), run_name="__main__")
    imported = {str(getattr(module, "__file__", None)) for module in list(sys.modules.values())}
    paths = {pathlib.Path(name).absolute() for name in opened | imported if "\0" not in name}
    sources = [str(path) for path in paths if is_source(path) and not path.is_relative_to(out) and path.is_file()]
    outputs = [name for name, _, _ in listing(out)]
    record_of(out).write_text(json.dumps({"state": state(sources, outputs), "sources": sources, "outputs": outputs}))


def preload(scripts):
    """Imports what the scripts, and the files next to them, import from LIBRARIES."""
    for file in sorted({file for script in scripts for file in script.parent.glob("*.py")}):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names] if isinstance(node, ast.Import) else []
            for name in modules:
                if name.split(".")[0] in LIBRARIES:
                    module = importlib.import_module(name)
                    for member in node.names if isinstance(node, ast.ImportFrom) else []:
                        getattr(module, member.name, None)  # diffusers imports a class where it is asked for it


def make_in_fork(script, out, log):
    """The id of a process that runs the script with its output in `log`."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        make(script, out)
        status = 0
    except BaseException:  # also sys.exit of the script: this process must end here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def make_all(tasks):
    """Makes what is not current; returns how many scripts failed."""
    waiting = [(script, out) for script, out in tasks if not is_current(out)]
    if not waiting:
        return 0
    preload([script for script, _ in waiting])
    running, failed = {}, 0
    while waiting or running:
        while waiting and len(running) < len(os.sched_getaffinity(0)):
            script, out = waiting.pop()
            out.parent.mkdir(parents=True, exist_ok=True)
            log = out.with_name(out.name + ".log")
            running[make_in_fork(script, out, log)] = (script, log, time.monotonic())
        pid, status = os.wait()
        script, log, begun = running.pop(pid)
        print(f"{time.monotonic() - begun:6.1f} s  {'passed' if status == 0 else 'FAILED'}  {script.relative_to(ROOT)}", flush=True)
        if status:
            failed += 1
            print(log.read_text(errors="replace"), flush=True)
    return failed


def main(arguments):
    sys.dont_write_bytecode = True
    if arguments[0] == "--list":
        lines = pathlib.Path(arguments[1]).read_text().splitlines()
        return 1 if make_all([tuple(pathlib.Path(name) for name in line.split()) for line in lines]) else 0
    script, out = (pathlib.Path(name).resolve() for name in arguments)
    if is_current(out):
        print(f"{out} is current")
    else:
        make(script, out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
