#!/usr/bin/env python3
"""Times tract on models, one JSON object a line.

usage: peers_tract.py [--threads N[,N]...] [--runs N] [--seconds S] MODEL...

The sizes of the inputs are told before the model is optimised. Its Python interface has no setting for threads: it uses one.
"""
import sys
import time

import tract

import peer

SHORT = {"float32": "f32", "float64": "f64", "float16": "f16", "bool": "bool"}


def fact(array):
    """tract's text for a type and a shape: "1,64,f32"."""
    name = array.dtype.name
    short = SHORT.get(name) or name.replace("uint", "u").replace("int", "i")
    return ",".join([*(str(size) for size in array.shape), short])


class Opened(peer.Opened):
    version = tract.version()

    def __init__(self, case, options):
        start = time.perf_counter()
        model = tract.onnx().load(case.path)
        for i, array in enumerate(case.arrays):
            model.set_input_fact(i, fact(array))
        model.analyse()
        self.runnable = model.into_model().into_runnable()
        self.load_ms = (time.perf_counter() - start) * 1e3

    def call(self, inputs):
        return [tensor.to_numpy() for tensor in self.runnable.run(inputs)]

    def bind(self, inputs):
        tensors = [tract.Tensor.from_numpy(array) for array in inputs]
        return lambda: self.runnable.run(tensors)

    def bind_steps(self, case):
        sets = [[tract.Tensor.from_numpy(array) for array in arrays] for arrays, _ in case.sets]

        def steps(collect=None):
            outputs = None
            for tensors in sets:
                tensors = list(tensors)
                for i, o in case.carried if outputs else []:
                    tensors[i] = outputs[o]
                outputs = self.runnable.run(tensors)
                if collect is not None:
                    collect.append([tensor.to_numpy() for tensor in outputs])
        return steps


def open_model(case, options):
    return Opened(case, options)


if __name__ == "__main__":
    sys.exit(peer.main(__doc__, open_model))
