"""check_unity.py must find the names that a unity build mixes up."""
import unittest

import check_unity

CMAKE = "easel_add_layer(a\n  SOURCES x.cpp b/y.cpp\n  PUBLIC easel::core)\n"
FILE = "namespace easel {\nnamespace {\n\nError %s(int value) {\n  return f(value);\n}\n\n}  // namespace\n}\n"


class Unity(unittest.TestCase):
    def test_files_of_a_target(self):
        self.assertEqual([("a", ["x.cpp", "b/y.cpp"])], list(check_unity.targets(CMAKE)))

    def test_files_that_are_compiled_separately(self):
        self.assertEqual({"src/a.cpp", "tests/b_test.cpp"},
                         check_unity.separate("set(EASEL_SEPARATE_SOURCES\n  src/a.cpp\n  tests/b_test.cpp)\n"))

    def test_one_name_in_two_files(self):
        self.assertEqual(1, len(check_unity.violations("a", {"x.cpp": FILE % "g", "y.cpp": FILE % "g"})))

    def test_two_names_in_two_files(self):
        self.assertEqual([], check_unity.violations("a", {"x.cpp": FILE % "g", "y.cpp": FILE % "h"}))


if __name__ == "__main__":
    unittest.main()
