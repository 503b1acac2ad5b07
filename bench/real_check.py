#!/usr/bin/env python3
"""Checks tlbc on the models of real_models.py.

usage: real_check.py --tlbc PATH [-o DIR] [NAME...]      default: all; what cannot be fetched is left out, status 77 where nothing is left

Models of floats: `tlbc test` to 1e-3, with the dimensions as open as the file leaves them and with those of the data, on one thread
and on two.

Quantised models amplify: one value that is rounded the other way moves all that follows, by as much as quantising itself costs
(changing weights by a millionth does that to ONNX Runtime's own results). So they are checked where it can be told what is right:
  layers   the model is cut at each quantised tensor. Each piece is given what ONNX Runtime, without its optimisations, has there; at most
           one element in a thousand may differ, and by one step only.
  whole    results lie no further from those of the model of floats than 1.5 times what ONNX Runtime's do.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx

    import real_models as real
    from compare import symbolic_dims
except ImportError as missing:
    print(f"real models are left out: {missing}")
    sys.exit(77)


class Wrong(Exception):
    """What is wrong with a model, in one line."""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise Wrong(next((line for line in lines if "FAIL" in line or "error" in line), lines[0] if lines else f"status {done.returncode}"))


def pins(folder):
    dims = symbolic_dims(os.path.join(folder, "model.onnx"))
    return [a for name, size in dims.items() for a in ("--dim", f"{name}={size}")]


def check_floats(tlbc, folder):
    run(tlbc, "test", "--atol", "1e-3", folder)
    with tempfile.TemporaryDirectory() as pinned:
        so = os.path.join(pinned, "model.so")
        run(tlbc, "compile", os.path.join(folder, "model.onnx"), *pins(folder), "-o", so, "--quiet")
        os.symlink(os.path.abspath(os.path.join(folder, "test_data_set_0")), os.path.join(pinned, "test_data_set_0"))
        for threads in ("1", "2"):
            run(tlbc, "test", "--atol", "1e-3", "--threads", threads, so)


# ---- layers ------------------------------------------------------------------------------------------------------------

def is_cut(node):
    """A node whose results are quantised activations."""
    return node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear", "QGemm") or node.op_type.startswith("QLinear")


def cut(model):
    """(model with each quantised tensor an input for its readers and an output, names of those tensors)"""
    pieces = onnx.ModelProto()
    pieces.CopyFrom(model)
    graph = pieces.graph
    constants = {w.name for w in graph.initializer}
    names = [o for n in graph.node if is_cut(n) and n.input[0] not in constants for o in n.output]
    given = {name: f"given_{i}" for i, name in enumerate(names)}
    made = {name: f"made_{i}" for i, name in enumerate(names)}
    for node in graph.node:
        node.input[:] = [given.get(i, i) for i in node.input]
        node.output[:] = [made.get(o, o) for o in node.output]
    results = [v.name for v in graph.output if v.name not in given]
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in [*made.values(), *results])
    return pieces, names, results


def values_at(model, names, inputs):
    """What ONNX Runtime has in these tensors, as the file says them."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return dict(zip(names, real.session_of(shown.SerializeToString(), optimised=False).run(None, inputs), strict=True))


def add_inputs(pieces, names, values):
    for i, name in enumerate(names):
        kind = onnx.helper.np_dtype_to_tensor_dtype(values[name].dtype)
        pieces.graph.input.append(onnx.helper.make_tensor_value_info(f"given_{i}", kind, values[name].shape))


def compare_piece(name, found, expected):
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise Wrong(f"'{name}' is {found.dtype}{found.shape}, expected {expected.dtype}{expected.shape}")
    distance = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    if expected.dtype.kind == "f":
        if not np.all(distance <= 1e-3 + 1e-3 * np.abs(expected)):
            raise Wrong(f"'{name}' differs by {distance.max()}")
    elif distance.max(initial=0) > 1 or np.count_nonzero(distance) > max(1, distance.size // 1000):
        raise Wrong(f"'{name}': {np.count_nonzero(distance)} of {distance.size} differ, by at most {distance.max()} steps")


def check_layers(tlbc, folder):
    model, inputs = onnx.load(os.path.join(folder, "model.onnx")), real.read_inputs(folder)
    pieces, names, results = cut(model)
    values = values_at(model, [*names, *results], inputs)
    add_inputs(pieces, names, values)
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, "pieces.onnx")
        onnx.save(pieces, path)
        feed = {**inputs, **{f"given_{i}": values[name] for i, name in enumerate(names)}}
        np.savez(os.path.join(work, "in.npz"), **feed)
        run(tlbc, "run", path, *pins(folder), "--input", os.path.join(work, "in.npz"), "--output-dir", work)
        for i, name in enumerate(names):
            compare_piece(name, np.load(os.path.join(work, f"made_{i}.npy")), values[name])
        for name in results:
            compare_piece(name, np.load(os.path.join(work, re.sub(r"[^A-Za-z0-9._-]", "_", name) + ".npy")), values[name])


def check_whole(tlbc, folder, source):
    inputs = real.read_inputs(folder)
    floats = real.session_of(os.path.join(source, "model.onnx")).run(None, inputs)
    theirs = real.session_of(os.path.join(folder, "model.onnx")).run(None, inputs)
    with tempfile.TemporaryDirectory() as work:
        np.savez(os.path.join(work, "in.npz"), **inputs)
        model = os.path.join(folder, "model.onnx")
        run(tlbc, "run", model, *pins(folder), "--input", os.path.join(work, "in.npz"), "--output-dir", work)
        for value, exact, their in zip(onnx.load(model).graph.output, floats, theirs, strict=True):
            mine = np.load(os.path.join(work, re.sub(r"[^A-Za-z0-9._-]", "_", value.name) + ".npy"))
            far, allowed = np.linalg.norm(mine - exact), 1.5 * np.linalg.norm(their - exact)
            if not far <= allowed:
                raise Wrong(f"'{value.name}' is {far:.3g} from the floats' result, ONNX Runtime's {allowed / 1.5:.3g}")


def check(args, name):
    """None, or what is wrong."""
    folder, entry = os.path.join(args.output, name), real.MODELS[name]
    try:
        if isinstance(entry, real.Quantised):
            check_layers(args.tlbc, folder)
            check_whole(args.tlbc, folder, os.path.join(args.output, entry.source))
        else:
            check_floats(args.tlbc, folder)
    except Wrong as wrong:
        return str(wrong)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tlbc", default="tlbc")
    parser.add_argument("-o", "--output", default="out")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    passed = failed = skipped = 0
    for name in args.names or real.MODELS:
        told = real.make(name, args.output, os.path.join(args.output, ".cache"))
        if not os.path.exists(os.path.join(args.output, name, "model.onnx")):
            print(told, flush=True)
            skipped += 1
            continue
        wrong = check(args, name)
        passed, failed = passed + (wrong is None), failed + (wrong is not None)
        print(f"{name}: {wrong or 'right'}", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0 if passed else 77


if __name__ == "__main__":
    sys.exit(main())
