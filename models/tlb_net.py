"""The Temporal Latent Bottleneck in PyTorch, after Didolkar et al., arXiv 2205.14794.

For each chunk X of K tokens, with the state I of M vectors:

    I = I + P                      a fixed sinusoid, where the size asks for it
    X = F(X, I)                    self blocks (tokens among themselves) and cross blocks (tokens look at the state)
    I = G(I, X)                    the state looks at the chunk's tokens

and at the end a classifier on the averaged final state. One class of block serves all three uses:

    a = q + Attn(norm q, norm m);   out = a + W2 gelu(W1 norm a + b1) + b2        q: queries, m: what they look at

All of it is written so that torch.jit.script takes it too: `Loop` keeps the loop over the chunks in the graph,
`Unrolled` leaves one copy of the cell per chunk, `Scanned` makes a Scan, `Stepped` is one chunk with the state outside.
"""
import math
from typing import Final, List, Optional

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from system import seeded


def sinusoid(n, d):
    """Positions 0..n-1: sines in even columns, cosines in odd ones. [n, d]; odd d is cut."""
    angle = torch.arange(n)[:, None] * torch.exp(torch.arange(0, d, 2) * (-math.log(1e4) / d))
    return torch.stack([torch.sin(angle), torch.cos(angle)], dim=2).reshape(n, -1)[:, :d].contiguous()


class Attention(nn.Module):
    heads: Final[int]
    head_width: Final[int]
    sdpa: Final[bool]

    def __init__(self, c):
        super().__init__()
        self.heads = c.heads
        self.head_width = c.qkv // c.heads
        self.sdpa = c.attention == "sdpa"
        self.q = nn.Linear(c.d, c.qkv, bias=c.bias)
        self.k = nn.Linear(c.d, c.qkv, bias=c.bias)
        self.v = nn.Linear(c.d, c.qkv, bias=c.bias)
        self.o = nn.Linear(c.qkv, c.d, bias=c.bias)

    def split(self, x: Tensor) -> Tensor:
        """[B, N, heads * h] -> [B, heads, N, h]"""
        return x.reshape(x.size(0), x.size(1), self.heads, self.head_width).transpose(1, 2)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, hide: Optional[Tensor]) -> Tensor:
        """`hide` [B, 1, queries, keys] is added to the scores: 0 where a query may look, -1e10 elsewhere."""
        q, k, v = self.split(self.q(q)), self.split(self.k(k)), self.split(self.v(v))
        if self.sdpa:
            out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=hide)
        else:
            scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(self.head_width)
            if hide is not None:
                scores = scores + hide
            out = torch.matmul(torch.softmax(scores, dim=-1), v)
        out = out.transpose(1, 2)
        return self.o(out.reshape(out.size(0), out.size(1), self.heads * self.head_width))


class Block(nn.Module):
    """Pre-norm attention and feed-forward, each with a residual. Without own norms for k and v, q's are used."""

    def __init__(self, c, use):
        super().__init__()
        own_k = use != "self" or c.norms == "keras"
        self.norm_q = nn.LayerNorm(c.d, c.eps)
        self.norm_k = nn.LayerNorm(c.d, c.eps) if own_k else None
        self.norm_v = nn.LayerNorm(c.d, c.eps) if c.norms == "keras" else None
        self.attention = Attention(c)
        self.norm_ffn = nn.LayerNorm(c.d, c.eps)
        self.up = nn.Linear(c.d, c.ffn)
        self.gelu = nn.GELU(approximate="tanh" if c.gelu == "tanh" else "none")
        self.down = nn.Linear(c.ffn, c.d)

    def forward(self, x: Tensor, memory: Tensor, hide: Optional[Tensor]) -> Tensor:
        q = self.norm_q(x)
        k = q if self.norm_k is None else self.norm_k(memory)
        v = k if self.norm_v is None else self.norm_v(memory)
        x = x + self.attention(q, k, v, hide)
        return x + self.down(self.gelu(self.up(self.norm_ffn(x))))


