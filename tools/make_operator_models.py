#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/operators: small models of operators that ONNX's own tests hardly touch, in the layout of its test data.

    tools/make_operator_models.py         # needs the onnx package, numpy and torch

Expected outputs: PyTorch's automatic differentiation for Gradient, ONNX's reference implementation for the parts of complex numbers,
else formulas in numpy, next to each model.
"""
import os
import shutil

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "operators")
RNG = np.random.default_rng(11)
F32, I64 = TensorProto.FLOAT, TensorProto.INT64
TRAINING, PREVIEW = "ai.onnx.preview.training", "ai.onnx.preview"
cases = {}


def rand(*shape, lo=-2.0, hi=2.0, dtype=np.float32):
    return RNG.uniform(lo, hi, shape).astype(dtype)


def node(op, inputs, outputs, **kw):
    return helper.make_node(op, inputs, outputs, **kw)


def info(name, array, shape=None):
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape)


def case(name, nodes, inputs, outputs, opset=22, constants=None):
    """inputs, outputs: name -> array; constants likewise, as initializers."""
    graph = helper.make_graph(
        nodes,
        name,
        [info(k, v, list(v.shape)) for k, v in inputs.items()],
        [info(k, v) for k, v in outputs.items()],
        [numpy_helper.from_array(v, k) for k, v in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(TRAINING, 1), helper.make_opsetid(PREVIEW, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="test")
    cases[name] = (model, list(inputs.values()), list(outputs.values()))


# ---- Gradient: what PyTorch says -----------------------------------------------------------------------------------
def gradient_case(name, nodes, inputs, fn, xs, zs=(), at=None, constants=None, opset=22):
    """nodes compute `y` from inputs; fn does the same in PyTorch. `at`: other operands for Gradient than the named values."""
    where = {k: torch.tensor(v, requires_grad=k in xs) for k, v in {**inputs, **(at or {})}.items()}
    fn(**{k: where[k] for k in inputs}).sum().backward()
    given = {k: "at_" + k if at and k in at else k for k in [*xs, *zs]}
    grad = node("Gradient", [given[k] for k in [*xs, *zs]], ["d" + k for k in xs], domain=TRAINING, xs=list(xs), y="y", **({"zs": list(zs)} if zs else {}))
    feeds = {**inputs, **{"at_" + k: v for k, v in (at or {}).items()}}
    case("gradient_" + name, [*nodes, grad], feeds, {"d" + k: where[k].grad.numpy() for k in xs}, opset=opset, constants=constants)


a, b, c = rand(2, 3, lo=0.5), rand(3, lo=0.5), rand(2, 1, lo=0.5)
gradient_case("arithmetic", [node("Div", ["a", "b"], ["1"]), node("Sub", ["1", "c"], ["2"]), node("Neg", ["2"], ["3"]), node("Mul", ["3", "a"], ["4"]), node("Sum", ["4", "b", "c"], ["5"]), node("Mean", ["5", "a"], ["y"])],
              {"a": a, "b": b, "c": c}, lambda a, b, c: ((-(a / b - c)) * a + b + c + a) / 2, ["a", "b", "c"])
gradient_case("functions", [node("Exp", ["a"], ["1"]), node("Log", ["a"], ["2"]), node("Sqrt", ["a"], ["3"]), node("Reciprocal", ["a"], ["4"]), node("Tanh", ["a"], ["5"]), node("Sigmoid", ["a"], ["6"]),
                            node("Sin", ["a"], ["7"]), node("Cos", ["a"], ["8"]), node("Softplus", ["a"], ["9"]), node("Erf", ["a"], ["10"]), node("Sum", [str(i) for i in range(1, 11)], ["s"]), node("Mul", ["s", "s"], ["y"])],
              {"a": a}, lambda a: (a.exp() + a.log() + a.sqrt() + 1 / a + a.tanh() + a.sigmoid() + a.sin() + a.cos() + torch.nn.functional.softplus(a) + a.erf()) ** 2, ["a"])
e = rand(2, 3)
gradient_case("choices", [node("Relu", ["e"], ["1"]), node("LeakyRelu", ["e"], ["2"], alpha=0.1), node("Abs", ["e"], ["3"]), node("Max", ["e", "f"], ["4"]), node("Min", ["e", "f"], ["5"]), node("Clip", ["e", "lo", "hi"], ["6"]),
                          node("Greater", ["e", "lo"], ["g"]), node("Where", ["g", "e", "f"], ["7"]), node("Sum", [str(i) for i in range(1, 8)], ["s"]), node("Mul", ["s", "s"], ["y"])],
              {"e": e, "f": rand(2, 3)}, lambda e, f: (e.relu() + torch.nn.functional.leaky_relu(e, 0.1) + e.abs() + torch.maximum(e, f) + torch.minimum(e, f) + e.clip(-1, 1) + torch.where(e > -1, e, f)) ** 2, ["e", "f"],
              constants={"lo": np.float32(-1), "hi": np.float32(1)})
gradient_case("power", [node("Pow", ["a", "b"], ["1"]), node("Pow", ["a", "three"], ["2"]), node("Add", ["1", "2"], ["y"])], {"a": a, "b": b}, lambda a, b: a**b + a**3, ["a", "b"], constants={"three": np.array([3], dtype=np.int64)})
gradient_case("layers", [node("Gemm", ["x", "w", "c"], ["1"], transB=1, alpha=0.5, beta=2.0), node("Tanh", ["1"], ["2"]), node("MatMul", ["2", "v"], ["3"]), node("LogSoftmax", ["3"], ["4"], axis=1), node("Softmax", ["3"], ["5"], axis=0),
                         node("Mul", ["4", "5"], ["6"]), node("ReduceMean", ["6"], ["y"], keepdims=0)],
              {"x": rand(4, 3), "w": rand(5, 3), "c": rand(5), "v": rand(5, 2)},
              lambda x, w, c, v: (torch.log_softmax(((0.5 * x @ w.T + 2 * c).tanh()) @ v, 1) * torch.softmax(((0.5 * x @ w.T + 2 * c).tanh()) @ v, 0)).mean(), ["x", "w", "c", "v"])
gradient_case("vectors", [node("MatMul", ["m", "v"], ["1"]), node("MatMul", ["u", "m"], ["2"]), node("MatMul", ["u", "1"], ["3"]), node("ReduceSum", ["2"], ["4"], keepdims=0), node("Mul", ["3", "4"], ["y"])],
              {"m": rand(2, 3), "v": rand(3), "u": rand(2)}, lambda m, v, u: (u @ (m @ v)) * (u @ m).sum(), ["m", "v", "u"])
gradient_case("shapes", [node("Transpose", ["t"], ["1"], perm=[2, 0, 1]), node("Reshape", ["1", "shape"], ["2"]), node("Concat", ["2", "q"], ["3"], axis=1), node("Gather", ["3", "rows"], ["4"]), node("ReduceSum", ["4", "axes"], ["5"], keepdims=0),
                         node("Unsqueeze", ["5", "axes"], ["6"]), node("Mul", ["6", "6"], ["7"]), node("Expand", ["7", "wide"], ["y"])],
              {"t": rand(2, 3, 4), "q": rand(6, 1)}, lambda t, q: (torch.cat([t.permute(2, 0, 1).reshape(6, 4), q], 1)[[0, 5, 0, 2]].sum(1).unsqueeze(1) ** 2).expand(4, 3), ["t", "q"],
              constants={"shape": np.array([6, 4]), "rows": np.array([0, 5, 0, 2]), "axes": np.array([1]), "wide": np.array([4, 3])})
gradient_case("elsewhere", [node("Mul", ["x", "w"], ["h"]), node("Tanh", ["h"], ["t"]), node("Mul", ["t", "z"], ["y"])], {"x": rand(3), "w": rand(3), "z": rand(3)}, lambda x, w, z: torch.tanh(x * w) * z, ["x", "w"], ["z"],
              at={"x": rand(3), "z": rand(3)})
x = rand(3)
case("gradient_second", [node("Mul", ["x", "x"], ["1"]), node("Mul", ["1", "x"], ["y"]), node("Gradient", ["x"], ["d"], domain=TRAINING, xs=["x"], y="y"), node("Gradient", ["x"], ["dd"], domain=TRAINING, xs=["x"], y="d")],
     {"x": x}, {"d": 3 * x * x, "dd": 6 * x})
case("gradient_none", [node("Exp", ["x"], ["y"]), node("Gradient", ["z", "x"], ["dz", ""], domain=TRAINING, xs=["z", "x"], y="y")], {"x": x, "z": rand(2)}, {"dz": np.zeros(2, dtype=np.float32)})


# ---- optimizers: several parameters, f64, every attribute ------------------------------------------------------------
def optimizer_case(name, op, fn, n_state, dtype=np.float32, t=3, **kw):
    r, step = np.array(0.1, dtype=dtype), np.array(t, dtype=np.int64)
    params = [[rand(*s, dtype=dtype, lo=0.1 if k > 1 else -2) for k in range(2 + n_state)] for s in ((2, 3), (4,))]
    results = [fn(float(r), t, *(v.astype(np.float64) for v in p)) for p in params]
    names = "XGVH" if n_state == 2 else "XGV"
    feeds = {"R": r, "T": step, **{f"{k}{i}": params[i][j] for j, k in enumerate(names) for i in range(2)}}
    outs = {f"{k}{i}_new": results[i][j].astype(dtype) for j, k in enumerate(names.replace("G", "")) for i in range(2)}
    case(name, [node(op, list(feeds), list(outs), domain=TRAINING, **kw)], feeds, outs)


def adagrad(r, t, x, g, h, decay=0.2, norm=0.01, eps=1e-3):
    g = norm * x + g
    h = h + g * g
    return x - r / (1 + t * decay) * g / (np.sqrt(h) + eps), h


def adam(r, t, x, g, v, h, alpha=0.8, beta=0.9, norm=0.01, post=0.02, eps=1e-3):
    g = norm * x + g
    v, h = alpha * v + (1 - alpha) * g, beta * h + (1 - beta) * g * g
    r = r * np.sqrt(1 - beta**t) / (1 - alpha**t) if t else r
    return (1 - post) * (x - r * v / (np.sqrt(h) + eps)), v, h


def momentum(r, t, x, g, v, nesterov=False, alpha=0.8, beta=0.7, norm=0.01):
    g = norm * x + g
    v = alpha * v + (beta if t else 1) * g
    return x - r * (g + alpha * v if nesterov else v), v


optimizer_case("adagrad_f64", "Adagrad", adagrad, 1, dtype=np.float64, decay_factor=0.2, norm_coefficient=0.01, epsilon=1e-3)
for t in (0, 3):
    optimizer_case(f"adam_step{t}", "Adam", adam, 2, t=t, alpha=0.8, beta=0.9, norm_coefficient=0.01, norm_coefficient_post=0.02, epsilon=1e-3)
    optimizer_case(f"momentum_step{t}", "Momentum", momentum, 1, t=t, alpha=0.8, beta=0.7, norm_coefficient=0.01, mode="standard")
    optimizer_case(f"nesterov_step{t}", "Momentum", lambda *p: momentum(*p, nesterov=True), 1, t=t, alpha=0.8, beta=0.7, norm_coefficient=0.01, mode="nesterov")


# ---- FlexAttention: both graphs, heads that share keys, capture of an outer value ---------------------------------------
def body(name, nodes, tensor_type, out):
    shape = ["B", "H", "L", "S"]
    return helper.make_graph(nodes, name, [helper.make_tensor_value_info("s", tensor_type, shape)], [helper.make_tensor_value_info(out, tensor_type, shape)])


def flex(q, k, v, bias, scale):
    group = q.shape[1] // k.shape[1]
    q, k, v = (z.astype(np.float64) for z in (q, np.repeat(k, group, 1), np.repeat(v, group, 1)))
    s = q @ k.swapaxes(2, 3) * scale + bias
    s = np.exp(s - s.max(-1, keepdims=True))
    return (s / s.sum(-1, keepdims=True) * 0.5) @ v


for tag, dtype, tensor_type in (("", np.float32, F32), ("_f64", np.float64, TensorProto.DOUBLE)):
    q, k, v = (rand(*s, dtype=dtype, lo=-1, hi=1) for s in ((2, 4, 3, 8), (2, 2, 5, 8), (2, 2, 5, 6)))
    bias = rand(4, 3, 5, dtype=np.float64 if tag == "_f64" else np.float32)
    half = numpy_helper.from_array(np.array(0.5, dtype=bias.dtype), "half")
    prob = body("prob", [node("Mul", ["s", "half"], ["p"])], tensor_type, "p")
    prob.initializer.append(half)
    flex_node = node("FlexAttention", ["q", "k", "v"], ["y"], domain=PREVIEW, scale=0.25, score_mod=body("score", [node("Add", ["s", "bias"], ["p"])], tensor_type, "p"), prob_mod=prob)
    case("flex_attention" + tag, [flex_node], {"q": q, "k": k, "v": v, "bias": bias}, {"y": flex(q, k, v, bias, 0.25).astype(dtype)}, opset=24)


# ---- SequenceMap: two lists, a tensor, and a value from outside ----------------------------------------------------------
def tensor(name, *shape):
    return helper.make_tensor_value_info(name, F32, list(shape))


one, two, outer = rand(2, 3), rand(2, 3), rand(3)
add = helper.make_graph([node("Add", ["u", "v"], ["1"]), node("Mul", ["1", "w"], ["2"]), node("Add", ["2", "outer"], ["sum"]), node("Neg", ["u"], ["minus"])], "body",
                        [tensor("u", "A", "B"), tensor("v", "A", "B"), tensor("w", "C")], [tensor("sum", "A", "B"), tensor("minus", "A", "B")])
case("sequence_map", [node("SequenceConstruct", ["one", "two"], ["s"]), node("SequenceConstruct", ["two", "one"], ["t"]), node("SequenceMap", ["s", "t", "three"], ["m", "n"], body=add), node("ConcatFromSequence", ["m"], ["y"], axis=0),
                      node("ConcatFromSequence", ["n"], ["z"], axis=0, new_axis=1)],
     {"one": one, "two": two, "three": outer, "outer": b}, {"y": np.concatenate([(one + two) * outer + b] * 2), "z": np.stack([-one, -two])})


# ---- random numbers: the models test the distributions themselves; every output must be true (or the shape) --------------
def near(x, expected, within, out):
    """|mean of x - expected| < within"""
    pre = out + "_"
    return [node("Cast", [x], [pre + "c"], to=TensorProto.DOUBLE), node("ReduceMean", [pre + "c"], [pre + "m"], keepdims=0), node("Sub", [pre + "m", expected], [pre + "d"]), node("Abs", [pre + "d"], [pre + "a"]),
            node("Less", [pre + "a", within], [out])]


def f64s(**kw):
    return {k: np.array(v, dtype=np.float64) for k, v in kw.items()}


yes = np.array(True)
as_double = [node("Cast", ["r"], ["rd"], to=TensorProto.DOUBLE)]
like = np.zeros((200, 300), dtype=np.int32)


def uniform_case(name, op, inputs, **kw):
    """On [-1, 3]: mean 1, mean of squares 1 + 16/12."""
    drawn = node(op, list(inputs), ["r"], low=-1.0, high=3.0, seed=5.0, **kw)
    case(name, [drawn, *as_double, node("Shape", ["r"], ["shape"]), node("Mul", ["rd", "rd"], ["sq"]), *near("r", "one", "tol", "mean"),
         *near("sq", "var", "tol", "spread"), node("ReduceMin", ["rd"], ["lo"], keepdims=0), node("ReduceMax", ["rd"], ["hi"], keepdims=0), node("GreaterOrEqual", ["lo", "low"], ["above"]), node("LessOrEqual", ["hi", "high"], ["below"])],
         inputs, {"shape": np.array([200, 300]), "mean": yes, "spread": yes, "above": yes, "below": yes}, constants=f64s(one=1, var=1 + 16 / 12, tol=0.03, low=-1, high=3))


for tag, t in (("", F32), ("_f64", TensorProto.DOUBLE), ("_f16", TensorProto.FLOAT16), ("_bf16", TensorProto.BFLOAT16)):
    uniform_case("random_uniform" + tag, "RandomUniform", {}, shape=[200, 300], dtype=t)
    # normal with mean 2 and deviation 3: mean 2, mean of squares 13; 95 % within 1.96 deviations
    case("random_normal" + tag, [node("RandomNormalLike", ["x"], ["r"], mean=2.0, scale=3.0, seed=5.0, dtype=t), *as_double, node("Shape", ["r"], ["shape"]), node("Mul", ["rd", "rd"], ["sq"]), *near("r", "two", "tol", "mean"),
         *near("sq", "thirteen", "tol_sq", "spread"), node("Sub", ["rd", "two"], ["off"]), node("Abs", ["off"], ["far"]), node("Less", ["far", "limit"], ["inside"]), *near("inside", "share", "tol_share", "shares")],
         {"x": like}, {"shape": np.array([200, 300]), "mean": yes, "spread": yes, "shares": yes}, constants=f64s(two=2, thirteen=13, tol=0.06, tol_sq=0.3, limit=1.959964 * 3, share=0.95, tol_share=0.006))

uniform_case("random_uniform_like", "RandomUniformLike", {"x": like.astype(np.int8)}, dtype=F32)

same = ["RandomNormal", "RandomUniform"]
case("random_seeds", [n for i, op in enumerate(same) for n in (node(op, [], [f"a{i}"], shape=[64], seed=1.0), node(op, [], [f"b{i}"], shape=[64], seed=1.0), node(op, [], [f"c{i}"], shape=[64], seed=2.0), node(op, [], [f"d{i}"], shape=[64]), node(op, [], [f"e{i}"], shape=[64]),
     node("Equal", [f"a{i}", f"b{i}"], [f"same{i}"]), node("Equal", [f"a{i}", f"c{i}"], [f"other{i}"]), node("Equal", [f"d{i}", f"e{i}"], [f"free{i}"]))],
     {}, {**{f"same{i}": np.ones(64, dtype=bool) for i in range(2)}, **{f"other{i}": np.zeros(64, dtype=bool) for i in range(2)}, **{f"free{i}": np.zeros(64, dtype=bool) for i in range(2)}})
share = np.repeat(np.array([[0.0], [0.2], [0.7], [1.0]], dtype=np.float32), 40000, 1)
case("bernoulli", [node("Bernoulli", ["p"], ["r"], dtype=TensorProto.DOUBLE), node("ReduceMean", ["r", "axis"], ["m"], keepdims=0), node("Sub", ["m", "expected"], ["d"]), node("Abs", ["d"], ["a"]), node("Less", ["a", "tol"], ["y"]), node("Shape", ["r"], ["shape"])],
     {"p": share}, {"y": np.ones(4, dtype=bool), "shape": np.array([4, 40000])}, constants={"axis": np.array([1]), "expected": np.array([0, 0.2, 0.7, 1.0]), "tol": np.array([1e-9, 0.01, 0.01, 1e-9])})
chances = np.array([[0.5, 0.2, 0.3], [0.0, 1.0, 0.0]])
with np.errstate(divide="ignore"):
    logs = np.log(chances).astype(np.float32) + 3
case("multinomial", [node("Multinomial", ["x"], ["r"], sample_size=40000, dtype=I64), node("OneHot", ["r", "three", "zero_one"], ["hot"]), node("ReduceMean", ["hot", "axis"], ["m"], keepdims=0), node("Sub", ["m", "expected"], ["d"]), node("Abs", ["d"], ["a"]),
     node("Less", ["a", "tol"], ["y"]), node("Shape", ["r"], ["shape"])], {"x": logs}, {"y": np.ones((2, 3), dtype=bool), "shape": np.array([2, 40000])},
     constants={"three": np.array(3), "zero_one": np.array([0.0, 1.0]), "axis": np.array([1]), "expected": chances, "tol": np.array(0.01)})


# ---- Gradient of layers -----------------------------------------------------------------------------------------------
F = torch.nn.functional
gradient_case("conv", [node("Conv", ["x", "w", "b"], ["1"], strides=[2, 1], pads=[1, 0, 1, 2], dilations=[1, 2]), node("Tanh", ["1"], ["2"]), node("Conv", ["2", "v"], ["3"], group=2, kernel_shape=[2, 2], strides=[1, 3]), node("Mul", ["3", "3"], ["y"])],
              {"x": rand(2, 3, 8, 7), "w": rand(4, 3, 3, 2, lo=-0.5, hi=0.5), "b": rand(4), "v": rand(6, 2, 2, 2, lo=-0.5, hi=0.5)},
              lambda x, w, b, v: F.conv2d(F.conv2d(F.pad(x, (0, 2, 1, 1)), w, b, stride=(2, 1), dilation=(1, 2)).tanh(), v, groups=2, stride=(1, 3)) ** 2, ["x", "w", "b", "v"])
gradient_case("conv_line", [node("Conv", ["x", "w"], ["1"], strides=[3], pads=[1, 1]), node("Exp", ["1"], ["y"])], {"x": rand(1, 2, 9), "w": rand(3, 2, 2, lo=-0.5, hi=0.5)}, lambda x, w: F.conv1d(x, w, stride=3, padding=1).exp(), ["x", "w"])
gradient_case("pools", [node("MaxPool", ["x"], ["1"], kernel_shape=[2, 3], strides=[2, 2], pads=[0, 1, 0, 1]), node("AveragePool", ["x"], ["2"], kernel_shape=[2, 3], strides=[2, 2], pads=[0, 1, 0, 1]),
                        node("AveragePool", ["x"], ["3"], kernel_shape=[2, 3], strides=[2, 2], pads=[0, 1, 0, 1], count_include_pad=1), node("GlobalAveragePool", ["x"], ["4"]), node("Sum", ["1", "2", "3", "4"], ["5"]), node("Mul", ["5", "5"], ["y"])],
              {"x": rand(2, 3, 6, 7)}, lambda x: (F.max_pool2d(x, (2, 3), 2, (0, 1)) + F.avg_pool2d(x, (2, 3), 2, (0, 1), count_include_pad=False) + F.avg_pool2d(x, (2, 3), 2, (0, 1)) + x.mean((2, 3), keepdim=True)) ** 2, ["x"])
gradient_case("norms", [node("LayerNormalization", ["x", "s", "b"], ["1"], axis=-1, epsilon=0.01), node("InstanceNormalization", ["1", "c", "d"], ["2"]), node("Tanh", ["2"], ["3"]), node("BatchNormalization", ["3", "c", "d", "m", "v"], ["4"]), node("Mul", ["4", "4"], ["y"])],
              {"x": rand(2, 3, 5), "s": rand(5), "b": rand(5), "c": rand(3), "d": rand(3), "m": rand(3), "v": rand(3, lo=0.5)},
              lambda x, s, b, c, d, m, v: ((F.instance_norm(F.layer_norm(x, (5,), s, b, 0.01), weight=c, bias=d).tanh() - m[:, None]) / (v[:, None] + 1e-5).sqrt() * c[:, None] + d[:, None]) ** 2, ["x", "s", "b", "c", "d", "m", "v"])
gradient_case("norm_rms", [node("RMSNormalization", ["x", "s"], ["1"], axis=1, epsilon=0.01), node("Exp", ["1"], ["y"])], {"x": rand(2, 3, 4), "s": rand(3, 4)}, lambda x, s: F.rms_norm(x, (3, 4), s, 0.01).exp(), ["x", "s"], opset=23)
gradient_case("moves", [node("Slice", ["x", "from", "to", "along", "by"], ["1"]), node("Pad", ["1", "pads", "seven"], ["2"]), node("Gather", ["2", "picks"], ["3"], axis=1), node("Tile", ["3", "twice"], ["4"]), node("GatherElements", ["4", "elements"], ["5"], axis=1),
                        node("Split", ["x"], ["6", "7"], axis=1, num_outputs=2), node("Mul", ["6", "7"], ["8"]), node("ReduceSum", ["8"], ["9"], keepdims=0), node("Mul", ["5", "5"], ["10"]), node("Mul", ["10", "9"], ["y"])],
              {"x": rand(3, 6)}, lambda x: (F.pad(x[:, 1:6:2], (1, 0, 0, 1), value=7)[:, [3, 0, 3]].tile(2, 1).gather(1, torch.tensor([[0, 2], [1, 1]])) ** 2) * (x[:, :3] * x[:, 3:]).sum(), ["x"],
              constants={"from": np.array([1]), "to": np.array([6]), "along": np.array([1]), "by": np.array([2]), "pads": np.array([0, 1, 1, 0]), "seven": np.float32(7), "picks": np.array([3, 0, 3]), "twice": np.array([2, 1]), "elements": np.array([[0, 2], [1, 1]])})
gradient_case("functions_more", [node("Gelu", ["a"], ["1"]), node("Gelu", ["a"], ["2"], approximate="tanh"), node("Elu", ["a"], ["3"], alpha=0.5), node("PRelu", ["a", "p"], ["4"]), node("HardSigmoid", ["a"], ["5"]), node("Softsign", ["a"], ["6"]), node("Tan", ["h"], ["7"]), node("Sinh", ["a"], ["8"]),
                                 node("Cosh", ["a"], ["9"]), node("Atan", ["a"], ["10"]), node("Asin", ["h"], ["11"]), node("Acos", ["h"], ["12"]), node("Sum", [str(i) for i in range(1, 13)], ["s"]), node("Mul", ["s", "s"], ["y"])],
              {"a": rand(3, 4), "p": rand(4), "h": rand(3, 4, lo=-0.9, hi=0.9)},
              lambda a, p, h: (F.gelu(a) + F.gelu(a, approximate="tanh") + F.elu(a, 0.5) + torch.where(a > 0, a, a * p) + (0.2 * a + 0.5).clip(0, 1) + F.softsign(a) + h.tan() + a.sinh() + a.cosh() + a.atan() + h.asin() + h.acos()) ** 2, ["a", "p", "h"])
gradient_case("reductions", [node("ReduceMax", ["x", "one"], ["1"], keepdims=0), node("ReduceMin", ["x", "one"], ["2"], keepdims=0), node("ReduceSumSquare", ["x", "one"], ["3"], keepdims=0), node("ReduceL2", ["x", "one"], ["4"], keepdims=0), node("ReduceLogSumExp", ["x", "one"], ["5"], keepdims=0),
                             node("CumSum", ["x", "zero"], ["6"], exclusive=1), node("ReduceMax", ["6"], ["7"]), node("Sum", [str(i) for i in range(1, 6)], ["8"]), node("Mul", ["8", "7"], ["y"])],
              {"x": rand(3, 4)}, lambda x: (x.amax(1) + x.amin(1) + (x * x).sum(1) + x.norm(dim=1) + x.logsumexp(1)) * (x.cumsum(0) - x).amax(), ["x"], constants={"one": np.array([1]), "zero": np.array(0)})


# ---- complex numbers: operators that move them -------------------------------------------------------------------------
def complex_rand(dtype, *shape):
    return (rand(*shape, dtype=np.float64) + 1j * rand(*shape, dtype=np.float64)).astype(dtype)


def complex_cases(tag, dtype):
    x, w, v = complex_rand(dtype, 2, 3), complex_rand(dtype, 2, 2), complex_rand(dtype, 3)
    c, at, fill = np.array([[True, False, True], [False, True, False]]), np.array([[1, 0, 1]]), np.array(3 - 4j, dtype)
    joined = np.concatenate([x, w], 1)
    moved = {"joined": joined, "turned": joined.T, "part": joined[:, ::-2], "padded": np.pad(x, ((0, 1), (2, 0)), constant_values=fill),
             "flat": x.reshape(-1), "tiled": np.tile(x, (2, 1)), "wide": np.broadcast_to(x, (2, 2, 3)).copy(), "low": np.tril(x)}
    axes = {"pads": [0, 2, 1, 0], "last": [-1], "before": [-9], "one": [1], "back": [-2], "all": [-1], "twice": [2, 1], "shape": [2, 1, 1]}
    constants = {k: np.array(v) for k, v in axes.items()}
    case("complex_moved" + tag, [node("Concat", ["x", "w"], ["joined"], axis=1), node("Transpose", ["joined"], ["turned"]),
                                 node("Slice", ["joined", "last", "before", "one", "back"], ["part"]), node("Pad", ["x", "pads", "fill"], ["padded"]),
                                 node("Reshape", ["x", "all"], ["flat"]), node("Tile", ["x", "twice"], ["tiled"]), node("Expand", ["x", "shape"], ["wide"]),
                                 node("Trilu", ["x"], ["low"], upper=0)], {"x": x}, moved, constants={**constants, "w": w, "fill": fill})
    scattered = x.copy()
    scattered[at[0], np.arange(3)] = v
    chosen = {"rows": x[[1, 1, 0]], "elements": np.take_along_axis(x, at, 0), "points": x[[0, 1], [2, 0]], "put": scattered,
              "either": np.where(c, x, scattered), "kept": x[:, [True, False, True]], "places": np.array(np.nonzero(x)),
              "hot": np.where(np.arange(4) == np.array([[1], [3]]), v[0], v[1])}
    case("complex_chosen" + tag, [node("Gather", ["x", "three"], ["rows"]), node("GatherElements", ["x", "at"], ["elements"], axis=0),
                                  node("GatherND", ["x", "pairs"], ["points"]), node("ScatterElements", ["x", "at", "v"], ["put"], axis=0),
                                  node("Where", ["c", "x", "put"], ["either"]), node("Compress", ["x", "mask"], ["kept"], axis=1), node("NonZero", ["x"], ["places"]),
                                  node("OneHot", ["on", "depth", "two"], ["hot"])], {"x": x, "c": c, "at": at, "v": v[None], "two": v[[1, 0]]}, chosen,
         constants={"three": np.array([1, 1, 0]), "pairs": np.array([[0, 2], [1, 0]]), "mask": np.array([True, False, True]), "on": np.array([1, 3]), "depth": np.array(4)})


complex_cases("", np.complex64)
complex_cases("_wide", np.complex128)
parts = complex_rand(np.complex64, 2, 3)
case("complex_bits", [node("BitCast", ["x"], ["bits"], to=TensorProto.UINT64), node("BitCast", ["bits"], ["same"], to=TensorProto.COMPLEX64)], {"x": parts},
     {"bits": parts.view(np.uint64), "same": parts}, opset=26)


def by_parts(name, made, inputs, outputs, constants):
    """made: nodes of weights that are real, on complex x: each part by ONNX's reference implementation."""
    def run(part):
        graph = helper.make_graph(made, name, [info(k, part(v)) for k, v in inputs.items()], [info(k, np.zeros(1, np.float32)) for k in outputs],
                                  [numpy_helper.from_array(v, k) for k, v in constants.items()])
        for o in graph.output:
            o.type.tensor_type.ClearField("shape")
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
        return ReferenceEvaluator(model).run(None, {k: part(v) for k, v in inputs.items()})

    parts = [run(lambda v: v.real if np.iscomplexobj(v) else v), run(lambda v: np.ascontiguousarray(v.imag) if np.iscomplexobj(v) else v)]
    case(name, made, inputs, {k: (re + 1j * im).astype(np.complex64) for k, re, im in zip(outputs, *parts)}, constants=constants)


by_parts("complex_sampled", [node("Resize", ["x", "", "scales"], ["resized"], mode="linear"), node("Resize", ["x", "", "scales"], ["nearest"], mode="nearest"),
                             node("GridSample", ["x", "grid"], ["sampled"], padding_mode="border"), node("Col2Im", ["blocks", "image", "block"], ["summed"])],
         {"x": complex_rand(np.complex64, 1, 2, 3, 4), "grid": rand(1, 3, 2, 2, lo=-1.2, hi=1.2), "blocks": complex_rand(np.complex64, 1, 8, 6)}, ["resized", "nearest", "sampled", "summed"],
         {"scales": np.array([1, 1, 2, 1.5], np.float32), "image": np.array([3, 4]), "block": np.array([2, 2])})


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
    print(f"{len(cases)} models")


if __name__ == "__main__":
    main()
