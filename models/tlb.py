"""The Temporal Latent Bottleneck as a system to export: inputs, dynamic dimensions, and which exporter takes which form.

    python3 models/export.py tlb:tiny --form loop -o out/tlb_tiny_loop
    python3 models/export.py tlb --exporter dynamo --opset 23 --set attention=sdpa -o out/tlb_sdpa

The network is in tlb_net.py, the sizes are in tlb_config.py.
"""
import torch

from system import Export, Model, System, chain, generator
from tlb_config import SIZES
from tlb_net import build


def random_input(c, batch, length, random):
    """One input of the size's kind. With a mask, sequences end early: some inside a chunk, some chunks before the end."""
    if c.input == "image":
        return torch.rand(batch, c.channels, c.side, c.side, generator=random)
    if c.input == "features":
        return torch.randn(batch, length, c.features, generator=random)
    if not c.mask:
        return torch.randint(0, c.vocab, (batch, length), generator=random)
    tokens = torch.randint(1, c.vocab, (batch, length), generator=random)
    ends = torch.randint(1, length + 1, (batch, 1), generator=random)
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


def step_model(c, net, batch):
    """Three chunks, one after the other; the first states are those of the other forms."""
    rows, random = 2 if batch == "dynamic" else int(batch), generator(c)
    patches = (rows, 3 * c.K, c.channels, c.patch, c.patch)
    x = torch.rand(patches, generator=random) if c.input == "image" else random_input(c, rows, 3 * c.K, random)
    states = [net.begin(rows).clone()] + ([torch.zeros(1, dtype=torch.int64)] if c.pos == "global" else [])
    names = ["state", "position"][:len(states)]
    outputs = ["logits", "tokens", *(n + "_next" for n in names)]
    dynamic = {n: {0: "batch"} for n in ["x", "state", *outputs] if not n.startswith("position")} if batch == "dynamic" else {}
    return Model(net, chain(net, [(part,) for part in x.split(c.K, dim=1)], states, 2), ["x", *names], outputs, dynamic,
                 states={n: n + "_next" for n in names})


def model(c, form, exporter, batch):
    net = build(c, form)
    if form == "step":
        return step_model(c, net, batch)
    random = generator(c)
    inputs = ["x", "y"] if c.dual else ["x"]
    sets = [tuple(random_input(c, b, t, random) for _ in inputs) for b, t in test_shapes(c, form, batch)]
    outputs = ["logits", "tokens"] if c.outputs == "both" else ["logits"]
    dynamic = dynamic_axes(c, form, batch)
    if c.dual and dynamic:
        dynamic["y"] = dynamic["x"]
    return Model(net, sets, inputs, outputs, dynamic, exported=torch.jit.script(net) if form == "loop" else None)


def refuse(c, form, exporter, batch):
    if form == "loop" and exporter == "dynamo":
        return "the loop is scripted, which the dynamo exporter does not take"
    if form == "scan" and exporter != "dynamo":
        return "torch's scan() is for the dynamo exporter"
    if form == "scan" and batch == "dynamic":
        return "the dynamo exporter makes a Scan of a fixed batch only"
    if form == "scan" and c.T % c.K != 0:
        return "a Scan takes whole chunks: K must divide T"
    if form == "step" and c.dual:
        return "a pair of sequences comes whole"
    return None


SYSTEMS = [System(
    name="tlb", what="Temporal Latent Bottleneck: chunks of tokens, state vectors from chunk to chunk",
    sizes=SIZES, build=model, refuse=refuse,
    forms={"unrolled": "a copy of the cell for each chunk", "loop": "a Loop over chunks; batch and length are dynamic",
           "scan": "a Scan over chunks", "step": "one chunk: tokens so far are in the state"},
    tests=(
        Export("test", "step", "torchscript", batch="2"),
        Export("test", "step", "dynamo", batch="dynamic", settings="pos=global learned_pos=1", label="global"),
        Export("test_dual", "unrolled", "dynamo", batch="2"),
        Export("test_dual", "loop", "torchscript"),
        Export("test_keras", "unrolled", "dynamo"),
        Export("test_keras3", "unrolled", "torchscript"),
        Export("test_keras3", "loop", "torchscript", opset=20),
        Export("test_keras3", "scan", "dynamo", opset=18),
        Export("test_keras", "step", "torchscript", batch="dynamic"),
        Export("test_keras3", "step", "dynamo"),
        Export("test", "unrolled", "dynamo", settings="causal=1 outputs=both", label="causal"),
        Export("test", "loop", "torchscript", settings="causal=1 outputs=both", label="causal"),
    ))]