class Step(nn.Module):
    """One use of a block in the cell; two steps may share one block. Knows which masks the use needs."""
    use: Final[str]  # "self", "cross" or "update"
    causal: Final[bool]

    def __init__(self, block, use, ahead=None):
        """`ahead` [K, K] is added to the scores of a self block: -1e10 where the key is behind the query."""
        super().__init__()
        self.block = block
        self.use = use
        self.causal = ahead is not None and use == "self"
        if self.causal:
            self.register_buffer("ahead", ahead)

    def hidden(self, live: Tensor, x: Tensor, memory: Tensor) -> Tensor:
        """Padding rows of the chunk hide keys (self, update) and queries (self, cross). live: [B, K] bool.

        -1e10 is finite on purpose: a query with nothing to look at becomes uniform instead of NaN.
        """
        if self.use == "self":
            seen = live[:, :, None] & live[:, None, :]
        elif self.use == "cross":
            seen = live[:, :, None].expand(-1, -1, memory.size(1))
        else:
            seen = live[:, None, :].expand(-1, x.size(1), -1)
        return torch.where(seen, 0.0, -1e10)[:, None]

    def forward(self, x: Tensor, memory: Tensor, live: Optional[Tensor]) -> Tensor:
        if self.causal:
            n = x.size(1)
            assert live is None, "no mask for causal chunks"
            return self.block(x, memory, self.ahead[:n, :n])
        if live is None:
            return self.block(x, memory, None)
        out = self.block(x, memory, self.hidden(live, x, memory))
        if self.use == "self":
            return out
        # A chunk of nothing but padding leaves tokens and state as they are.
        return torch.where(live.any(dim=1)[:, None, None], out, x)


def twins(c):
    """A block for self and one for cross use that share everything but the attention and its norms (Keras 3)."""
    own, cross = Block(c, "self"), Block(c, "cross")
    for shared in ("norm_ffn", "up", "down"):
        setattr(cross, shared, getattr(own, shared))
    return own, cross


def fast_steps(c):
    """The fast stream's steps in the order in which they run."""
    if c.order == "listed":
        uses = ["self" if letter == "S" else "cross" for letter in c.fast]
        ahead = torch.full((c.K, c.K), -1e10).triu(1) if c.causal else None
        return [Step(Block(c, use), use, ahead) for use in uses]
    steps = []
    for j in range(len(c.fast)):
        # The Keras cell runs every listed layer as a self block, whatever it was made for,
        # and each ratio-th one a second time, with the same weights, as a cross block.
        own, cross = twins(c) if c.order == "keras3" else [Block(c, "cross")] * 2
        steps.append(Step(own, "self"))
        if j % c.ratio == 0:
            steps.append(Step(cross, "cross"))
    return steps


class Cell(nn.Module):
    """One chunk: (tokens [B,K,d], state [B,M,d]) -> (tokens, next state). A flat state is [B,M*d]."""
    has_state_pos: Final[bool]
    flat: Final[bool]

    def __init__(self, c):
        super().__init__()
        self.has_state_pos = c.state_pos
        self.flat = c.flat_state
        self.register_buffer("state_pos", sinusoid(c.M, c.d))
        self.fast = nn.ModuleList(fast_steps(c))
        self.slow = nn.ModuleList(Step(Block(c, "update"), "update") for _ in range(c.slow))

    def forward(self, x: Tensor, state: Tensor, live: Optional[Tensor]):
        if self.flat:
            state = state.reshape(x.size(0), -1, x.size(2))
        if self.has_state_pos:
            state = state + self.state_pos
        for step in self.fast:
            x = step(x, x if step.use == "self" else state, live)
        for step in self.slow:
            state = step(state, x, live)
        if self.flat:
            state = state.flatten(1)
        return x, state


class Embedding(nn.Module):
    """Tokens, features or an image to [B, T, d]. Global positions are added here, local ones per chunk."""
    kind: Final[str]
    is_global: Final[bool]

    def __init__(self, c):
        super().__init__()
        self.kind = c.input
        self.is_global = c.pos == "global"
        if c.input == "tokens":
            self.map = nn.Embedding(c.vocab, c.d)
        elif c.input == "features":
            self.map = nn.Linear(c.features, c.d)
        else:
            self.map = nn.Conv2d(c.channels, c.d, c.patch, c.patch)
        n = c.K if c.pos == "local" else c.T
        table = torch.randn(n, c.d) * 0.02 if c.learned_pos else sinusoid(n, c.d)
        self.pos = nn.Parameter(table, requires_grad=c.learned_pos)
        self.norm = nn.LayerNorm(c.d, c.eps) if c.embed_norm else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.map(x)
        if self.kind == "image":
            x = x.flatten(2).transpose(1, 2)
        if self.is_global:
            x = x + self.pos[: x.size(1)]
        return x if self.norm is None else self.norm(x)


