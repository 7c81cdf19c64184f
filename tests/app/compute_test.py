"""How the program uses memory and processors while it computes.  usage: compute_test.py EASEL MODEL_FOLDER"""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "faults"))
from program import Program

EASEL, MODEL = sys.argv[1:3]
LIBGOMP_ROUNDS = 300_000  # where nothing is set


def run(*arguments, **variables):
    """Runs the program with these variables, PATH and nothing else, as a service manager does."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}
    return subprocess.run([EASEL, *arguments], capture_output=True, text=True, timeout=120, env=environment, check=False)


def draw(folder, *flags, **variables):
    path = pathlib.Path(folder, "image.png")
    return run("draw", "a fox", "--model", MODEL, "--size", "128x128", "--seed", "1", "-o", str(path), *flags, **variables), path


class Memory(unittest.TestCase):
    def timings(self, *flags):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "timings.json")
            result, _ = draw(folder, *flags, "--timings", str(path))
            self.assertEqual(result.returncode, 0, result.stderr)
            return json.loads(path.read_text())

    def test_steps_keep_the_memory_of_the_steps_before(self):
        # On a quiet machine a step has fewer than 5 page faults. On others the system may be out of huge pages, whose parts then come
        # one by one: 512 of them. Where the allocator gives memory back at once (MALLOC_CONF=dirty_decay_ms:0), it is 7,500 a step.
        limit_a_step = 2000
        faults = self.timings("--steps", "6", "--dtype", "float32", "--threads", "2")["step_page_faults"]
        self.assertEqual(len(faults), 6)
        self.assertLess(statistics.median(faults[2:]), limit_a_step, faults)

    def test_many_steps_need_no_more_memory_than_few(self):
        # With blocks that are split for those down to a sixteenth of their size only, a step adds 1 to 2 MiB.
        few, many = (self.timings("--steps", steps, "--dtype", "float32", "--threads", "1")["vm_hwm_bytes"] for steps in ("5", "80"))
        self.assertLess(many - few, 32 << 20)


class Threads(unittest.TestCase):
    def test_a_server_keeps_those_of_its_loop_only(self):
        """Else there would be more of them than processors, and libgomp would let all of them sleep as soon as they wait."""
        # Eight of them more are one of the loop each, and one in a pool that libtorch makes and that only its quantised operators use.
        # The server itself may make another thread for a connection.
        more, each, for_connections = 8, 2, 3
        servers = [Program(EASEL, MODEL, "--threads", str(count), stderr=subprocess.DEVNULL) for count in (1, 1 + more)]
        with servers[0] as one, servers[1] as several:
            self.assertEqual([one.draw(), several.draw()], [200, 200])
            few, many = (len(os.listdir(f"/proc/{program.process.pid}/task")) for program in (one, several))
        self.assertAlmostEqual(many - few, more * each, delta=for_connections)


class Spinning(unittest.TestCase):
    """libgomp prints the settings that it uses, once for each start of a process in which it gets to its initialization."""

    def rounds(self, *flags, **variables):
        with tempfile.TemporaryDirectory() as folder:
            result, image = draw(folder, "--steps", "1", *flags, OMP_DISPLAY_ENV="VERBOSE", **variables)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertTrue(image.exists())
        found = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", result.stderr)
        self.assertEqual(len(found), 1, result.stderr)
        return int(found[0])

    def test_is_bounded_where_several_threads_compute(self):
        several = len(os.sched_getaffinity(0)) > 1
        rounds = self.rounds("--threads", "2")
        self.assertGreater(rounds, 100)
        (self.assertLess if several else self.assertEqual)(rounds, LIBGOMP_ROUNDS)

    def test_what_the_user_sets_is_used(self):
        self.assertEqual(self.rounds(GOMP_SPINCOUNT="12345"), 12345)
        self.assertEqual(self.rounds(OMP_WAIT_POLICY="passive"), 0)
        self.assertEqual(self.rounds(OMP_NUM_THREADS="1"), LIBGOMP_ROUNDS, "one thread waits for nobody")

    def test_arguments_and_standard_input_reach_the_program(self):
        said = run("draw", "", "-o", "/dev/null", "--no-such flag").stderr
        self.assertIn("--no-such flag", said)
        shell = f"{EASEL} draw 'a fox' --model {MODEL} --steps 1 --image /dev/stdin -o /dev/null < {MODEL}/model_index.json"
        said = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=120, check=False).stderr
        self.assertIn("/dev/stdin", said)
        self.assertNotIn("cannot read", said, "the file is read, and is not an image")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
