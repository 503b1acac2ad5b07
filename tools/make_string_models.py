#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/strings: small models of every operator of ONNX that takes or gives strings, in the layout of its test data.

    tools/make_string_models.py         # needs the onnx package and numpy

Expected outputs: the reference implementation of the onnx package; where that has none for strings, formulas in numpy, next to each
model. The script fails where a schema allows strings and no model here or in tests/data/ml has the operator.
"""
import glob
import os
import shutil

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data")
ROOT = os.path.join(DATA, "strings")
RNG = np.random.default_rng(17)
STR, I64, F32, BOOL = TensorProto.STRING, TensorProto.INT64, TensorProto.FLOAT, TensorProto.BOOL
WORDS = np.array(["", "a", "bc", "word", "\u00e4", "x y", "-1.5", "a string of more than a few letters"], dtype=object)
# Allowed by the schema, but without a meaning, or without a result that could be compared.
LEFT_OUT = {
    "Col2Im": "sums blocks",
    "Gradient": "has no derivative by strings",
    "RandomNormalLike": "is random; of strings only the shape is read, as by Shape",
    "RandomUniformLike": "is random; of strings only the shape is read, as by Shape",
    "Scatter": "an old name of ScatterElements",
    "Upsample": "an old name of Resize",
}
cases = {}


def text(*shape):
    return WORDS[RNG.integers(0, len(WORDS), shape)]


def one(word):
    return np.array(word, dtype=object)


def ints(*values):
    return np.array(values, dtype=np.int64)


def element_type(array):
    return STR if array.dtype == object else helper.np_dtype_to_tensor_dtype(array.dtype)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(","), outputs.split(","), **attributes)


def info(name, value):
    if isinstance(value, list):
        return helper.make_tensor_sequence_value_info(name, element_type(value[0]), [None] * value[0].ndim)
    return helper.make_tensor_value_info(name, element_type(value), list(value.shape))


def as_strings(value):
    value = np.asarray(value)
    return value.astype(object) if value.dtype.kind in "UO" else value


def case(name, nodes, inputs, outputs, expected=None, constants=None, opset=25):
    """inputs, constants: name -> array (list of arrays: a sequence); outputs: name -> element type; expected: arrays, or None to ask
    the reference implementation."""
    nodes = nodes if isinstance(nodes, list) else [nodes]
    graph = helper.make_graph(nodes, name, [info(k, v) for k, v in inputs.items()],
                              [helper.make_tensor_value_info(k, t, None) for k, t in outputs.items()],
                              [numpy_helper.from_array(v, k) for k, v in (constants or {}).items()])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 4)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="test")
    if expected is None:
        expected = ReferenceEvaluator(model).run(None, inputs)
    cases[name] = (model, list(inputs.values()), [as_strings(v) for v in expected])


def body(name, nodes, inputs, outputs):
    def value(k, t):
        return helper.make_tensor_value_info(k, t[0] if isinstance(t, tuple) else t, t[1] if isinstance(t, tuple) else None)

    return helper.make_graph(nodes, name, [value(k, t) for k, t in inputs.items()], [value(k, t) for k, t in outputs.items()])


x, m, row = text(3, 4), text(2, 3), text(4)
block, scalar = text(1, 4, 2, 3), one("single")
s_out = {"y": STR}

# ---- the same elements elsewhere, or under other dims -----------------------------------------------------------------
case("transpose", node("Transpose", "x", "y"), {"x": text(2, 3, 4)}, s_out)
case("reshape", node("Reshape", "x,shape", "y"), {"x": x}, s_out, constants={"shape": ints(2, -1, 3)})
case("reshape_data", node("Reshape", "x,shape", "y"), {"x": x, "shape": ints(6, 2)}, s_out)
case("flatten", node("Flatten", "x", "y", axis=2), {"x": text(2, 1, 3, 2)}, s_out)
case("squeeze", [node("Unsqueeze", "x,axes", "u"), node("Squeeze", "u,axes", "y")], {"x": x}, {"y": STR, "u": STR}, constants={"axes": ints(0, 3)})
case("identity", node("Identity", "x", "y"), {"x": x}, s_out)
case("identity_scalar", node("Identity", "x", "y"), {"x": scalar}, s_out)
case("expand", node("Expand", "x,shape", "y"), {"x": text(3, 1)}, s_out, constants={"shape": ints(2, 1, 4)})
case("expand_data", node("Expand", "x,shape", "y"), {"x": text(3, 1), "shape": ints(2, 1, 4)}, s_out)
case("slice", node("Slice", "x,b,e,axes,steps", "y"), {"x": x}, s_out, constants={"b": ints(-1), "e": ints(-9), "axes": ints(1), "steps": ints(-2)})
case("slice_data", node("Slice", "x,b,e", "y"), {"x": x, "b": ints(1, 0), "e": ints(3, 2)}, s_out)
case("split", node("Split", "x", "y,z", axis=1, num_outputs=2), {"x": x}, {"y": STR, "z": STR})
case("concat", node("Concat", "x,row,x", "y", axis=0), {"x": x, "row": text(1, 4)}, s_out)
case("tile", node("Tile", "x,times", "y"), {"x": m}, s_out, constants={"times": ints(2, 3)})
case("pad", node("Pad", "x,pads,fill", "y"), {"x": m}, s_out, constants={"pads": ints(1, 0, 0, 2), "fill": one("fill")})
case("pad_fill", node("Pad", "x,pads,fill", "y"), {"x": m, "fill": one("given")}, s_out, constants={"pads": ints(1, 0, 0, 2)})
case("pad_empty", node("Pad", "x,pads", "y"), {"x": m}, s_out, [np.pad(m, ((1, 0), (0, 2)), constant_values="")], {"pads": ints(1, 0, 0, 2)})
case("pad_reflect", node("Pad", "x,pads", "y", mode="reflect"), {"x": x}, s_out, constants={"pads": ints(2, 0, 0, 3)})
case("pad_edge", node("Pad", "x,pads", "y", mode="edge"), {"x": x}, s_out, constants={"pads": ints(2, 0, 0, 3)})
case("trilu", node("Trilu", "x", "y", upper=0), {"x": x}, s_out, [np.where(np.tri(3, 4, dtype=bool), x, "")])
case("depth_to_space", node("DepthToSpace", "x", "y", blocksize=2, mode="CRD"), {"x": block}, s_out)
case("space_to_depth", node("SpaceToDepth", "x", "y", blocksize=2), {"x": text(1, 1, 4, 2)}, s_out)
case("center_crop_pad", node("CenterCropPad", "x,shape", "y"), {"x": m}, s_out, [np.pad(m[:1], ((0, 0), (2, 2)), constant_values="")], {"shape": ints(1, 7)})
case("reverse_sequence", node("ReverseSequence", "x,lengths", "y", batch_axis=0, time_axis=1), {"x": x, "lengths": ints(2, 4, 1)}, s_out)
case("nothing", [node("Concat", "x,x", "y", axis=0), node("Transpose", "x", "z")], {"x": text(0, 3)}, {"y": STR, "z": STR}, [text(0, 3), text(3, 0)])
case("constants", [node("Constant", "", "a", value_string="one"), node("Constant", "", "b", value_strings=["two", "", "\u00fc"]), node("Concat", "b,row", "y", axis=0), node("Identity", "a", "z")],
     {"row": row}, {"y": STR, "z": STR}, [np.concatenate([np.array(["two", "", "\u00fc"], dtype=object), row]), one("one")])
for c in cases["constants"][0].graph.node:
    if c.op_type == "Constant":
        del c.input[:]

# ---- chosen by index or condition ---------------------------------------------------------------------------------------
case("gather", node("Gather", "x,at", "y", axis=1), {"x": x, "at": ints(3, -1, 0)}, s_out)
case("gather_elements", node("GatherElements", "x,at", "y", axis=0), {"x": x, "at": np.array([[2, 0, -1, 1]])}, s_out, [np.take_along_axis(x, np.array([[2, 0, 2, 1]]), 0)])
case("gather_nd", node("GatherND", "x,at", "y"), {"x": x}, s_out, constants={"at": np.array([[0, 1], [2, -1]])})
put = x.copy()
put[[1, 0], [0, 1]] = ["p", "q"]
case("scatter_elements", node("ScatterElements", "x,at,u", "y", axis=0), {"x": x, "at": np.array([[1, 0]]), "u": np.array([["p", "q"]], dtype=object)}, s_out, [put])
case("scatter_old", node("Scatter", "x,at,u", "y", axis=0), {"x": x, "at": np.array([[1, 0]]), "u": np.array([["p", "q"]], dtype=object)}, s_out, [put], opset=10)
case("scatter_nd", node("ScatterND", "x,at,u", "y"), {"x": x, "at": np.array([[2], [0]]), "u": text(2, 4)}, s_out)
case("tensor_scatter", node("TensorScatter", "x,u,at", "y"), {"x": text(2, 4, 2), "u": text(2, 1, 2), "at": ints(1, 3)}, s_out)
on_off = one(["off", "on"])
case("one_hot", node("OneHot", "at,depth,values", "y"), {"at": ints(1, 0, 5), "values": on_off}, s_out, [np.where(np.arange(4) == ints(1, 0, 5)[:, None], "on", "off").astype(object)], {"depth": np.array(4)})
case("where", node("Where", "c,x,row", "y"), {"c": RNG.random((3, 4)) < 0.5, "x": x, "row": row}, s_out)
case("compress", node("Compress", "x,c", "y", axis=1), {"x": x, "c": np.array([True, False, True])}, s_out)
case("unique", node("Unique", "x", "y,first,back,count"), {"x": x}, {"y": STR, "first": I64, "back": I64, "count": I64})
case("unique_rows", node("Unique", "x", "y,first,back,count", axis=0), {"x": m[[1, 0, 1]]}, {"y": STR, "first": I64, "back": I64, "count": I64},
     [m[sorted([0, 1], key=lambda i: tuple(m[i]))], *([ints(0, 1), ints(0, 1, 0), ints(2, 1)] if tuple(m[1]) < tuple(m[0]) else [ints(1, 0), ints(1, 0, 1), ints(1, 2)])])
case("non_zero", node("NonZero", "x", "y"), {"x": x}, {"y": I64}, [np.array(np.nonzero(x != ""))])
places = np.repeat(np.repeat(block, 2, 2), 3, 3)
case("resize", node("Resize", "x,,scales", "y", mode="nearest"), {"x": block}, s_out, [places], {"scales": np.array([1, 1, 2, 3], np.float32)})
case("upsample", node("Upsample", "x,scales", "y", mode="nearest"), {"x": block}, s_out, [places], {"scales": np.array([1, 1, 2, 3], np.float32)}, opset=9)
grid = np.array([[[[-1, -1], [1, 1], [0.9, -0.9]]]], np.float32)
case("grid_sample", node("GridSample", "x,grid", "y", mode="nearest", align_corners=1), {"x": block, "grid": grid}, s_out, [block[:, :, [[0, 1, 0]], [[0, 2, 2]]]])
case("array_feature_extractor", node("ArrayFeatureExtractor", "x,at", "y", domain="ai.onnx.ml"), {"x": x, "at": ints(0, 2)}, s_out)

# ---- read --------------------------------------------------------------------------------------------------------------------
case("shape_size", [node("Shape", "x", "y"), node("Size", "x", "z")], {"x": x}, {"y": I64, "z": I64})
case("equal", node("Equal", "x,row", "y"), {"x": x, "row": row}, {"y": BOOL})
case("cast", [node("Cast", "x", "y", to=F32), node("Cast", "y", "z", to=STR), node("Cast", "z", "same", to=STR)], {"x": one(["1.5", "-2", "0.25"])}, {"y": F32, "z": STR, "same": STR},
     [np.array([1.5, -2, 0.25], np.float32), one(["1.5", "-2", "0.25"]), one(["1.5", "-2", "0.25"])])
case("cast_like", [node("CastLike", "x,n", "y"), node("CastLike", "n,x", "z")], {"x": one(["3", "4"]), "n": ints(5, 6)}, {"y": I64, "z": STR}, [ints(3, 4), one(["5", "6"])])
case("string_concat", node("StringConcat", "x,row", "y"), {"x": x, "row": row}, s_out)
case("string_split", node("StringSplit", "x", "y,n"), {"x": m}, {"y": STR, "n": I64})
case("string_normalizer", node("StringNormalizer", "x", "y", case_change_action="UPPER", stopwords=["a"]), {"x": one(["a", "bc", "word"])}, s_out, [one(["BC", "WORD"])])
case("regex", node("RegexFullMatch", "x", "y", pattern="[a-z]+"), {"x": x}, {"y": BOOL})
case("tfidf", node("TfIdfVectorizer", "x", "y", mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0, ngram_counts=[0], ngram_indexes=[0, 1], pool_strings=["a", "bc"]), {"x": row}, {"y": F32},
     [np.array([np.sum(row == "a"), np.sum(row == "bc")], np.float32)])
case("turned_calls", [node("Transpose", "x", "t"), node("StringConcat", "t,suffix", "c"), node("Transpose", "c", "u"), node("Gather", "u,at", "y"), node("Equal", "t,c", "z")], {"x": x, "at": ints(2, 0)}, {"y": STR, "z": BOOL}, constants={"suffix": one("!")})

# ---- control flow, sequences, optionals ------------------------------------------------------------------------------------
then = body("then", [node("Transpose", "x", "t")], {}, {"t": STR})
other = body("other", [node("StringConcat", "x,row", "c"), node("Reshape", "c,shape", "e")], {}, {"e": STR})
for name, chosen in (("if_then", True), ("if_else", False)):
    case(name, node("If", "p", "y", then_branch=then, else_branch=other), {"p": np.array(chosen), "x": x, "row": row}, s_out, [x.T if chosen else np.char.add(x.astype(str), row.astype(str)).reshape(4, 3)], {"shape": ints(4, 3)})
rounds = body("rounds", [node("StringConcat", "s,dot", "next"), node("Transpose", "next", "turned"), node("Identity", "go", "on")],
              {"i": (I64, []), "go": (BOOL, []), "s": (STR, [2, 3])}, {"on": (BOOL, []), "next": (STR, [2, 3]), "turned": (STR, [3, 2])})
dotted = [np.char.add(m.astype(str), "." * i).astype(object) for i in range(1, 4)]
case("loop", node("Loop", "n,,m", "last,all", body=rounds), {"n": np.array(3), "m": m}, {"last": STR, "all": STR}, [dotted[-1], np.stack([d.T for d in dotted])], {"dot": one(".")})
steps = body("steps", [node("Concat", "s,r", "pair", axis=0), node("Gather", "pair,one", "next", axis=0), node("StringConcat", "s,r", "y")],
             {"s": (STR, [1]), "r": (STR, [1])}, {"next": (STR, [1]), "y": (STR, [1])})
before = np.concatenate([[["first"]], x[:, :1]])
case("scan", node("Scan", "s,x", "last,y", body=steps, num_scan_inputs=1), {"s": one(["first"]), "x": x[:, :1]}, {"last": STR, "y": STR}, [x[2, :1], np.char.add(before[:3].astype(str), x[:, :1].astype(str))], {"one": ints(1)})
case("sequence", [node("SequenceConstruct", "x,t", "q"), node("SequenceInsert", "q,x,zero", "r"), node("SequenceErase", "r,zero", "q2"), node("SequenceAt", "q2,one", "y"), node("SequenceLength", "r", "n")],
     {"x": x, "t": text(2, 4)}, {"y": STR, "n": I64}, constants={"zero": np.array(0), "one": np.array(1)})
case("sequence_empty", [node("SequenceEmpty", "", "e", dtype=STR), node("SequenceInsert", "e,x", "r"), node("ConcatFromSequence", "r", "y", axis=1, new_axis=1)], {"x": x}, s_out, [x[:, None]])
del cases["sequence_empty"][0].graph.node[0].input[:]
case("sequence_split", [node("SplitToSequence", "x", "q", axis=1), node("ConcatFromSequence", "q", "y", axis=0)], {"x": x}, s_out)
case("sequence_input", [node("SequenceAt", "q,at", "y"), node("Transpose", "y", "z", perm=[1, 0])], {"q": [x, m], "at": np.array(1)}, {"y": STR, "z": STR}, [m, m.T])
each = body("each", [node("StringConcat", "e,e", "d")], {"e": (STR, None)}, {"d": (STR, None)})
case("sequence_map", [node("SequenceConstruct", "x,m", "q"), node("SequenceMap", "q", "r", body=each), node("SequenceAt", "r,at", "y")], {"x": x, "m": m, "at": np.array(1)}, s_out, [np.char.add(m.astype(str), m.astype(str))])
case("optional", [node("Optional", "x", "o"), node("OptionalHasElement", "o", "has"), node("OptionalGetElement", "o", "y")], {"x": x}, {"y": STR, "has": BOOL}, [x, np.array(True)])
case("one_hot_encoder", node("OneHotEncoder", "x", "y", domain="ai.onnx.ml", cats_strings=["a", "bc"]), {"x": row}, {"y": F32})


# ---- writing ---------------------------------------------------------------------------------------------------------------
def write(path, message):
    with open(path, "wb") as f:
        f.write(message.SerializeToString())


def proto(value):
    return numpy_helper.from_list(value) if isinstance(value, list) else numpy_helper.from_array(np.asarray(value))


def operators(graph):
    for n in graph.node:
        yield n.op_type
        for a in n.attribute:
            if a.type == onnx.AttributeProto.GRAPH:
                yield from operators(a.g)


def takes_strings(schema):
    lists = [c.allowed_type_strs for c in schema.type_constraints] + [[v.type_str] for v in [*schema.inputs, *schema.outputs]]
    return any("string" in t for types in lists for t in types)


def check_coverage():
    others = [onnx.load(p) for p in glob.glob(os.path.join(DATA, "ml", "*", "model.onnx"))]
    found = {op for m in [c[0] for c in cases.values()] + others for op in operators(m.graph)}
    wanted = {s.name for s in onnx.defs.get_all_schemas() if takes_strings(s)}
    missing = wanted - found - set(LEFT_OUT)
    if missing:
        raise SystemExit("no model of " + ", ".join(sorted(missing)))


def main():
    check_coverage()
    shutil.rmtree(ROOT, ignore_errors=True)
    for name, (model, inputs, outputs) in cases.items():
        data = os.path.join(ROOT, name, "test_data_set_0")
        os.makedirs(data)
        write(os.path.join(ROOT, name, "model.onnx"), model)
        for kind, values in (("input", inputs), ("output", outputs)):
            for i, value in enumerate(values):
                write(os.path.join(data, f"{kind}_{i}.pb"), proto(value))
    print(f"{len(cases)} models")


if __name__ == "__main__":
    main()
