#!/usr/bin/env python3
"""Compares the two engines that run the rewrite rules: what the e-graph's result costs by the model, and measured.

usage: simplify.py [--tlbc PATH] [--threads N] [--rounds N] [--seconds S] [--hold CMD] MODEL...
prints: a Markdown table; "cycles" are those of the cost model before the e-graph (what the classical engine leaves) and after, of all regions,
        "measured" the fastest runs of both, in turns

MODEL is a test-data folder. A folder with states.txt is a step function.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

ENGINES = ("classic", "egraph")
COST = re.compile(r"; (\d+) cycles, were (\d+)$", re.M)


def run(words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"simplify.py: {' '.join(words)}: {done.stderr.strip()[:300]}")
    return done


def states_of(folder):
    path = os.path.join(folder, "states.txt")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return [word for pair in f.read().strip().split(",") for word in ("--state", pair)]


def compile_both(args, folder, to):
    """(cycles before, cycles after) of the cost model."""
    words = [args.tlbc, "compile", os.path.join(folder, "model.onnx"), *states_of(folder), "-o"]
    run([*words, f"{to}.classic.so", "--simplify=classic"])
    said = run([*words, f"{to}.egraph.so", "--explain=egraph"])
    costs = [(int(before), int(after)) for after, before in COST.findall(said.stdout + said.stderr)]
    return sum(before for before, _ in costs), sum(after for _, after in costs)


def fastest(args, to):
    """{engine: microseconds}, engines in turns, in swapped order every second round."""
    best = {}
    for number in range(args.rounds):
        for engine in ENGINES if number % 2 == 0 else ENGINES[::-1]:
            words = [args.tlbc, "bench", f"{to}.{engine}.so", "--threads", str(args.threads), "--seconds", str(args.seconds), "--json"]
            us = json.loads(run(args.hold + words).stdout)["min_us"]
            best[engine] = min(us, best.get(engine, us))
    return best


def show(us):
    return f"{us:.1f} µs" if us < 1000 else f"{us / 1000:.2f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tlbc", default="tlbc")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--hold", type=str.split, default=[], metavar="CMD", help="goes before each measurement")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    args = parser.parse_args()
    print("| model | cycles, classic | e-graph | less | measured, classic | e-graph | faster |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as where:
        for number, folder in enumerate(args.models):
            to = os.path.join(where, str(number))
            before, after = compile_both(args, folder, to)
            us = fastest(args, to)
            print(f"| {os.path.basename(os.path.abspath(folder))} | {before:,} | {after:,} | {1 - after / before:.1%} | {show(us['classic'])} | {show(us['egraph'])} "
                  f"| {us['classic'] / us['egraph'] - 1:+.1%} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
