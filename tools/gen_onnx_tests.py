#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lists (and copies) the test cases of the onnx package that a set of operators can run.

    tools/gen_onnx_tests.py --ops Add,Mul          names of the node tests using nothing else
    tools/gen_onnx_tests.py                        the same for all rows of ir/ops.def
    tools/gen_onnx_tests.py --missing              the operators that the other tests would need, counted
    tools/gen_onnx_tests.py --copy build/onnx      copies the listed folders there

Operators of subgraphs count too. Constant is always allowed: the importer turns it into data.
Operators outside ai.onnx are written domain:Name. The onnx package must be one that still
carries the data: 1.22.0 is the last.
"""
import argparse
import collections
import pathlib
import re
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def ops_of_table():
    """The ONNX operators that have a row in ir/ops.def."""
    ops = set()
    for name, rest in re.findall(r"^OP\((\w+),(.*)$", (ROOT / "ir" / "ops.def").read_text(), re.M):
        if "OP_INTERNAL" not in rest:
            ops.add(f"ai.onnx.ml:{name}" if "OP_ML" in rest else name)
    return ops


def ops_of_nodes(nodes):
    ops = set()
    for node in nodes:
        in_default = node.domain in ("", "ai.onnx")
        ops.add(node.op_type if in_default else f"{node.domain}:{node.op_type}")
        for attr in node.attribute:
            for graph in ([attr.g] if attr.HasField("g") else []) + list(attr.graphs):
                ops |= ops_of_nodes(graph.node)
    return ops


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--category", default="node",
                        help="node (default), simple, pytorch-operator or pytorch-converted")
    parser.add_argument("--ops", help="comma-separated operators instead of the rows of ir/ops.def")
    parser.add_argument("--missing", action="store_true", help="count the operators that other cases need")
    parser.add_argument("--copy", metavar="DIR", type=pathlib.Path, help="copy the cases to DIR")
    args = parser.parse_args()
    import onnx
    data = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data" / args.category
    models = sorted(data.glob("*/model.onnx"))
    if not models:
        print(f"no {args.category} cases in onnx {onnx.__version__}", file=sys.stderr)
        return 1

    known = (set(args.ops.split(",")) if args.ops else ops_of_table()) | {"Constant"}
    missing, listed = collections.Counter(), 0
    for path in models:
        lacks = ops_of_nodes(onnx.load(path, load_external_data=False).graph.node) - known
        missing.update(lacks)
        if lacks:
            continue
        listed += 1
        if not args.missing:
            print(path.parent.name)
        if args.copy:
            shutil.copytree(path.parent, args.copy / path.parent.name, dirs_exist_ok=True)
    if args.missing:
        for op, count in missing.most_common():
            print(f"{count:5} {op}")
    print(f"{listed} of {len(models)} {args.category} cases", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
