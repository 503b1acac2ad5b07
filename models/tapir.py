"""Labels for the words of a sentence as they come, with revisions of earlier labels: an LSTM, a controller, a reviser.

For each word x_t, with e = embedding[x_t] and a memory of the last N words:

    o, h, c = LSTM(e; h, c);  p = label(o)                          what the LSTM says about this word
    a_i = softmax(v . tanh(Wq h + Wk phi_i + Ws s)) over the memory; s = sum a_i phi_i; r = sum a_i cell_i
    f, i, g, u = W [s; e];  cell = sigm(f) r + sigm(i) tanh(u);  k = sigm(g) tanh(cell);  policy = sigm(vp . k)
    policy < threshold:  phi = tanh(Wphi [h; tanh(Wz p)])           write: earlier labels stay
    otherwise:           p_0 ... p_t = reviser(x_0 ... x_t)         revise: all labels and the memory's phi are new

The reviser is a transformer, over the sentence padded to `room` words or over the words that there are ("prefix").
Outputs tell which earlier labels a word has changed. One sentence at a time: sentences branch by themselves.
"""
import dataclasses
import math
from typing import Final, List, Tuple

import torch
from torch import Tensor, nn

from system import Export, Model, System, chain, generator, seeded


@dataclasses.dataclass(frozen=True)
class Config:
    vocab: int = 20
    embedding: int = 8
    hidden: int = 16
    layers: int = 2           # of the LSTM
    memory: int = 2           # N
    labels: int = 5
    heads: int = 2            # of the reviser
    ffn: int = 32
    room: int = 10            # words of the longest sentence
    T: int = 6                # words of the unrolled form
    threshold: float = 0.5
    reviser: str = "padded"   # or "prefix"
    seed: int = 1

    def check(self):
        if self.reviser not in ("padded", "prefix"):
            raise ValueError("reviser is padded or prefix")


class Norm(nn.Module):
    """a (x - mean) / (standard deviation + eps) + b, the deviation with n - 1: not nn.LayerNorm."""

    def __init__(self, d):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor) -> Tensor:
        return self.a * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5) + self.b


class Reviser(nn.Module):
    """A post-norm transformer layer over a sentence: ids [n] and which of them are words to label scores [n, labels]."""
    heads: Final[int]
    width: Final[int]

    def __init__(self, c):
        super().__init__()
        d = c.hidden
        self.heads, self.width = c.heads, d // c.heads
        self.embedding = nn.Embedding(c.vocab, c.embedding)
        self.widen = nn.Linear(c.embedding, d)
        angle = torch.arange(c.room)[:, None] * torch.exp(torch.arange(0, d, 2) * (-math.log(1e4) / d))
        self.register_buffer("position", torch.stack([angle.sin(), angle.cos()], dim=2).reshape(c.room, d))
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.up, self.down = nn.Linear(d, c.ffn), nn.Linear(c.ffn, d)
        self.norm1, self.norm2 = Norm(d), Norm(d)
        self.out = nn.Linear(d, c.labels)

    def split(self, x: Tensor) -> Tensor:
        return x.reshape(-1, self.heads, self.width).transpose(0, 1)

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        x = self.widen(self.embedding(ids)) + self.position[: ids.size(0)]
        scores = torch.matmul(self.split(self.q(x)), self.split(self.k(x)).transpose(-1, -2)) / math.sqrt(self.width)
        p = torch.softmax(scores.masked_fill(~real, -1e9), dim=-1)
        a = torch.matmul(p, self.split(self.v(x))).transpose(0, 1).reshape(-1, self.heads * self.width)
        x = self.norm1(x + self.o(a))
        x = self.norm2(x + self.down(torch.relu(self.up(x))))
        return self.out(x)


class Controller(nn.Module):
    """An LSTM's cell that attends to the memory instead of carrying its own state."""

    def __init__(self, c):
        super().__init__()
        d = c.hidden
        self.q, self.k, self.s = nn.Linear(d, d), nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.score = nn.Linear(d, 1, bias=False)
        self.gates = nn.Linear(d + c.embedding, 4 * d)
        self.policy = nn.Linear(d, 1)

    def forward(self, e: Tensor, enc: Tensor, s: Tensor, phi: Tensor, cells: Tensor, filled: Tensor):
        """e [1, emb], enc, s [1, d], phi, cells [N, d], filled bool[N, 1]: which entries there are."""
        scores = self.score(torch.tanh(self.q(enc) + self.k(phi) + self.s(s)))
        a = torch.softmax(torch.where(filled, scores, -1e10), dim=0) * filled
        s = (a * phi).sum(0, keepdim=True)
        f, o, i, u = self.gates(torch.cat([s, e], dim=1)).chunk(4, dim=1)
        cell = torch.sigmoid(f) * (a * cells).sum(0, keepdim=True) + torch.sigmoid(i) * torch.tanh(u)
        return torch.sigmoid(self.policy(torch.sigmoid(o) * torch.tanh(cell))), s, cell


