#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/import/contrib: one small model per operator of com.microsoft that the importer knows, in the layout of ONNX's
test data. The expected outputs are ONNX Runtime's, or numpy's.

    tools/make_contrib_models.py         # needs the onnx and onnxruntime packages and numpy
"""
import os
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "import", "contrib")
RNG = np.random.default_rng(11)
count = 0


def f32(*shape):
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def u8(*shape):
    return RNG.integers(0, 256, shape).astype(np.uint8)


def i8(*shape):
    return RNG.integers(-128, 128, shape).astype(np.int8)


def weight(*shape):
    """Seven bits: with more ONNX Runtime's products saturate on machines without VNNI."""
    return RNG.integers(-64, 64, shape).astype(np.int8)


def scale(*shape):
    return RNG.uniform(0.01, 0.1, shape).astype(np.float32)


def write(path, message):
    with open(path, "wb") as f:
        f.write(message.SerializeToString())


def build(name, op, operands, outputs, constants, domain, attrs):
    names = [k if v is not None else "" for k, v in operands]
    while names and not names[-1]:
        names.pop()
    node = helper.make_node(op, names, list(outputs), domain=domain, **attrs)
    given = [(k, np.asarray(v)) for k, v in operands if v is not None]
    inputs = [(k, v) for k, v in given if k not in constants]
    infos = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in inputs]
    results = [helper.make_value_info(k, onnx.TypeProto()) for k in outputs if k]
    inits = [numpy_helper.from_array(v, k) for k, v in given if k in constants]
    graph = helper.make_graph([node], name, infos, results, inits)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name="test"), inputs


def case(name, op, operands, outputs=("y",), constants=(), domain="com.microsoft", same_as=None, **attrs):
    """operands: pairs of name and array, None for one that is left out. Names in `constants` become initializers. same_as: other operands
    that mean the same, for forms that ONNX Runtime has on other devices only."""
    model, inputs = build(name, op, operands, outputs, constants, domain, attrs)
    asked, asked_inputs = build(name, op, same_as, outputs, constants, domain, attrs) if same_as else (model, inputs)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(asked.SerializeToString(), options, providers=["CPUExecutionProvider"])
    expected = session.run(None, dict(asked_inputs))
    del model.graph.output[:]
    for info, v in zip(session.get_outputs(), expected):
        model.graph.output.append(helper.make_tensor_value_info(info.name, helper.np_dtype_to_tensor_dtype(v.dtype), None))
    store(name, model, [v for _, v in inputs], expected)


def store(name, model, inputs, outputs):
    global count
    data = os.path.join(ROOT, name, "test_data_set_0")
    os.makedirs(data)
    write(os.path.join(ROOT, name, "model.onnx"), model)
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for i, array in enumerate(arrays):
            write(os.path.join(data, f"{kind}_{i}.pb"), numpy_helper.from_array(array))
    count += 1


def per_tensor(prefix, zero, size=None):
    return [(prefix + "_scale", np.float32(size or RNG.uniform(0.01, 0.1))), (prefix + "_zero", zero)]


def products():
    a, b = f32(2, 3, 4), f32(2, 5, 4)
    case("fused_matmul", "FusedMatMul", [("a", a), ("b", b)], transB=1, alpha=0.5)
    case("fused_matmul_trans_a", "FusedMatMul", [("a", f32(4, 3)), ("b", f32(4, 5))], transA=1)
    c = f32(5)
    for activation, extra in (("Relu", {}), ("LeakyRelu", {"activation_alpha": 0.2}), ("Tanh", {})):
        case("fused_gemm_" + activation.lower(), "FusedGemm", [("a", a[0]), ("b", b[0]), ("c", c)], transB=1, alpha=0.5, beta=2.0,
             activation=activation, **extra)
    x, w, bias, z = f32(1, 3, 6, 6), f32(4, 3, 3, 3), f32(4), f32(1, 4, 6, 6)
    case("fused_conv_relu", "FusedConv", [("x", x), ("w", w), ("b", bias), ("z", z)], constants=("w", "b"), pads=[1, 1, 1, 1],
         kernel_shape=[3, 3], activation="Relu")
    case("fused_conv_clip", "FusedConv", [("x", x), ("w", w)], constants=("w",), kernel_shape=[3, 3], activation="Clip",
         activation_params=[-0.5, 0.5])
    case("fused_conv_hard_sigmoid", "FusedConv", [("x", x), ("w", w), ("b", bias)], constants=("w",), kernel_shape=[3, 3], strides=[2, 2],
         activation="HardSigmoid", activation_params=[0.3, 0.6])


