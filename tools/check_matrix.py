#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The evaluator's results for models of every operator and type, compared with those of ONNX's reference implementation.

    build/debug/tests/matrix --write DIR tests/matrix/recipes/*.txt
    tools/check_matrix.py DIR [--operator NAME] [--verbose]      # needs the onnx package; status 77 without it

Each folder of DIR holds a model of one node, its inputs, and what the evaluator made of them (tests/matrix/matrix.c). What the reference
implementation does not take is counted and named with --verbose; a line for each model whose results differ.

Where the reference implementation is at fault or less exact by its construction, ITS_OWN says how; such models are counted apart, and a row that
no model needs is named.

Numbers may differ by a part of the largest in their tensor that depends on the type: the reference implementation rounds f16 and bf16 behind each
step. Integers, bools and texts are equal.
"""
import argparse
import pathlib
import sys
import warnings

try:
    import numpy as np
    import onnx
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator
except ImportError:
    print("left out: no onnx package")
    sys.exit(77)

# Parts of the largest number. Two steps of rounding for the floats of eight bits and less.
TOLERANCES = {"float64": 1e-6, "complex128": 1e-6, "float32": 2e-5, "complex64": 2e-5, "float16": 1e-2, "bfloat16": 4e-2}
SMALL_FLOAT = 0.25
AGREE, DIFFER, ITS_FAULT, NOT_TAKEN = range(4)

# Begin of what describe() says, begin of what differs, what the reference implementation does instead.
ITS_OWN = [
    ("AffineGrid-", "0: type", "computes its grid in float32 and leaves it so; the schema's result is of theta's type"),
    ("BatchNormalization-9", "0: ", "normalises with the batch's own mean and variance, which opset 9 has no attribute to ask for"),
    ("BlackmanWindow-17", "0: ", "computes in float64, where what becomes an integer is not yet below 1"),
    ("CenterCropPad-18(object", "0: texts", "fills with numpy's zero, not with an empty text"),
    ("DequantizeLinear-", "0: ", "ignores a zero point of float4e2m1"),
    ("Det-22(bfloat16", "0: type", "leaves float64"),
    ("FeatureVectorizer-", "0: type", "leaves the input's type; the schema's result is float"),
    ("GridSample-", "0: ", "holds coefficients in the type of the data (integers: none is left) or the coordinates in that of the grid"),
    ("LRN-", "0: ", "goes over as many channels as the batch has entries"),
    ("LayerNormalization-17", "1: type", "leaves mean and deviation in the input's type, not that of stash_type"),
    ("LinearClassifier-", "1: type", "leaves the input's type; the schema's result is float"),
    ("LinearRegressor-", "0: type", "leaves the input's type; the schema's result is float"),
    ("MaxPool-", "1: ", "indices of windows that begin in the padding are too small"),
    ("Normalizer-", "0: type", "leaves the input's type; the schema's result is float"),
    ("OneHot-", "0: ", "compares fractions, which the operator casts to int64"),
    ("OneHotEncoder-", "0: ", "compares fractions, which the operator casts to int64"),
    ("QLinearConv-", "0: ", "rounds behind the zero point's addition"),
    ("QLinearMatMul-", "0: ", "rounds behind the zero point's addition"),
    ("RMSNormalization-23", "0: type", "leaves the input's type; the schema's result is of the scale's"),
    ("ReduceSumSquare-", "0: type", "leaves numpy's wider type"),
    ("Resize-", "0: [", "drops imaginary parts"),
    ("RoiAlign-10", "0: ", "takes opset 16's half pixels for what had none"),
    ("Scaler-", "0: type", "leaves the input's type; the schema's result is float"),
    ("Trilu-14(object", "0: texts", "fills with numpy's zero, not with an empty text"),
]


def load(folder, name):
    tensor = onnx.TensorProto()
    tensor.ParseFromString((folder / "test_data_set_0" / name).read_bytes())
    return numpy_helper.to_array(tensor)


def load_all(folder, kind, count):
    return [load(folder, f"{kind}_{i}.pb") for i in range(count)]


def is_exact(array):
    return array.dtype.kind in "biuOUS" or array.dtype.name in ("int4", "uint4", "int2", "uint2")


def texts(array):
    return [x.decode() if isinstance(x, bytes) else str(x) for x in np.asarray(array, dtype=object).ravel()]


def differs(want, got):
    """Why the two are not the same; None where they are."""
    want = np.asarray(want)
    if want.shape != got.shape:
        return f"shape {got.shape}, reference {want.shape}"
    if got.dtype.kind in "OUS":
        return None if texts(want) == texts(got) else "texts"
    if want.dtype != got.dtype:
        return f"type {got.dtype}, reference {want.dtype}"
    kind = np.complex128 if got.dtype.kind == "c" else np.int64 if is_exact(got) else np.float64
    a, b = want.astype(kind).ravel(), got.astype(kind).ravel()
    if is_exact(got):
        bad = a != b
    else:
        finite = np.abs(a[np.isfinite(a)])
        room = TOLERANCES.get(got.dtype.name, SMALL_FLOAT) * (finite.max() if finite.size else 1)
        with np.errstate(invalid="ignore"):
            bad = ~((np.abs(a - b) <= room) | (a == b) | (np.isnan(a) & np.isnan(b)))
    if not bad.any():
        return None
    i = int(np.flatnonzero(bad)[0])
    return f"[{i}] is {b[i]}, reference {a[i]}"


def describe(model, inputs):
    node = model.graph.node[0]
    version = max(o.version for o in model.opset_import if o.domain == node.domain)
    attributes = ", ".join(a.name for a in node.attribute)
    return f"{node.op_type}-{version}({', '.join(str(x.dtype) for x in inputs)}) {attributes}"


def its_own(name, why):
    return next((row for row in ITS_OWN if name.startswith(row[0]) and why.startswith(row[1])), None)


def check(folder, verbose, used):
    """What became of it: AGREE, DIFFER, ITS_FAULT, or NOT_TAKEN by the reference implementation."""
    model = onnx.load(folder / "model.onnx")
    inputs = load_all(folder, "input", len(model.graph.input))
    got = load_all(folder, "output", len(model.graph.output))
    name = describe(model, inputs)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            want = ReferenceEvaluator(model).run(None, dict(zip((i.name for i in model.graph.input), inputs)))
    except Exception as error:  # it raises whatever numpy raises
        if verbose:
            print(f"not taken: {name}: {str(error)[:100]}")
        return NOT_TAKEN
    why = next((f"{i}: {w}" for i, w in enumerate(map(differs, want, got)) if w), None)
    if not why:
        return AGREE
    row = its_own(name, why)
    if row:
        used.add(row)
        return ITS_FAULT
    print(f"differs: {name}: output {why}  ({folder.name})")
    return DIFFER


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--operator", default="", help="this one alone")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    counts, used = [0, 0, 0, 0], set()
    for folder in sorted(options.folder.iterdir()):
        if folder.name.rsplit("_", 2)[0].startswith(options.operator):
            counts[check(folder, options.verbose, used)] += 1
    unused = [] if options.operator else [row[0] for row in ITS_OWN if row not in used]
    for name in unused:
        print(f"listed and not needed: {name}")
    print(f"{counts[AGREE]} agree, {counts[DIFFER]} differ, {counts[ITS_FAULT]} differ as listed, "
          f"{counts[NOT_TAKEN]} are not taken by the reference implementation")
    return 1 if counts[DIFFER] or unused or not counts[AGREE] else 0


if __name__ == "__main__":
    sys.exit(main())
