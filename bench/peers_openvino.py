#!/usr/bin/env python3
"""Times OpenVINO on models, one JSON object a line.

usage: peers_openvino.py [--threads N[,N]...] [--runs N] [--seconds S] [--no-spin] MODEL...

As peers_ort.py, of which it is the twin. The model is compiled for the shapes of its inputs (tlbc is told them as well), with the
latency hint, one stream, and products in f32 where the file has them so. Spinning is OpenVINO's own affair: --no-spin does nothing.
"""
import sys
import time

import openvino

import peer


def open_model(path, threads, spin):
    core = openvino.Core()
    start = time.perf_counter()
    model = core.read_model(path)
    arrays = peer.first_inputs(path, len(model.inputs))
    model.reshape({i: list(array.shape) for i, array in enumerate(arrays)})
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    load_ms = (time.perf_counter() - start) * 1e3
    request = compiled.create_infer_request()
    for i, array in enumerate(arrays):
        request.set_input_tensor(i, openvino.Tensor(array))
    return request.infer, load_ms, openvino.__version__.split("-")[0]


if __name__ == "__main__":
    sys.exit(peer.main(__doc__, open_model))
