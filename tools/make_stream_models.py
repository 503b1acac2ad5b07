#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes models that read a stream:

  tests/data/stream_causal.onnx   attention to all earlier positions, of which there may be any number
  tests/data/stream_conv.onnx     a convolution of 3 x 3 over time and frequency, of this position and two earlier ones

    python tools/make_stream_models.py        needs onnx and numpy
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = pathlib.Path(__file__).parent.parent / "tests" / "data"


def causal():
    rng = np.random.default_rng(1)
    w = numpy_helper.from_array(rng.standard_normal((8, 24)).astype(np.float32) * 0.3, "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["qkv"], name="attention/qkv"),
        helper.make_node("Split", ["qkv"], ["q", "k", "v"], axis=2, num_outputs=3, name="attention/split"),
        helper.make_node(
            "Attention",
            ["q", "k", "v"],
            ["a"],
            is_causal=1,
            q_num_heads=2,
            kv_num_heads=2,
            name="attention/scores",
        ),
        helper.make_node("Add", ["x", "a"], ["y"], name="residual"),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", "time", 8]) for n in "xy"]
    graph = helper.make_graph(nodes, "causal", values[:1], values[1:], [w])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def convolution():
    rng = np.random.default_rng(2)
    w = numpy_helper.from_array(rng.standard_normal((32, 32, 3, 3)).astype(np.float32) * 0.1, "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[2, 1, 0, 1], name="conv")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 32, "time", 20]) for n in "xy"]
    graph = helper.make_graph([node], "convolution", values[:1], values[1:], [w])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def main():
    for model, name in ((causal(), "causal"), (convolution(), "conv")):
        onnx.checker.check_model(model)
        onnx.save(model, FOLDER / f"stream_{name}.onnx")


if __name__ == "__main__":
    main()