class Tapir(nn.Module):
    """What all forms share. A word is `forward` of Stepped."""
    room: Final[int]
    N: Final[int]
    threshold: Final[float]
    is_padded: Final[bool]

    def __init__(self, c):
        super().__init__()
        self.room, self.N, self.threshold, self.is_padded = c.room, c.memory, c.threshold, c.reviser == "padded"
        self.embedding = nn.Embedding(c.vocab, c.embedding)
        self.lstm = nn.LSTM(c.embedding, c.hidden, c.layers)
        self.out = nn.Linear(c.hidden, c.labels)
        self.z, self.phi = nn.Linear(c.labels, c.hidden), nn.Linear(2 * c.hidden, c.hidden)
        self.controller, self.reviser = Controller(c), Reviser(c)

    def entries(self, encs: Tensor, scores: Tensor) -> Tensor:
        """phi of memory entries: [n, d] of what the LSTM gave and what the labels' scores are."""
        return torch.tanh(self.phi(torch.cat([encs, torch.tanh(self.z(scores))], dim=1)))

    def revised(self, ids: Tensor, count: Tensor) -> Tensor:
        """Scores of all words, [room, labels]; rows behind the newest word mean nothing and are zeros."""
        real = torch.arange(self.room) <= count
        if self.is_padded:
            return self.reviser(ids, real) * real[:, None]
        n = int(count) + 1
        scores = self.reviser(ids[:n], real[:n])
        return torch.zeros(self.room, scores.size(1)).index_copy(0, torch.arange(n), scores)

    def revise(self, ids: Tensor, count: Tensor, p: Tensor, labels: Tensor, encs: Tensor, phi: Tensor):
        scores = self.revised(ids, count)
        # Entries in front of the first word take the first one's scores; nobody reads them.
        newest = (count + torch.arange(1 - self.N, 1)).clamp(min=0)
        return scores[count], scores.argmax(dim=1), self.entries(encs, scores[newest])

    def write(self, ids: Tensor, count: Tensor, p: Tensor, labels: Tensor, encs: Tensor, phi: Tensor):
        return (p + 0, labels.scatter(0, count, p.argmax(dim=1)),
                torch.cat([phi[1:], self.entries(encs[-1:], p)]))

    def branch(self, policy: Tensor, ids: Tensor, count: Tensor, p: Tensor, labels: Tensor, encs: Tensor, phi: Tensor):
        if float(policy) < self.threshold:
            return self.write(ids, count, p, labels, encs, phi)
        return self.revise(ids, count, p, labels, encs, phi)

    def word(self, word: Tensor, count: Tensor, h: Tensor, c: Tensor, s: Tensor, phi: Tensor, cells: Tensor, encs: Tensor,
             ids: Tensor, labels: Tensor):
        """word, count i64[1]; h, c [layers, 1, d]; s [1, d]; phi, cells, encs [N, d]; ids, labels i64[room]"""
        e = self.embedding(word)
        o, (h, c) = self.lstm(e[None], (h, c))
        p = self.out(o[0])
        filled = torch.arange(self.N)[:, None] >= self.N - count
        policy, s, cell = self.controller(e, h[-1], s, phi, cells, filled)
        ids = ids.scatter(0, count, word)
        encs = torch.cat([encs[1:], h[-1]])
        scores, new, phi = self.branch(policy, ids, count, p, labels, encs, phi)
        changed = (new != labels) & (torch.arange(self.room) < count)
        return scores, policy, changed, count + 1, h, c, s, phi, torch.cat([cells[1:], cell]), encs, ids, new


class Traced(Tapir):
    """For the dynamo exporter: the branch is torch.cond."""

    def branch(self, policy, ids, count, p, labels, encs, phi):
        return torch.cond((policy < self.threshold).reshape(()), self.write, self.revise, (ids, count, p, labels, encs, phi))


STATES = ["count", "h", "c", "s", "phi", "cells", "encs", "ids", "labels"]


def first_states(c):
    d = c.hidden
    return [torch.zeros(1, dtype=torch.int64), torch.zeros(c.layers, 1, d), torch.zeros(c.layers, 1, d), torch.zeros(1, d),
            *(torch.zeros(c.memory, d) for _ in range(3)), *(torch.zeros(c.room, dtype=torch.int64) for _ in range(2))]


class Stepped(Tapir):
    def forward(self, word: Tensor, count: Tensor, h: Tensor, c: Tensor, s: Tensor, phi: Tensor, cells: Tensor, encs: Tensor,
                ids: Tensor, labels: Tensor):
        return self.word(word, count, h, c, s, phi, cells, encs, ids, labels)


class TracedStep(Traced):
    def forward(self, word, count, h, c, s, phi, cells, encs, ids, labels):
        return self.word(word, count, h, c, s, phi, cells, encs, ids, labels)


