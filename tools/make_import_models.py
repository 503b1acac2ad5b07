#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/import/good: small models in the layout of ONNX's test data, for what its own suite leaves out: forms of
opsets below 7, functions with attribute references, every way to store a tensor, subgraphs that capture, com.microsoft.

    tools/make_import_models.py         # needs the onnx package and numpy

The expected outputs are computed here with numpy, each next to its model; no ONNX implementation is asked.
"""
import math
import os
import shutil
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "import", "good")
RNG = np.random.default_rng(7)
F32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
cases = {}


def rand(*shape):
    return RNG.uniform(-2, 2, shape).astype(np.float32)


def node(op, inputs, outputs, **kw):
    return helper.make_node(op, inputs, outputs, **kw)


def vi(name, array, dynamic=False):
    shape = [f"{name}{i}" for i in range(array.ndim)] if dynamic else list(array.shape)
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape)


def case(name, nodes, inputs, outputs, opset=17, ir_version=8, initializers=(), functions=(), imports=(), dynamic=False, edit=None):
    """inputs, outputs: name -> array. `dynamic`: every input dimension is a symbol."""
    graph = helper.make_graph(
        nodes,
        name,
        [vi(k, v, dynamic) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), None) for k, v in outputs.items()],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, v) for d, v in imports]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, functions=list(functions), producer_name="test")
    if edit:
        edit(model)
    cases[name] = (model, list(inputs.values()), list(outputs.values()))


# ---- elementwise -------------------------------------------------------------------------------------------------
a, b = rand(2, 3, 4, 5), rand(3, 4)
for dynamic in (False, True):
    suffix = "_dynamic" if dynamic else ""
    case("add6_axis" + suffix, [node("Add", ["a", "b"], ["y"], axis=1, broadcast=1)], {"a": a, "b": b}, {"y": a + b[:, :, None]}, opset=6, dynamic=dynamic)
b45 = rand(4, 5)
case("mul6_suffix", [node("Mul", ["a", "b"], ["y"], broadcast=1)], {"a": a, "b": b45}, {"y": a * b45}, opset=6)
case("sub1_consumed", [node("Sub", ["a", "c"], ["y"], consumed_inputs=[0, 0])], {"a": a, "c": a[::-1].copy()}, {"y": a - a[::-1]}, opset=1, ir_version=3)
greater = np.array([1, 5, 3, 0], dtype=np.float32)
case("greater1_axis", [node("Greater", ["a", "g"], ["y"], axis=2, broadcast=1)], {"a": a, "g": greater}, {"y": a > greater[:, None]}, opset=1)
slope = np.array([0.1, 0.2, 0.3], dtype=np.float32)
case("prelu6_channels", [node("PRelu", ["a", "s"], ["y"])], {"a": a, "s": slope}, {"y": np.where(a < 0, a * slope[:, None, None], a)}, opset=6)
case("clip6", [node("Clip", ["a"], ["y"], min=-0.5, max=1.0)], {"a": a}, {"y": np.clip(a, -0.5, 1)}, opset=6)
case("clip6_max", [node("Clip", ["a"], ["y"], max=0.25)], {"a": a}, {"y": np.minimum(a, np.float32(0.25))}, opset=6)
case("cast1", [node("Cast", ["a"], ["y"], to="INT32")], {"a": a}, {"y": a.astype(np.int32)}, opset=1)
case("cast_like", [node("CastLike", ["a", "t"], ["y"])], {"a": a, "t": np.array([1], dtype=np.float64)}, {"y": a.astype(np.float64)}, opset=15)


# ---- softmax of a matrix ------------------------------------------------------------------------------------------
def flat(fn, x, axis):
    m = x.reshape(int(np.prod(x.shape[:axis])), -1).astype(np.float64)
    return fn(m).reshape(x.shape).astype(np.float32)


def softmax(m):
    e = np.exp(m - m.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def hardmax(m):
    return np.eye(m.shape[1])[m.argmax(1)]


for dynamic in (False, True):
    suffix = "_dynamic" if dynamic else ""
    case("softmax6" + suffix, [node("Softmax", ["a"], ["y"])], {"a": a}, {"y": flat(softmax, a, 1)}, opset=6, dynamic=dynamic)
    case("softmax11_negative" + suffix, [node("Softmax", ["a"], ["y"], axis=-2)], {"a": a}, {"y": flat(softmax, a, 2)}, opset=11, dynamic=dynamic)
case("softmax11_last", [node("Softmax", ["a"], ["y"], axis=3)], {"a": a}, {"y": flat(softmax, a, 3)}, opset=11)
case("softmax11_axis0", [node("Softmax", ["a"], ["y"], axis=0)], {"a": a}, {"y": flat(softmax, a, 0)}, opset=11)
case("log_softmax11", [node("LogSoftmax", ["a"], ["y"], axis=2)], {"a": a}, {"y": flat(lambda m: np.log(softmax(m)), a, 2)}, opset=11)
case("hardmax11", [node("Hardmax", ["a"], ["y"], axis=2)], {"a": a}, {"y": flat(hardmax, a, 2)}, opset=11)

# ---- reductions, shapes -------------------------------------------------------------------------------------------
case("reduce_mean11", [node("ReduceMean", ["a"], ["y"], axes=[1, -1], keepdims=0)], {"a": a}, {"y": a.mean((1, 3))}, opset=11)
case("reduce_mean11_all", [node("ReduceMean", ["a"], ["y"])], {"a": a}, {"y": a.mean(keepdims=True)}, opset=11)
case("reduce_sum11", [node("ReduceSum", ["a"], ["y"], axes=[2])], {"a": a}, {"y": a.sum(2, keepdims=True)}, opset=11)
case("squeeze11", [node("Squeeze", ["a"], ["y"], axes=[0, 2])], {"a": a[:1, :, :1]}, {"y": a[0, :, 0]}, opset=11)
case("squeeze1_all", [node("Squeeze", ["a"], ["y"])], {"a": a[:1, :, :1]}, {"y": a[0, :, 0]}, opset=1)
case("unsqueeze1", [node("Unsqueeze", ["a"], ["y"], axes=[0, 4])], {"a": a[0]}, {"y": a[0][None, :, :, :, None]}, opset=1)
case("slice1", [node("Slice", ["a"], ["y"], starts=[1, -2], ends=[100, -1], axes=[1, 3])], {"a": a}, {"y": a[:, 1:, :, -2:-1]}, opset=1)
case("slice1_no_axes", [node("Slice", ["a"], ["y"], starts=[0, 1], ends=[1, 3])], {"a": a}, {"y": a[:1, 1:3]}, opset=9)
case("split2", [node("Split", ["a"], ["y", "z"], axis=3, split=[2, 3])], {"a": a}, {"y": a[..., :2], "z": a[..., 2:]}, opset=2)
case("split2_equal", [node("Split", ["a"], ["y", "z"], axis=2)], {"a": a}, {"y": a[:, :, :2], "z": a[:, :, 2:]}, opset=11)
case("split1_input", [node("Split", ["a", "s"], ["y", "z"])], {"a": a[0]}, {"y": a[0][:1], "z": a[0][1:]}, opset=1, initializers=[helper.make_tensor("s", I64, [2], [1, 2])])
case("split1_floats", [node("Split", ["a", "s"], ["y", "z"])], {"a": a[0]}, {"y": a[0][:1], "z": a[0][1:]}, opset=1, initializers=[helper.make_tensor("s", F32, [2], [1, 2])])
case("split13_equal", [node("Split", ["a"], ["y", "z"], axis=0)], {"a": a}, {"y": a[:1], "z": a[1:]}, opset=13)
case("pad1", [node("Pad", ["a"], ["y"], paddings=[0, 0, 1, 0, 0, 0, 0, 2], value=3.5)], {"a": a}, {"y": np.pad(a, [(0, 0), (0, 0), (1, 0), (0, 2)], constant_values=3.5)}, opset=1)
case("pad2_reflect", [node("Pad", ["a"], ["y"], pads=[0, 0, 1, 0, 0, 0, 0, 2], mode="reflect")], {"a": a}, {"y": np.pad(a, [(0, 0), (0, 0), (1, 0), (0, 2)], mode="reflect")}, opset=2)
case("reshape1", [node("Reshape", ["a"], ["y"], shape=[0, -1, 5])], {"a": a}, {"y": a.reshape(2, 12, 5)}, opset=1)
case("tile1", [node("Tile", ["a", "n", "k"], ["y"])], {"a": a}, {"y": np.tile(a, (1, 3, 1, 1))}, opset=1,
     initializers=[helper.make_tensor("n", F32, [1], [3]), helper.make_tensor("k", F32, [1], [1])])
case("concat1", [node("Concat", ["a", "a"], ["y"])], {"a": a}, {"y": np.concatenate([a, a], 1)}, opset=1)
case("scatter9", [node("Scatter", ["d", "i", "u"], ["y"])], {"d": np.zeros((3, 2), np.float32), "i": np.array([[2, 0]]), "u": np.array([[1, 2]], np.float32)}, {"y": np.array([[0, 2], [0, 0], [1, 0]], np.float32)}, opset=9)

# ---- normalisations -----------------------------------------------------------------------------------------------
case("dropout6", [node("Dropout", ["a"], ["y", "m"], is_test=1)], {"a": a}, {"y": a, "m": np.ones_like(a)}, opset=6)
case("dropout10_dynamic", [node("Dropout", ["a"], ["y", "m"])], {"a": a}, {"y": a, "m": np.ones(a.shape, bool)}, opset=10, dynamic=True)
case("dropout12_false", [node("Constant", [], ["f"], value=helper.make_tensor("", BOOL, [], [0])), node("Dropout", ["a", "", "f"], ["y"])], {"a": a}, {"y": a}, opset=12)
stats = {k: np.abs(rand(3)) + 0.5 for k in ("s", "b", "m", "v")}
BN = ["a", "s", "b", "m", "v"]


def batch_norm(x, s, b, m, v, eps):
    return ((x - m) / np.sqrt(v + np.float32(eps)) * s + b).astype(np.float32)


column = {k: v[:, None, None] for k, v in stats.items()}
case("batch_norm6", [node("BatchNormalization", BN, ["y"], is_test=1, epsilon=0.01)], {"a": a, **stats}, {"y": batch_norm(a, **column, eps=0.01)}, opset=6)
case("batch_norm9", [node("BatchNormalization", BN, ["y"])], {"a": a, **stats}, {"y": batch_norm(a, **column, eps=1e-5)}, opset=9)
full = {k: np.abs(rand(3, 4, 5)) + 0.5 for k in ("s", "b", "m", "v")}
case("batch_norm7_per_element", [node("BatchNormalization", BN, ["y"], spatial=0)], {"a": a, **full}, {"y": batch_norm(a, **full, eps=1e-5)}, opset=7)
batch = {"m": a.mean((0, 2, 3)), "v": a.var((0, 2, 3))}
moved = {k: 0.75 * stats[k] + 0.25 * batch[k] for k in batch}
case(
    "batch_norm9_saved",
    [node("BatchNormalization", BN, ["y", "mean", "var", "saved_mean", "saved_var"], momentum=0.75)],
    {"a": a, **stats},
    {
        "y": batch_norm(a, column["s"], column["b"], batch["m"][:, None, None], batch["v"][:, None, None], eps=1e-5),
        **{k: v.astype(np.float32) for k, v in (("mean", moved["m"]), ("var", moved["v"]), ("saved_mean", batch["m"]), ("saved_var", batch["v"]))},
    },
    opset=9,
)
x = rand(2, 4, 3)
grouped = x.reshape(2, 2, 6)
normal = ((grouped - grouped.mean(2, keepdims=True)) / np.sqrt(grouped.var(2, keepdims=True) + 1e-5)).reshape(2, 2, 2, 3)
gs, gb = np.array([2, 3], np.float32), np.array([0.5, -1], np.float32)
for dynamic in (False, True):
    case("group_norm18" + ("_dynamic" if dynamic else ""), [node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2)], {"x": x, "s": gs, "b": gb},
         {"y": (normal * gs[:, None, None] + gb[:, None, None]).reshape(2, 4, 3).astype(np.float32)}, opset=18, dynamic=dynamic)
p, q, c5 = rand(2, 3), rand(3, 5), rand(5)
case("gemm6", [node("Gemm", ["p", "q", "c"], ["y"], broadcast=1, beta=0.5)], {"p": p, "q": q, "c": c5}, {"y": p @ q + np.float32(0.5) * c5}, opset=6)

# ---- Scan of opset 8: a batch axis in front; sums and their running total ----------------------------------------
scan_body = helper.make_graph(
    [node("Add", ["s", "e"], ["s2"]), node("Mul", ["s2", "e"], ["o"])], "body",
    [helper.make_tensor_value_info("s", F32, [2]), helper.make_tensor_value_info("e", F32, [2])],
    [helper.make_tensor_value_info("s2", F32, [2]), helper.make_tensor_value_info("o", F32, [2])])
s0, seq = rand(3, 2), rand(3, 4, 2)
run = s0[:, None] + seq.cumsum(1)
case("scan8", [node("Scan", ["", "s0", "x"], ["s", "o"], num_scan_inputs=1, body=scan_body)], {"s0": s0, "x": seq}, {"s": run[:, -1], "o": run * seq}, opset=8)
rev = s0[:, None] + seq[:, ::-1].cumsum(1)
case("scan8_reverse", [node("Scan", ["", "s0", "x"], ["s", "o"], num_scan_inputs=1, body=scan_body, directions=[1])], {"s0": s0, "x": seq}, {"s": rev[:, -1], "o": rev * seq[:, ::-1]}, opset=8)


# ---- functions ----------------------------------------------------------------------------------------------------
def function(name, nodes, inputs, outputs, opset=17, **kw):
    return helper.make_function("local", name, inputs, outputs, nodes, [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)], **kw)


def ref(n, attribute, to, kind):
    n.attribute.append(onnx.AttributeProto(name=attribute, ref_attr_name=to, type=kind))
    return n


LOCAL = [("local", 1)]
leaky = function("Leak", [ref(node("LeakyRelu", ["x"], ["t"]), "alpha", "slope", onnx.AttributeProto.FLOAT), node("Neg", ["t"], ["y"])], ["x"], ["y"], attributes=["slope"])
twice = function("Twice", [ref(node("Leak", ["x"], ["t"], domain="local"), "slope", "k", onnx.AttributeProto.FLOAT), node("Leak", ["t"], ["y"], domain="local", slope=0.25)], ["x"], ["y"],
                 attribute_protos=[helper.make_attribute("k", 0.5)])


def leak(v, alpha):
    return -np.where(v < 0, v * np.float32(alpha), v)


case("function_nested", [node("Twice", ["a"], ["t"], domain="local"), node("Twice", ["t"], ["y"], domain="local", k=0.125)], {"a": a},
     {"y": leak(leak(leak(leak(a, 0.5), 0.25), 0.125), 0.25)}, functions=[leaky, twice], imports=LOCAL)
case("function_absent_attribute", [node("Leak", ["a"], ["y"], domain="local")], {"a": a}, {"y": leak(a, 0.01)}, functions=[leaky], imports=LOCAL)
old = function("Old", [node("Softmax", ["x"], ["y"])], ["x"], ["y"], opset=11)
case("function_opset", [node("Old", ["a"], ["t"], domain="local"), node("Softmax", ["t"], ["y"])], {"a": a},
     {"y": softmax(flat(softmax, a, 1).reshape(-1, 5)).reshape(a.shape).astype(np.float32)}, functions=[old], imports=LOCAL)
branch_t = helper.make_graph([node("Add", ["x", "w"], ["bt"])], "t", [], [helper.make_tensor_value_info("bt", F32, None)])
branch_e = helper.make_graph([node("Sub", ["x", "w"], ["be"])], "e", [], [helper.make_tensor_value_info("be", F32, None)])
choose = function("Choose", [ref(node("Constant", [], ["w"]), "value_float", "w", onnx.AttributeProto.FLOAT), node("If", ["c"], ["y"], then_branch=branch_t, else_branch=branch_e)], ["c", "x"], ["y"], attributes=["w"])
for value in (True, False):
    case(f"function_branch_{str(value).lower()}", [node("Choose", ["c", "a"], ["y"], domain="local", w=1.5)], {"c": np.array(value), "a": a},
         {"y": a + np.float32(1.5) if value else a - np.float32(1.5)}, functions=[choose], imports=LOCAL)
optional = function("MaybeClip", [node("Clip", ["x", "", "m"], ["y"])], ["x", "m"], ["y"])
case("function_omitted_input", [node("MaybeClip", ["a"], ["y"], domain="local")], {"a": a}, {"y": a}, functions=[optional], imports=LOCAL)
one, two = (function("F", [node(op, ["x"], ["y"])], ["x"], ["y"]) for op in ("Neg", "Abs"))
two.overload = "abs"
call_abs = node("F", ["t"], ["y"], domain="local")
call_abs.overload = "abs"
case("function_overload", [node("F", ["a"], ["t"], domain="local"), call_abs], {"a": a}, {"y": np.abs(a)}, functions=[one, two], imports=LOCAL, ir_version=10)

# ---- constants ----------------------------------------------------------------------------------------------------
v6 = np.array([[1, -2, 3], [4, 5, -6]])


def typed(dtype, field, values, dims=(2, 3)):
    t = TensorProto(name="w", data_type=dtype, dims=dims)
    getattr(t, field).extend(values)
    return t


def constant_case(name, t, expected, **kw):
    case(name, [node("Identity", ["w"], ["y"])], {}, {"y": expected}, initializers=[t], opset=kw.pop("opset", 21), ir_version=10, **kw)


def bits(array):
    return [int(v) for v in array.view({1: np.uint8, 2: np.uint16}[array.itemsize]).ravel()]


constant_case("typed_f32", typed(F32, "float_data", v6.ravel()), v6.astype(np.float32))
constant_case("typed_f64", typed(TensorProto.DOUBLE, "double_data", v6.ravel()), v6.astype(np.float64))
constant_case("typed_f16", typed(TensorProto.FLOAT16, "int32_data", bits(v6.astype(np.float16))), v6.astype(np.float16))
constant_case("typed_i8", typed(TensorProto.INT8, "int32_data", v6.ravel()), v6.astype(np.int8))
constant_case("typed_i16", typed(TensorProto.INT16, "int32_data", v6.ravel()), v6.astype(np.int16))
constant_case("typed_u16", typed(TensorProto.UINT16, "int32_data", [65535] * 6), np.full((2, 3), 65535, np.uint16))
constant_case("typed_i64", typed(I64, "int64_data", v6.ravel()), v6.astype(np.int64))
constant_case("typed_u32", typed(TensorProto.UINT32, "uint64_data", [1 << 31] * 6), np.full((2, 3), 1 << 31, np.uint32))
constant_case("typed_u64", typed(TensorProto.UINT64, "uint64_data", [1 << 63] * 6), np.full((2, 3), 1 << 63, np.uint64))
constant_case("typed_bool", typed(BOOL, "int32_data", [1, 0, 2, 0, 0, 1]), np.array([[1, 0, 1], [0, 0, 1]], bool))
constant_case("scalar", typed(F32, "float_data", [2.5], ()), np.array(2.5, np.float32))
constant_case("empty", typed(F32, "float_data", [], (0, 3)), np.zeros((0, 3), np.float32))
nibbles = typed(TensorProto.INT4, "int32_data", [0x21, 0x4F, 0x07], (5,))
case("typed_i4", [node("Cast", ["w"], ["y"], to=F32)], {}, {"y": np.array([1, 2, -1, 4, 7], np.float32)}, initializers=[nibbles], opset=21, ir_version=10)
raw4 = TensorProto(name="w", data_type=TensorProto.UINT4, dims=[5], raw_data=bytes([0x21, 0x4F, 0x07]))
case("raw_u4", [node("Cast", ["w"], ["y"], to=F32)], {}, {"y": np.array([1, 2, 15, 4, 7], np.float32)}, initializers=[raw4], opset=21, ir_version=10)
strings = TensorProto(name="w", data_type=TensorProto.STRING, dims=[2])
strings.string_data.extend([b"one", "zw\u00f6lf".encode()])
constant_case("strings", strings, np.array(["one", "zw\u00f6lf"], dtype=object))
floats = struct.pack("<6f", *v6.ravel())
for shift in range(4):  # raw_data at every alignment
    t = TensorProto(name="w" * (shift + 1), data_type=F32, dims=[2, 3], raw_data=floats)
    case(f"raw_shift{shift}", [node("Neg", [t.name], ["y"])], {}, {"y": -v6.astype(np.float32)}, initializers=[t])


def add_sparse(indices, dims):
    def edit(model):
        s = model.graph.sparse_initializer.add(dims=dims)
        s.values.CopyFrom(helper.make_tensor("w", F32, [2], [5, 7]))
        s.indices.CopyFrom(numpy_helper.from_array(np.array(indices, np.int64)))
    return edit


dense = np.zeros((2, 3), np.float32)
dense[0, 1], dense[1, 2] = 5, 7
case("sparse_flat", [node("Identity", ["w"], ["y"])], {}, {"y": dense}, edit=add_sparse([1, 5], [2, 3]))
case("sparse_coordinates", [node("Identity", ["w"], ["y"])], {}, {"y": dense}, edit=add_sparse([[0, 1], [1, 2]], [2, 3]))
for form, value, expected in (
    ("value_float", 2.5, np.array(2.5, np.float32)), ("value_floats", [1.0, 2.0], np.array([1, 2], np.float32)), ("value_int", -3, np.array(-3)), ("value_ints", [3, 4], np.array([3, 4])),
    ("value_string", "ab", np.array("ab", dtype=object)), ("value_strings", ["a", "b"], np.array(["a", "b"], dtype=object)),
):
    case("constant_" + form, [node("Constant", [], ["c"], **{form: value}), node("Identity", ["c"], ["y"])], {}, {"y": expected}, opset=13)
sparse = onnx.SparseTensorProto(dims=[2, 3])
sparse.values.CopyFrom(helper.make_tensor("", F32, [2], [5, 7]))
sparse.indices.CopyFrom(helper.make_tensor("", I64, [2], [1, 5]))
case("constant_sparse", [node("Constant", [], ["c"], sparse_value=sparse), node("Identity", ["c"], ["y"])], {}, {"y": dense}, opset=13)


def external(model):
    t = model.graph.initializer[0]
    t.ClearField("raw_data")
    t.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "sub/weights.bin"), ("offset", "4"), ("length", "24")):
        t.external_data.add(key=key, value=value)


case("external", [node("Neg", ["w"], ["y"])], {}, {"y": -v6.astype(np.float32)}, initializers=[TensorProto(name="w", data_type=F32, dims=[2, 3])], edit=external)

# ---- graphs -------------------------------------------------------------------------------------------------------
case("unordered", [node("Neg", ["t"], ["y"]), node("Add", ["a", "u"], ["t"]), node("Abs", ["a"], ["u"])], {"a": a}, {"y": -(a + np.abs(a))})
late_t = helper.make_graph([node("Neg", ["u"], ["r"])], "t", [], [helper.make_tensor_value_info("r", F32, None)])
late_e = helper.make_graph([node("Identity", ["a"], ["r"])], "e", [], [helper.make_tensor_value_info("r", F32, None)])
case("unordered_capture", [node("If", ["c"], ["y"], then_branch=late_t, else_branch=late_e), node("Abs", ["a"], ["u"])], {"a": a, "c": np.array(True)}, {"y": -np.abs(a)})
# the untaken branch makes no sense for this shape
squeeze = helper.make_graph([node("Squeeze", ["a", "one"], ["r"])], "t", [], [helper.make_tensor_value_info("r", F32, None)])
keep = helper.make_graph([node("Identity", ["a"], ["r"])], "e", [], [helper.make_tensor_value_info("r", F32, None)])
case("guarded_branch",
     [node("Shape", ["a"], ["s"], start=1, end=2), node("Equal", ["s", "one"], ["c1"]), node("Squeeze", ["c1"], ["c"]), node("If", ["c"], ["y"], then_branch=squeeze, else_branch=keep)],
     {"a": a}, {"y": a}, initializers=[helper.make_tensor("one", I64, [1], [1])])
w23 = rand(3, 5)
case("ir3_initializers", [node("MatMul", ["p", "w"], ["y"])], {"p": p}, {"y": p @ w23}, ir_version=3, opset=9, initializers=[numpy_helper.from_array(w23, "w")],
     edit=lambda model: model.graph.input.append(helper.make_tensor_value_info("w", F32, [3, 5])))
case("default_input", [node("MatMul", ["p", "w"], ["y"])], {"p": p}, {"y": p @ w23}, initializers=[numpy_helper.from_array(w23, "w")],
     edit=lambda model: model.graph.input.append(helper.make_tensor_value_info("w", F32, [3, 5])))
case("output_is_input", [node("Neg", ["a"], ["y"])], {"a": a}, {"y": -a, "a": a})

# ---- com.microsoft ------------------------------------------------------------------------------------------------
MS = [("com.microsoft", 1)]
erf = np.vectorize(math.erf)


def gelu(v):
    v = v.astype(np.float64)
    return (0.5 * v * (1 + erf(v / math.sqrt(2)))).astype(np.float32)


def gelu_tanh(v):
    v = v.astype(np.float64)
    return (0.5 * v * (1 + np.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))).astype(np.float32)


h, bias = rand(2, 3, 4), rand(4)
case("ms_gelu", [node("Gelu", ["h"], ["y"], domain="com.microsoft")], {"h": h}, {"y": gelu(h)}, opset=20, imports=MS)
case("ms_bias_gelu", [node("BiasGelu", ["h", "b"], ["y"], domain="com.microsoft")], {"h": h, "b": bias}, {"y": gelu(h + bias)}, imports=MS)
case("ms_fast_gelu", [node("FastGelu", ["h", "b"], ["y"], domain="com.microsoft")], {"h": h, "b": bias}, {"y": gelu_tanh(h + bias)}, imports=MS)
case("ms_quick_gelu", [node("QuickGelu", ["h"], ["y"], domain="com.microsoft")], {"h": h}, {"y": (h / (1 + np.exp(-1.702 * h.astype(np.float64)))).astype(np.float32)}, imports=MS)


def layer_norm(v, s, t, eps):
    v = v.astype(np.float64)
    n = (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + eps)
    return (n * s + t).astype(np.float32)


skip, gamma, beta = rand(2, 3, 4), rand(4), rand(4)
total = h + skip + bias
case("ms_skip_layer_norm", [node("SkipLayerNormalization", ["h", "k", "g", "t", "b"], ["y", "", "", "sum"], domain="com.microsoft", epsilon=1e-5)],
     {"h": h, "k": skip, "g": gamma, "t": beta, "b": bias}, {"y": layer_norm(total, gamma, beta, 1e-5), "sum": total}, imports=MS)
rms = (total / np.sqrt((total.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-5) * gamma).astype(np.float32)
case("ms_skip_rms_norm", [node("SkipSimplifiedLayerNormalization", ["h", "k", "g", "b"], ["y"], domain="com.microsoft", epsilon=1e-5)],
     {"h": h, "k": skip, "g": gamma, "b": bias}, {"y": rms}, imports=MS)

# ---- recurrent layers of old opsets: results were computed when asked for; GRU's reset gate before the product ---------------------
def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def rnn_run(step, x, state):
    ys = []
    for t in range(x.shape[0]):
        state = step(x[t].astype(np.float64), state)
        ys.append(state[0])
    return np.stack(ys)[:, None].astype(np.float32), state[0][None].astype(np.float32)


T, B, I, H = 4, 2, 3, 5
steps = rand(T, B, I)
zeros = np.zeros((B, H))
w1, r1, b1 = rand(1, H, I), rand(1, H, H), rand(1, 2 * H)
y, last = rnn_run(lambda v, s: (np.maximum(v @ w1[0].T + s[0] @ r1[0].T + b1[0, :H] + b1[0, H:], 0),), steps, (zeros,))
case("rnn1", [node("RNN", ["x", "w", "r", "b"], ["y", "h"], hidden_size=H, activations=["Relu"], output_sequence=1)],
     {"x": steps, "w": w1, "r": r1, "b": b1}, {"y": y, "h": last}, opset=1)
w3, r3, b3 = rand(1, 3 * H, I), rand(1, 3 * H, H), rand(1, 6 * H)


def gru(v, s, after):
    zr = sigmoid(v @ w3[0, : 2 * H].T + s[0] @ r3[0, : 2 * H].T + b3[0, : 2 * H] + b3[0, 3 * H : 5 * H])
    z, r, wn, rb = zr[:, :H], zr[:, H:], r3[0, 2 * H :].T, b3[0, 5 * H :]
    n = np.tanh(v @ w3[0, 2 * H :].T + b3[0, 2 * H : 3 * H] + (r * (s[0] @ wn + rb) if after else (r * s[0]) @ wn + rb))
    return ((1 - z) * n + z * s[0],)


for opset, after in ((1, 0), (3, 0), (3, 1)):
    more = {"linear_before_reset": 1} if after else {}
    y, last = rnn_run(lambda v, s: gru(v, s, after), steps, (zeros,))
    case(f"gru{opset}" + "_linear" * after, [node("GRU", ["x", "w", "r", "b"], ["", "h"], hidden_size=H, output_sequence=0, **more)],
         {"x": steps, "w": w3, "r": r3, "b": b3}, {"h": last}, opset=opset, dynamic=opset == 3)
w4, r4, b4, p4 = rand(1, 4 * H, I), rand(1, 4 * H, H), rand(1, 8 * H), rand(1, 3 * H)


def lstm(v, s):
    h, c = s
    i, o, f, g = np.split(v @ w4[0].T + h @ r4[0].T + b4[0, : 4 * H] + b4[0, 4 * H :], 4, 1)
    pi, po, pf = np.split(p4[0], 3)
    c = sigmoid(f + pf * c) * c + sigmoid(i + pi * c) * np.tanh(g)
    return sigmoid(o + po * c) * np.tanh(c), c


y, last = rnn_run(lstm, steps, (zeros, zeros))
case("lstm6_peepholes", [node("LSTM", ["x", "w", "r", "b", "", "", "", "p"], ["y", "h"], hidden_size=H, output_sequence=1)],
     {"x": steps, "w": w4, "r": r4, "b": b4, "p": p4}, {"y": y, "h": last}, opset=6)
top = np.sort(steps, 2)[..., ::-1][..., :2].copy()
best = np.argsort(-steps, 2, kind="stable")[..., :2].copy()
case("top_k1", [node("TopK", ["x"], ["y", "i"], k=2)], {"x": steps}, {"y": top, "i": best}, opset=1)
case("top_k10", [node("TopK", ["x", "k"], ["y", "i"])], {"x": steps}, {"y": top, "i": best}, opset=10, initializers=[helper.make_tensor("k", I64, [1], [2])])


def write(path, message):
    with open(path, "wb") as f:
        f.write(message.SerializeToString())


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for name, (model, inputs, outputs) in cases.items():
        folder = os.path.join(ROOT, name)
        data = os.path.join(folder, "test_data_set_0")
        os.makedirs(data)
        write(os.path.join(folder, "model.onnx"), model)
        for kind, arrays in (("input", inputs), ("output", outputs)):
            for i, array in enumerate(arrays):
                write(os.path.join(data, f"{kind}_{i}.pb"), numpy_helper.from_array(np.asarray(array)))
    os.makedirs(os.path.join(ROOT, "external", "sub"))
    with open(os.path.join(ROOT, "external", "sub", "weights.bin"), "wb") as f:
        f.write(b"head" + floats + b"tail")
    print(len(cases), "models")
    return 0


if __name__ == "__main__":
    sys.exit(main())
