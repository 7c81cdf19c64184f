"""Tests of check_locks.py."""
import unittest

import check_locks


class Locks(unittest.TestCase):
    LOCK = "numpy==2.0 ; python_version >= '3.11' \\\n    --hash=sha256:aa\nJinja2==3.1 \\\n    --hash=sha256:bb\n"

    def test_accepts_a_lock_with_more_than_the_list(self):
        self.assertEqual(check_locks.violations("a.txt", "# a comment\nnumpy==2.0\n", self.LOCK), [])
        self.assertEqual(check_locks.violations("a.txt", "jinja2==3.1\n", self.LOCK), [])

    def test_reports_other_versions_and_missing_packages(self):
        found = check_locks.violations("a.txt", "numpy==2.1\nscipy==1.0\n", self.LOCK)
        self.assertEqual([text.split(" is ")[0] for text in found], ["a.txt: numpy==2.1", "a.txt: scipy==1.0"])
        self.assertEqual(len(check_locks.violations("a.txt", "numpy==2.0\n", None)), 1)

    def test_reports_a_package_without_a_hash(self):
        self.assertEqual(len(check_locks.violations("a.txt", "x==1\n", self.LOCK + "x==1\n")), 1)


if __name__ == "__main__":
    unittest.main()
