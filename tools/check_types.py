#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every operator of ONNX with every input of an element type that its schema does not allow: tlbc must refuse each and say that it is the type.

    tools/check_types.py TLBC [NAME...]      # needs the onnx package; status 77 without it

The other inputs have types that are allowed, and no shape, so that no other rule is broken first.
"""
import os
import re
import subprocess
import sys
import tempfile

try:
    from onnx import TensorProto, defs, helper
except ImportError:
    print("left out: no onnx package")
    sys.exit(77)

NUMBERS = {"tensor(float16)": 10, "tensor(float)": 1, "tensor(double)": 11, "tensor(int64)": 7, "tensor(int32)": 6, "tensor(bool)": 9,
           "tensor(string)": 8, "tensor(uint8)": 2, "tensor(complex64)": 14, "tensor(int8)": 3}
TEXT = re.compile(r"has type|element type|not a tensor|types differ|'type'|which is not possible")
RANKS = {("QLinearConv", 0): 3, ("QLinearConv", 3): 3}  # where the type of another input is looked at behind the rank


def allowed(schema, formal):
    for c in schema.type_constraints:
        if c.type_param_str == formal.type_str:
            return list(c.allowed_type_strs)
    return [formal.type_str]


def attribute(a):
    kinds = defs.OpSchema.AttrType
    values = {kinds.INT: 1, kinds.FLOAT: 1.0, kinds.STRING: "a", kinds.INTS: [1], kinds.FLOATS: [1.0], kinds.STRINGS: ["a"]}
    if a.type == kinds.TENSOR:
        return helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0])
    return values.get(a.type)


def model(schema, wrong, dtype):
    types = []
    for i, formal in enumerate(schema.inputs):
        fits = [NUMBERS[t] for t in allowed(schema, formal) if t in NUMBERS]
        types.append(dtype if i == wrong else fits[0] if fits else None)
    if None in types:
        return None
    attrs = {k: attribute(a) for k, a in schema.attributes.items() if a.required}
    if None in attrs.values():
        return None
    names = [f"x{i}" for i in range(len(types))]
    node = helper.make_node(schema.name, names, ["y"] + [f"y{i}" for i in range(1, len(schema.outputs))], domain=schema.domain, **attrs)
    shapes = [[1] * RANKS[schema.name, i] if (schema.name, i) in RANKS else None for i in range(len(types))]
    inputs = [helper.make_tensor_value_info(n, t, s) for n, t, s in zip(names, types, shapes)]
    graph = helper.make_graph([node], "g", inputs, [helper.make_empty_tensor_value_info("y")])
    versions = {d: max(s.since_version for s in defs.get_all_schemas_with_history() if s.domain == d) for d in ("", schema.domain)}
    imports = [helper.make_opsetid(d, v) for d, v in versions.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def check(tlbc, path, schema, i):
    """What is wrong, None where nothing is or the case cannot be made."""
    types = allowed(schema, schema.inputs[i])
    others = [n for t, n in NUMBERS.items() if t not in types]
    if not others:
        return None, False
    m = model(schema, i, others[-1] if others[-1] != 3 or len(others) == 1 else others[-2])
    if m is None:
        return None, False
    with open(path, "wb") as f:
        f.write(m.SerializeToString())
    run = subprocess.run([tlbc, "inspect", path], capture_output=True, text=True, timeout=60)
    text = run.stderr.strip()
    errors = [line for line in text.splitlines() if not line.startswith("    ")]
    if run.returncode == 1 and TEXT.search(" ".join(errors)):
        return None, True
    return f"{schema.domain}:{schema.name}, input {i}: status {run.returncode}: {text[:300]}", True


def main():
    tlbc, names = sys.argv[1], set(sys.argv[2:])
    tried, wrong = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for schema in defs.get_all_schemas():
            if schema.domain not in ("", "ai.onnx.ml") or schema.deprecated or (names and schema.name not in names):
                continue
            for i in range(len(schema.inputs)):
                fault, made = check(tlbc, os.path.join(folder, "m.onnx"), schema, i)
                tried += made
                wrong += [fault] if fault else []
    print("\n".join(wrong))
    print(f"{tried} inputs of a wrong type, {len(wrong)} not refused for it")
    return bool(wrong) or not tried


if __name__ == "__main__":
    sys.exit(main())
