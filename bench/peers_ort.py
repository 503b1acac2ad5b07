#!/usr/bin/env python3
"""Times ONNX Runtime on models, one JSON object a line.

usage: peers_ort.py [--threads N[,N]...] [--runs N] [--seconds S] [--no-spin] MODEL...
example: peers_ort.py --threads 1,2 tests/models/tlb_tiny
         {"model": "tlb_tiny", "threads": 1, "min_us": 577.1, "median_us": 590.2, "p99_us": 640.9, "runs": 1000, ...}

MODEL is a test-data folder or an .onnx file; inputs come from test_data_set_0 beside it. They are bound once and stay in
place, as a C program would keep them; the states of a step go from output to input without a copy. Runs stop after --runs or
--seconds, whichever is first, but not before five.
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


class Opened(peer.Opened):
    version = onnxruntime.__version__

    def __init__(self, case, options):
        self.session, self.load_ms = open_session(case.path, options.threads, options.spin)
        self.inputs = [v.name for v in self.session.get_inputs()]
        self.outputs = [v.name for v in self.session.get_outputs()]

    def call(self, inputs):
        return self.session.run(None, dict(zip(self.inputs, inputs, strict=True)))

    def binding(self, arrays):
        """Inputs in place; ONNX Runtime allocates the outputs, whose shapes may be dynamic."""
        binding = self.session.io_binding()
        for name, array in zip(self.inputs, arrays, strict=True):
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        for name in self.outputs:
            binding.bind_output(name, "cpu")
        return binding

    def bind(self, inputs):
        binding = self.binding(inputs)
        return lambda: self.session.run_with_iobinding(binding)

    def bind_steps(self, case):
        bindings = [self.binding(arrays) for arrays, _ in case.sets]

        def steps(collect=None):
            carried = None
            for binding in bindings:
                if carried:
                    for (i, o) in case.carried:
                        binding.bind_ortvalue_input(self.inputs[i], carried[o])
                self.session.run_with_iobinding(binding)
                carried = binding.get_outputs()
                if collect is not None:
                    collect.append(binding.copy_outputs_to_cpu())
        return steps


def open_model(case, options):
    return Opened(case, options)


if __name__ == "__main__":
    sys.exit(peer.main(__doc__, open_model))
