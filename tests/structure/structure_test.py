"""The checks beside this file must find what they are for."""
import pathlib
import unittest

import check_includes
import check_paths


def violations(path, *includes):
    return check_includes.violations(pathlib.PurePath(path), "".join(f"#include {name}\n" for name in includes))


class Includes(unittest.TestCase):
    def test_what_the_table_allows(self):
        self.assertEqual([], violations("src/http/openai/routes.cpp", '"easel/engine.h"', '"core/log.h"', '"easel/image.h"'))
        self.assertEqual([], violations("src/pipelines/a.cpp", '"easel/pipeline.h"', '"models/unet.h"', "<ATen/ops/add.h>"))
        self.assertEqual([], violations("include/easel/scheduler.h", "<ATen/core/Tensor.h>", '"easel/error.h"'))

    def test_arrows_do_not_point_back(self):
        for path, name in [("src/core/a.h", '"tensor/b.h"'), ("src/engine/a.h", '"http/b.h"'), ("src/http/a.cpp", '"pipelines/b.h"'),
                           ("src/models/a.cpp", '"schedulers/b.h"'), ("src/schedulers/a.cpp", '"models/b.h"'),
                           ("src/pipelines/a.cpp", '"engine/queue.h"'), ("src/adapters/a.cpp", '"checkpoints/b.h"'),
                           ("src/checkpoints/a.cpp", '"models/b.h"'), ("src/nn/a.cpp", '"easel/scheduler.h"'),
                           ("include/easel/error.h", '"easel/engine.h"')]:
            self.assertEqual(1, len(violations(path, name)), (path, name))

    def test_torch_stops_at_the_interface(self):
        for layer in ("core", "image", "tokenizers", "engine", "http"):
            self.assertEqual(1, len(violations(f"src/{layer}/a.cpp", "<ATen/core/Tensor.h>")), layer)
            self.assertEqual(1, len(violations(f"src/{layer}/a.cpp", "<c10/core/Device.h>")), layer)

    def test_each_library_has_one_user(self):
        for path, name in [("src/http/a.cpp", "<stb/stb_image_write.h>"),
                           ("src/http/a.cpp", "<spdlog/spdlog.h>"), ("src/core/config.cpp", "<spdlog/spdlog.h>"),
                           ("src/core/a.cpp", "<CLI/CLI.hpp>"), ("src/core/a.cpp", "<openssl/sha.h>"),
                           ("src/engine/a.cpp", "<prometheus/counter.h>"), ("src/http/openai/routes.cpp", "<prometheus/counter.h>"),
                           ("src/core/a.cpp", "<unicode/uchar.h>")]:
            self.assertEqual(1, len(violations(path, name)), (path, name))

    def test_headers_stay_light(self):
        self.assertEqual(1, len(violations("src/nn/a.h", "<ATen/ops/add.h>")))
        self.assertEqual(1, len(violations("src/nn/a.cpp", "<ATen/ATen.h>")))
        self.assertEqual(1, len(violations("include/easel/image.h", "<nlohmann/json.hpp>")))

    def test_public_headers_name_no_private_file(self):
        for text in ("// see core/text.h\n", "/// `http/http_error` maps them\n", "// as nn/layers does\n", '#include "core/text.h"\n'):
            self.assertNotEqual([], check_includes.violations(pathlib.PurePath("include/easel/error.h"), text), text)
        self.assertEqual([], check_includes.violations(pathlib.PurePath("include/easel/error.h"), "// see easel/image.h, GET /metrics\n"))

    def test_what_belongs_nowhere(self):
        self.assertEqual(1, len(violations("src/main.cpp")))
        self.assertEqual(1, len(violations("include/easel/unheard_of.h")))
        self.assertEqual(1, len(violations("src/core/a.cpp", '"b.h"')))


class Paths(unittest.TestCase):
    def test_places_of_one_machine(self):
        for text in ("see " + "/home" + "/ann/easel", "'" + "/work" + "/main'", "x=" + "/tmp" + "/a"):
            self.assertEqual(1, len(check_paths.machine_paths(text)), text)

    def test_what_is_no_such_place(self):
        for text in ("models/emoji", "a/home/b", "$HOME/work/x", "https://example.com/work/x", "/usr/lib/x"):
            self.assertEqual([], check_paths.machine_paths(text), text)


if __name__ == "__main__":
    unittest.main()
