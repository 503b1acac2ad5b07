#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/import/bad: models that must be refused, each with what the message must say.

    tools/make_bad_models.py            # needs the onnx package

NAME.onnx is the model, NAME.expect one text per line that must occur in the rendered diagnostics.
The models are damaged by hand: the onnx package would not write most of them.
"""
import os
import random
import sys

import onnx
from onnx import TensorProto, helper

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "import", "bad")
F32 = TensorProto.FLOAT


def vi(name, shape=(2, 3), dtype=F32):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs=None, outputs=None, initializers=(), opset=17, ir_version=8, functions=(), imports=None):
    graph = helper.make_graph(
        nodes, "g", [vi("x")] if inputs is None else inputs, [vi("y")] if outputs is None else outputs, list(initializers)
    )
    imports = imports or [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version, functions=list(functions), producer_name="test")


def node(op, inputs, outputs, **kw):
    return helper.make_node(op, inputs, outputs, **kw)


def tensor(name, dims, values=None, raw=None, dtype=F32):
    t = TensorProto(name=name, data_type=dtype, dims=dims)
    if values is not None:
        t.float_data.extend(values)
    if raw is not None:
        t.raw_data = raw
    return t


def external(name, dims, **entries):
    t = TensorProto(name=name, data_type=F32, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        t.external_data.add(key=key, value=str(value))
    return t


RELU = [node("Relu", ["x"], ["y"], name="r")]
ADD_W = [node("Add", ["x", "w"], ["y"], name="a")]
cases = {}


def case(name, content, *expected):
    if not isinstance(content, bytes):
        content = content.SerializeToString()
    cases[name] = (content, expected)


def with_initializer(t):
    return model(ADD_W, initializers=[t])


# ---- the bytes ---------------------------------------------------------------------------------------------------
good = model(RELU).SerializeToString()
case("empty", b"", "not an ONNX model: there is no graph in it")
case("random", bytes(random.Random(1).randrange(256) for _ in range(200)), "not a valid ONNX file")
case("text", b"this is not a model, but a text that somebody gave a wrong name\n", "not a valid ONNX file")
case("truncated", good[: len(good) * 2 // 3], "a field that is longer than what is left", "cut short")
case("giant_length", b"\x3a\xff\xff\xff\xff\x07" + good, "a field that is longer than what is left", "at byte 0")
case("length_64_bit", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + good, "a field that is longer than what is left")
case("endless_varint", b"\x08" + b"\xff" * 11, "unfinished number")
case("field_zero", b"\x00\x00" + good, "impossible field number")
case("group", b"\x0b\x0c" + good, "unknown wire type")
case("two_graphs", good + good, "a single message given twice")
case("graph_is_number", b"\x38\x01", "a number where a text or a message belongs")
case("wrong_wire_type", b"\x0d\x01\x02\x03\x04" + good, "a field has the wrong type")


def nested(depth):
    """If in If in If, built from the inside out as bytes: the package itself recurses."""

    def field(number, payload):
        n, length = len(payload), b""
        while n >= 0x80:
            length, n = length + bytes([n & 0x7F | 0x80]), n >> 7
        tag = number << 3 | 2
        head = bytes([tag]) if tag < 0x80 else bytes([tag & 0x7F | 0x80, tag >> 7])
        return head + length + bytes([n]) + payload

    graph = field(12, field(1, b"x"))
    for _ in range(depth):
        attribute = field(1, b"then_branch") + field(6, graph) + b"\xa0\x01\x05"
        nodes = field(1, field(1, b"x") + field(2, b"y") + field(4, b"If") + field(5, attribute))
        graph = nodes + field(12, field(1, b"y"))
    return b"\x08\x08" + field(7, graph) + field(8, field(1, b"") + b"\x10\x11")


case("nested_1000", nested(1000), "nested too deeply")
case("nested_2000", nested(2000), "nested too deeply")

# ---- shapes that cannot be ----------------------------------------------------------------------------------------
I64 = TensorProto.INT64
SHAPE = helper.make_tensor("s", I64, [2], [4, -1])
case("reshape_size", model([node("Reshape", ["x", "s"], ["y"], name="r")], initializers=[SHAPE]), "node 'r' (Reshape)", "6 elements")
case(
    "reshape_open_twice",
    model([node("Reshape", ["x", "s"], ["y"], name="r")], initializers=[helper.make_tensor("s", I64, [2], [-1, -1])]),
    "node 'r' (Reshape)",
)
case("broadcast", model([node("Add", ["x", "z"], ["y"], name="a")], inputs=[vi("x"), vi("z", (4,))]), "node 'a' (Add)", "does not broadcast")
case("matmul_inner", model([node("MatMul", ["x", "x"], ["y"], name="m")]), "node 'm' (MatMul)", "dimension")

# ---- the model ---------------------------------------------------------------------------------------------------
m = model(RELU)
m.ClearField("graph")
case("no_graph", m, "there is no graph in it")
m = model(RELU)
m.opset_import[0].version = -3
case("opset_negative", m, "opset -3 of domain 'ai.onnx'")
case("opset_too_new", model(RELU, opset=28), "opset 28 of domain 'ai.onnx' is newer than the newest that is known, 27")
m = model(RELU)
del m.opset_import[:]
case("opset_missing", m, "operator 'Relu' of domain 'ai.onnx', opset 0", "not among the model's opset imports")
case("opset_too_old", model([node("Gelu", ["x"], ["y"])], opset=17), "operator 'Gelu'", "opset 17: it came with a later opset")
case(
    "unknown_ops",
    model(
        [
            node("Frobnicate", ["x"], ["a"], name="f1"),
            node("Frobnicate", ["a"], ["b"], name="f2"),
            node("Hadamard", ["b"], ["c"], name="h", domain="com.example"),
            node("Relu", ["c"], ["y"]),
        ],
        imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.example", 2)],
    ),
    "operator 'Frobnicate' of domain 'ai.onnx', opset 17: it is not an ONNX operator (2 nodes, the first is 'f1')",
    "operator 'Hadamard' of domain 'com.example', opset 2: it is not an ONNX operator (1 node, the first is 'h')",
)

# ---- names -------------------------------------------------------------------------------------------------------
case("undefined", model([node("Relu", ["nix"], ["y"], name="r")]), "node 'r' (Relu)", "'nix' is not defined", "in graph 'g'")
case("undefined_output", model(RELU, outputs=[vi("z")]), "'z' is not defined")
case("defined_twice", model([node("Relu", ["x"], ["y"]), node("Abs", ["x"], ["y"], name="b")]), "node 'b' (Abs)", "'y' is defined twice")
case("input_twice", model(RELU, inputs=[vi("x"), vi("x")]), "'x' is defined twice")
case("output_twice", model(RELU, outputs=[vi("y"), vi("y")]), "output 'y' is listed twice")
case(
    "cycle",
    model([node("Add", ["x", "b"], ["a"], name="n1"), node("Relu", ["a"], ["b"], name="n2"), node("Abs", ["b"], ["y"], name="n3")]),
    "2 nodes need each other's results",
    "node 'n1' (Add)",
    "node 'n2' (Relu)",
)
case("self_cycle", model([node("Add", ["x", "y"], ["y"], name="n1")]), "a node needs its own result")
case("long_name", model([node("Relu", ["x"], ["y"], name="n" * 5000)]), "a name that is too long")

# ---- nodes -------------------------------------------------------------------------------------------------------
case("missing_input", model([node("Add", ["x"], ["y"], name="a")]), "node 'a' (Add)", "input 1 'B' is missing")
case("omitted_input", model([node("Add", ["", "x"], ["y"], name="a")]), "input 0 'A' is missing")
case("extra_input", model([node("Relu", ["x", "x"], ["y"])]), "2 inputs, at most 1 are allowed")
case("extra_output", model([node("Relu", ["x"], ["y", "z"])]), "2 outputs, at most 1 are possible")
case("unknown_attribute", model([node("Relu", ["x"], ["y"], slope=2)]), "there is no attribute 'slope' in opset 17")
case("attribute_type", model([node("Concat", ["x"], ["y"], axis=1.5)]), "attribute 'axis' has the wrong type")
case("attribute_missing", model([node("Concat", ["x"], ["y"])]), "attribute 'axis' is missing")
n = node("Concat", ["x"], ["y"], axis=0)
n.attribute.append(n.attribute[0])
case("attribute_twice", model([n]), "attribute 'axis' is given twice")
n = node("Concat", ["x"], ["y"], axis=0)
n.attribute[0].ref_attr_name = "outer"
case("attribute_reference", model([n]), "attribute 'axis' refers to 'outer', outside of a function")
case("axis_range", model([node("Concat", ["x"], ["y"], axis=7, name="c")]), "node 'c' (Concat)", "axis")
case("type_mismatch", model([node("Add", ["x", "i"], ["y"], name="a")], inputs=[vi("x"), vi("i", dtype=TensorProto.INT64)]), "node 'a' (Add)", "i64")
case("type_not_allowed", model([node("Not", ["x"], ["y"], name="n")]), "node 'n' (Not)", "f32")
case("shape_mismatch", model([node("Add", ["x", "w"], ["y"], name="a")], inputs=[vi("x"), vi("w", (2, 4))]), "node 'a' (Add)", "broadcast")
case("output_type", model(RELU, outputs=[vi("y", dtype=TensorProto.INT32)]), "output 'y' is declared as i32, but is f32")
case("no_constant_value", model([node("Constant", [], ["y"])]), "a Constant has one value")
i64 = TensorProto.INT64

state = helper.make_graph([node("Add", ["s", "e"], ["t"]), node("Neg", ["e"], ["o"])], "b", [vi("s", (3,)), vi("e", (3,))], [vi("t", (3,)), vi("o", (3,))])
case("scan8_omitted", model([node("Scan", ["", "", "x"], ["y", "z"], body=state, num_scan_inputs=1)], opset=8), "input 1 'initial_state_and_scan_inputs' is missing")
strings = helper.make_tensor_value_info("x", TensorProto.STRING, [2])
case("clip6_strings", model([node("Clip", ["x"], ["y"], min=0.0)], inputs=[strings], opset=6), "input 0 'input' has type str; opset 6 takes f32, f16 or f64")

# ---- types -------------------------------------------------------------------------------------------------------
bf16 = vi("x", dtype=TensorProto.BFLOAT16)
case("relu6_bf16", model(RELU, inputs=[bf16], opset=6), "node 'r' (Relu)", "input 0 'X' has type bf16, which is allowed from opset 13 on; opset 6 takes f32, f16 or f64")
case("cast9_to_bf16", model([node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)], opset=9), "output 0 'output' has type bf16, which is allowed from opset 13 on; opset 9 takes")
case("add_two_types", model([node("Add", ["x", "k"], ["y"])], inputs=[vi("x"), vi("k", dtype=TensorProto.INT64)]), "input 1 'B' has type i64, but T is f32 already")
case("length_of_tensor", model([node("SequenceLength", ["x"], ["y"])]), "input 0 'input_sequence' has type f32; opset 17 takes seq(f32), seq(u8)")
case("scaler_strings", model([helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", scale=[1.0], offset=[0.0])], inputs=[vi("x", dtype=TensorProto.STRING)], imports=[helper.make_opsetid("ai.onnx.ml", 3)]), "input 0 'X' has type str; opset 3 of ai.onnx.ml takes f32, i32, i64 or f64")
m = model(RELU)
m.graph.input[0].type.tensor_type.elem_type = 77
case("elem_type", m, "'x': element type 77 is not known")
m = model(RELU)
m.graph.input[0].ClearField("type")
case("no_type", m, "'x': no type")
m = model(RELU)
for _ in range(40):
    m.graph.input[0].type.tensor_type.shape.dim.add(dim_value=1)
case("rank_42", m, "'x': rank is 42, the limit is 32")
m = model(RELU)
t = m.graph.input[0].type
for _ in range(200):
    inner = onnx.TypeProto()
    inner.sequence_type.elem_type.CopyFrom(t)
    t.CopyFrom(inner)
case("type_depth", m, "nested too deeply")

# ---- constants ---------------------------------------------------------------------------------------------------
case("raw_size", with_initializer(tensor("w", [2, 3], raw=b"\0" * 20)), "tensor 'w': raw_data has 20 bytes, its shape and type need 24")
case("list_size", with_initializer(tensor("w", [2, 3], values=[1, 2, 3])), "tensor 'w': float_data has 3 items, its shape and type need 6")
case("huge_dims", with_initializer(tensor("w", [1 << 40, 1 << 40], raw=b"\0" * 4)), "tensor 'w': is too large")
case("large_dims", with_initializer(tensor("w", [1 << 36], raw=b"\0" * 4)), "tensor 'w': raw_data has 4 bytes")
case("negative_dims", with_initializer(tensor("w", [-1, 3], values=[])), "tensor 'w': dimension 0 is -1")
case("tensor_type", with_initializer(tensor("w", [1], values=[1], dtype=99)), "tensor 'w': element type 99 is not known")
case("raw_strings", with_initializer(tensor("w", [1], raw=b"abc", dtype=TensorProto.STRING)), "tensor 'w': strings in raw_data")
case("tensor_rank", with_initializer(tensor("w", [1] * 33, values=[1])), "tensor 'w': rank is 33")
m = model(ADD_W)
s = m.graph.sparse_initializer.add(dims=[2, 3])
s.values.CopyFrom(tensor("w", [1], values=[5]))
s.indices.CopyFrom(helper.make_tensor("", i64, [1], [6]))
case("sparse_index", m, "sparse index 0 lies outside its shape")
m = model(ADD_W)
s = m.graph.sparse_initializer.add(dims=[1 << 30, 1 << 10])
s.values.CopyFrom(tensor("w", [1], values=[5]))
s.indices.CopyFrom(helper.make_tensor("", i64, [1], [6]))
case("sparse_huge", m, "tensor 'w': is too large")

# ---- external data: data.bin has 24 bytes, link.bin leads to a file outside of the folder ------------------------
W = [2, 3]
case("external_missing", with_initializer(external("w", W, location="nix.bin")), "tensor 'w': cannot read external data 'nix.bin'", "No such file")
case("external_truncated", with_initializer(external("w", W, location="data.bin", offset=8)), "tensor 'w': needs bytes 8 to 32 of 'data.bin', which has 24")
case("external_offset", with_initializer(external("w", W, location="data.bin", offset=1 << 63)), "of 'data.bin', which has 24")
case("external_length", with_initializer(external("w", W, location="data.bin", length=12)), "tensor 'w': external data has 12 bytes, its shape and type need 24")
case("external_number", with_initializer(external("w", W, location="data.bin", offset="-1")), "tensor 'w': external data has offset '-1'")
case("external_no_location", with_initializer(external("w", W, offset=0)), "tensor 'w': external data has no location")
case("external_parent", with_initializer(external("w", W, location="../secret.bin")), "'../secret.bin' is not below the model's folder")
case("external_parent_inside", with_initializer(external("w", W, location="sub/../../secret.bin")), "is not below the model's folder")
case("external_absolute", with_initializer(external("w", W, location="/etc/passwd")), "'/etc/passwd' is not below the model's folder")
case("external_symlink", with_initializer(external("w", W, location="link.bin")), "external data 'link.bin' leads out of folder")
case("external_folder", with_initializer(external("w", W, location="sub")), "cannot read external data 'sub'")


# ---- functions ---------------------------------------------------------------------------------------------------
def function(name, nodes, inputs=("a",), outputs=("b",), **kw):
    return helper.make_function("local", name, list(inputs), list(outputs), nodes, [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)], **kw)


def call(name, inputs=("x",), outputs=("y",), **kw):
    return node(name, list(inputs), list(outputs), domain="local", **kw)


def function_model(functions, nodes):
    return model(nodes, functions=functions, imports=[helper.make_opsetid("", 17), helper.make_opsetid("local", 1)])


case("recursion", function_model([function("F", [call("F", ["a"], ["b"])])], [call("F")]), "function 'F' calls itself")
case(
    "mutual_recursion",
    function_model([function("F", [call("G", ["a"], ["b"])]), function("G", [call("F", ["a"], ["b"])])], [call("F")]),
    "calls itself",
)
case("function_unknown_op", function_model([function("F", [node("Nope", ["a"], ["b"])])], [call("F")]), "operator 'Nope'")
case("function_twice", function_model([function("F", [node("Relu", ["a"], ["b"])])] * 2, [call("F")]), "function 'F' of domain 'local' is defined twice")
case("function_inputs", function_model([function("F", [node("Relu", ["a"], ["b"])])], [call("F", ["x", "x"])]), "2 inputs given, function 'F' has 1")
case("function_output", function_model([function("F", [node("Relu", ["a"], ["c"])])], [call("F")]), "'b' is not defined")
chain = [function(f"F{i}", [call(f"F{i+1}", ["a"], ["b"])]) for i in range(80)] + [function("F80", [node("Relu", ["a"], ["b"])])]
case("function_depth", function_model(chain, [call("F0")]), "nested more than 64 deep")
bomb = [function(f"F{i}", [call(f"F{i+1}", ["a"], ["c"]), call(f"F{i+1}", ["c"], ["b"])]) for i in range(40)]
bomb.append(function("F40", [node("Relu", ["a"], ["b"])]))
case("function_bomb", function_model(bomb, [call("F0")]), "more than 1000 nodes")

# ---- subgraphs ---------------------------------------------------------------------------------------------------
branch = helper.make_graph([node("Relu", ["x"], ["t"])], "t", [], [vi("t")])
bad_branch = helper.make_graph([node("Relu", ["nix"], ["e"], name="in")], "e", [], [vi("e")])
cond = vi("c", [], TensorProto.BOOL)
case(
    "undefined_in_branch",
    model([node("If", ["c"], ["y"], name="if", then_branch=branch, else_branch=bad_branch)], inputs=[vi("x"), cond]),
    "node 'in' (Relu)",
    "'nix' is not defined",
    "in graph 'g' > If 'if' > else_branch",
)
body = helper.make_graph([node("Identity", ["k"], ["k2"])], "b", [vi("i", [], i64), vi("k", [], TensorProto.BOOL), vi("v"), vi("u")], [vi("k2", [], TensorProto.BOOL), vi("v")])
case("loop_inputs", model([node("Loop", ["", "", "x"], ["y"], name="l", body=body)]), "subgraph 'body' has 4 inputs, 3 are given to it")
body = helper.make_graph([node("Relu", ["v"], ["w"])], "b", [vi("v", (3,))], [vi("w", (3,))])
case("scan_count", model([node("Scan", ["x"], ["y"], name="s", body=body, num_scan_inputs=5)]), "num_scan_inputs is 5, there are 1 inputs")

two = helper.make_graph([node("Relu", ["x"], ["e"]), node("Neg", ["x"], ["f"])], "e", [], [vi("e"), vi("f")])
case(
    "if_outputs",
    model([node("If", ["c"], ["y"], name="if", then_branch=branch, else_branch=two)], inputs=[vi("x"), cond]),
    "node 'if' (If)",
    "region 'else_branch' yields 2 values, expected 1",
)
body = helper.make_graph([node("Identity", ["k"], ["k2"])], "b", [vi("i", [], i64), vi("k", [], TensorProto.BOOL), vi("v")], [vi("k2", [], TensorProto.BOOL)])
case("loop_outputs", model([node("Loop", ["", "", "x"], ["y"], name="l", body=body)]), "node 'l' (Loop)", "region 'body' yields 1 values, expected 2")
case("initializer_twice", model(ADD_W, initializers=[tensor("w", [3], [1, 2, 3]), tensor("w", [3], [4, 5, 6])]), "'w' is defined twice")
case(
    "initializer_type",
    model(ADD_W, inputs=[vi("x"), vi("w", (3,))], initializers=[tensor("w", [1], [1])]),
    "input 'w' is declared as f32[3], but its value is f32[1]",
)
case("unknown_domain", model([node("Relu", ["x"], ["y"], domain="nowhere")]), "operator 'Relu' of domain 'nowhere'", "its domain is not among the model's opset imports")
case("undefined_later", model([node("Relu", ["z"], ["y"], name="r"), node("Relu", ["q"], ["z"], name="s")]), "node 's' (Relu)", "'q' is not defined")
case("branch_missing", model([node("If", ["c"], ["y"], name="if", then_branch=branch)], inputs=[vi("x"), cond]), "attribute 'else_branch' is missing")
case("shape_of_floats", model([node("Reshape", ["x", "s"], ["y"], name="r")], initializers=[tensor("s", [1], [6.0])]), "input 1 'shape' has type f32; opset 17 takes i64")

body = helper.make_graph([node("Neg", ["s"], ["t"])], "b", [vi("s", (3,))], [vi("t", (3,))])
case("scan8_trailing", model([node("Scan", ["", ""], ["y"], name="s", body=body, num_scan_inputs=0)], opset=8), "input 1 is missing")
case("scan8_empty", model([node("Scan", [], ["y"], name="s", body=body, num_scan_inputs=0)], opset=8), "input 1 is missing")

microsoft = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]


def attention(op, inputs, shapes, **kw):
    return model(
        [node(op, inputs, ["y"], name="a", domain="com.microsoft", **kw)],
        [vi(name, shape) for name, shape in shapes.items()],
        [vi("y", None)],
        imports=microsoft,
    )


case(
    "attention_bias",
    attention("Attention", ["x", "w", "", "m", "", "s"], {"x": (2, 4, 12), "w": (12, 36), "m": (2, 4), "s": (0, 2, 4, 4)}, num_heads=2),
    "shape is [0,2,4,4], which does not broadcast with [2,1,1,4]",
)
case(
    "attention_rank",
    attention("Attention", ["x", "w", "", "m"], {"x": (4, 12), "w": (12, 36), "m": (2, 4)}, num_heads=2, qkv_hidden_sizes=[12, 12, 12]),
    "axis is 2, expected -2 to 1",
)
case(
    "attention_widths",
    attention("Attention", ["x", "w"], {"x": (2, 4, 12), "w": (12, 36)}, num_heads=2, qkv_hidden_sizes=[2**63 - 1, 2**63 - 1, 1]),
    "attribute 'qkv_hidden_sizes' holds 9223372036854775807",
)
case(
    "attention_heads",
    attention(
        "GroupQueryAttention",
        ["x", "", "", "", "", "n", "t"],
        {"x": (2, 4, 12), "n": (2,), "t": (1,)},
        num_heads=2**63 - 2,
        kv_num_heads=2**62 + 1,
    ),
    "attribute 'num_heads' or 'kv_num_heads' is missing or too large",
)


def main():
    os.makedirs(os.path.join(ROOT, "sub"), exist_ok=True)
    with open(os.path.join(ROOT, "data.bin"), "wb") as f:
        f.write(bytes(24))
    with open(os.path.join(ROOT, "sub", "README"), "w") as f:
        f.write("A folder where a file is expected.\n")
    link = os.path.join(ROOT, "link.bin")
    if not os.path.islink(link):
        os.symlink("../outside.bin", link)
    with open(os.path.join(ROOT, "..", "outside.bin"), "wb") as f:
        f.write(bytes(24))
    for name, (content, expected) in cases.items():
        with open(os.path.join(ROOT, name + ".onnx"), "wb") as f:
            f.write(content)
        with open(os.path.join(ROOT, name + ".expect"), "w") as f:
            f.write("".join(line + "\n" for line in expected))
    print(len(cases), "models")
    return 0


if __name__ == "__main__":
    sys.exit(main())
