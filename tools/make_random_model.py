#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/random.onnx: 40,000 numbers of each random operator, for tests/unit/seed_test.c.

    tools/make_random_model.py         # needs the onnx package and numpy
"""
import os

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "random.onnx")
N = 40000
F32, I32 = TensorProto.FLOAT, TensorProto.INT32


def node(op, inputs, output, **attrs):
    return helper.make_node(op, inputs, [output], **attrs)


def main():
    nodes = [
        node("RandomUniform", [], "uniform", shape=[N], low=-1.0, high=3.0),
        node("RandomNormal", [], "normal", shape=[N], mean=2.0, scale=3.0),
        node("Expand", ["p", "shape"], "ps"),
        node("Bernoulli", ["ps"], "coin"),
        node("Multinomial", ["faces"], "die", sample_size=N),
        node("Expand", ["one", "shape"], "ones"),
        node("Dropout", ["ones", "ratio", "training"], "dropped"),
        node("RandomUniform", [], "fixed", shape=[N], seed=5.0),
    ]
    constants = {
        "p": np.float32(0.3),
        "faces": np.log(np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)),
        "one": np.float32(1),
        "ratio": np.float32(0.25),
        "training": np.array(True),
        "shape": np.array([N]),
    }
    outputs = [helper.make_tensor_value_info(k, F32, [N]) for k in ("uniform", "normal", "coin")]
    outputs.append(helper.make_tensor_value_info("die", I32, [1, N]))
    outputs += [helper.make_tensor_value_info(k, F32, [N]) for k in ("dropped", "fixed")]
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "random", [], outputs, initializers)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10, producer_name="test"), PATH)


if __name__ == "__main__":
    main()