class Head(nn.Module):
    """Average over the rows, then one or two linear maps."""
    softmax: Final[bool]

    def __init__(self, c):
        super().__init__()
        self.softmax = c.softmax
        self.norm = nn.LayerNorm(c.d, c.eps) if c.final_norm else None
        self.hidden = nn.Linear(c.d, c.mlp) if c.mlp else None
        self.out = nn.Linear(c.mlp or c.d, c.classes)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is not None:
            x = self.norm(x)
        x = x.mean(dim=1)
        if self.hidden is not None:
            x = torch.relu(self.hidden(x))
        x = self.out(x)
        return torch.softmax(x, dim=-1) if self.softmax else x


class Pool(nn.Module):
    """A sequence in one vector: the average over the rows."""

    def __init__(self, c):
        super().__init__()
        self.norm = nn.LayerNorm(c.d, c.eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x).mean(dim=1)


class TLB(nn.Module):
    """What all forms share. Gives (logits [B, classes], tokens [B, T, d]); of a dual one, (pooled state [B, d], tokens)."""
    K: Final[int]
    T: Final[int]
    is_local: Final[bool]
    mask: Final[bool]
    pool_last: Final[bool]
    is_flat: Final[bool]
    chunks: Final[str]

    def __init__(self, c):
        super().__init__()
        self.K, self.T = c.K, c.T
        self.is_local = c.pos == "local"
        self.mask = c.mask
        self.pool_last = c.pool == "last"
        self.chunks = c.chunks
        self.embedding = Embedding(c)
        self.cell = Cell(c)
        self.is_flat = c.flat_state
        first = torch.zeros(1, c.M, c.d)
        self.first_state = nn.Parameter(first, requires_grad=c.first_state == "learned")
        self.head = Pool(c) if c.dual else Head(c)

    def begin(self, batch: int) -> Tensor:
        """The state in front of the first chunk."""
        state = self.first_state.expand(batch, -1, -1)
        return state.flatten(1) if self.is_flat else state

    def chunk(self, x: Tensor, state: Tensor, live: Optional[Tensor]):
        """The cell on one chunk; local positions are those of the chunk's own rows."""
        if self.is_local:
            x = x + self.embedding.pos[: x.size(1)]
        return self.cell(x, state, live)

    def results(self, ys: List[Tensor], state: Tensor):
        return self.head(ys[-1] if self.pool_last else state), torch.cat(ys, dim=1)


