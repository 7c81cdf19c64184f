"""check_seeds.py must find the programs whose random tensors differ from run to run."""
import unittest

import check_seeds

CMAKE = "easel_add_test(a_test\n  SOURCES a_test.cpp b_test.cpp\n  LIBS easel::nn%s)\n"
DRAWS = {"a_test.cpp": "TEST(A, B) { EXPECT_TRUE(f(at::randn({2}))); }", "b_test.cpp": "TEST(C, D) { at::ones({2}); }"}


class Seeds(unittest.TestCase):
    def test_a_program_without_a_seed(self):
        self.assertEqual(["a_test does not link easel_fixed_seed, and a_test.cpp draws random tensors"],
                         check_seeds.violations(CMAKE % "", DRAWS))

    def test_a_program_with_a_seed(self):
        self.assertEqual([], check_seeds.violations(CMAKE % " easel_fixed_seed", DRAWS))

    def test_a_program_that_draws_nothing(self):
        self.assertEqual([], check_seeds.violations(CMAKE % "", {"b_test.cpp": DRAWS["b_test.cpp"]}))


if __name__ == "__main__":
    unittest.main()
