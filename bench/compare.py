#!/usr/bin/env python3
"""Compares tlbc with other runtimes on the same models and the same machine, in turns.

usage: compare.py [--tlbc PATH] [--peers ort,openvino] [--threads N[,N]...] [--rounds N] [--runs N] [--seconds S] [--raw FILE] MODEL...
example: compare.py --tlbc build/tlbc --threads 1,2 tests/models/tlb_tiny >> docs/PERFORMANCE.md

Each model is compiled once. Then, in every round, each model and thread count is timed by a fresh `tlbc bench` process
and a fresh process for each peer, one right after the other and in swapped order every second round, so that a machine
that slows down slows all. What is printed is a table in Markdown:

  min      the fastest run of all rounds
  spread   how far the rounds' own minima lie apart: (largest - smallest) / smallest; a ratio within it means nothing
  ratio    the fastest peer's minimum over tlbc's: above 1, tlbc is faster

Symbolic dimensions are pinned (`--dim`) to what test_data_set_0 has, unless --no-pin: ONNX Runtime sees the model
as it is, OpenVINO is told its shapes. A peer that is not installed, or fails, has an empty cell and a note; a model that
tlbc cannot compile or run is a row that says so, and exit status 1.
"""
import argparse
import dataclasses
import json
import math
import os
import subprocess
import sys
import tempfile
import time

import onnx

from peer import first_inputs, model_name, model_path
from report import show_time

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = {"ort": "ONNX Runtime", "openvino": "OpenVINO"}


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


def model_inputs(path):
    graph = onnx.load(path, load_external_data=False).graph
    weights = {w.name for w in graph.initializer}
    return [v for v in graph.input if v.name not in weights]


def input_arguments(path):
    """`--input NAME=FILE` for each file of test_data_set_0: a model may refuse what is made up."""
    where = os.path.join(os.path.dirname(path), "test_data_set_0")
    files = [(v.name, os.path.join(where, f"input_{i}.pb")) for i, v in enumerate(model_inputs(path))]
    return [a for name, file in files for a in ("--input", f"{name}={file}")]


def symbolic_dims(path):
    """{name: value} of the inputs' open dimensions, as test_data_set_0 fills them; those without a name are INPUT.dAXIS in tlbc."""
    inputs, dims = model_inputs(path), {}
    for value, array in zip(inputs, first_inputs(path, len(inputs)), strict=True):
        for axis, (dim, size) in enumerate(zip(value.type.tensor_type.shape.dim, array.shape, strict=True)):
            if dim.dim_param and dim.dim_param != "?":
                dims[dim.dim_param] = size
            elif not dim.HasField("dim_value") or dim.dim_value < 0:
                dims[f"{value.name}.d{axis}"] = size
    return dims


def compile_model(tlbc, model, folder, pin):
    path = model_path(model)
    pinned = [f"{name}={size}" for name, size in symbolic_dims(path).items()] if pin else []
    so = os.path.join(folder, model_name(path) + ".so")
    start = time.perf_counter()
    run([tlbc, "compile", path, "-o", so] + [a for p in pinned for a in ("--dim", p)])
    return Compiled(path, so, time.perf_counter() - start, pinned)


def time_tlbc(args, compiled, threads):
    command = [args.tlbc, "bench", compiled.so, *input_arguments(compiled.path), "--json", "--threads", str(threads), "--runs", str(args.runs)]
    return run_json(command, ["min_us", "median_us", "gflops", "peak_share"])


def peer_timer(peer):
    """As time_tlbc, for a peer."""
    def timer(args, compiled, threads):
        command = [sys.executable, os.path.join(HERE, f"peers_{peer}.py"), "--threads", str(threads)]
        command += ["--runs", str(args.runs), "--seconds", str(args.seconds), compiled.path]
        return run_json(command, ["min_us", "median_us", "load_ms"])
    return timer


def measure(args, models):
    """Fills {(model, threads): {"tlbc": [result per round], "ort": [...], ...}}; what fails once is not tried again."""
    results, errors = {}, {}
    tools = [("tlbc", time_tlbc)] + [(peer, peer_timer(peer)) for peer in args.peers]
    for number in range(args.rounds):
        for model, compiled in models.items():
            for threads in args.threads:
                key = (model, threads)
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


