#!/usr/bin/env python3
"""Writes every folder of tests/models anew: small TLBs as different exporters and options leave them, and what the
systems' tables `tests` name, in tests/models/seeds.

usage: make_tests.py [-o DIR] [NAME]...      default: ../tests/models, all of them; seeds/tlb_* is a pattern too
"""
import argparse
import fnmatch
import multiprocessing
import os
import sys

from export import write_model
from system import SHORT, configure
from systems import systems

# A second set of widths where nothing is a power of two or divides a vector: d=18 in 3 heads of 6, 5 state vectors.
ODD = "d=18 qkv=18 heads=3 ffn=37 K=3 M=5 T=15 vocab=23 classes=7 seed=5"

# name: (size of tlb, settings, form, exporter, options of write_model)
TESTS = {
    # one graph, several exporters and opsets
    "tlb_test_unrolled_ts": ("test", "", "unrolled", "torchscript", {}),
    "tlb_test_unrolled_ts13": ("test", "outputs=both", "unrolled", "torchscript", {"opset": 13}),
    "tlb_test_unrolled_ts20_split": ("test", "chunks=split", "unrolled", "torchscript", {"opset": 20}),
    "tlb_test_unrolled_batch": ("test", "chunks=stack", "unrolled", "torchscript", {"batch": "dynamic"}),
    "tlb_test_unrolled_dynamo": ("test", "", "unrolled", "dynamo", {"opset": 18}),
    "tlb_test_unrolled_dynamo20_batch": ("test", "outputs=both", "unrolled", "dynamo",
                                         {"opset": 20, "batch": "dynamic", "inline": True}),
    "tlb_test_unrolled_dynamo23_sdpa": ("test", "attention=sdpa", "unrolled", "dynamo", {"opset": 23, "inline": True}),
    "tlb_test_ragged": ("test", "T=22 outputs=both", "unrolled", "torchscript", {}),
    "tlb_test_mask": ("test", "mask=1", "unrolled", "torchscript", {"batch": "3"}),
    "tlb_test_global": ("test", "pos=global learned_pos=1 slow=2 mlp=24", "unrolled", "torchscript", {"opset": 18}),
    # a loop over chunks, in the forms in which loops are exported
    "tlb_test_loop": ("test", "", "loop", "torchscript", {}),
    "tlb_test_loop_both13": ("test", "outputs=both", "loop", "torchscript", {"opset": 13}),
    "tlb_test_loop_stack": ("test", "chunks=stack outputs=both", "loop", "torchscript", {"opset": 18}),
    "tlb_test_loop_while": ("test", "loop=while outputs=both", "loop", "torchscript", {"opset": 20}),
    "tlb_test_loop_buffer": ("test", "loop=buffer outputs=both", "loop", "torchscript", {}),
    "tlb_test_loop_mask": ("test", "mask=1", "loop", "torchscript", {}),
    "tlb_test_scan": ("test", "outputs=both", "scan", "dynamo", {"opset": 18, "batch": "2", "inline": True}),
    "tlb_test_scan_logits": ("test", "", "scan", "dynamo", {"opset": 21, "inline": True}),
    "tlb_test_scan_mask": ("test", "mask=1", "scan", "dynamo", {"opset": 20, "batch": "2"}),
    # the Keras example's order of blocks, state as long as a chunk, the last chunk classified
    "tlb_test_keras_quirk": ("test_keras", "", "unrolled", "torchscript", {}),
    "tlb_test_keras_quirk_loop": ("test_keras", "", "loop", "torchscript", {}),
    # odd widths
    "tlb_odd_unrolled_ts": ("test", ODD + " outputs=both", "unrolled", "torchscript", {"opset": 14}),
    "tlb_odd_unrolled_dynamo": ("test", ODD + " fast=SC gelu=erf bias=1", "unrolled", "dynamo", {"opset": 20}),
    "tlb_odd_loop": ("test", ODD + " fast=CSCS slow=2 outputs=both", "loop", "torchscript", {"external": True}),
    # d 64 with features in
    "tlb_tiny": ("tiny", "", "unrolled", "torchscript", {}),
    "tlb_tiny_loop": ("tiny", "chunks=stack", "loop", "torchscript", {}),
}

# Both are fp32 in different orders; more than this and the export is wrong. Relative to numbers above one.
TOLERANCE = 1e-5
LARGEST = 1 << 20


def folder_bytes(folder):
    return sum(os.path.getsize(os.path.join(where, f)) for where, _, files in os.walk(folder) for f in files)


def seed_name(system, size, export):
    """seeds/<name>[_<size>]_<form>_<exporter>[_<label>]; the test size, the first one, goes without saying."""
    parts = [system.name, "" if size == next(iter(system.sizes)) else size, export.form, SHORT[export.exporter], export.label]
    return "seeds/" + "_".join(p for p in parts if p)


def all_tests():
    """{folder: (system, size, settings, form, exporter, options of write_model)}"""
    found = systems()
    tests = {name: (found["tlb"], *test) for name, test in TESTS.items()}
    for system in found.values():
        for e in system.tests:
            name = seed_name(system, e.size, e)
            assert name not in tests, f"two tests are called {name}"
            tests[name] = (system, e.size, e.settings, e.form, e.exporter,
                           {"opset": e.opset, "batch": e.batch, "inline": True})
    return tests


def make(name, root, test):
    """Writes one folder; returns None or what is wrong with it."""
    system, size, settings, form, exporter, options = test
    folder = os.path.join(root, name)
    difference = write_model(folder, system, configure(system.sizes[size], settings.split()), form, exporter, **options)
    print(f"{name}: {folder_bytes(folder)} bytes, ONNX Runtime differs by {difference}", flush=True)
    if difference is not None and not difference <= TOLERANCE:
        return f"{name}: differs from ONNX Runtime by {difference}"
    if folder_bytes(folder) > LARGEST:
        return f"{name}: over {LARGEST} bytes"
    return None


def make_by_name(name, root):
    """In a process of its own: tables with functions in them do not go from process to process."""
    return make(name, root, all_tests()[name])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default=os.path.join(os.path.dirname(__file__), "..", "tests", "models"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    known = list(all_tests())
    for pattern in args.names:
        if not fnmatch.filter(known, pattern):
            parser.error(f"no test named {pattern}")
    names = [n for n in known if not args.names or any(fnmatch.fnmatch(n, p) for p in args.names)]
    # A process for each: TorchScript numbers its classes through a process and writes the numbers into node names.
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        wrong = [w for w in pool.starmap(make_by_name, [(n, args.output) for n in names], chunksize=1) if w]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
