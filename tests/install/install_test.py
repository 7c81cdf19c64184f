"""easel as a library: installs it, and builds and runs examples/generate against the installed copy.

usage: install_test.py SOURCE-FOLDER BUILD-FOLDER LIBTORCH

The example is copied out of the source tree and configured with CMAKE_PREFIX_PATH only. While it is configured, built
and run, the source and build trees are hidden: those commands run in a mount namespace of their own in which an empty
file system lies over both trees, which has the effect of renaming them and does not disturb tests that run at the same
time. (libtorch is put back where it is when it lies inside the source tree.) Where the system does not allow such a
namespace, the test still checks that no installed file of the package and no build command names either tree.
"""
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

SOURCE, BUILD, LIBTORCH = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("EASEL_", "CMAKE_"))}
UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
# $0 is the source tree, $1 the build tree, $2 the entry of the source tree with libtorch or empty, $3 a free folder.
HIDE = """
set -e
if [ -n "$2" ]; then mkdir "$3"; mount --rbind "$0/$2" "$3"; fi
mount -t tmpfs none "$0"
if [ -n "$2" ]; then mkdir "$0/$2"; mount --rbind "$3" "$0/$2"; fi
if [ -d "$1" ]; then mount -t tmpfs none "$1"; fi
shift 3
"$@"
"""


def run(*command, **options):
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=CLEAN, **options)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(str(word) for word in command)} failed:\n{result.stdout}")
    return result.stdout


def can_hide():
    return subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="easel-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.prefix = cls.folder / "prefix"
        run("cmake", "--install", BUILD, "--prefix", cls.prefix)
        shutil.copytree(SOURCE / "examples" / "generate", cls.folder / "generate")
        shutil.copytree(SOURCE / "models" / "emoji", cls.folder / "emoji")
        cls.hides = can_hide()
        if not cls.hides:
            print("the source and build trees stay visible: this system allows no mount namespace", file=sys.stderr)

    def run_hidden(self, *command):
        """Runs a command to which the source and build trees do not exist."""
        if not self.hides:
            return run(*command, cwd=self.folder)
        entry = LIBTORCH.relative_to(SOURCE).parts[0] if LIBTORCH.is_relative_to(SOURCE) else ""
        free = tempfile.mkdtemp(dir=self.folder) + "/mount"
        return run(*UNSHARE, "bash", "-c", HIDE, SOURCE, BUILD, entry, free, *command, cwd=self.folder)

    def assert_names_no_tree(self, text, where):
        text = text.replace(str(LIBTORCH), "LIBTORCH")
        for tree in (SOURCE, BUILD):
            self.assertNotIn(str(tree), text, where)

    def build(self, project):
        build = self.folder / f"build-{project}"
        build.mkdir()
        self.run_hidden("cmake", "-G", "Ninja", "-S", self.folder / project, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}")
        self.run_hidden("cmake", "--build", build)
        self.assert_names_no_tree((build / "build.ninja").read_text(), "build.ninja")
        return build

    def test_example_generates_an_image(self):
        if self.hides:
            with self.assertRaises(AssertionError):
                self.run_hidden("test", "-e", SOURCE / "include")
        program = self.build("generate") / "generate"
        output = self.folder / "fox.png"
        self.run_hidden(program, self.folder / "emoji", "a fox", output)
        head = output.read_bytes()[:24]
        self.assertEqual(head[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(struct.unpack(">II", head[16:]), (128, 128))
        with self.assertRaisesRegex(AssertionError, "nowhere"):
            self.run_hidden(program, self.folder / "nowhere", "a fox", output)

    def test_example_is_short_and_includes_only_public_headers(self):
        lines = (self.folder / "generate" / "main.cpp").read_text().splitlines()
        self.assertLess(len(lines), 25)
        included = [line.split()[1] for line in lines if line.startswith("#include")]
        self.assertTrue(all(name.startswith("<easel/") or "/" not in name for name in included), included)

    def test_each_header_compiles_by_itself(self):
        project = self.folder / "headers"
        project.mkdir()
        headers = sorted(path.name for path in (self.prefix / "include" / "easel").iterdir())
        self.assertIn("model.h", headers)
        for name in headers:
            (project / f"{name}.cpp").write_text(f"#include <easel/{name}>\n")
        (project / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(headers LANGUAGES CXX)\nfind_package(easel REQUIRED)\n"
            f"add_library(headers OBJECT {' '.join(name + '.cpp' for name in headers)})\ntarget_link_libraries(headers PRIVATE easel::easel)\n")
        self.build("headers")

    def test_package_files_name_neither_tree(self):
        package = list((self.prefix).rglob("*.cmake"))
        self.assertGreaterEqual(len(package), 5)
        for path in package:
            self.assert_names_no_tree(path.read_text(), path.name)

    def test_manual_page_and_completion_scripts_are_installed(self):
        share = self.prefix / "share"
        for path, begin in (("man/man1/easel.1", ".TH EASEL 1"), ("bash-completion/completions/easel", "# bash completion"),
                            ("zsh/site-functions/_easel", "#compdef easel")):
            self.assertTrue((share / path).read_text().startswith(begin), path)

    def test_program_runs_where_it_is_installed(self):
        self.assertRegex(self.run_hidden(self.prefix / "bin" / "easel", "--version"), r"^easel \d+\.\d+\.\d+\n$")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