def show_summary(rounds):
    if not rounds:
        return ""
    fastest, spread = summary(rounds)
    return f"{show_time(fastest)} ± {spread:.0%}"


def ratio_of(found, peers):
    """The fastest peer's time over tlbc's, None without a peer."""
    times = [summary(found[peer])[0] for peer in peers if peer in found]
    return min(times) / summary(found["tlbc"])[0] if times else None


def row(model, threads, found, compiled, peers):
    """One line of the table, where tlbc gave results."""
    best = min(found["tlbc"], key=lambda r: r["min_us"])
    ratio = ratio_of(found, peers)
    cells = [model, str(threads)] + [show_summary(found.get(tool)) for tool in ("tlbc", *peers)]
    cells += ["" if ratio is None else f"{ratio:.2f}", f"{best['gflops']:.1f}", f"{best['peak_share']:.0%}", f"{compiled.seconds:.2f} s"]
    cells += [f"{min(r['load_ms'] for r in found[peer]):.0f} ms" if peer in found else "" for peer in peers]
    return f"| {' | '.join(cells)} |"


def table(results, errors, models, args):
    names = [PEERS[peer] for peer in args.peers]
    head = ["model", "threads", *(f"{tool} min ± spread" for tool in ("tlbc", *names)), "ratio", "tlbc GFLOP/s", "of peak", "tlbc compile",
            *(f"{name} load" for name in names)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for model, compiled in models.items():
        for n in args.threads:
            key = (model, n)
            if (key, "tlbc") in errors:
                lines.append(f"| {model} | {n} | tlbc failed ({errors[key, 'tlbc']})" + " |" * (len(head) - 2))
            else:
                lines.append(row(model, n, results[key], compiled, args.peers))
    return lines


def overall(results, args):
    """A line for each number of threads: geometric mean of the ratios, and the lowest one."""
    lines = []
    for n in args.threads:
        ratios = {model: ratio_of(found, args.peers) for (model, threads), found in results.items() if threads == n and "tlbc" in found}
        ratios = {model: ratio for model, ratio in ratios.items() if ratio}
        if len(ratios) > 1:
            mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
            worst = min(ratios, key=ratios.get)
            lines.append(f"{n} threads: geometric mean of {len(ratios)} ratios {mean:.2f}, lowest {ratios[worst]:.2f} ({worst}).")
    return lines


def notes(args, models, results, errors):
    """What a reader needs to judge the table."""
    versions = {tool: r[0].get("version", "?") for found in results.values() for tool, r in found.items() if tool != "tlbc"}
    lines = [f"{args.rounds} interleaved rounds, up to {args.runs} runs in each; "
             + ", ".join(f"{PEERS[peer]} {versions.get(peer, 'did not run')}" for peer in args.peers) + "."]
    lines += overall(results, args)
    for model, compiled in models.items():
        if compiled.pinned:
            lines.append(f"{model}: compiled for {', '.join(compiled.pinned)}; dynamic in ONNX Runtime.")
    lines += [f"{model}, {threads} threads: {PEERS[tool]} failed ({reason})."
              for ((model, threads), tool), reason in errors.items() if tool != "tlbc"]
    return lines


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tlbc", default="tlbc", help="the program; default: from PATH")
    parser.add_argument("--peers", default=["ort"], type=lambda text: text.split(","), help=f"of {', '.join(PEERS)}; default: ort")
    parser.add_argument("--threads", default="1", type=lambda text: [int(t) for t in text.split(",")])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=300, help="most runs in one process")
    parser.add_argument("--seconds", type=float, default=3.0, help="longest process of a peer")
    parser.add_argument("--no-pin", action="store_true", help="leave symbolic dimensions open in tlbc as well")
    parser.add_argument("--raw", metavar="FILE", help="every round's JSON, for later")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="test-data folder or .onnx beside its test_data_set_0")
    args = parser.parse_args(argv)
    unknown = set(args.peers) - set(PEERS)
    if unknown:
        parser.error(f"no peer named {' '.join(sorted(unknown))}")
    return args


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
    print("\n".join(table(results, errors, models, args)) + "\n")
    print("\n".join(notes(args, models, results, errors) + broken))
    return 1 if broken or any(tool == "tlbc" for _, tool in errors) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