class Unrolled(TLB):
    """A fixed number of chunks: an exporter that traces sees C copies of the cell."""

    def cut(self, x):
        if self.chunks == "slice":
            return [x[:, i : min(i + self.K, self.T)] for i in range(0, self.T, self.K)]
        if self.chunks == "split":
            return torch.split(x, self.K, dim=1)
        stacked = x.reshape(x.size(0), -1, self.K, *x.shape[2:]).transpose(0, 1)
        return [stacked[i] for i in range(self.T // self.K)]

    def forward(self, x):
        masks = self.cut(x > 0) if self.mask else [None] * self.T
        x = self.embedding(x)
        state = self.begin(x.size(0))
        ys = []
        for x, live in zip(self.cut(x), masks):
            y, state = self.chunk(x, state, live)
            ys.append(y)
        return self.results(ys, state)


class Loop(TLB):
    """Any number of tokens and any batch: the exported graph holds one Loop over the chunks.

    kind "list" appends each chunk's tokens to a list and concatenates it after the loop, "while" does the same under
    a counted condition, "buffer" writes each chunk's tokens into a tensor made before the loop (K divides T here).
    """
    kind: Final[str]

    def __init__(self, c):
        super().__init__(c)
        self.kind = c.loop

    def window(self, x: Tensor, i: int) -> Tensor:
        """Rows of chunk i."""
        return x[:, i * self.K : min(i * self.K + self.K, x.size(1))]

    def live_window(self, live: Optional[Tensor], i: int) -> Optional[Tensor]:
        return None if live is None else self.window(live, i)

    def run_for(self, x: Tensor, state: Tensor, live: Optional[Tensor]):
        ys: List[Tensor] = []
        for i in range((x.size(1) + self.K - 1) // self.K):
            y, state = self.chunk(self.window(x, i), state, self.live_window(live, i))
            ys.append(y)
        return ys, state

    def run_stack(self, x: Tensor, state: Tensor, live: Optional[Tensor]):
        ys: List[Tensor] = []
        n = x.size(1) // self.K
        xs = x.reshape(x.size(0), n, self.K, x.size(2)).transpose(0, 1)
        for i in range(n):
            y, state = self.chunk(xs[i], state, self.live_window(live, i))
            ys.append(y)
        return ys, state

    def run_while(self, x: Tensor, state: Tensor, live: Optional[Tensor]):
        ys: List[Tensor] = []
        i = 0
        while i * self.K < x.size(1):
            y, state = self.chunk(self.window(x, i), state, self.live_window(live, i))
            ys.append(y)
            i += 1
        return ys, state

    def run_buffer(self, x: Tensor, state: Tensor, live: Optional[Tensor]):
        out = torch.zeros_like(x)
        for i in range(x.size(1) // self.K):
            y, state = self.chunk(self.window(x, i), state, self.live_window(live, i))
            out[:, i * self.K : i * self.K + self.K] = y
        return [out], state

    def forward(self, x: Tensor):
        live: Optional[Tensor] = None
        if self.mask:
            live = x > 0
        x = self.embedding(x)
        state = self.begin(x.size(0))
        if self.kind == "buffer":
            ys, state = self.run_buffer(x, state, live)
        elif self.kind == "while":
            ys, state = self.run_while(x, state, live)
        elif self.chunks == "stack":
            ys, state = self.run_stack(x, state, live)
        else:
            ys, state = self.run_for(x, state, live)
        return self.results(ys, state)


class Scanned(TLB):
    """A fixed number of whole chunks; the dynamo exporter writes the loop over them as one Scan node."""

    def stack(self, x):
        """[B, T, ...] -> [C, B, K, ...]"""
        return x.reshape(x.size(0), -1, self.K, *x.shape[2:]).transpose(0, 1)

    def step(self, state, inputs):
        y, state = self.chunk(inputs[0], state, inputs[1] if self.mask else None)
        return state, y

    def forward(self, x):
        live = [self.stack(x > 0)] if self.mask else []
        x = self.embedding(x)
        # scan() refuses a carry that overlaps itself in memory, as an expanded one does.
        state = self.begin(x.size(0)).clone()
        state, ys = scan(self.step, state, [self.stack(x), *live], dim=0)
        return self.results(list(ys.unbind(0)), state)


class Stepped(TLB):
    """One chunk: (tokens [B,K], state, position of its first token, if there is a table) -> (logits so far, tokens, ...).
    Of an image a chunk is K of its patches, row by row: [B,K,channels,patch,patch]."""
    is_global: Final[bool]

    def __init__(self, c):
        super().__init__(c)
        self.is_global = c.pos == "global"

    def embed(self, x):
        """A patch is an image of one position."""
        if self.embedding.kind != "image":
            return self.embedding.map(x)
        return self.embedding.map(x.flatten(0, 1)).reshape(x.size(0), self.K, -1)

    def forward(self, x, state, position=None):
        live = x > 0 if self.mask else None
        x = self.embed(x)
        if self.is_global:
            x = x + self.embedding.pos[position + torch.arange(self.K)]
        if self.embedding.norm is not None:
            x = self.embedding.norm(x)
        y, state = self.chunk(x, state, live)
        logits, y = self.results([y], state)
        return (logits, y, state, position + self.K) if self.is_global else (logits, y, state)


class Dual(nn.Module):
    """Two sequences through one encoder (LRA's Retrieval): the pair of their vectors is classified."""
    interact: Final[bool]

    def __init__(self, c, encoder):
        super().__init__()
        self.interact = c.interact
        self.encoder = encoder
        self.hidden = nn.Linear(c.d * (4 if c.interact else 2), c.mlp)
        self.hidden2 = nn.Linear(c.mlp, c.mlp // 2)
        self.out = nn.Linear(c.mlp // 2, c.classes)

    def forward(self, x: Tensor, y: Tensor):
        a, b = self.encoder(x)[0], self.encoder(y)[0]
        parts = [a, b, a * b, a - b] if self.interact else [a, b]
        return self.out(torch.relu(self.hidden2(torch.relu(self.hidden(torch.cat(parts, dim=1))))))


FORMS = {"unrolled": Unrolled, "loop": Loop, "scan": Scanned, "step": Stepped}


class LogitsOnly(nn.Module):
    """The classifier alone; nobody reads the token stream."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor):
        return self.net(x)[0]


def build(c, form):
    """The model with seeded random weights, ready for export."""
    def make():
        net = FORMS[form](c)
        if c.dual:
            return Dual(c, net)
        return net if c.outputs == "both" or form == "step" else LogitsOnly(net)
    return seeded(make, c.seed, c.spread, tables=("pos", "first_state"))
