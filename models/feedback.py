"""The feedback transformer: every layer attends to one memory, made of all layers' results for the tokens before.

For each token, layer after layer, with a memory of the L newest tokens:

    q = Wq norm h;  score_j = (K_j . q + q . E_j) / sqrt(width);  h += Wo (softmax(score) V);  h += W2 relu(W1 norm h)
    m = sum over l of softmax(w)_l h^l;   K, V <- with Wk norm m, Wv norm m for the oldest slot

E is a table over distances, one for all layers and heads. Slots that nothing was written to are zeros, and count.
The memory is a ring: "concat" moves all slots by one, "index" writes over the oldest and turns E instead.
"""
import dataclasses
import math
from typing import Final, List

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from system import Export, Model, System, chain, generator, refuse_loops, seeded


@dataclasses.dataclass(frozen=True)
class Config:
    d: int = 16
    heads: int = 2
    width: int = 8        # of a head
    ffn: int = 32
    layers: int = 2
    L: int = 6            # slots of the memory
    T: int = 8            # tokens of a segment
    vocab: int = 11
    shared: bool = True   # one pair of keys and values for all layers
    ring: str = "concat"  # "concat" or "index"
    seed: int = 1

    def check(self):
        if self.ring not in ("concat", "index"):
            raise ValueError("ring is concat or index")


class Layer(nn.Module):
    heads: Final[int]
    width: Final[int]

    def __init__(self, c):
        super().__init__()
        self.heads, self.width = c.heads, c.width
        self.norm, self.norm_ffn = nn.LayerNorm(c.d), nn.LayerNorm(c.d)
        self.q = nn.Linear(c.d, c.heads * c.width, bias=False)
        self.o = nn.Linear(c.heads * c.width, c.d, bias=False)
        self.up, self.down = nn.Linear(c.d, c.ffn), nn.Linear(c.ffn, c.d)

    def forward(self, h: Tensor, k: Tensor, v: Tensor, table: Tensor) -> Tensor:
        """h [B, d]; k, v [B, L, heads * width]; table [L, width], row j for slot j"""
        q = self.q(self.norm(h)).reshape(h.size(0), self.heads, 1, self.width)
        k = k.reshape(h.size(0), -1, self.heads, self.width).transpose(1, 2)
        v = v.reshape(h.size(0), -1, self.heads, self.width).transpose(1, 2)
        scores = torch.matmul(q, k.transpose(-1, -2)) + torch.matmul(q, table.t())
        out = torch.matmul(torch.softmax(scores / math.sqrt(self.width), dim=-1), v)
        h = h + self.o(out.flatten(1))
        return h + self.down(torch.relu(self.up(self.norm_ffn(h))))


class Memory(nn.Module):
    """Keys and values of a memory vector: a pair for all layers, or one for each, side by side."""

    def __init__(self, c):
        super().__init__()
        n = 1 if c.shared else c.layers
        self.norm = nn.ModuleList(nn.LayerNorm(c.d) for _ in range(n))
        self.k = nn.ModuleList(nn.Linear(c.d, c.heads * c.width, bias=False) for _ in range(n))
        self.v = nn.ModuleList(nn.Linear(c.d, c.heads * c.width, bias=False) for _ in range(n))

    def forward(self, m: Tensor):
        """[B, slots, d] to two [n, B, slots, heads * width]"""
        ks: List[Tensor] = []
        vs: List[Tensor] = []
        for norm, k, v in zip(self.norm, self.k, self.v):
            x = norm(m)
            ks.append(k(x))
            vs.append(v(x))
        return torch.stack(ks), torch.stack(vs)


class Feedback(nn.Module):
    """What all forms share."""
    L: Final[int]
    shared: Final[bool]
    by_index: Final[bool]

    def __init__(self, c):
        super().__init__()
        self.L, self.shared, self.by_index = c.L, c.shared, c.ring == "index"
        self.embedding = nn.Embedding(c.vocab, c.d)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))
        self.memory = Memory(c)
        self.share = nn.Parameter(torch.zeros(c.layers + 1))
        self.distance = nn.Parameter(0.3 * torch.randn(c.L, c.width))
        self.norm, self.out = nn.LayerNorm(c.d), nn.Linear(c.d, c.vocab)

    def token(self, h: Tensor, k: Tensor, v: Tensor, table: Tensor):
        """One token's embedding [B, d] through all layers: log-probabilities of the next one, and its memory vector."""
        share = torch.softmax(self.share, dim=0)
        m = h * share[0]
        for i, layer in enumerate(self.layers):
            at = 0 if self.shared else i
            h = layer(h, k[at], v[at], table)
            m = m + h * share[i + 1]
        return torch.log_softmax(self.out(self.norm(h)), dim=-1), m

    def advance(self, h: Tensor, k: Tensor, v: Tensor, position: Tensor):
        """A token, and the ring with its memory; `position` i64[1] counts tokens."""
        table = self.distance
        if self.by_index:
            table = table[torch.remainder(torch.arange(self.L) - position, self.L)]
        logits, m = self.token(h, k, v, table)
        new_k, new_v = self.memory(m[:, None])
        if self.by_index:
            slot = torch.remainder(position, self.L)
            return logits, m, k.index_copy(2, slot, new_k), v.index_copy(2, slot, new_v)
        return logits, m, torch.cat([k[:, :, 1:], new_k], dim=2), torch.cat([v[:, :, 1:], new_v], dim=2)


