"""What the programs that time other runtimes share: which file, which inputs, how long, and one JSON object a line.

A peer is a module with `open_model(path, threads, spin)` that gives a function for one run, the milliseconds it took to load and
the version; `main` is its command line.
"""
import argparse
import json
import os
import time

import numpy as np
import onnx
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


def measure(open_model, path, threads, args):
    run, load_ms, version = open_model(path, threads, not args.no_spin)
    times = time_runs(run, args.runs, args.seconds)
    return {
        "model": model_name(path), "threads": threads,
        "min_us": round(min(times), 2), "median_us": round(float(np.median(times)), 2),
        "p99_us": round(float(np.percentile(times, 99)), 2), "runs": len(times),
        "load_ms": round(load_ms, 2), "version": version,
    }


def main(doc, open_model):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", default="1", help="intra-op threads, several with commas")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--no-spin", action="store_true", help="idle threads sleep instead of spinning")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    args = parser.parse_args()
    for model in args.models:
        for threads in (int(t) for t in args.threads.split(",")):
            print(json.dumps(measure(open_model, model_path(model), threads, args)), flush=True)
    return 0
