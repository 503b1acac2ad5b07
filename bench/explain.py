#!/usr/bin/env python3
"""What keeps a model below its roofline: where `tlbc inspect --schedule` says that its time goes, and a sentence about it.

usage: explain.py [--threads N] MODEL        one JSON object; $TLBC is the program, `tlbc` from PATH without
prints: {"us": 14.6, "calls": 97, "waiting": 0.18, "products": 0.45, "speed": 31.2, "parts": [["LayerNormalization", 0.21], ["Fused", 0.09]]}

Shares are those of thread 0's time; `speed` is that of the products whose arithmetic is known, in GFLOP/s of one core. Each call takes some 30 ns
longer than without being measured, so that `us` is more than a run takes; inputs are made up, and states come from outside.
"""
import argparse
import json
import os
import subprocess
import sys

PRODUCTS = {"MatMul", "MatMulPacked", "Gemm", "ConvPacked", "ConvBytes", "Conv", "Attention", "LocalAttention"}
COPIES = {"Reshape", "Pad", "Transpose", "Concat", "Slice", "Expand", "Split", "Gather", "Resize", "copy"}
SHORT = 1.0         # microseconds: calls below are hardly more than their beginning and end
WORTH_TELLING = 0.05


# ---- measuring -----------------------------------------------------------------------------------------------------------

def measure(model, dims, threads):
    """The schedule as `tlbc inspect` prints it."""
    words = [os.environ.get("TLBC", "tlbc"), "inspect", model, "--schedule", "--json", "--threads", str(threads)]
    for name, size in dims.items():
        words += ["--dim", f"{name}={size}"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[0]}
    return summary(json.loads(done.stdout))


def summary(schedule):
    """Shares of the time by what was done."""
    total, kernels = schedule["us"] or 1, schedule["kernels"]
    times = {}
    for k in kernels:
        times[k.get("op", "copy")] = times.get(k.get("op", "copy"), 0) + k["us"]
    known = [k for k in kernels if k.get("flops")]
    spent = sum(k["us"] for k in known)
    others = sorted(((op, us / total) for op, us in times.items() if op not in PRODUCTS), key=lambda part: -part[1])
    return {"us": total, "calls": sum(k["calls"] for k in kernels), "waiting": sum(p["waiting_us"] for p in schedule["phases"]) / total,
            "products": sum(us for op, us in times.items() if op in PRODUCTS) / total,
            "speed": sum(k["flops"] for k in known) / spent * 1e-3 if spent else None,
            "parts": [[op, round(share, 3)] for op, share in others if share >= WORTH_TELLING][:4]}


# ---- telling -------------------------------------------------------------------------------------------------------------

def cause(s, threads):
    """What takes most, in a word or two."""
    copies = sum(share for op, share in s["parts"] if op in COPIES)
    if s["us"] / max(1, s["calls"]) < SHORT:
        return "short calls"
    if threads > 1 and s["waiting"] > 0.15:
        return "waiting"
    if s["products"] >= 0.6:
        return "products"
    return "copies" if copies > (1 - s["products"]) / 2 else "element by element"


def sentence(s, threads, peak):
    """For the report; `peak` is that of one core, in GFLOP/s."""
    each = s["us"] / max(1, s["calls"])
    calls = f"{s['calls']} calls of {each * 1e3:.0f} ns" if each < SHORT else f"{s['calls']} calls"
    parts = [calls]
    if s["products"] >= WORTH_TELLING:
        speed = f" at {s['speed'] / peak:.0%} of the peak" if s["speed"] and each >= SHORT else ""
        parts.append(f"products {s['products']:.0%} of the time{speed}")
    parts += [f"{op} {share:.0%}" for op, share in s["parts"]]
    if threads > 1 and s["waiting"] >= WORTH_TELLING:
        parts.append(f"waiting {s['waiting']:.0%}")
    return f"{cause(s, threads)}: {', '.join(parts)}"


def main():
    import peer
    from peers_tlbc import symbolic_dims
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("model", metavar="MODEL")
    args = parser.parse_args()
    case = peer.read_case(peer.model_path(args.model))
    print(json.dumps(measure(case.path, symbolic_dims(case), args.threads)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