class Unrolled(Feedback):
    """A segment of tokens [B, T] with the memory vectors [B, L, d] of the one before."""

    def forward(self, tokens, memory):
        k, v = self.memory(memory)
        ys, ms = [], [memory]
        for t in range(tokens.size(1)):
            y, m, k, v = self.advance(self.embedding(tokens[:, t]), k, v, torch.tensor([t]))
            ys.append(y)
            ms.append(m[:, None])
        return torch.stack(ys, dim=1), torch.cat(ms, dim=1)[:, -self.L :]


class Loop(Feedback):
    def forward(self, tokens: Tensor, memory: Tensor):
        k, v = self.memory(memory)
        ys: List[Tensor] = []
        ms: List[Tensor] = []
        for t in range(tokens.size(1)):
            y, m, k, v = self.advance(self.embedding(tokens[:, t]), k, v, torch.full((1,), t, dtype=torch.int64))
            ys.append(y)
            ms.append(m)
        return torch.stack(ys, dim=1), torch.cat([memory, torch.stack(ms, dim=1)], dim=1)[:, -self.L :]


class Scanned(Feedback):
    def step(self, carried, inputs):
        y, m, k, v = self.advance(inputs[0], *carried, inputs[1])
        return [k, v], [y, m]

    def forward(self, tokens, memory):
        k, v = self.memory(memory)
        positions = torch.arange(tokens.size(1))[:, None]
        _, (ys, ms) = scan(self.step, [k, v], [self.embedding(tokens.t()), positions], dim=0)
        return ys.transpose(0, 1), torch.cat([memory, ms.transpose(0, 1)], dim=1)[:, -self.L :]


class Stepped(Feedback):
    """One token [B]; the rings of keys and values are the state, and the position where they are written by index."""

    def forward(self, token, k, v, position=None):
        y, _, k, v = self.advance(self.embedding(token), k, v, position)
        return (y, k, v) if position is None else (y, k, v, position + 1)


MOST_BYTES = 1 << 28    # of the states of all steps that are written: enwik8's are 805 MB a step


def steps_of(states, L):
    """Once round the ring and a little more, where the states of so many steps are not too large; two at least."""
    return max(2, min(L + 2, MOST_BYTES // sum(s.numel() * s.element_size() for s in states)))


NETS = {"unrolled": Unrolled, "loop": Loop, "scan": Scanned, "step": Stepped}


def step_model(c, net, b, random, batch):
    empty = net.memory(torch.zeros(b, c.L, c.d))
    states = [*empty] + ([torch.zeros(1, dtype=torch.int64)] if c.ring == "index" else [])
    names = ["k", "v", "position"][:len(states)]
    tokens = torch.randint(0, c.vocab, (b, steps_of(states, c.L)), generator=random)
    outputs = ["logp", *(n + "_next" for n in names)]
    dynamic = {}
    if batch == "dynamic":
        dynamic = {n: {1 if n[0] in "kv" else 0: "batch"} for n in ["token", "k", "v", "logp", "k_next", "v_next"]}
    return Model(net, chain(net, [(t,) for t in tokens.unbind(1)], states, 1), ["token", *names], outputs, dynamic,
                 states={n: n + "_next" for n in names})


def model(c, form, exporter, batch):
    net = seeded(lambda: NETS[form](c), c.seed)
    random = generator(c)
    is_open = form == "loop"
    rows = [2, 1, 3] if batch == "dynamic" or is_open else [int(batch)] * 2
    if form == "step":
        return step_model(c, net, rows[0], random, batch)
    lengths = [c.T, c.L - 1, 1] if is_open else [c.T] * 3
    sets = [(torch.randint(0, c.vocab, (b, t), generator=random), torch.randn(b, c.L, c.d, generator=random))
            for b, t in zip(rows, lengths)]
    dynamic = {}
    if len(rows) == 3:
        axes = {0: "batch", 1: "time"} if is_open else {0: "batch"}
        dynamic = {"tokens": axes, "logp": axes, "memory": {0: "batch"}, "memory_next": {0: "batch"}}
    return Model(net, sets, ["tokens", "memory"], ["logp", "memory_next"], dynamic,
                 exported=torch.jit.script(net) if is_open else None, states={"memory": "memory_next"})


def refuse(c, form, exporter, batch):
    return refuse_loops(form, exporter, batch)


ALGORITHMIC = Config(d=256, heads=4, width=64, ffn=1024, layers=4, L=100, T=64, vocab=50, shared=False)

SYSTEMS = [System(
    name="feedback", what="feedback transformer: all layers attend to one memory of the tokens before", build=model,
    refuse=refuse,
    sizes={"test": Config(), "algorithmic": ALGORITHMIC, "algorithmic_shared": dataclasses.replace(ALGORITHMIC, shared=True),
           "enwik8": Config(d=512, heads=8, width=128, ffn=4096, layers=12, L=8192, T=128, vocab=205, shared=False)},
    forms={"step": "one token; rings of keys and values as state", "loop": "a Loop over a segment's tokens",
           "scan": "a Scan over a segment's tokens", "unrolled": "a copy of all layers for each token of a segment"},
    tests=(
        Export("test", "step", "torchscript", batch="2"),
        Export("test", "step", "dynamo", batch="dynamic"),
        Export("test", "step", "dynamo", settings="ring=index shared=0", label="index"),
        Export("test", "step", "torchscript", batch="dynamic", settings="ring=index", label="index"),
        Export("test", "loop", "torchscript"),
        Export("test", "loop", "torchscript", settings="ring=index shared=0", label="index"),
        Export("test", "scan", "dynamo", batch="2"),
        Export("test", "unrolled", "dynamo", settings="shared=0"),
        Export("test", "unrolled", "torchscript", settings="T=5"),
    ))]
