"""The modules of models/ that have systems to export."""
import importlib

MODULES = [
    "tlb",
    "tlb_jrc",
    "tlb_dt",
    "prformer",
    "tore",
    "crate",
    "einconv",
    "tapir",
    "mcquic",
    "funnel",
    "feedback",
    "masked",
]


def systems():
    """{name: System} of all modules, in their order."""
    found = {}
    for module in MODULES:
        for system in importlib.import_module(module).SYSTEMS:
            assert system.name not in found, f"two systems are called {system.name}"
            found[system.name] = system
    return found
