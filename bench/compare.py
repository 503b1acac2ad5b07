#!/usr/bin/env python3
"""Compares tlbc with ONNX Runtime on the same models and the same machine, in turns.

usage: compare.py [--tlbc PATH] [--threads N[,N]...] [--rounds N] [--runs N] [--seconds S] [--raw FILE] MODEL...
example: compare.py --tlbc build/tlbc --threads 1,2 tests/models/tlb_tiny >> docs/PERFORMANCE.md

Each model is compiled once. Then, in every round, each model and thread count is timed by a fresh `tlbc bench` process
and a fresh ONNX Runtime process, one right after the other and in swapped order every second round, so that a machine
that slows down slows both. What is printed is a table in Markdown:

  min      the fastest run of all rounds
  spread   how far the rounds' own minima lie apart: (largest - smallest) / smallest; a ratio within it means nothing
  ratio    ONNX Runtime's minimum over tlbc's: above 1, tlbc is faster

Symbolic dimensions are pinned (`--dim`) to what test_data_set_0 has, unless --no-pin: ONNX Runtime sees the model
as it is. A model that fails is a row that says so, and exit status 1.
"""
import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time

import onnx

from peers_ort import first_inputs, model_name, model_path

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers_ort.py")


class Failed(Exception):
    """A process that did not end well; the message is for the table."""


@dataclasses.dataclass
class Compiled:
    """What `tlbc compile` made of a model."""
    path: str      # of the .onnx
    so: str
    seconds: float
    pinned: list   # the --dim arguments, as NAME=VALUE


def run(command):
    """Standard output of a command; Failed with the last line it complained with."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Failed(f"status {done.returncode}: {lines[-1] if lines else 'no message'}")
    return done.stdout


def run_json(command, needed):
    """The one JSON object a command prints, which must have the needed keys."""
    text = run(command)
    try:
        result = json.loads(text)
    except ValueError:
        raise Failed(f"'{command[0]}' printed no JSON object") from None
    missing = [key for key in needed if key not in result]
    if missing:
        raise Failed(f"'{command[0]}' printed no {', '.join(missing)}")
    return result


def symbolic_dims(path):
    """{name: value} of the inputs' symbolic dimensions, as test_data_set_0 fills them."""
    graph = onnx.load(path, load_external_data=False).graph
    weights = {w.name for w in graph.initializer}
    inputs = [v for v in graph.input if v.name not in weights]
    dims = {}
    for value, array in zip(inputs, first_inputs(path, len(inputs)), strict=True):
        for dim, size in zip(value.type.tensor_type.shape.dim, array.shape, strict=True):
            if dim.dim_param:
                dims[dim.dim_param] = size
    return dims


def compile_model(tlbc, model, folder, pin):
    path = model_path(model)
    pinned = [f"{name}={size}" for name, size in symbolic_dims(path).items()] if pin else []
    so = os.path.join(folder, model_name(path) + ".so")
    start = time.perf_counter()
    run([tlbc, "compile", path, "-o", so] + [a for p in pinned for a in ("--dim", p)])
    return Compiled(path, so, time.perf_counter() - start, pinned)


def time_tlbc(args, compiled, threads):
    command = [args.tlbc, "bench", compiled.so, "--json", "--threads", str(threads), "--runs", str(args.runs)]
    return run_json(command, ["min_us", "median_us", "gflops", "peak_share"])


def time_ort(args, compiled, threads):
    command = [sys.executable, PEER, "--threads", str(threads), "--runs", str(args.runs)]
    command += ["--seconds", str(args.seconds), compiled.path]
    return run_json(command, ["min_us", "median_us", "load_ms"])


