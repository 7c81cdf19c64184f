"""Checks that the lock files of Python packages have every requirement, in its version, with hashes.  usage: check_locks.py PROJECT

scripts/lock writes the lock files anew.
"""
import pathlib
import re
import sys

LISTS = ["tests/reference/requirements.txt", "tests/clients/requirements/*.txt", "tests/clients/more/requirements/*.txt"]


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text):
    """{name: version} of the lines NAME==VERSION."""
    return {normalized(name): version for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE)}


def violations(name, requirements, lock):
    """Sentences about the lock file of a list of requirements; `lock` is None if there is none."""
    if lock is None:
        return [f"{name} has no lock file; run scripts/lock"]
    locked = pins(lock)
    found = [f"{name}: {package}=={version} is not in its lock file; run scripts/lock"
             for package, version in pins(requirements).items() if locked.get(package) != version]
    entries = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    return found + [f"{name}: the lock file has {entry.split()[0]} without a hash" for entry in entries if entry.strip() and "--hash=sha256:" not in entry]


def main(project):
    found, files = [], 0
    for pattern in LISTS:
        for path in sorted(project.glob(pattern)):
            lock = path.with_suffix(".lock")
            found += violations(path.relative_to(project), path.read_text(), lock.read_text() if lock.exists() else None)
            files += 1
    print("\n".join(map(str, found)) or f"{files} lists of requirements agree with their lock files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
