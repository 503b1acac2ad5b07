#!/usr/bin/env python3
"""Times ONNX Runtime on models, one JSON object a line.

usage: peers_ort.py [--threads N[,N]...] [--runs N] [--seconds S] [--no-spin] MODEL...
example: peers_ort.py --threads 1,2 tests/models/tlb_tiny
         {"model": "tlb_tiny", "threads": 1, "min_us": 577.1, "median_us": 590.2, "p99_us": 640.9, "runs": 1000, ...}

MODEL is a test-data folder or an .onnx file; inputs come from test_data_set_0 beside it. They are bound once and stay in
place, as a C program would keep them. Runs stop after --runs or --seconds, whichever is first, but not before five.
"""
import sys
import time

import onnxruntime

import peer


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
    for value, array in zip(inputs, peer.first_inputs(path, len(inputs)), strict=True):
        binding.bind_ortvalue_input(value.name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    for value in session.get_outputs():
        binding.bind_output(value.name, "cpu")
    return binding


def open_model(path, threads, spin):
    session, load_ms = open_session(path, threads, spin)
    binding = bind(session, path)
    return lambda: session.run_with_iobinding(binding), load_ms, onnxruntime.__version__


if __name__ == "__main__":
    sys.exit(peer.main(__doc__, open_model))
