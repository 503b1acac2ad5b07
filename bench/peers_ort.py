#!/usr/bin/env python3
"""Times ONNX Runtime on models, one JSON object a line.

usage: peers_ort.py [--threads N[,N]...] [--runs N] [--seconds S] [--no-spin] MODEL...
example: peers_ort.py --threads 1,2 tests/models/tlb_tiny
         {"model": "tlb_tiny", "threads": 1, "min_us": 577.1, "median_us": 590.2, "p99_us": 640.9, "runs": 1000, ...}

MODEL is a test-data folder or an .onnx file; inputs come from test_data_set_0 beside it. They are bound once and stay in
place, as a C program would keep them. Runs stop after --runs or --seconds, whichever is first, but not before five.
"""
import argparse
import json
import os
import sys
import time

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

LEAST_RUNS = 5


def model_path(name):
    """The .onnx file of a folder or file argument."""
    return os.path.join(name, "model.onnx") if os.path.isdir(name) else name


def model_name(path):
    """Folder's name for DIR/model.onnx, else the file's without .onnx."""
    folder, file = os.path.split(os.path.abspath(path))
    return os.path.basename(folder) if file == "model.onnx" else file.removesuffix(".onnx")


def first_inputs(path, count):
    """The arrays of test_data_set_0."""
    where = os.path.join(os.path.dirname(path), "test_data_set_0")
    arrays = []
    for i in range(count):
        with open(os.path.join(where, f"input_{i}.pb"), "rb") as f:
            arrays.append(numpy_helper.to_array(onnx.TensorProto.FromString(f.read())))
    return arrays


def open_session(path, threads, spin):
    """(session, milliseconds it took)"""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session, (time.perf_counter() - start) * 1e3


def bind(session, path):
    """Inputs in place; ONNX Runtime allocates the outputs, whose shapes may be dynamic."""
    binding = session.io_binding()
    inputs = session.get_inputs()
    for value, array in zip(inputs, first_inputs(path, len(inputs)), strict=True):
        binding.bind_ortvalue_input(value.name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    for value in session.get_outputs():
        binding.bind_output(value.name, "cpu")
    return binding


def time_runs(run, runs, seconds):
    """Microseconds of each run, after a tenth of the time (at least three runs) to warm up."""
    start = time.perf_counter()
    warm = 0
    while warm < 3 or (warm < runs // 10 and time.perf_counter() - start < seconds / 10):
        run()
        warm += 1
    times = []
    start = time.perf_counter()
    while len(times) < LEAST_RUNS or (len(times) < runs and time.perf_counter() - start < seconds):
        before = time.perf_counter_ns()
        run()
        times.append((time.perf_counter_ns() - before) / 1e3)
    return times


def measure(path, threads, runs, seconds, spin):
    session, load_ms = open_session(path, threads, spin)
    binding = bind(session, path)
    times = time_runs(lambda: session.run_with_iobinding(binding), runs, seconds)
    return {
        "model": model_name(path), "threads": threads,
        "min_us": round(min(times), 2), "median_us": round(float(np.median(times)), 2),
        "p99_us": round(float(np.percentile(times, 99)), 2), "runs": len(times),
        "load_ms": round(load_ms, 2), "version": onnxruntime.__version__,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", default="1", help="intra-op threads, several with commas")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--no-spin", action="store_true", help="idle threads sleep instead of spinning")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    args = parser.parse_args()
    for model in args.models:
        for threads in (int(t) for t in args.threads.split(",")):
            result = measure(model_path(model), threads, args.runs, args.seconds, not args.no_spin)
            print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