def other_forms():
    x = f32(2, 3, 4)
    case("trilu", "Trilu", [("x", x)], upper=0)
    case("expand_dims", "ExpandDims", [("x", x), ("axis", np.int32(1))], constants=("axis",))
    case("pad", "Pad", [("x", x), ("pads", np.array([[0, 1, 0, 2, 0, 1]], dtype=np.int64)), ("v", np.array([1.5], dtype=np.float32))],
         constants=("pads",))
    case("simplified_layer_norm", "SimplifiedLayerNormalization", [("x", x), ("s", f32(4))], domain="", axis=-1, epsilon=1e-5)
    ids = RNG.integers(0, 9, (2, 5)).astype(np.int32)
    segments = RNG.integers(0, 2, (2, 5)).astype(np.int32)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=np.int32)
    case("embed_layer_norm", "EmbedLayerNormalization",
         [("ids", ids), ("segments", segments), ("words", f32(9, 8)), ("positions", f32(7, 8)), ("kinds", f32(2, 8)), ("g", f32(8)), ("b", f32(8)),
          ("mask", mask)], ("y", "m", "s"), epsilon=1e-5)
    case("embed_layer_norm_plain", "EmbedLayerNormalization",
         [("ids", ids), ("segments", None), ("words", f32(9, 8)), ("positions", f32(7, 8)), ("kinds", None), ("g", f32(8)), ("b", f32(8))],
         ("y", "m"), epsilon=1e-5)


