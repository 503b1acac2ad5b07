#!/usr/bin/env python3
"""Checks what export.py says where packages are missing. Needs none of them.

usage: export_test.py
"""
import contextlib
import io
import sys
import unittest
from unittest import mock

import export


class MissingTest(unittest.TestCase):
    def told(self, absent, *arguments):
        """Status and what is said, in a Python without the packages in `absent` and with all others."""
        said = io.StringIO()
        with mock.patch("importlib.util.find_spec", lambda name: None if name in absent else object()), \
                mock.patch.object(sys, "argv", ["export.py", *arguments]), contextlib.redirect_stderr(said):
            return export.main(), said.getvalue()

    def test_names_the_package_and_how_to_get_it(self):
        status, said = self.told({"torch"}, "tlb", "-o", "nowhere")
        self.assertEqual(status, 1)
        self.assertIn("Python package 'torch' is missing (every model needs it)", said)
        self.assertIn("models/setup_venv.sh", said)
        self.assertIn(f"{sys.executable} -m pip install -r models/requirements.txt", said)
        self.assertNotIn("'onnx'", said)

    def test_only_the_dynamo_exporter_needs_onnxscript(self):
        status, said = self.told({"onnxscript"}, "tlb", "--exporter", "dynamo", "-o", "nowhere")
        self.assertEqual(status, 1)
        self.assertIn("'onnxscript' is missing (the dynamo exporter needs it)", said)
        with mock.patch("importlib.util.find_spec", lambda name: None if name == "onnxscript" else object()):
            self.assertEqual(export.missing("torchscript"), [])


if __name__ == "__main__":
    unittest.main()
