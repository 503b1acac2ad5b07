"""What a system of models/ is, and what all of them share: sizes, weights, chains of steps.

A system is a module with a table SYSTEMS of `System`s; models/systems.py lists the modules. `build` makes a `Model`,
which is all that an export needs:

    SYSTEMS = [System(name="sums", what="running sums", sizes={"test": Config(width=4)}, forms={"whole": "all rows"},
                      build=lambda c, form, exporter, batch: Model(...), tests=[Export("test", "whole", "dynamo")])]

    python3 models/export.py sums:test --exporter dynamo -o out/sums
"""
import dataclasses
from typing import Callable, Optional

import torch
from torch import nn

EXPORTERS = ("torchscript", "dynamo")
SHORT = {"torchscript": "ts", "dynamo": "dynamo"}
FORMS = {
    "whole": "one graph without a loop over time",
    "unrolled": "a copy of the cell for each step of a fixed length",
    "loop": "a Loop over the steps",
    "scan": "a Scan over the steps",
    "step": "one step; the state comes in and goes out",
}


@dataclasses.dataclass
class Model:
    """One graph to export. Expected outputs are what `net` gives for each of `sets`, run eagerly."""
    net: nn.Module
    sets: list                            # tuples of tensors; the exporter sees the first
    inputs: list
    outputs: list
    dynamic: dict = dataclasses.field(default_factory=dict)  # {input or output: {axis: name of the dimension}}
    exported: Optional[nn.Module] = None  # what is exported where it is not `net`: the scripted module
    states: dict = dataclasses.field(default_factory=dict)   # {input: output} of a step


@dataclasses.dataclass(frozen=True)
class Export:
    """One of the exports that are committed in tests/models/seeds."""
    size: str
    form: str
    exporter: str
    opset: int = 0             # 0: DEFAULT_OPSET
    batch: str = "1"
    settings: str = ""         # "key=value key=value"
    label: str = ""            # told in the folder's name, where two exports differ in settings only


DEFAULT_OPSET = {"torchscript": 17, "dynamo": 20}


@dataclasses.dataclass(frozen=True)
class System:
    name: str
    what: str                  # one line for --list
    sizes: dict                # {name: a frozen dataclass}, the test size first
    forms: dict                # {form: what it is here}, the usual one first
    build: Callable            # (config, form, exporter, batch: "dynamic" or a number as text) -> Model
    refuse: Callable = lambda config, form, exporter, batch: None  # why this cannot be exported, or None
    tests: tuple = ()


def configure(config, settings):
    """`config` with the fields that `settings`, a list of "key=value", name."""
    kinds = {f.name: type(getattr(config, f.name)) for f in dataclasses.fields(config)}
    fields = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in kinds:
            raise ValueError(f"'{setting}' is not key=value with one of: {' '.join(kinds)}")
        fields[key] = parse_value(kinds[key], text)
    config = dataclasses.replace(config, **fields)
    if hasattr(config, "check"):
        config.check()
    return config


def parse_value(kind, text):
    """Reads `text` as a value of the field's type; a tuple is written with commas."""
    if kind is bool:
        if text not in ("0", "1"):
            raise ValueError(f"'{text}' is not 0 or 1")
        return text == "1"
    if kind is tuple:
        return tuple(int(part) for part in text.split(","))
    return kind(text)


def seeded(make, seed=1, spread=0.1, tables=()):
    """make()'s module with seeded weights, ready for export.

    Vectors (norms, biases), and parameters whose names end in one of `tables`, get a random spread: left at 0 and 1,
    a compiler could drop or mix them up and no test would notice.
    """
    torch.manual_seed(seed)
    net = make().eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if p.requires_grad and (p.dim() == 1 or name.endswith(tuple(tables))):
                p += spread * torch.randn(p.shape, generator=generator)
    return net.requires_grad_(False)


def generator(config):
    """Random inputs of a model: the same for every form and exporter of a size."""
    return torch.Generator().manual_seed(getattr(config, "seed", 1) + 2)


def chain(net, parts, states, outputs):
    """Sets of a step: each takes its part of the sequence and the states that the step before returned.

    `parts` are tuples of tensors, `states` the first states, `outputs` how many outputs stand before the states.
    """
    sets = []
    for part in parts:
        sets.append((*part, *states))
        with torch.no_grad():
            states = tuple(net(*sets[-1])[outputs:])
    return sets


def refuse_loops(form, exporter, batch):
    """Why an exporter cannot write a loop or a scan of any system; None where it can."""
    if form == "loop" and exporter == "dynamo":
        return "the loop is scripted, which the dynamo exporter does not take"
    if form == "scan" and exporter == "torchscript":
        return "torch's scan() is for the dynamo exporter"
    if form == "scan" and batch == "dynamic":
        return "the dynamo exporter makes a Scan of a fixed batch only"
    return None
