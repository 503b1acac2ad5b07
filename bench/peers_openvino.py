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


class Opened(peer.Opened):
    version = openvino.__version__.split("-")[0]

    def __init__(self, case, options):
        core = openvino.Core()
        start = time.perf_counter()
        model = core.read_model(case.path)
        model.reshape({i: list(array.shape) for i, array in enumerate(case.arrays)})
        self.compiled = core.compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": options.threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
        self.load_ms = (time.perf_counter() - start) * 1e3
        self.request = self.compiled.create_infer_request()

    def fill(self, request, arrays):
        for i, array in enumerate(arrays):
            request.set_input_tensor(i, openvino.Tensor(array))
        return request

    def outputs(self, request):
        return [request.get_output_tensor(i).data.copy() for i in range(len(self.compiled.outputs))]

    def call(self, inputs):
        self.fill(self.request, inputs).infer()
        return self.outputs(self.request)

    def bind(self, inputs):
        return self.fill(self.request, inputs).infer

    def bind_steps(self, case):
        """A request for each step, so that the states of one are read where the one before has left them."""
        requests = [self.fill(self.compiled.create_infer_request(), arrays) for arrays, _ in case.sets]

        def steps(collect=None):
            before = None
            for request in requests:
                if before:
                    for (i, o) in case.carried:
                        request.set_input_tensor(i, before.get_output_tensor(o))
                request.infer()
                before = request
                if collect is not None:
                    collect.append(self.outputs(request))
        return steps


def open_model(case, options):
    return Opened(case, options)


if __name__ == "__main__":
    sys.exit(peer.main(__doc__, open_model))
