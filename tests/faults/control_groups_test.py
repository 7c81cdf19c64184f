"""Containers with little memory, as control groups.  usage: control_groups_test.py EASEL MODEL_FOLDER INJECTED_FAULTS_LIBRARY

The groups are made where this process may make some: as root, with version 1 or 2 mounted.
"""
import os
import pathlib
import subprocess
import sys
import unittest

from program import IMAGES, Program

EASEL, MODEL = sys.argv[1:3]
MEBIBYTE = 1 << 20
MOUNT = pathlib.Path("/sys/fs/cgroup")


class Group:
    """A control group with a limit of memory, for as long as the object is in a `with`."""

    def __init__(self, mebibytes):
        version1 = MOUNT / "memory"
        parent, self.limit = (version1, "memory.limit_in_bytes") if version1.is_dir() else (MOUNT, "memory.max")
        self.folder = parent / f"easel-test-{os.getpid()}"
        self.bytes = mebibytes * MEBIBYTE

    def __enter__(self):
        self.folder.mkdir()
        try:
            (self.folder / self.limit).write_text(str(self.bytes), encoding="ascii")
        except OSError:
            self.folder.rmdir()
            raise
        return self

    def __exit__(self, *_):
        self.folder.rmdir()

    def enter(self):
        (self.folder / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")


def can_make_groups():
    try:
        with Group(100):
            return True
    except OSError:
        return False


if can_make_groups():

    class ControlGroups(unittest.TestCase):
        def test_images_are_generated_or_refused_and_the_server_lives(self):
            for mebibytes in (400, 700):
                with self.subTest(mebibytes=mebibytes), Group(mebibytes) as group, \
                        Program(EASEL, MODEL, stderr=subprocess.DEVNULL, prepare=group.enter) as program:
                    for size in ("128x128", "1024x1024", "1600x1600"):
                        status = program.ask(IMAGES, {"prompt": "a fox", "size": size, "steps": 1}, timeout=120)[0]
                        self.assertIn(status, (200, 400), size)
                    self.assertEqual(program.draw(), 200)
                    self.assertEqual(program.exit_code(), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