def quantised():
    a, b = u8(2, 3, 4), u8(1, 3, 4)
    for op in ("Add", "Mul"):
        case("qlinear_" + op.lower(), "QLinear" + op,
             [("a", a), *per_tensor("a", np.uint8(120), 0.02), ("b", b), *per_tensor("b", np.uint8(100), 0.03), *per_tensor("y", np.uint8(90), 0.05)])
    x = i8(2, 3, 5)
    case("qlinear_sigmoid", "QLinearSigmoid", [("x", x), *per_tensor("x", np.int8(3), 0.05), *per_tensor("y", np.int8(-128), 1 / 256)],
         constants=("x_scale", "x_zero", "y_scale", "y_zero"))
    case("qlinear_leaky_relu", "QLinearLeakyRelu", [("x", x), *per_tensor("x", np.int8(3), 0.05), *per_tensor("y", np.int8(-50), 0.07)],
         constants=("x_scale", "x_zero", "y_scale", "y_zero"), alpha=0.2)
    case("qlinear_softmax", "QLinearSoftmax", [("x", u8(2, 7)), *per_tensor("x", np.uint8(128), 0.02), *per_tensor("y", np.uint8(0), 1 / 256)],
         constants=("x_scale", "x_zero", "y_scale", "y_zero"), axis=-1, opset=13)
    image = u8(1, 3, 5, 5)
    case("qlinear_global_average_pool", "QLinearGlobalAveragePool",
         [("x", image), *per_tensor("x", np.uint8(128), 0.02), *per_tensor("y", np.uint8(100), 0.01)])
    case("qlinear_global_average_pool_last", "QLinearGlobalAveragePool",
         [("x", u8(1, 5, 5, 3)), *per_tensor("x", np.uint8(128), 0.02), *per_tensor("y", np.uint8(100), 0.01)], channels_last=1)
    case("qlinear_average_pool", "QLinearAveragePool",
         [("x", image), *per_tensor("x", np.uint8(128), 0.02), *per_tensor("y", np.uint8(100), 0.017)], kernel_shape=[2, 2], strides=[2, 2],
         pads=[1, 1, 0, 0])
    case("nhwc_max_pool", "NhwcMaxPool", [("x", u8(1, 5, 5, 3))], kernel_shape=[2, 2], strides=[2, 2])
    case("qlinear_concat", "QLinearConcat",
         [*per_tensor("y", np.uint8(100), 0.05), ("a", a), *per_tensor("a", np.uint8(120), 0.02), ("b", b), *per_tensor("b", np.uint8(90), 0.08)],
         constants=("y_scale", "y_zero", "a_scale", "a_zero", "b_scale", "b_zero"), axis=0)
    m, w = u8(5, 8), weight(8, 6)
    case("qgemm", "QGemm", [("a", m), *per_tensor("a", np.uint8(120), 0.02), ("b", w), ("b_scale", scale(6)), ("b_zero", np.zeros(6, np.int8)),
                            ("c", RNG.integers(-500, 500, 6).astype(np.int32)), *per_tensor("y", np.uint8(110), 0.2)], constants=("b",), alpha=1.5)
    case("qgemm_float", "QGemm", [("a", m), *per_tensor("a", np.uint8(120), 0.02), ("b", weight(6, 8)), *per_tensor("b", np.int8(0), 0.03)],
         constants=("b",), transB=1)
    case("dynamic_quantize_matmul", "DynamicQuantizeMatMul", [("a", f32(2, 5, 8)), ("b", w), ("s", scale(6)), ("z", np.zeros(6, np.int8)), ("c", f32(6))],
         constants=("b", "s", "z"))
    case("dynamic_quantize_matmul_u8", "DynamicQuantizeMatMul", [("a", f32(5, 8)), ("b", u8(8, 6)), ("s", scale(1)), ("z", np.array([120], np.uint8))],
         constants=("b", "s", "z"))
    case("matmul_integer_to_float", "MatMulIntegerToFloat",
         [("a", m), ("b", w), ("as", np.float32(0.02)), ("bs", scale(6)), ("az", np.uint8(110)), ("bz", np.zeros(6, np.int8)), ("c", f32(6))],
         constants=("b", "bz"))
    for bits, k, block, zeros in ((4, 64, 32, False), (4, 48, 32, True), (4, 16, 16, True)):
        n, blocks = 6, -(-k // block)
        z = u8(n * (-(-blocks * bits // 8))) if zeros else None
        case(f"matmul_nbits_{bits}_{k}", "MatMulNBits", [("a", f32(2, 3, k)), ("b", u8(n, blocks, block * bits // 8)), ("s", scale(n * blocks)), ("z", z)],
             constants=("b", "s", "z"), K=k, N=n, bits=bits, block_size=block)


def attention():
    batch, length, heads, size = 2, 4, 2, 6
    hidden = heads * size
    x, w, b = f32(batch, length, hidden), f32(hidden, 3 * hidden), f32(3 * hidden)
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], dtype=np.int32)
    case("attention", "Attention", [("x", x), ("w", w), ("b", b)], constants=("w", "b"), num_heads=heads)
    case("attention_mask", "Attention", [("x", x), ("w", w), ("b", b), ("m", mask)], constants=("w", "b"), num_heads=heads)
    case("attention_lengths", "Attention", [("x", x), ("w", w), ("b", b), ("m", np.array([3, 4], np.int32))], constants=("w", "b"), num_heads=heads)
    past = f32(2, batch, heads, 3, size)
    case("attention_causal_past", "Attention", [("x", x), ("w", w), ("b", b), ("m", None), ("p", past)], ("y", "present"), ("w", "b"), num_heads=heads,
         unidirectional=1)
    case("attention_scores", "Attention", [("x", x), ("w", w), ("b", b), ("m", mask), ("p", None), ("s", f32(batch, heads, length, length))],
         constants=("w", "b"), num_heads=heads, scale=0.5)
    case("qattention", "QAttention",
         [("x", u8(batch, length, hidden)), ("w", weight(hidden, 3 * hidden)), ("b", b), ("xs", np.float32(0.01)), ("ws", np.float32(0.01)), ("m", mask),
          ("xz", np.uint8(128)), ("wz", np.int8(0))], constants=("w", "wz"), num_heads=heads)
    q, k, v = f32(batch, length, hidden), f32(batch, 5, hidden), f32(batch, 5, hidden)
    case("mha", "MultiHeadAttention", [("q", q), ("k", k), ("v", v)], num_heads=heads)
    case("mha_bias_mask", "MultiHeadAttention", [("q", q), ("k", k), ("v", v), ("b", b), ("m", np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]], np.int32))],
         constants=("b",), num_heads=heads)
    packed, packed_kv = f32(batch, length, heads, 3, size), f32(batch, 5, heads, 2, size)
    parts = [(name, packed[:, :, :, i].reshape(batch, length, hidden)) for i, name in enumerate("qkv")]
    case("mha_packed", "MultiHeadAttention", [("q", packed)], num_heads=heads, same_as=parts)
    parts = [("q", q)] + [(name, packed_kv[:, :, :, i].reshape(batch, 5, hidden)) for i, name in enumerate("kv")]
    case("mha_packed_kv", "MultiHeadAttention", [("q", q), ("k", packed_kv)], num_heads=heads, same_as=parts)
    case("mha_cross", "MultiHeadAttention", [("q", q), ("k", f32(batch, heads, 5, size)), ("v", f32(batch, heads, 5, size))], num_heads=heads)
    case("mha_past", "MultiHeadAttention",
         [("q", q), ("k", f32(batch, length, hidden)), ("v", f32(batch, length, hidden)), ("b", None), ("m", None), ("s", f32(1, heads, length, 7)),
          ("pk", f32(batch, heads, 3, size)), ("pv", f32(batch, heads, 3, size))], ("y", "ok", "ov"), num_heads=heads)
    rotary()
    group_query()


def caches(rows, half):
    at = np.arange(rows)[:, None] / 10000 ** (np.arange(half) / half)
    return np.cos(at).astype(np.float32), np.sin(at).astype(np.float32)


def rotary():
    cos, sin = caches(16, 4)
    at = np.array([[0, 1, 2], [4, 5, 6]], dtype=np.int64)
    case("rotary_heads", "RotaryEmbedding", [("x", f32(2, 3, 3, 8)), ("p", at), ("cos", cos), ("sin", sin)], constants=("cos", "sin"))
    case("rotary_interleaved", "RotaryEmbedding", [("x", f32(2, 3, 24)), ("p", at), ("cos", cos), ("sin", sin)], constants=("cos", "sin"), interleaved=1)
    case("rotary_offset", "RotaryEmbedding", [("x", f32(2, 3, 24)), ("p", np.array([5], np.int64)), ("cos", cos), ("sin", sin)], constants=("cos", "sin"))
    case("rotary_part", "RotaryEmbedding", [("x", f32(2, 3, 24)), ("p", at), ("cos", cos), ("sin", sin)], constants=("cos", "sin"), num_heads=2, rotary_embedding_dim=8)


def group_query():
    heads, kv, size = 4, 2, 16
    cos, sin = caches(16, size // 2)

    def operands(batch, length, past, packed, rope):
        total = past + length
        k = None if packed else f32(batch, length, kv * size)
        v = None if packed else f32(batch, length, kv * size)
        q = f32(batch, length, (heads + 2 * kv if packed else heads) * size)
        return [("q", q), ("k", k), ("v", v), ("pk", f32(batch, kv, past, size)), ("pv", f32(batch, kv, past, size)),
                ("lengths", np.full(batch, total - 1, np.int32)), ("total", np.int32(total)), ("cos", cos if rope else None), ("sin", sin if rope else None)]

    out = ("y", "ok", "ov")
    case("gqa_prefill", "GroupQueryAttention", operands(2, 5, 0, False, False), out, ("cos", "sin"), num_heads=heads, kv_num_heads=kv)
    case("gqa_decode", "GroupQueryAttention", operands(2, 1, 4, False, True), out, ("cos", "sin"), num_heads=heads, kv_num_heads=kv, do_rotary=1)
    case("gqa_packed", "GroupQueryAttention", operands(1, 3, 0, True, True), out, ("cos", "sin"), num_heads=heads, kv_num_heads=kv, do_rotary=1,
         rotary_interleaved=1, scale=0.3)


def numpy_case(name, op, x, y, constants=(), **attrs):
    """For operators that ONNX Runtime has on other devices only, or not at all: what numpy says. constants: pairs like operands."""
    model, _ = build(name, op, [("x", x), *constants], ("y",), [k for k, _ in constants], "com.microsoft", attrs)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(y.dtype), None))
    store(name, model, [x], [y])


def pairs(z):
    return np.stack([z.real, z.imag], -1).astype(np.float32)


def signals():
    x = f32(2, 6, 9)
    case("inverse", "Inverse", [("x", f32(2, 3, 5, 5) + 3 * np.eye(5, dtype=np.float32))])
    case("inverse_one", "Inverse", [("x", np.array([[0, 2], [4, 1]], np.float32))])
    case("unique", "Unique", [("x", np.array([2, 1, 1, 3, 4, 3, 2], np.float32))], ("y", "at", "counts"))
    numpy_case("rfft", "Rfft", x, pairs(np.fft.rfft(x)), signal_ndim=1, onesided=1, normalized=0)
    numpy_case("rfft_plane", "Rfft", x, pairs(np.fft.rfft2(x)), signal_ndim=2, onesided=1, normalized=0)
    half, plane = np.fft.rfft(x[..., :8]), np.fft.rfft2(x[..., :8])
    numpy_case("irfft", "Irfft", pairs(half), np.fft.irfft(half).astype(np.float32), signal_ndim=1, onesided=1, normalized=0)
    numpy_case("irfft_plane", "Irfft", pairs(plane), np.fft.irfft2(plane).astype(np.float32), signal_ndim=2, onesided=1, normalized=0)


def crops():
    x = f32(2, 3, 5, 7)
    # Inside, mirrored, partly outside, upside down beyond the edge, one point; and exactly the image.
    regions = np.array([[0.1, 0.2, 0.7, 0.9], [0.8, 1, 0.3, 0], [-0.4, 0.5, 0.6, 1.3], [1.2, 0.1, -0.1, 0.9], [0.5, 0.5, 0.5, 0.5], [0, 0, 1, 1]],
                       np.float32)
    images = np.array([0, 1, 1, 0, 1, 0], np.int32)

    def operands(height, width):
        return [("x", x), ("regions", regions), ("images", images), ("size", np.array([height, width], np.int32))]

    case("crop_bilinear", "CropAndResize", operands(4, 6), constants=("size",), mode="bilinear", extrapolation_value=0.25)
    case("crop_nearest", "CropAndResize", operands(3, 5), constants=("size",), mode="nearest")
    case("crop_thin", "CropAndResize", operands(1, 8), constants=("size",))
    case("crop_size_at_run", "CropAndResize", operands(5, 2))


def limits():
    batch, heads, size, hidden = 3, 2, 4, 8
    w, b, past = f32(hidden, 3 * hidden), f32(3 * hidden), f32(2, batch, heads, 3, size)

    def limited(name, length, mask, past=None, outputs=("y",)):
        case(name, "Attention", [("x", f32(batch, length, hidden)), ("w", w), ("b", b), ("m", np.array(mask, np.int32)), ("p", past)], outputs,
             ("w", "b"), num_heads=heads)

    limited("attention_ends_and_starts", 4, [3, 4, 2, 1, 0, 2])
    limited("attention_lengths_past", 2, [4, 5, 1], past, ("y", "present"))


def guesses():
    def detector(name, source, current, previous, predicted=None, **attrs):
        tokens = [("source", np.array(source, np.int64)), ("current", np.array(current, np.int64)), ("previous", np.int64(previous))]
        case(name, "BifurcationDetector", tokens + [("predicted", predicted and np.array(predicted, np.int64))], ("tokens", "match"), **attrs)

    source = [7, 1, 2, 3, 1, 2, 4, 5, 1, 2, 3, 6]
    detector("guess_none", source, [9, 3, 6, 2, 4], 0, min_ngram_size=1, max_ngram_size=3)
    detector("guess_right", source, [9, 9], 9, [2, 3, 6, 8], min_ngram_size=1, max_ngram_size=3)
    detector("guess_differs", source, [9, 9], 4, [1, 2, 4, 0, 0, 0, 0, 0, 0], min_ngram_size=1, max_ngram_size=3)
    detector("guess_wrong_at_once", source, [9, 5, 1], 8, [2, 2, 3, 6, 0], min_ngram_size=1, max_ngram_size=2)
    detector("guess_several", source, [9, 1, 2], 0, min_ngram_size=1, max_ngram_size=2)
    detector("guess_longer_is_nowhere", source, [9, 4], 0, min_ngram_size=1, max_ngram_size=4)
    detector("guess_longer_decides", source, [3, 1, 2], 0, min_ngram_size=2, max_ngram_size=3)
    detector("guess_at_the_end", source, [3, 6], 0, min_ngram_size=1, max_ngram_size=2)
    detector("guess_short", source, [4], 0, min_ngram_size=2, max_ngram_size=3)
    detector("guess_empty", source, [], 12, [1], min_ngram_size=1, max_ngram_size=1)


def renamed():
    """Operators that ONNX has by now, under the same name."""
    case("quantize_linear", "QuantizeLinear", [("x", 100 * f32(3, 4)), *per_tensor("y", np.uint16(30000), 0.003)])
    case("dequantize_linear", "DequantizeLinear", [("x", RNG.integers(-32768, 32768, (3, 4)).astype(np.int16)), *per_tensor("x", np.int16(-77), 0.003)])
    x, s = f32(2, 3, 4), f32(4)
    y = x * s / np.sqrt(np.mean(x.astype(np.float64) ** 2, axis=-1, keepdims=True) + 1e-5)
    numpy_case("simplified_layer_norm_microsoft", "SimplifiedLayerNormalization", x, y.astype(np.float32), [("s", s)], axis=-1, epsilon=1e-5)


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for group in (products, other_forms, quantised, attention, signals, crops, guesses, limits, renamed):
        group()
    print(count, "models")
    return 0


if __name__ == "__main__":
    sys.exit(main())
