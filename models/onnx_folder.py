"""Writes ONNX test-data folders: model.onnx and test_data_set_N/{input_i,output_j}.pb.

The expected outputs come from PyTorch running the module eagerly in fp32, never from a runtime that reads the ONNX
file. Each set is a tuple of input tensors; dynamic dimensions may differ between the sets.
"""
import glob
import logging
import os
import shutil
import warnings

import numpy as np
import onnx
import torch
from onnx import numpy_helper


def save_tensor(path, array, name):
    with open(path, "wb") as f:
        f.write(numpy_helper.from_array(np.ascontiguousarray(array), name).SerializeToString())


def load_tensor(path):
    with open(path, "rb") as f:
        return numpy_helper.to_array(onnx.TensorProto.FromString(f.read()))


def write_sets(folder, net, sets, inputs, outputs):
    """Runs `net` on every set and writes the inputs and what came out."""
    for i, args in enumerate(sets):
        where = os.path.join(folder, f"test_data_set_{i}")
        os.makedirs(where)
        with torch.no_grad():
            results = net(*args)
        results = (results,) if isinstance(results, torch.Tensor) else results
        for kind, names, tensors in (("input", inputs, args), ("output", outputs, results)):
            for j, (name, tensor) in enumerate(zip(names, tensors, strict=True)):
                save_tensor(os.path.join(where, f"{kind}_{j}.pb"), tensor.numpy(), name)


def export(net, args, path, inputs, outputs, dynamic, exporter, opset):
    """Exports `net`. `dynamic` maps an input or output name to {axis: dimension name}."""
    common = dict(input_names=inputs, output_names=outputs, opset_version=opset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "torchscript":
            torch.onnx.export(net, args, path, dynamo=False, dynamic_axes=dynamic, **common)
            return
        logging.disable(logging.WARNING)
        dims = {}
        shapes = tuple({axis: dims.setdefault(n, torch.export.Dim(n, min=1)) for axis, n in dynamic.get(i, {}).items()}
                       for i in inputs)
        try:
            torch.onnx.export(net, args, path, dynamo=True, external_data=True, dynamic_shapes=shapes, verbose=False,
                              **common)
        finally:
            logging.disable(logging.NOTSET)


def tidy(path, inline, external):
    """Drops exporter metadata (file names and stack traces of the machine that exported) and moves the weights.

    A model.onnx.data that the exporter wrote stays as it is, unless `inline`; `external` makes one.
    """
    data = path + ".data"
    has_data = os.path.exists(data)
    model = onnx.load(path, load_external_data=inline)
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        for item in (graph, *graph.value_info, *graph.input, *graph.output, *graph.initializer, *graph.node):
            del item.metadata_props[:]
            item.doc_string = ""
        graphs += [a.g for n in graph.node for a in n.attribute if a.type == onnx.AttributeProto.GRAPH]
    if external and not has_data:
        onnx.save_model(model, path, save_as_external_data=True, location=os.path.basename(data), size_threshold=128)
    else:
        onnx.save_model(model, path)
        if inline and has_data:
            os.remove(data)
    if os.path.exists(data):
        os.chmod(data, 0o644)
    onnx.checker.check_model(path)


def runtime_difference(folder):
    """Largest difference between ONNX Runtime and the expected outputs, or None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), options, ["CPUExecutionProvider"])
    worst = 0.0
    for name in sorted(os.listdir(folder)):
        if not name.startswith("test_data_set_"):
            continue
        where = os.path.join(folder, name)
        feed = {v.name: load_tensor(os.path.join(where, f"input_{i}.pb")) for i, v in enumerate(session.get_inputs())}
        for j, got in enumerate(session.run(None, feed)):
            expected = load_tensor(os.path.join(where, f"output_{j}.pb"))
            if got.shape != expected.shape:
                raise ValueError(f"{where}: output {j} is {got.shape}, expected {expected.shape}")
            worst = max(worst, largest_difference(got, expected))
    return worst


def largest_difference(got, expected):
    """Of numbers above one, relative to them; everything but floats must be equal."""
    if not np.issubdtype(expected.dtype, np.floating):
        return 0.0 if np.array_equal(got, expected) else float("inf")
    if expected.size == 0 or np.array_equal(got, expected):  # infinities, too
        return 0.0
    return float((np.abs(got - expected) / np.maximum(1, np.abs(expected))).max())


def write(folder, net, eager, sets, inputs, outputs, dynamic, exporter, opset, inline=False, external=False):
    """Replaces model and test sets of a folder. `net`, perhaps scripted, is exported; `eager` computes the outputs."""
    os.makedirs(folder, exist_ok=True)
    for old in glob.glob(os.path.join(folder, "test_data_set_*")):
        shutil.rmtree(old)
    path = os.path.join(folder, "model.onnx")
    for old in glob.glob(path + "*"):
        os.remove(old)
    export(net, sets[0], path, inputs, outputs, dynamic, exporter, opset)
    tidy(path, inline, external)
    write_sets(folder, eager, sets, inputs, outputs)


def write_states(folder, states):
    """states.txt of a step: what `tlbc compile --state` takes. `states` is {input: output}."""
    path = os.path.join(folder, "states.txt")
    if os.path.exists(path):
        os.remove(path)
    if states:
        with open(path, "w") as f:
            f.write(",".join(f"{i}={o}" for i, o in states.items()) + "\n")
