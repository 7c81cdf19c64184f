"""The bill of materials that scripts/sbom prints.  usage: sbom_test.py SBOM_SCRIPT EASEL"""
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import unittest

SCRIPT, EASEL = sys.argv[1:3]


class Sbom(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        result = subprocess.run([sys.executable, SCRIPT, EASEL], stdout=subprocess.PIPE, check=True)
        cls.document = json.loads(result.stdout)
        cls.packages = {package["name"]: package for package in cls.document["packages"]}

    def test_has_the_fields_that_spdx_requires(self):
        self.assertEqual(self.document["spdxVersion"], "SPDX-2.3")
        self.assertEqual(self.document["dataLicense"], "CC0-1.0")
        self.assertRegex(self.document["documentNamespace"], r"^https://[^#]+$")
        self.assertRegex(self.document["creationInfo"]["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        identifiers = [package["SPDXID"] for package in self.document["packages"]]
        self.assertEqual(len(set(identifiers)), len(identifiers))
        for package in self.document["packages"]:
            self.assertRegex(package["SPDXID"], r"^SPDXRef-[A-Za-z0-9.-]+$")
            self.assertTrue(package["versionInfo"], package)
            self.assertIn("downloadLocation", package)

    def test_every_package_is_related_to_the_program(self):
        related = {relation["spdxElementId"] for relation in self.document["relationships"]}
        others = {package["SPDXID"] for name, package in self.packages.items() if name != "easel"}
        self.assertEqual(related, others | {"SPDXRef-DOCUMENT"})

    def test_lists_what_the_program_loads_and_what_is_compiled_in(self):
        self.assertLessEqual({"easel", "libtorch", "cpp-httplib", "clip-vocabulary", "libc6", "libjemalloc2", "nlohmann-json3-dev"}, set(self.packages))
        digest = hashlib.sha256(pathlib.Path(EASEL).read_bytes()).hexdigest()
        self.assertEqual(self.packages["easel"]["checksums"][0]["checksumValue"], digest)
        loaded = subprocess.run(["ldd", EASEL], stdout=subprocess.PIPE, text=True, check=True).stdout
        soname = re.search(r"libwebp\.so\.(\d+)", loaded).group(1)
        self.assertIn(f"libwebp{soname}", self.packages)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
