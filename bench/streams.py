#!/usr/bin/env python3
"""Eight streams at once: a step of one stream, of eight one by one, and of eight as a batch (tlbc compile --batch-streams).

usage: streams.py --tlbc build/release/tlbc -o out [--streams 8] [--seconds 1] [--threads 1] [NAME | FOLDER]...

NAME is lstm1024, lstm512 or gru1024: two layers of that width, one frame a step, as PyTorch exports them with a batch of 1. FOLDER has
model.onnx and states.txt, as `models/export.py NAME:SIZE --form step -o FOLDER` writes them. What is compiled already is only measured.
"""
import argparse
import json
import os
import subprocess

NAMES = {"lstm1024": ("LSTM", 1024), "lstm512": ("LSTM", 512), "gru1024": ("GRU", 1024)}
WAYS = {"one": [], "batch": ["--batch-streams"]}


def export(kind, width, folder):
    import torch

    class Step(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = getattr(torch.nn, kind)(width, width, num_layers=2)

        def forward(self, x, h, c=None):
            y, last = self.layers(x, (h, c) if c is not None else h)
            return (y, *last) if isinstance(last, tuple) else (y, last)

    torch.manual_seed(1)
    states = ["h", "c"] if kind == "LSTM" else ["h"]
    args = [torch.zeros(1, 1, width)] + [torch.zeros(2, 1, width) for _ in states]
    os.makedirs(folder, exist_ok=True)
    torch.onnx.export(Step().eval(), tuple(args), os.path.join(folder, "model.onnx"), dynamo=False, opset_version=17,
                      input_names=["x"] + states, output_names=["y"] + [s + "_next" for s in states])
    with open(os.path.join(folder, "states.txt"), "w") as f:
        f.write(",".join(f"{s}={s}_next" for s in states))


def prepare(args, name):
    """The folder's name and the libraries made of its model."""
    folder = name
    if name in NAMES:
        folder = os.path.join(args.output, name)
        if not os.path.exists(os.path.join(folder, "states.txt")):
            export(*NAMES[name], folder)
    label, libraries = os.path.basename(os.path.normpath(folder)), {}
    with open(os.path.join(folder, "states.txt")) as f:
        states = f.read().strip()
    for way, options in WAYS.items():
        libraries[way] = os.path.join(args.output, f"{label}.{way}.so")
        if not os.path.exists(libraries[way]):
            subprocess.run([args.tlbc, "compile", os.path.join(folder, "model.onnx"), "--state", states, *options, "-o",
                            libraries[way]], check=True)
    return label, libraries


def measure(args, library, streams):
    command = [args.tlbc, "bench", library, "--step", "--json", "--seconds", str(args.seconds), "--threads", str(args.threads)]
    if streams > 1:
        command += ["--streams", str(streams)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tlbc", required=True)
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prepare", action="store_true", help="compile, and measure nothing")
    parser.add_argument("names", nargs="*", default=list(NAMES))
    args = parser.parse_args()
    os.makedirs(args.output, exist_ok=True)
    made = [prepare(args, name) for name in args.names]
    if args.prepare:
        return
    n = args.streams
    print(f"| model | weights | a step of one | {n} one by one | {n} as a batch | throughput, against {n} steps of one |")
    print("|---|---|---|---|---|---|")
    for label, libraries in made:
        one, each, batch = (measure(args, libraries["one"], 1), measure(args, libraries["one"], n),
                            measure(args, libraries["batch"], n))
        print(f"| {label} | {one['weight_bytes'] / 1e6:.1f} MB | {one['min_us']:.0f} µs | {each['min_us']:.0f} µs | "
              f"{batch['min_us']:.0f} µs | {n * one['min_us'] / batch['min_us']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
