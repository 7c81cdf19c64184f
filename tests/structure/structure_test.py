"""Self-test of the checks in this folder: each finds what it is for, and lets pass what is allowed."""
import pathlib
import tempfile
import unittest

import check_documents
import check_includes
import check_paths
import check_words


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
                           ("src/pipelines/a.cpp", '"engine/waiting/queue.h"'), ("src/adapters/a.cpp", '"checkpoints/b.h"'),
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

    def test_other_paths_are_allowed(self):
        for text in ("models/emoji", "a/home/b", "$HOME/work/x", "https://example.com/work/x", "/usr/lib/x"):
            self.assertEqual([], check_paths.machine_paths(text), text)


def words(path, text):
    return check_words.violations(pathlib.PurePath(path), text)


class Words(unittest.TestCase):
    def test_retired_identifiers_in_sources(self):
        for text in ("Answer answer();", "void fly();", "bool is_doubted_;", "int kToldSigmas;", "struct TaughtWords {};"):
            self.assertEqual(1, len(words("src/engine/a.cpp", text)), text)
            self.assertEqual([], words("tests/engine/a.cpp", text), text)

    def test_words_inside_other_words_are_allowed(self):
        for text in ("int threshold, butterfly, kinds;", "#include <kin/alone.h>", "auto c = 'A'; int n = 1'000;", "Response r;"):
            self.assertEqual([], words("src/engine/a.cpp", text), text)

    def test_picture_only_in_names_that_users_depend_on(self):
        for path in ("src/a/a.cpp", "tests/a.py", "README.md", "scripts/run"):
            self.assertEqual(1, len(words(path, "# read_Picture")), path)
            self.assertEqual([], words(path, "# easel_pictures_total and easel_batch_limit_pictures"), path)
        self.assertEqual(1, len(words("src/image/picture_file.cpp", "")))

    def test_phrases(self):
        for text in ("This is no file.", "These are no files.", "The method is none.", "Tells who waits.", "Read by who waits.",
                     "Who waits is served.", "Served: whoever waits.", "Removes those that wait.", "An image of one that waits.",
                     "The file beside it.", "Latents alone.", "Of this kin.", "It is likewise read.", "The UNet is told it.",
                     "It moves to and fro.", "A share of that."):
            self.assertEqual(1, len(words("README.md", text)), text)
            self.assertEqual(1, len(words("tests/a.cpp", f"int a;  // {text}")), text)
            self.assertEqual(1, len(words("tests/a.cpp", f'f("{text}");')), text)
            self.assertEqual(1, len(words("tests/a.py", f'f("{text}")')), text)
            self.assertEqual(1, len(words("tests/a.py", f"a = 1  # {text}")), text)
            self.assertEqual(1, len(words("scripts/run", f"# {text}")), text)

    def test_plain_english_is_allowed(self):
        for text in ("There is no file.", "It is no longer there.", "It is no more than 3.", "People who wait.", "Besides, it waits.",
                     "A standalone program.", "A client, which waits.", "Who waits?", "One of them.", "There is none.", "The file of that name."):
            self.assertEqual([], words("README.md", text), text)
            self.assertEqual([], words("include/easel/a.h", f"/// {text}"), text)

    def test_phrases_that_wrap(self):
        self.assertEqual(['src/a.cpp:2: "is no file": write "is not a", "does not", or "there is no"'],
                         words("src/a.cpp", "\n/// This is\n/// no file.\n"))
        self.assertEqual(1, len(words("src/a.cpp", 'f("this is "\n  "no file");')))
        self.assertEqual(1, len(words("docs/a.md", "- this is\n  no file\n- another")))
        self.assertEqual([], words("docs/a.md", "- what it is\n- no file\n"))

    def test_code_is_not_prose(self):
        self.assertEqual([], words("tests/a.cpp", "bool alone = told;"))
        self.assertEqual([], words("tests/a.py", "alone = told"))

    def test_exceptions_stay_few_and_have_reasons(self):
        self.assertLess(len(check_words.EXCEPTIONS), 40)
        self.assertTrue(all(reason for _, _, reason in check_words.EXCEPTIONS))


class Documents(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.project = pathlib.Path(self.folder.name)
        (self.project / "docs").mkdir()
        (self.project / "docs" / "a.md").write_text("# Under load\n\n```sh\n# Not a heading\n```\n")

    def tearDown(self):
        self.folder.cleanup()

    def violations(self, text):
        return check_documents.violations(self.project, pathlib.PurePath("README.md"), text, {"Queue.IsFair"})

    def test_what_exists(self):
        for text in ("[load](docs/a.md#under-load)", "[here](#title)\n# Title", "[web](https://example.com/x)", "`docs/a.md`",
                     "`tests/NAME_test.cpp`", "`docs/{a,b}.md`", "`Queue.IsFair`", "`n.m`", "```sh\ncat docs/missing.md\n```"):
            (self.project / "README.md").write_text(text)
            self.assertEqual([], self.violations(text), text)

    def test_what_does_not_exist(self):
        for text in ("[load](docs/b.md)", "[load](docs/a.md#not-a-heading)", "`docs/b.md`", "`Queue.IsEmpty`"):
            self.assertEqual(1, len(self.violations(text)), text)


if __name__ == "__main__":
    unittest.main()
