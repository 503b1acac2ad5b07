#!/usr/bin/env python3
"""Writes the recurrent layers of tests/models: nn.RNN, nn.GRU, nn.LSTM through both exporters, with dynamic time and batch.

The dynamo exporter (PyTorch 2.13) writes the example's length into a Reshape: its models have a dynamic batch only.

usage: rnn.py [-o DIR] [NAME]...      default: ../tests/models, all of them
"""
import argparse
import os
import sys

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from onnx_folder import runtime_difference, write

INPUT, HIDDEN = 10, 12


class Layers(nn.Module):
    """The layers with all their results, from given initial states or from zeros."""

    def __init__(self, kind, **options):
        super().__init__()
        self.layers = getattr(nn, kind)(INPUT, HIDDEN, **options)

    def forward(self, x, h0=None, c0=None):
        y, last = self.layers(x, (h0, c0) if c0 is not None else h0)
        return (y, *last) if isinstance(last, tuple) else (y, last)


class Packed(nn.Module):
    """Sequences of different lengths: rows end where their sequence ends."""

    def __init__(self, kind, **options):
        super().__init__()
        self.layers = getattr(nn, kind)(INPUT, HIDDEN, **options)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, last = self.layers(packed)
        y, _ = pad_packed_sequence(y, total_length=x.shape[0])
        return (y, *last) if isinstance(last, tuple) else (y, last)


# name: (kind, options, initial states as inputs, exporter, opset)
TESTS = {
    "rnn_lstm_ts": ("LSTM", dict(num_layers=2, bidirectional=True), False, "torchscript", 17),
    "rnn_lstm_states_ts": ("LSTM", dict(num_layers=2, bidirectional=True, batch_first=True), True, "torchscript", 13),
    "rnn_lstm_dynamo": ("LSTM", dict(num_layers=2, bidirectional=True, batch_first=True), True, "dynamo", 20),
    "rnn_gru_ts": ("GRU", dict(num_layers=2, bidirectional=True), True, "torchscript", 17),
    "rnn_gru_dynamo": ("GRU", dict(num_layers=2, bidirectional=True), False, "dynamo", 18),
    "rnn_tanh_ts": ("RNN", dict(num_layers=2, bidirectional=True, batch_first=True), True, "torchscript", 17),
    "rnn_relu_ts": ("RNN", dict(nonlinearity="relu", bias=False), False, "torchscript", 9),
    "rnn_tanh_dynamo": ("RNN", dict(num_layers=2, bidirectional=True), True, "dynamo", 18),
}
PACKED = {
    "rnn_lstm_packed_ts": ("LSTM", dict(num_layers=2, bidirectional=True)),
    "rnn_gru_packed_ts": ("GRU", dict(bidirectional=True)),
}

# Both are fp32 in different orders; more than this and the export is wrong.
TOLERANCE = 1e-5
LARGEST = 50 << 10


def sequence(options, steps, batch):
    return torch.randn(*((batch, steps) if options.get("batch_first") else (steps, batch)), INPUT)


def layers_model(name):
    kind, options, states, exporter, opset = TESTS[name]
    count = 0 if not states else 2 if kind == "LSTM" else 1
    n = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    sizes = [(6, 2), (1, 1), (9, 3)] if exporter == "torchscript" else [(6, 2), (6, 1), (6, 3)]
    sets = [(sequence(options, t, b), *(torch.randn(n, b, HIDDEN) for _ in range(count))) for t, b in sizes]
    names = ["x", "h0", "c0"][:1 + count]
    axes = {0: "batch", 1: "time"} if options.get("batch_first") else {0: "time", 1: "batch"}
    if exporter == "dynamo":
        axes = {axis: n for axis, n in axes.items() if n == "batch"}
    dynamic = {"x": axes, "y": axes, **{s: {1: "batch"} for s in names[1:]}}
    return Layers(kind, **options), sets, names, kind, dynamic, exporter, opset


def packed_model(name):
    kind, options = PACKED[name]
    lengths = [[6, 3], [4], [2, 9, 5]]
    sets = [(sequence(options, max(n), len(n)), torch.tensor(n)) for n in lengths]
    dynamic = {"x": {0: "time", 1: "batch"}, "lengths": {0: "batch"}, "y": {0: "time", 1: "batch"}}
    return Packed(kind, **options), sets, ["x", "lengths"], kind, dynamic, "torchscript", 17


def make(name, root):
    """Writes one folder; returns None or what is wrong with it."""
    torch.manual_seed(sum(map(ord, name)))
    net, sets, inputs, kind, dynamic, exporter, opset = packed_model(name) if name in PACKED else layers_model(name)
    net.eval()
    folder = os.path.join(root, name)
    outputs = ["y", "h", "c"] if kind == "LSTM" else ["y", "h"]
    write(folder, net, net, sets, inputs, outputs, dynamic, exporter, opset, inline=True)
    size = sum(os.path.getsize(os.path.join(where, f)) for where, _, files in os.walk(folder) for f in files)
    difference = runtime_difference(folder)
    print(f"{name}: {size} bytes, ONNX Runtime differs by {difference}", flush=True)
    if difference is not None and not difference <= TOLERANCE:
        return f"{name}: differs from ONNX Runtime by {difference}"
    return f"{name}: over {LARGEST} bytes" if size > LARGEST else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default=os.path.join(os.path.dirname(__file__), "..", "tests", "models"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    unknown = set(args.names) - set(TESTS) - set(PACKED)
    if unknown:
        parser.error(f"no test named {' '.join(sorted(unknown))}")
    wrong = [w for w in (make(n, args.output) for n in args.names or [*TESTS, *PACKED]) if w]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
