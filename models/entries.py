#!/usr/bin/env python3
"""Systems taken apart: models that have states in common, and a sequence of calls of them with what PyTorch computes.

usage: entries.py [-o DIR] [NAME]...      writes tests/models/entries/NAME: tore_ts, tore_dynamo, tapir_ts, tapir_dynamo

A folder has the parts as PART.onnx, what `tlbc compile --state` takes in states.txt, and a folder call_N_PART for each call: inputs and
outputs of the part in their order, without the states, which begin with zeros:

    tlbc compile main.onnx --entry aggregate=aggregate.onnx --entry glimpse=glimpse.onnx --state "$(cat states.txt)" -o tore.so
"""
import argparse
import os
import shutil
import sys

import torch
from torch import nn

import tapir
import tore
from onnx_folder import export, save_tensor, tidy
from system import DEFAULT_OPSET, SHORT, generator, seeded


class Part:
    """One entry point. Of its inputs and outputs `states` and NAME_next are states."""

    def __init__(self, net, inputs, outputs):
        self.net, self.inputs, self.outputs = net, inputs, outputs


class Recording:
    """Calls the parts by name, keeps the states as a session would, and writes down inputs and outputs."""

    def __init__(self, parts, states):
        self.parts, self.states, self.calls = parts, dict(states), []

    def call(self, name, **given):
        part = self.parts[name]
        everything = {**self.states, **given}
        with torch.no_grad():
            found = part.net(*(everything[n] for n in part.inputs))
        found = dict(zip(part.outputs, (found,) if isinstance(found, torch.Tensor) else found, strict=True))
        outputs = {n: t for n, t in found.items() if n.removesuffix("_next") not in self.states}
        self.calls.append((name, {n: given[n] for n in part.inputs if n in given}, outputs))
        self.states.update({n.removesuffix("_next"): t for n, t in found.items() if n not in outputs})
        return outputs

    def write(self, folder, examples, dynamic, exporter, state_text):
        if os.path.exists(folder):
            shutil.rmtree(folder)
        os.makedirs(folder)
        for name, part in self.parts.items():
            path = os.path.join(folder, name + ".onnx")
            names = {n: axes for n, axes in dynamic.items() if n in part.inputs + part.outputs}
            export(part.net, tuple(examples[n] for n in part.inputs), path, part.inputs, part.outputs, names, exporter,
                   DEFAULT_OPSET[exporter])
            tidy(path, True, False)
        for i, (name, inputs, outputs) in enumerate(self.calls):
            where = os.path.join(folder, f"call_{i:02}_{name}")
            os.makedirs(where)
            for kind, tensors in (("input", inputs), ("output", outputs)):
                for k, (n, t) in enumerate(tensors.items()):
                    save_tensor(os.path.join(where, f"{kind}_{k}.pb"), t.numpy(), n)
        with open(os.path.join(folder, "states.txt"), "w") as f:
            f.write(state_text + "\n")


# ---- TORE: glimpses go into a cache that grows; classes and the next glimpse are asked for when somebody wants them ----


class Extract(tore.Halves):
    def forward(self, pixels, ids, mean, cache, seen, count):
        z = self.extractor(pixels, ids)
        t = count.to(torch.float32)
        mean = mean * (t / (t + 1)) + z[:, 0] / (t + 1)
        return z[:, 0], mean, torch.cat([cache, z[:, 1:]], dim=1), torch.cat([seen, ids], dim=1), count + 1


class Aggregate(tore.Halves):
    def forward(self, mean, cache):
        return self.aggregator(mean, cache, self.nothing)


