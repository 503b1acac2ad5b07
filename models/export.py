#!/usr/bin/env python3
"""Writes a model of models/ as an ONNX test-data folder: model.onnx, inputs, and outputs as PyTorch computes them.

usage: export.py NAME[:SIZE] [--form FORM] [--exporter torchscript|dynamo] [--opset N] [--batch N|dynamic]
                 [--set KEY=VALUE]... [--inline | --external] -o DIR
       export.py --list [NAME]      names, sizes, forms, and what an exporter cannot do
       export.py --list --json      the same for programs: which exporter writes which form of which size
example: export.py tlb:lra_image --form loop -o out/image_loop
         export.py tlb:test --exporter dynamo --opset 23 --set attention=sdpa -o out/tlb_sdpa

A folder with the form `step` also has states.txt, which is what `tlbc compile --state` takes.
"""
import argparse
import importlib.util
import json
import os
import sys

# package: who needs it
NEEDED = {"torch": "every model", "numpy": "every model", "onnx": "every model", "onnxscript": "the dynamo exporter"}


def missing(exporter):
    """Packages that are not installed, of those that this exporter needs."""
    names = [n for n in NEEDED if n != "onnxscript" or exporter == "dynamo"]
    return [n for n in names if importlib.util.find_spec(n) is None]


def complain_about(packages):
    for name in packages:
        print(f"export.py: Python package '{name}' is missing ({NEEDED[name]} needs it)", file=sys.stderr)
    print(f"models/setup_venv.sh makes .venv with all packages at the right versions; then: .venv/bin/python {sys.argv[0]}"
          f" ...\nor into this Python: {sys.executable} -m pip install -r models/requirements.txt", file=sys.stderr)


def why_not(system, config, form, exporter, batch="1"):
    """Why this cannot be exported as asked, or None."""
    if form not in system.forms:
        return f"{system.name} has no form '{form}', only {', '.join(system.forms)}"
    return system.refuse(config, form, exporter, batch)


def write_model(folder, system, config, form, exporter, batch="1", opset=0, inline=False, external=False):
    """Builds and writes one model; returns ONNX Runtime's largest difference, or None without it."""
    import onnx_folder
    from system import DEFAULT_OPSET
    wrong = why_not(system, config, form, exporter, batch)
    if wrong:
        raise ValueError(wrong)
    model = system.build(config, form, exporter, batch)
    onnx_folder.write(folder, model.exported or model.net, model.net, model.sets, model.inputs, model.outputs,
                      model.dynamic, exporter, opset or DEFAULT_OPSET[exporter], inline, external)
    onnx_folder.write_states(folder, model.states)
    return onnx_folder.runtime_difference(folder)


def show(system):
    from system import EXPORTERS
    print(f"{system.name}: {system.what}")
    print(f"  sizes: {', '.join(system.sizes)}")
    first = next(iter(system.sizes.values()))
    for form, what in system.forms.items():
        reasons = {e: why_not(system, first, form, e) for e in EXPORTERS}
        able = [e for e in EXPORTERS if not reasons[e]]
        print(f"  --form {form}: {what} [{', '.join(able) or 'no exporter'}]")
        for exporter, reason in reasons.items():
            if reason:
                print(f"      not {exporter}: {reason}")


def facts(system):
    """What --list --json says: for each size the forms and the first exporter that takes each."""
    from system import EXPORTERS
    able = {size: {form: [e for e in EXPORTERS if not why_not(system, config, form, e)] for form in system.forms}
            for size, config in system.sizes.items()}
    return {"name": system.name, "what": system.what,
            "sizes": {size: {form: es[0] for form, es in forms.items() if es} for size, forms in able.items()}}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", metavar="NAME[:SIZE]")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--json", action="store_true", help="with --list: one JSON array")
    parser.add_argument("--form", choices=["whole", "unrolled", "loop", "scan", "step"], help="default: the first listed")
    parser.add_argument("--exporter", default="torchscript", choices=["torchscript", "dynamo"])
    parser.add_argument("--opset", type=int, default=0, help="default: 17 with torchscript, 20 with dynamo")
    parser.add_argument("--batch", default="1", help="a number or 'dynamic'")
    parser.add_argument("--inline", action="store_true", help="dynamo: weights inside model.onnx")
    parser.add_argument("--external", action="store_true", help="torchscript: weights in model.onnx.data")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="fields of the system's Config")
    parser.add_argument("-o", "--output", metavar="DIR", help="its model and test sets are replaced")
    args = parser.parse_args()
    if not args.list and not (args.model and args.output):
        parser.error("NAME[:SIZE] and -o DIR are needed, or --list")
    if args.batch != "dynamic" and not (args.batch.isdigit() and int(args.batch) > 0):
        parser.error("--batch is a number or 'dynamic'")
    return parser, args


def find(found, text):
    """The system and the size that NAME[:SIZE] names."""
    name, _, size = text.partition(":")
    if name not in found:
        raise ValueError(f"no system '{name}'; there are: {', '.join(found)}")
    system = found[name]
    size = size or next(iter(system.sizes))
    if size not in system.sizes:
        raise ValueError(f"{name} has no size '{size}'; there are: {', '.join(system.sizes)}")
    return system, size


def main():
    parser, args = parse()
    lacking = missing(args.exporter)
    if lacking:
        complain_about(lacking)
        return 1
    from system import configure
    from systems import systems
    found = systems()
    try:
        if args.list:
            listed = [find(found, args.model)[0]] if args.model else found.values()
            if args.json:
                print(json.dumps([facts(system) for system in listed]))
                return 0
            for system in listed:
                show(system)
            return 0
        system, size = find(found, args.model)
        config = configure(system.sizes[size], args.set)
        form = args.form or next(iter(system.forms))
        difference = write_model(args.output, system, config, form, args.exporter, args.batch, args.opset, args.inline,
                                 args.external)
    except ValueError as error:
        parser.error(str(error))
    print(f"{args.output}: {'not compared' if difference is None else f'ONNX Runtime differs by {difference:.2e}'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