class Loop(Tapir):
    """A sentence i64[n]: labels, policies, and for each word how many earlier labels it changed."""

    def __init__(self, c):
        super().__init__(c)
        for name, state in zip(STATES, first_states(c)):
            self.register_buffer("first_" + name, state)

    def forward(self, words: Tensor):
        count, h, c, s = self.first_count, self.first_h, self.first_c, self.first_s
        phi, cells, encs = self.first_phi, self.first_cells, self.first_encs
        ids, labels = self.first_ids, self.first_labels
        scores: List[Tensor] = []
        policies: List[Tensor] = []
        changes: List[Tensor] = []
        for t in range(words.size(0)):
            y, policy, changed, count, h, c, s, phi, cells, encs, ids, labels = self.word(
                words[t : t + 1], count, h, c, s, phi, cells, encs, ids, labels)
            scores.append(y)
            policies.append(policy)
            changes.append(changed.to(torch.int64).sum(dim=0, keepdim=True))
        return labels[: words.size(0)], torch.cat(scores), torch.cat(policies), torch.cat(changes)


class Unrolled(Traced):
    def __init__(self, c):
        super().__init__(c)
        self.config = c

    def forward(self, words):
        states = first_states(self.config)
        found = []
        for t in range(self.config.T):
            y, policy, changed, *states = self.word(words[t : t + 1], *states)
            found.append((y, policy, changed.to(torch.int64).sum(dim=0, keepdim=True)))
        return states[-1][: self.config.T], *(torch.cat(list(parts)) for parts in zip(*found))


def varied(make, c):
    """Seeded weights with which both branches are taken, and labels differ from word to word and are revised."""
    net = seeded(make, c.seed)
    for map, factor in [(net.out, 4), (net.reviser.out, 4), (net.controller.policy, 20)]:
        map.weight *= factor
        map.bias *= 0
    for weight in [*net.lstm.parameters()]:
        weight *= 4
    net.embedding.weight *= 2
    net.controller.gates.weight *= 2
    return net


def words(c, n, random):
    return torch.randint(0, c.vocab, (n,), generator=random)


def step_model(c, exporter, random):
    eager = varied(lambda: Stepped(c), c)
    sentence = words(c, min(c.room, 8), random)
    sets = chain(eager, [(w,) for w in sentence.split(1)], first_states(c), 3)
    net = varied(lambda: TracedStep(c), c) if exporter == "dynamo" else torch.jit.script(eager)
    return Model(eager, sets, ["word", *STATES], ["scores", "policy", "changed", *(s + "_next" for s in STATES)],
                 exported=net, states={s: s + "_next" for s in STATES})


def model(c, form, exporter, batch):
    random = generator(c)
    if form == "step":
        return step_model(c, exporter, random)
    outputs = ["labels", "scores", "policies", "changes"]
    if form == "unrolled":
        net = varied(lambda: Unrolled(c), c)
        return Model(net, [(words(c, c.T, random),) for _ in range(3)], ["words"], outputs)
    net = varied(lambda: Loop(c), c)
    sets = [(words(c, n, random),) for n in (c.room - 1, 1, c.room, 3)]
    return Model(net, sets, ["words"], outputs, {n: {0: "words"} for n in ["words", *outputs]},
                 exported=torch.jit.script(net))


def reviser_model(c, form, exporter, batch):
    net = seeded(lambda: Reviser(c), c.seed)
    random = generator(c)
    sets = [(words(c, c.room, random), torch.arange(c.room) < n) for n in (c.room, 3, 1)]
    return Model(net, sets, ["words", "real"], ["scores"])


def refuse(c, form, exporter, batch):
    if batch != "1":
        return "a sentence at a time: each takes its own branch"
    if form == "loop" and exporter == "dynamo":
        return "the loop is scripted, which the dynamo exporter does not take"
    if form == "unrolled" and exporter == "torchscript":
        return "tracing would keep the branches that the example takes; scripted, it is the form loop"
    if exporter == "dynamo" and c.reviser == "prefix":
        return "reviser=prefix has a size that is a value in a branch, which torch.cond does not take"
    return None


BENCH = Config(vocab=10000, embedding=300, hidden=512, memory=3, labels=32, heads=8, ffn=2048, room=200, T=20)
SIZES = {"test": Config(), "bench": BENCH, "bench_prefix": dataclasses.replace(BENCH, reviser="prefix")}

SYSTEMS = [
    System(name="tapir", what="labels word by word, earlier ones revised behind a branch", build=model, refuse=refuse, sizes=SIZES,
           forms={"step": "one word", "loop": "a Loop over a sentence", "unrolled": "a copy of all for each of T words"},
           tests=(Export("test", "step", "torchscript"),
                  Export("test", "step", "torchscript", settings="reviser=prefix", label="prefix"),
                  Export("test", "step", "dynamo"),
                  Export("test", "loop", "torchscript"),
                  Export("test", "loop", "torchscript", settings="reviser=prefix", label="prefix"),
                  Export("test", "unrolled", "dynamo"))),
    System(name="tapir_reviser", what="the reviser of tapir alone, run again for each word by a baseline", sizes=SIZES,
           build=reviser_model, forms={"whole": "one padded sentence"},
           tests=(Export("test", "whole", "torchscript"), Export("test", "whole", "dynamo"))),
]
