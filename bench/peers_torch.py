#!/usr/bin/env python3
"""Times PyTorch itself, eagerly, on models that models/export.py wrote: its system.json says which module and which weights.

usage: peers_torch.py [--threads N[,N]...] [--runs N] [--seconds S] MODEL...

What runs is the module whose outputs are the expected ones, in inference mode; peers_torch_compile.py compiles it.
"""
import json
import os
import sys
import time

import torch

import peer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "models"))


def load_net(case):
    """The module that the folder was exported from."""
    path = os.path.join(os.path.dirname(case.path), "system.json")
    if not os.path.exists(path):
        raise peer.Unable("an ONNX file without its PyTorch module")
    with open(path, encoding="utf-8") as f:
        spec = json.load(f)
    from system import configure
    from systems import systems
    system = systems()[spec["system"]]
    config = configure(system.sizes[spec["size"]], spec["settings"])
    return system.build(config, spec["form"], spec["exporter"], spec["batch"]).net


class Opened(peer.Opened):
    version = torch.__version__.split("+")[0]

    def __init__(self, case, options, prepare=lambda net: net):
        torch.set_num_threads(options.threads)
        start = time.perf_counter()
        self.net = prepare(load_net(case))
        with torch.inference_mode():
            self.net(*self.tensors(case.arrays))  # where it is compiled, this compiles it
        self.load_ms = (time.perf_counter() - start) * 1e3

    def tensors(self, arrays):
        return [torch.from_numpy(array.copy()) for array in arrays]

    def outputs(self, inputs):
        results = self.net(*inputs)
        return (results,) if isinstance(results, torch.Tensor) else tuple(results)

    def call(self, inputs):
        with torch.inference_mode():
            return [result.numpy() for result in self.outputs(self.tensors(inputs))]

    def bind(self, inputs):
        inputs, net = self.tensors(inputs), self.net

        def run():
            with torch.inference_mode():
                net(*inputs)
        return run

    def bind_steps(self, case):
        sets = [self.tensors(arrays) for arrays, _ in case.sets]

        def steps(collect=None):
            with torch.inference_mode():
                outputs = None
                for inputs in sets:
                    inputs = list(inputs)
                    if outputs:
                        for i, o in case.carried:
                            inputs[i] = outputs[o]
                    outputs = self.outputs(inputs)
                    if collect is not None:
                        collect.append([o.numpy().copy() for o in outputs])
        return steps


def open_model(case, options):
    return Opened(case, options)


if __name__ == "__main__":
    sys.exit(peer.main(__doc__, open_model))
