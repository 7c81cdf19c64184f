"""Which CUDA build of libtorch the scripts choose for a machine's cards and driver, with a program in place of nvidia-smi."""
import os
import pathlib
import subprocess
import tempfile
import unittest

LIBRARY = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "lib.sh"


def cuda_build(*cards):
    """What cuda_build prints, for cards given as (driver, compute capability); its error where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        fake = pathlib.Path(folder) / "nvidia-smi"
        lines = "".join(f"{driver}, {capability}\n" for driver, capability in cards)
        fake.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}END\n" if cards else "#!/bin/sh\nexit 9\n")
        fake.chmod(0o755)
        environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
        result = subprocess.run(["bash", "-c", f'set -euo pipefail; . "{LIBRARY}"; cuda_build'], env=environment, text=True,
                                capture_output=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else result.stderr.strip()


class CudaBuild(unittest.TestCase):
    def test_recent_driver_and_card_take_cuda_13(self):
        self.assertEqual(cuda_build(("580.65.06", "8.9")), "cu130")
        self.assertEqual(cuda_build(("590.10", "12.0")), "cu130")
        self.assertEqual(cuda_build(("580.65.06", "7.5")), "cu130")

    def test_older_driver_takes_cuda_12(self):
        self.assertEqual(cuda_build(("535.183.01", "8.9")), "cu126")
        self.assertEqual(cuda_build(("525.60.13", "8.6")), "cu126")

    def test_older_card_takes_cuda_12_whatever_the_driver(self):
        self.assertEqual(cuda_build(("580.65.06", "6.1")), "cu126")
        self.assertEqual(cuda_build(("580.65.06", "8.9"), ("580.65.06", "7.0")), "cu126")

    def test_new_card_with_an_old_driver_is_refused(self):
        self.assertIn("needs NVIDIA's driver 580", cuda_build(("570.124.06", "12.0")))

    def test_driver_that_no_build_supports_is_refused_before_anything_is_fetched(self):
        self.assertIn("driver 470.82.01 is too old", cuda_build(("470.82.01", "8.6")))

    def test_cards_that_no_build_supports_together_are_refused(self):
        self.assertIn("6.1 to 12.0", cuda_build(("580.65.06", "6.1"), ("580.65.06", "12.0")))

    def test_machine_without_a_card_builds_for_cuda_13(self):
        self.assertEqual(cuda_build(), "cu130")


if __name__ == "__main__":
    unittest.main()
