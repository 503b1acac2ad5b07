#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times a model on one thread and on several beside programs that never pause, all of them on one of the processors.

usage: busy.py TLBC MODEL... [--threads N] [--loops N[,N...]] [--seconds S] [--limit RATIO]
example: busy.py build/release/tlbc tests/models/tlb_tiny --loops 0,1,2

MODEL is a library, or a folder with model.onnx. Times are means: what a neighbour costs is in the tail. With --limit the exit status is 1
where several threads beside a loop take longer than RATIO times what one thread takes there, 77 where there is one processor only.
"""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile

LOOP = "import os\nos.sched_setaffinity(0, {%d})\nwhile True: pass"


def parse_args(argv):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tlbc")
    p.add_argument("models", nargs="+")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--loops", default="0,1,2", type=lambda text: [int(word) for word in text.split(",")])
    p.add_argument("--seconds", default="1")
    p.add_argument("--limit", type=float)
    return p.parse_args(argv)


@contextlib.contextmanager
def neighbours(count):
    """So many endless loops on the last processor that we may use."""
    program = LOOP % max(os.sched_getaffinity(0))
    loops = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def library(tlbc, model, folder):
    if not os.path.isdir(model):
        return model
    to = os.path.join(folder, os.path.basename(os.path.normpath(model)) + ".so")
    words = [tlbc, "compile", os.path.join(model, "model.onnx"), "-o", to]
    states = os.path.join(model, "states.txt")
    if os.path.exists(states):
        with open(states, encoding="utf-8") as pairs:
            words += ["--state", pairs.read().strip()]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return to


def measure(tlbc, path, threads, seconds):
    done = subprocess.run([tlbc, "bench", path, "--threads", str(threads), "--seconds", seconds, "--json"], check=True, capture_output=True)
    return json.loads(done.stdout)


def main(argv):
    args = parse_args(argv)
    slow = False
    if args.limit and len(os.sched_getaffinity(0)) < 2:
        return 77
    title = f"{args.threads} threads"
    print(f"{'model':24} {'loops':>5} {'1 thread':>12} {title:>12} {'ratio':>6}   of {title}: min, median, p99 (us)")
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models:
            path = library(args.tlbc, model, folder)
            for count in args.loops:
                with neighbours(count):
                    one, several = (measure(args.tlbc, path, n, args.seconds) for n in (1, args.threads))
                ratio = several["mean_us"] / one["mean_us"]
                slow |= bool(args.limit and count and ratio > args.limit)
                print(f"{one['model']:24} {count:5} {one['mean_us']:12.1f} {several['mean_us']:12.1f} {ratio:6.2f}   "
                      f"{several['min_us']:.1f} {several['median_us']:.1f} {several['p99_us']:.1f}", flush=True)
    if slow:
        print(f"busy.py: beside a loop, {args.threads} threads take more than {args.limit} times as long as one", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
