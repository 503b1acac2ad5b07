#!/usr/bin/env python3
"""Checks compare.py against a stand-in for tlbc that prints known numbers; ONNX Runtime is the real one.

usage: compare_test.py
"""
import contextlib
import io
import os
import stat
import tempfile
import unittest

import compare

MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "models")

# Writes its arguments down; "compile" touches the output, "bench" gives 20 us, then 10, 20, 10 and so on.
STAND_IN = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/calls"
case $1 in
compile) case $2 in *odd*) echo "model.onnx: no such op" >&2; exit 1;; esac; : > "$4" ;;
bench) case $2 in *mask*) echo '{"min_us": 1}'; exit 0;; esac
    n=$(grep -c '^bench' "$here/calls")
    echo "{\\"min_us\\": $((10 + 10 * (n % 2))), \\"median_us\\": 30, \\"p99_us\\": 40, \\"gflops\\": 57.5, \\"peak_share\\": 0.5, \\"rss_bytes\\": 1}" ;;
esac
"""


class CompareTest(unittest.TestCase):
    def compare(self, *arguments):
        """(status, table and notes, calls of the stand-in)"""
        with tempfile.TemporaryDirectory() as folder:
            tlbc = os.path.join(folder, "tlbc")
            with open(tlbc, "w", encoding="utf-8") as f:
                f.write(STAND_IN)
            os.chmod(tlbc, stat.S_IRWXU)
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                status = compare.main(["--tlbc", tlbc, "--runs", "5", *arguments])
            with open(os.path.join(folder, "calls"), encoding="utf-8") as f:
                return status, out.getvalue(), f.read().splitlines()

    def test_rounds_and_pinning(self):
        status, text, calls = self.compare("--rounds", "2", "--threads", "1,2", os.path.join(MODELS, "tlb_test_loop"))
        self.assertEqual(status, 0)
        self.assertEqual(calls[0].split()[-4:], ["--dim", "batch=1", "--dim", "time=20"])
        self.assertEqual([c.split()[-3] for c in calls[1:]], ["1", "2", "1", "2"])
        rows = [line for line in text.splitlines() if line.startswith("| tlb_test_loop")]
        self.assertEqual(len(rows), 2)
        self.assertIn("compiled for batch=1, time=20", text)

    def test_minimum_and_spread(self):
        _, text, _ = self.compare("--rounds", "4", os.path.join(MODELS, "tlb_test_unrolled_ts"))
        cells = [c.strip() for c in text.splitlines()[2].split("|")]
        self.assertEqual(cells[3], "10.0 µs ± 100%")
        self.assertEqual(cells[6:8], ["57.5", "50%"])
        self.assertGreater(float(cells[5]), 1)  # ONNX Runtime needs far more than 10 us for 997 nodes

    def test_failures_are_rows(self):
        status, text, _ = self.compare("--rounds", "1", os.path.join(MODELS, "tlb_odd_loop"),
                                       os.path.join(MODELS, "tlb_test_mask"))
        self.assertEqual(status, 1)
        self.assertIn("tlb_odd_loop: not compiled (status 1: model.onnx: no such op)", text)
        self.assertIn("printed no median_us, gflops, peak_share", text)


class SummaryTest(unittest.TestCase):
    def test_summary(self):
        self.assertEqual(compare.summary([{"min_us": 12.0}, {"min_us": 10.0}, {"min_us": 11.0}]), (10.0, 0.2))

    def test_units(self):
        self.assertEqual(compare.show_time(999.94), "999.9 µs")
        self.assertEqual(compare.show_time(8700), "8.70 ms")


if __name__ == "__main__":
    unittest.main()