def measure(args, models):
    """Fills {(model, threads): {"tlbc": [result per round], "ort": [...]}}; what fails once is not tried again."""
    results, errors = {}, {}
    for number in range(args.rounds):
        for model, compiled in models.items():
            for threads in args.threads:
                key = (model, threads)
                tools = [("tlbc", time_tlbc), ("ort", time_ort)]
                for tool, timer in tools if number % 2 == 0 else tools[::-1]:
                    if (key, tool) in errors:
                        continue
                    try:
                        result = timer(args, compiled, threads)
                        results.setdefault(key, {}).setdefault(tool, []).append(result)
                    except Failed as failure:
                        errors[key, tool] = str(failure)
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
    return results, errors


def summary(rounds):
    """(fastest run in us, spread of the rounds' minima)"""
    minima = [r["min_us"] for r in rounds]
    return min(minima), (max(minima) - min(minima)) / min(minima)


def show_time(us):
    return f"{us:.1f} µs" if us < 1000 else f"{us / 1000:.2f} ms"


def row(model, threads, both, compiled):
    """One line of the table, where both tools gave results."""
    ours, our_spread = summary(both["tlbc"])
    theirs, their_spread = summary(both["ort"])
    best = min(both["tlbc"], key=lambda r: r["min_us"])
    load = min(r["load_ms"] for r in both["ort"])
    return (f"| {model} | {threads} | {show_time(ours)} ± {our_spread:.0%} | {show_time(theirs)} ± {their_spread:.0%} "
            f"| {theirs / ours:.2f} | {best['gflops']:.1f} | {best['peak_share']:.0%} "
            f"| {compiled.seconds:.2f} s | {load:.0f} ms |")


def table(results, errors, models, threads):
    lines = ["| model | threads | tlbc min ± spread | ONNX Runtime min ± spread | ratio | tlbc GFLOP/s | of peak "
             "| tlbc compile | ONNX Runtime load |",
             "|---|---|---|---|---|---|---|---|---|"]
    for model, compiled in models.items():
        for n in threads:
            key = (model, n)
            failed = [f"{tool} failed ({errors[key, tool]})" for tool in ("tlbc", "ort") if (key, tool) in errors]
            lines.append(f"| {model} | {n} | {'; '.join(failed)} | | | | | | |" if failed
                         else row(model, n, results[key], compiled))
    return lines


def notes(args, models, results):
    """What a reader needs to judge the table."""
    version = next((r["version"] for both in results.values() for r in both.get("ort", []) if "version" in r), "?")
    lines = [f"{args.rounds} interleaved rounds, up to {args.runs} runs in each; ONNX Runtime {version}."]
    for model, compiled in models.items():
        if compiled.pinned:
            lines.append(f"{model}: compiled for {', '.join(compiled.pinned)}; dynamic in ONNX Runtime.")
    return lines


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tlbc", default="tlbc", help="the program; default: from PATH")
    parser.add_argument("--threads", default="1", type=lambda text: [int(t) for t in text.split(",")])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=300, help="most runs in one process")
    parser.add_argument("--seconds", type=float, default=3.0, help="longest ONNX Runtime process")
    parser.add_argument("--no-pin", action="store_true", help="leave symbolic dimensions open in tlbc as well")
    parser.add_argument("--raw", metavar="FILE", help="every round's JSON, for later")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="test-data folder or .onnx beside its test_data_set_0")
    return parser.parse_args(argv)


def main(argv):
    args = parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        models, broken = {}, []
        for model in args.models:
            name = model_name(model_path(model))
            try:
                models[name] = compile_model(args.tlbc, model, folder, not args.no_pin)
            except (Failed, OSError) as failure:
                broken.append(f"{name}: not compiled ({failure}).")
        results, errors = measure(args, models)
    if args.raw:
        with open(args.raw, "w", encoding="utf-8") as f:
            json.dump([{"model": m, "threads": n, **both} for (m, n), both in results.items()], f, indent=1)
    print("\n".join(table(results, errors, models, args.threads)) + "\n")
    print("\n".join(notes(args, models, results) + broken))
    return 1 if errors or broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