class Glimpse(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.decoder = tore.Decoder(c)

    def forward(self, mean, cache, seen):
        return self.decoder(mean, cache, seen)[1:]


def record_tore():
    c, batch = tore.Config(), 2
    parts = {
        "main": Part(seeded(lambda: Extract(c), c.seed), ["pixels", "ids", "mean", "cache", "seen", "count"],
                     ["token", "mean_next", "cache_next", "seen_next", "count_next"]),
        "aggregate": Part(seeded(lambda: Aggregate(c), c.seed), ["mean", "cache"], ["logits"]),
        "glimpse": Part(seeded(lambda: Glimpse(c), c.seed), ["mean", "cache", "seen"], ["next", "entropy"]),
    }
    first = {"mean": torch.zeros(batch, c.d), "cache": torch.zeros(batch, 0, c.d),
             "seen": torch.zeros(batch, 0, dtype=torch.int64), "count": torch.zeros(1, dtype=torch.int64)}
    r = Recording(parts, first)
    pixels, ids = tore.glimpses(c, batch, c.glimpses, generator(c))
    for t in range(c.glimpses):
        r.call("main", pixels=pixels[:, t], ids=ids[:, t])
        r.call("glimpse")
        if t % 2 or t == 0:
            r.call("aggregate")
    r.call("aggregate")  # again: asking changes nothing
    whole = seeded(lambda: tore.Unrolled(c), c.seed)
    with torch.no_grad():
        expected = whole(pixels, ids)[:, -1]
    assert torch.allclose(r.calls[-1][2]["logits"], expected, atol=1e-5), "the parts are not the whole"
    examples = {**first, "pixels": pixels[:, 0], "ids": ids[:, 0], "cache": torch.randn(batch, 8, c.d), "seen": ids[:, :2].flatten(1)}
    dynamic = {"cache": {1: "filled"}, "seen": {1: "filled"}}
    room = c.glimpses * c.tokens
    return r, examples, dynamic, f"mean=mean_next,cache=cache_next@{room},seen=seen_next@{room},count=count_next"


# ---- TAPIR: a step labels a word and leaves earlier labels; the caller looks at the policy and calls for a revision ----


class Write(tapir.Stepped):
    def branch(self, policy, ids, count, p, labels, encs, phi):
        return self.write(ids, count, p, labels, encs, phi)


class Revise(tapir.Tapir):
    def forward(self, count, phi, encs, ids, labels):
        last = count - 1
        scores, new, phi = self.revise(ids, last, encs, labels, encs, phi)
        return scores, (new != labels) & (torch.arange(self.room) < last), phi, new


def record_tapir():
    c = tapir.Config()
    parts = {
        "main": Part(tapir.varied(lambda: Write(c), c), ["word", *tapir.STATES],
                     ["scores", "policy", "changed", *(s + "_next" for s in tapir.STATES)]),
        "revise": Part(tapir.varied(lambda: Revise(c), c), ["count", "phi", "encs", "ids", "labels"],
                       ["scores", "changed", "phi_next", "labels_next"]),
    }
    first = dict(zip(tapir.STATES, tapir.first_states(c)))
    r, whole, states = Recording(parts, first), tapir.varied(lambda: tapir.Stepped(c), c), tapir.first_states(c)
    sentence = tapir.words(c, c.room, generator(c))
    for word in sentence.split(1):
        if float(r.call("main", word=word)["policy"]) >= c.threshold:
            r.call("revise")
        with torch.no_grad():
            states = whole(word, *states)[3:]
        for name, expected in zip(tapir.STATES, states):
            assert torch.allclose(r.states[name], expected, atol=1e-5), f"{name}: the parts are not the whole"
    names = [name for name, _, _ in r.calls]
    assert 0 < names.count("revise") < len(sentence), "both ways are taken"
    return r, {**first, "word": sentence[:1]}, {}, ",".join(f"{s}={s}_next" for s in tapir.STATES)


RECORDINGS = {"tore": record_tore, "tapir": record_tapir}
EXPORTERS = {short: exporter for exporter, short in SHORT.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default=os.path.join(os.path.dirname(__file__), "..", "tests", "models", "entries"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    for name in args.names or [f"{r}_{e}" for r in RECORDINGS for e in EXPORTERS]:
        system, _, short = name.partition("_")
        recording, examples, dynamic, states = RECORDINGS[system]()
        recording.write(os.path.join(args.output, name), examples, dynamic, EXPORTERS[short], states)
        print(f"{name}: {len(recording.calls)} calls")
    return 0


if __name__ == "__main__":
    sys.exit(main())
