"""A variant of the Temporal Latent Bottleneck for sequences of any length: ragged chunks, xPos rotary positions, masks.

T tokens are cut into ceil(T / K) chunks of equal length, so that the last one is shorter where they do not fit. Each
layer is three residuals in a row, for tokens x and state I:

    x += Attn(norm x, norm x)  with xPos       x += Attn(norm x, norm' I)       x += W2 gelu(W1 norm x)

and then the state: I += Attn(norm I, norm' x);  I += W2 gelu(W1 norm I), with a hidden width of d. A chunk whose first
token is padding passes tokens and state on as they came.
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
    ffn: int = 32
    layers: int = 2
    updates: int = 1
    T: int = 13
    K: int = 6
    M: int = 3
    vocab: int = 16
    classes: int = 3
    is_global: bool = False  # positions count from the sequence's begin, not from the chunk's
    pool: str = "mean"       # of the final state: "mean" or its "last" vector
    eps: float = 1e-5
    seed: int = 1


def chunk_length(tokens: int, K: int) -> int:
    """Of all chunks but the last: ceil(T / ceil(T / K))."""
    chunks = (tokens + K - 1) // K
    return (tokens + chunks - 1) // chunks


class XPos(nn.Module):
    """Rotary positions that also decay: q is rotated and scaled up with its position, k rotated and scaled down."""

    def __init__(self, width):
        super().__init__()
        pairs = torch.arange(width // 2)
        self.register_buffer("rate", 1e4 ** (-pairs / (width // 2)))
        self.register_buffer("base", (2 * pairs + 0.4 * width) / (1.4 * width))

    def forward(self, q: Tensor, k: Tensor, position: Tensor):
        """q, k [B, heads, n, width]; position f32[B, n]"""
        angle = position[:, None, :, None] * self.rate
        power = (position - float((position.size(1) + 1) // 2)) / 512
        scale = self.base ** power[:, None, :, None]
        return self.rotate(q, angle) * self.pairs(scale), self.rotate(k, angle) / self.pairs(scale)

    def pairs(self, x: Tensor) -> Tensor:
        return torch.stack([x, x], dim=-1).flatten(-2)

    def rotate(self, x: Tensor, angle: Tensor) -> Tensor:
        even, odd = x[..., ::2], x[..., 1::2]
        sin, cos = torch.sin(angle), torch.cos(angle)
        return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2)


class Attention(nn.Module):
    heads: Final[int]
    width: Final[int]
    has_positions: Final[bool]

    def __init__(self, c, positions=False):
        super().__init__()
        self.heads, self.width = c.heads, c.d // c.heads
        self.has_positions = positions
        self.q, self.k, self.v, self.o = (nn.Linear(c.d, c.d, bias=False) for _ in range(4))
        self.xpos = XPos(self.width)

    def split(self, x: Tensor) -> Tensor:
        return x.reshape(x.size(0), x.size(1), self.heads, self.width).transpose(1, 2)

    def forward(self, x: Tensor, memory: Tensor, live: Tensor, position: Tensor) -> Tensor:
        """`live` bool[B, keys]: what may be looked at; `position` of tokens, read where the attention has positions."""
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        if self.has_positions:
            q, k = self.xpos(q, k, position)
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(self.width)
        scores = scores.masked_fill(~live[:, None, None, :], -math.inf)
        out = torch.matmul(torch.softmax(scores, dim=-1), v).transpose(1, 2)
        return self.o(out.reshape(out.size(0), out.size(1), self.heads * self.width))


class FeedForward(nn.Module):
    def __init__(self, c, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(c.d, c.eps)
        self.up, self.down = nn.Linear(c.d, hidden), nn.Linear(hidden, c.d)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm, self.norm_cross, self.norm_state = (nn.LayerNorm(c.d, c.eps) for _ in range(3))
        self.own, self.cross = Attention(c, positions=True), Attention(c)
        self.ffn = FeedForward(c, c.ffn)

    def forward(self, x: Tensor, state: Tensor, live: Tensor, position: Tensor) -> Tensor:
        n = self.norm(x)
        x = x + self.own(n, n, live, position)
        # All vectors of the state may be looked at.
        seen = torch.ones(x.size(0), state.size(1), dtype=torch.bool, device=x.device)
        x = x + self.cross(self.norm_cross(x), self.norm_state(state), seen, position)
        return self.ffn(x)


class Update(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm, self.norm_tokens = nn.LayerNorm(c.d, c.eps), nn.LayerNorm(c.d, c.eps)
        self.attention = Attention(c)
        self.ffn = FeedForward(c, c.d)

    def forward(self, state: Tensor, x: Tensor, live: Tensor, position: Tensor) -> Tensor:
        state = state + self.attention(self.norm(state), self.norm_tokens(x), live, position)
        return self.ffn(state)


class TLB(nn.Module):
    """What all forms share. Gives (logits [B, classes], tokens [B, T, d])."""
    K: Final[int]
    is_global: Final[bool]
    pool_last: Final[bool]

    def __init__(self, c):
        super().__init__()
        self.K, self.is_global, self.pool_last = c.K, c.is_global, c.pool == "last"
        self.embedding = nn.Embedding(c.vocab, c.d)
        self.first_state = nn.Parameter(torch.zeros(1, c.M, c.d))
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))
        self.updates = nn.ModuleList(Update(c) for _ in range(c.updates))
        self.norm = nn.LayerNorm(c.d, c.eps)
        self.out = nn.Linear(c.d, c.classes)

    def chunk(self, x: Tensor, state: Tensor, live: Tensor, position: Tensor):
        """`position` f32[B, n] counts the sequence's real tokens; a chunk's own count begins with 0."""
        if not self.is_global:
            position = position - position[:, :1]
        y, new = x, state
        for layer in self.layers:
            y = layer(y, state, live, position)
        for update in self.updates:
            new = update(new, y, live, position)
        go = live[:, :1, None]
        return torch.where(go, y, x), torch.where(go, new, state)

    def positions(self, live: Tensor) -> Tensor:
        return (torch.cumsum(live.to(torch.int64), dim=1) - 1).clamp(min=0).to(torch.float32)

    def begin(self, batch: int) -> Tensor:
        return self.first_state.expand(batch, -1, -1)

    def logits(self, state: Tensor) -> Tensor:
        state = self.norm(state)
        return self.out(state[:, -1] if self.pool_last else state.mean(dim=1))


class Unrolled(TLB):
    def forward(self, tokens):
        x, live, state = self.embedding(tokens), tokens > 0, self.begin(tokens.size(0))
        n = chunk_length(tokens.size(1), self.K)
        ys = []
        for part in zip(x.split(n, dim=1), live.split(n, dim=1), self.positions(live).split(n, dim=1)):
            y, state = self.chunk(part[0], state, *part[1:])
            ys.append(y)
        return self.logits(state), torch.cat(ys, dim=1)


class Loop(TLB):
    def forward(self, tokens: Tensor):
        x, live, state = self.embedding(tokens), tokens > 0, self.begin(tokens.size(0))
        position = self.positions(live)
        chunks = (tokens.size(1) + self.K - 1) // self.K
        n = (tokens.size(1) + chunks - 1) // chunks
        ys: List[Tensor] = []
        for i in range(chunks):
            a, b = i * n, min(i * n + n, tokens.size(1))
            y, state = self.chunk(x[:, a:b], state, live[:, a:b], position[:, a:b])
            ys.append(y)
        return self.logits(state), torch.cat(ys, dim=1)


class Scanned(TLB):
    def step(self, state, inputs):
        y, state = self.chunk(inputs[0], state, inputs[1], inputs[2])
        return state, y

    def forward(self, tokens):
        x, live, state = self.embedding(tokens), tokens > 0, self.begin(tokens.size(0)).clone()
        n = chunk_length(tokens.size(1), self.K)
        parts = [p.reshape(p.size(0), -1, n, *p.shape[2:]).transpose(0, 1) for p in (x, live, self.positions(live))]
        state, ys = scan(self.step, state, parts, dim=0)
        return self.logits(state), ys.transpose(0, 1).flatten(1, 2)


class Stepped(TLB):
    """One chunk; `count` f32[B, 1] is how many real tokens came before, for global positions."""

    def forward(self, tokens, state, count):
        live = tokens > 0
        y, state = self.chunk(self.embedding(tokens), state, live, count + self.positions(live))
        count = count + live.to(torch.float32).sum(dim=1, keepdim=True)
        return self.logits(state), y, state, count


NETS = {"unrolled": Unrolled, "loop": Loop, "scan": Scanned, "step": Stepped}


def random_tokens(c, batch, length, random):
    """Sequences that end early: the last one before its last chunk, so that a chunk is all padding."""
    tokens = torch.randint(1, c.vocab, (batch, length), generator=random)
    ends = torch.randint(max(1, length // 2), length + 1, (batch, 1), generator=random)
    ends[0] = length
    if batch > 1:
        ends[-1] = chunk_length(length, c.K)
    return torch.where(torch.arange(length) < ends, tokens, 0)


def model(c, form, exporter, batch):
    net = seeded(lambda: NETS[form](c), c.seed, tables=("first_state",))
    random = generator(c)
    rows = [2, 1, 3] if batch == "dynamic" or form == "loop" else [int(batch)] * 2
    if form == "step":
        tokens = random_tokens(c, rows[0], 3 * c.K, random)
        states = [net.begin(rows[0]).clone(), torch.zeros(rows[0], 1)]
        names = ["state", "count"]
        outputs = ["logits", "tokens", "state_next", "count_next"]
        return Model(net, chain(net, [(p,) for p in tokens.split(c.K, dim=1)], states, 2), ["x", *names], outputs,
                     {n: {0: "batch"} for n in ["x", *names, *outputs]} if batch == "dynamic" else {},
                     states={"state": "state_next", "count": "count_next"})
    lengths = [c.T, 2 * c.K + 1, c.K] if form == "loop" else [c.T] * len(rows)
    sets = [(random_tokens(c, b, t, random),) for b, t in zip(rows, lengths)]
    axes = {0: "batch", 1: "time"} if form == "loop" else {0: "batch"}
    dynamic = {"x": axes, "tokens": axes, "logits": {0: "batch"}} if len(rows) == 3 else {}
    return Model(net, sets, ["x"], ["logits", "tokens"], dynamic, exported=torch.jit.script(net) if form == "loop" else None)


def refuse(c, form, exporter, batch):
    reason = refuse_loops(form, exporter, batch)
    if reason:
        return reason
    if form == "scan" and c.T % chunk_length(c.T, c.K) != 0:
        return "a Scan takes equal chunks; T makes a shorter last one (--set T=...)"
    return None


LISTOPS = Config(d=512, heads=8, ffn=1024, layers=2, K=100, M=100, T=2000, vocab=18, classes=10)
TEXT = Config(d=256, heads=4, ffn=1024, layers=2, K=10, M=10, T=4000, vocab=260, classes=2)
IMAGE = Config(d=128, heads=16, ffn=128, layers=1, K=32, M=5, T=1024, vocab=257, classes=10)

SYSTEMS = [System(
    name="tlb_jrc", what="TLB with ragged chunks, xPos rotary positions and masks", build=model, refuse=refuse,
    sizes={
        "test": Config(),
        "lra_listops": LISTOPS,
        "listops": dataclasses.replace(LISTOPS, K=20, M=20, T=200),
        "logic": dataclasses.replace(LISTOPS, K=10, M=10, T=100, classes=7),
        "flipflop": dataclasses.replace(LISTOPS, layers=3, M=10, updates=2, T=512, classes=2),
        "text": TEXT,
        "text400": dataclasses.replace(TEXT, T=400),
        "aan_side": dataclasses.replace(TEXT, d=128, ffn=512, K=100),
        "image": IMAGE,
        "pathfinder": dataclasses.replace(IMAGE, layers=2, K=64, is_global=True, classes=2),
    },
    forms={"unrolled": "a copy of the cell for each chunk, the last one shorter",
           "loop": "a Loop over chunks; batch and length, and so the length of chunks, are dynamic",
           "scan": "a Scan over equal chunks", "step": "one chunk of K tokens"},
    tests=(
        Export("test", "unrolled", "torchscript", batch="3"),
        Export("test", "unrolled", "dynamo", batch="dynamic", settings="is_global=1 pool=last", label="global"),
        Export("test", "loop", "torchscript"),
        Export("test", "scan", "dynamo", batch="2", settings="T=12"),
        Export("test", "step", "torchscript", batch="2"),
        Export("test", "step", "dynamo", batch="dynamic", settings="is_global=1 updates=2", label="global"),
    ))]
