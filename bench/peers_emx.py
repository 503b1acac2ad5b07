#!/usr/bin/env python3
"""Compiles models with emx-onnx-cgen, its C with cc -O3 -march=native, and times them; one thread is all that its code uses.

usage: peers_emx.py --build FILE.so MODEL
       peers_emx.py --serve --made FILE.so MODEL

It takes fixed sizes only and folds little, so ONNX Runtime folds constants for it first (level "basic": ONNX's own operators remain).
"""
import ctypes
import os
import subprocess
import sys
import time
from importlib.metadata import version

import numpy as np
import onnx

import peer


def fold(case, to):
    import onnxruntime
    onnx.save(peer.pinned_model(case), to)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = to
    onnxruntime.InferenceSession(to, options, providers=["CPUExecutionProvider"])


def run(command, what):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.startswith("Result:") or "error" in line.lower()]
        raise peer.Unable(f"{what}: {lines[0] if lines else f'status {done.returncode}'}")


def build(case, to):
    tool = os.path.join(os.path.dirname(sys.executable), "emx-onnx-cgen")
    fold(case, to + ".onnx")
    run([tool, "compile", to + ".onnx", to + ".c", "--model-name", "emx"], "generate")
    run(["cc", "-O3", "-march=native", "-shared", "-fPIC", "-w", to + ".c", "-o", to, "-lm"], "cc")
    os.remove(to + ".c")
    weights = os.path.join(os.path.dirname(to), "emx.bin")  # beside the C where there are many, named for the model
    if os.path.exists(weights):
        os.replace(weights, to + ".bin")


class Opened(peer.Opened):
    version = version("emx-onnx-cgen")

    def __init__(self, case, options):
        if not case.sets[0][1]:
            raise peer.Unable("the outputs' sizes are needed, from expected outputs")
        start = time.perf_counter()
        library = ctypes.CDLL(os.path.abspath(options.made))
        weights = os.path.abspath(options.made) + ".bin"
        if os.path.exists(weights):
            library.emx_load.restype = ctypes.c_bool
            if not library.emx_load(weights.encode()):
                raise peer.Unable("its weights cannot be loaded")
        self.function = library.emx
        self.function.restype = None
        self.load_ms = (time.perf_counter() - start) * 1e3
        self.outputs = [(e.shape, e.dtype) for e in case.sets[0][1]]

    def prepare(self, inputs):
        """(arrays that must stay, the call's arguments, the outputs)"""
        inputs = [np.ascontiguousarray(a) for a in inputs]
        outputs = [np.zeros(shape, dtype) for shape, dtype in self.outputs]
        return inputs, [ctypes.c_void_p(a.ctypes.data) for a in inputs + outputs], outputs

    def call(self, inputs):
        kept, arguments, outputs = self.prepare(inputs)
        self.function(*arguments)
        del kept
        return outputs

    def bind(self, inputs):
        *kept, arguments, outputs = self.prepare(inputs)  # the code has their addresses only
        function = self.function

        def run_bound():
            function(*arguments)
        run_bound.kept = (kept, outputs)
        return run_bound


def open_model(case, options):
    return Opened(case, options)


if __name__ == "__main__":
    sys.exit(peer.main(__doc__, open_model, build))
