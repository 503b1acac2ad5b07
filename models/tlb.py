#!/usr/bin/env python3
"""Writes a TLB model as an ONNX test-data folder.

usage: tlb.py --size NAME [--form unrolled|loop|scan] [--exporter torchscript|dynamo] [--set key=value]... -o DIR
example: tlb.py --size tiny --form loop -o out/tlb_tiny_loop
         tlb.py --size test --exporter dynamo --opset 23 --set attention=sdpa -o out/tlb_sdpa

`unrolled` has one copy of the cell per chunk and a fixed length; its batch is fixed too unless --batch dynamic is given.
`scan` has a Scan node over whole chunks, with fixed length and batch; it needs --exporter dynamo.
`loop` keeps a Loop node; batch and length are dynamic, and the test sets use several of both.
"""
import argparse
import sys

import torch

import onnx_folder
from tlb_config import SIZES, config
from tlb_net import FORMS, build


def random_input(c, batch, length, generator):
    """One input of the size's kind. With a mask, sequences end early: some inside a chunk, some chunks before the end."""
    if c.input == "image":
        return torch.rand(batch, c.channels, c.side, c.side, generator=generator)
    if c.input == "features":
        return torch.randn(batch, length, c.features, generator=generator)
    if not c.mask:
        return torch.randint(0, c.vocab, (batch, length), generator=generator)
    tokens = torch.randint(1, c.vocab, (batch, length), generator=generator)
    ends = torch.randint(1, length + 1, (batch, 1), generator=generator)
    ends[-1] = max(1, length - c.K - 1)
    return torch.where(torch.arange(length) < ends, tokens, 0)


def test_shapes(c, form, batch):
    """(batch, length) of each test set; the first one is also what the exporter sees."""
    if form != "loop":
        return [(2, c.T), (1, c.T), (5, c.T)] if batch == "dynamic" else [(int(batch), c.T)] * 2
    whole = (c.T // c.K) * c.K
    shapes = [(1, whole), (3, max(c.K, whole // 2 // c.K * c.K)), (2, c.K)]
    if c.chunks != "stack" and c.loop != "buffer" and c.K > 1:
        shapes.append((2, c.K + 1))  # a last chunk of one token
    return shapes


def dynamic_axes(c, form, batch):
    if form != "loop" and batch != "dynamic":
        return {}
    axes = {"x": {0: "batch"}, "logits": {0: "batch"}}
    if c.outputs == "both":
        axes["tokens"] = {0: "batch"}
    if form == "loop" and c.input != "image":
        for name in ("x", "tokens"):
            axes.get(name, {})[1] = "time"
    return axes


def write_model(folder, c, form, exporter, batch="1", opset=None, inline=False, external=False):
    """Builds and writes one model; returns ONNX Runtime's largest difference, or None without it."""
    eager = build(c, form)
    net = torch.jit.script(eager) if form == "loop" else eager
    generator = torch.Generator().manual_seed(c.seed + 2)
    sets = [(random_input(c, b, t, generator),) for b, t in test_shapes(c, form, batch)]
    outputs = ["logits", "tokens"] if c.outputs == "both" else ["logits"]
    onnx_folder.write(folder, net, eager, sets, ["x"], outputs, dynamic_axes(c, form, batch), exporter,
                      opset or (17 if exporter == "torchscript" else 20), inline, external)
    return onnx_folder.runtime_difference(folder)


def refusal(c, args):
    """Why this form cannot be exported as asked, or None."""
    if args.form == "loop" and args.exporter == "dynamo":
        return "--form loop is scripted, which the dynamo exporter does not take"
    if args.form == "scan" and (args.exporter != "dynamo" or args.batch == "dynamic"):
        return "--form scan needs --exporter dynamo and a fixed batch"
    if args.form == "scan" and c.T % c.K != 0:
        return "--form scan needs K to divide T"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", required=True, choices=SIZES)
    parser.add_argument("--form", default="unrolled", choices=FORMS)
    parser.add_argument("--exporter", default="torchscript", choices=["torchscript", "dynamo"])
    parser.add_argument("--opset", type=int, help="default: 17 with torchscript, 20 with dynamo")
    parser.add_argument("--batch", default="1", help="a number or 'dynamic' (unrolled form)")
    parser.add_argument("--inline", action="store_true", help="dynamo: weights inside model.onnx")
    parser.add_argument("--external", action="store_true", help="torchscript: weights in model.onnx.data")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="fields: see tlb_config.py")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="its model and test sets are replaced")
    args = parser.parse_args()
    try:
        c = config(args.size, args.set)
    except ValueError as error:
        parser.error(str(error))
    wrong = refusal(c, args)
    if wrong:
        parser.error(wrong)
    difference = write_model(args.output, c, args.form, args.exporter, args.batch, args.opset, args.inline,
                             args.external)
    print(f"{args.output}: {'not compared' if difference is None else f'ONNX Runtime differs by {difference:.2e}'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
