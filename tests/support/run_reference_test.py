"""run_reference.py runs a script again exactly when something that its output depends on has changed."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

RUNNER = pathlib.Path(__file__).resolve().parent / "run_reference.py"
SCRIPT = """
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import helper

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
with (out.parent.parent / "runs").open("a") as runs:
    runs.write("x")
(out / "vector").write_text(helper.VALUE + (pathlib.Path(__file__).parent / "data.txt").read_text())
"""


class RunReference(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        for name in ("tests/support", "tests/reference", "tests/layer", "models", "build"):
            (self.root / name).mkdir(parents=True)
        self.runner = shutil.copy(RUNNER, self.root / "tests/support")
        (self.root / "tests/reference/requirements.lock").write_text("torch==1")
        (self.root / "models/weights").write_text("1")
        self.layer = self.root / "tests/layer"
        self.script = self.layer / "make_it.py"
        self.script.write_text(SCRIPT)
        (self.layer / "helper.py").write_text("VALUE = 'a'\n")
        (self.layer / "data.txt").write_text("1")
        self.out = self.root / "build/reference/it"

    def runs(self):
        """How often the script has run."""
        return len((self.root / "build/runs").read_text())

    def run_it(self, *arguments, **environment):
        command = [sys.executable, self.runner, *(arguments or (self.script, self.out))]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def expect_another_run(self, **environment):
        before = self.runs()
        self.assertEqual(self.run_it(**environment)[0], 0)
        self.assertEqual(self.runs(), before + 1)
        self.assertEqual(self.run_it(**environment)[0], 0)
        self.assertEqual(self.runs(), before + 1, "what was just made is current")

    def test_a_second_run_changes_nothing(self):
        self.run_it()
        self.assertEqual(self.runs(), 1)
        self.assertIn("is current", self.run_it()[1])
        self.assertEqual(self.runs(), 1)
        self.assertEqual((self.out / "vector").read_text(), "a1")

    def test_every_input_counts(self):
        self.run_it()
        for file in (self.script, self.layer / "helper.py", self.layer / "data.txt", self.root / "models/weights",
                     self.root / "tests/reference/requirements.lock", pathlib.Path(self.runner)):
            with self.subTest(file.name):
                # Text that is a comment, a package or a datum, and has no effect on the output of this script.
                file.write_text(file.read_text() + "\n# 2\n")
                self.expect_another_run()
        self.expect_another_run(MKL_CBWR="COMPATIBLE")

    def test_a_missing_or_changed_output_counts(self):
        self.run_it()
        (self.out / "vector").write_text("damaged")
        self.expect_another_run()
        (self.out / "vector").unlink()
        self.expect_another_run()

    def test_a_failure_is_reported_and_not_remembered(self):
        self.run_it()
        (self.layer / "helper.py").write_text("raise ValueError('broken helper')\n")
        for _ in range(2):
            status, output = self.run_it()
            self.assertNotEqual(status, 0)
            self.assertIn("broken helper", output)

    def test_a_list_runs_all_scripts_and_reports_each_failure(self):
        broken = self.layer / "make_broken.py"
        broken.write_text("import sys\nsys.exit('no such model')\n")
        other = self.out.with_name("other")
        tasks = self.root / "build/list.txt"
        tasks.write_text(f"{self.script} {self.out}\n{broken} {self.out.with_name('broken')}\n{self.script} {other}\n")
        status, output = self.run_it("--list", tasks)
        self.assertEqual(status, 1)
        self.assertIn("no such model", output)
        self.assertEqual(output.count("passed"), 2, output)
        self.assertEqual((other / "vector").read_text(), "a1")
        self.assertIn("is current", self.run_it()[1])


if __name__ == "__main__":
    unittest.main()
