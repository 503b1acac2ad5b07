#!/usr/bin/env python3
"""Compiles models with Apache TVM (Relax, its default pipeline for the CPU, no tuning) and times them.

usage: peers_tvm.py --build FILE.so MODEL
       peers_tvm.py --serve --made FILE.so MODEL [--threads N]

Threads are what $TVM_NUM_THREADS says, which bench/worker.py sets.
"""
import os
import sys
import time

import numpy as np

import peer


def processor():
    """LLVM's name for a processor that this machine has all instructions of."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        flags = next((line.split() for line in f if line.startswith("flags")), [])
    return "x86-64-v4" if "avx512f" in flags and "avx512vl" in flags else "x86-64-v3" if "avx2" in flags else "generic"


def build(case, to):
    import tvm
    from tvm.relax.frontend.onnx import from_onnx
    module = from_onnx(peer.pinned_model(case), keep_params_in_input=False)
    tvm.compile(module, target=tvm.target.Target({"kind": "llvm", "mcpu": processor()})).export_library(to)


class Opened(peer.OnDevice):
    def __init__(self, case, options):
        os.environ["TVM_NUM_THREADS"] = str(options.threads)
        import tvm
        self.version, self.tvm = tvm.__version__, tvm
        start = time.perf_counter()
        self.function = tvm.relax.VirtualMachine(tvm.runtime.load_module(options.made), tvm.cpu())["main"]
        self.load_ms = (time.perf_counter() - start) * 1e3

    def values(self, arrays):
        return [self.tvm.runtime.tensor(np.ascontiguousarray(array)) for array in arrays]

    def invoke(self, values):
        results = self.function(*values)
        return [results] if hasattr(results, "numpy") else list(results)

    @staticmethod
    def to_host(value):
        return value.numpy()


def open_model(case, options):
    return Opened(case, options)


if __name__ == "__main__":
    sys.exit(peer.main(__doc__, open_model, build))
