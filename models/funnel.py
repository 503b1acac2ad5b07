"""Funnel-Transformer, after Dai et al., arXiv 2006.03236: blocks of layers, each block half as long as the one before.

A block after the first begins with pooling: its first layer asks with the pooled rows and looks at the unpooled ones.
The class token is pooled with itself, so that its row stays its own. A layer is post-norm:

    y = norm(x + Attn(q = x or pooled x, k = v = x));   out = norm(y + W2 gelu(W1 y))
    score[i, j] = (q_i + r_w) k_j + position(i, j) + segment(i, j)

`relative_shift` makes position(i, j) of products with a table row for each distance, which are shifted row by row;
`factorized` of four tables of sines and cosines. For tokens the decoder repeats the last block's rows to full length
and adds what came out of the first block.
"""
import dataclasses

import torch
from torch import Tensor, nn

from system import Export, Model, System, generator, seeded

HIDE = 1e6
CLS_TYPE = 2


@dataclasses.dataclass(frozen=True)
class Config:
    length: int
    d: int
    heads: int
    h: int
    ffn: int
    blocks: tuple             # layers of each block
    repeats: tuple            # how often each layer of the block is applied
    decoder: int = 2          # layers of the decoder; 0: none, the last block's rows are the output
    position: str = "relative_shift"
    vocab: int = 30522
    segments: int = 3
    mask: bool = True
    seed: int = 1

    def check(self):
        if self.position not in ("relative_shift", "factorized"):
            raise ValueError("position is relative_shift or factorized")
        if self.length % 2 ** (len(self.blocks) - 1):
            raise ValueError("every block but the last is of even length")


TEST = Config(length=16, d=16, heads=2, h=6, ffn=24, blocks=(1, 2, 1), repeats=(1, 1, 1), vocab=20, decoder=1)
B4 = Config(length=512, d=768, heads=12, h=64, ffn=3072, blocks=(4, 4, 4), repeats=(1, 1, 1))
SIZES = {
    "test": TEST,
    "test_factorized": dataclasses.replace(TEST, position="factorized"),
    "test_base": dataclasses.replace(TEST, decoder=0, repeats=(1, 2, 1), mask=False),
    "b4_4_4": B4,
    "b4_4_4_factorized": dataclasses.replace(B4, position="factorized"),
    "b6_6_6": dataclasses.replace(B4, blocks=(6, 6, 6)),
    "b6_3x2_3x2": dataclasses.replace(B4, blocks=(6, 3, 3), repeats=(1, 2, 2)),
    "b8_8_8": dataclasses.replace(B4, blocks=(8, 8, 8), d=1024, heads=16, ffn=4096),
    "b10_10_10": dataclasses.replace(B4, blocks=(10, 10, 10), d=1024, heads=16, ffn=4096),
    **{f"b4_4_4_t{t}": dataclasses.replace(B4, length=t) for t in (128, 256)},
}


# ---- pooling: rows along an axis, two to one, the class token with itself --------------------------------------------------

def every_second(x: Tensor, axis: int) -> Tensor:
    x = torch.cat([x.narrow(axis, 0, 1), x], dim=axis)
    index = [slice(None)] * x.dim()
    index[axis] = slice(None, -1, 2)
    return x[tuple(index)]


def with_cls_twice(x: Tensor) -> Tensor:
    return torch.cat([x[:, :1], x[:, :-1]], dim=1)


def mean_of_two(x: Tensor) -> Tensor:
    """[B, T, d] -> [B, T/2, d]"""
    return nn.functional.avg_pool2d(with_cls_twice(x)[:, None], (2, 1), ceil_mode=True)[:, 0]


def least_of_two(mask: Tensor) -> Tensor:
    """[B, T] -> [B, T/2]"""
    x = with_cls_twice(mask)[:, None, :, None]
    return -nn.functional.max_pool2d(-x, (2, 1), ceil_mode=True)[:, 0, :, 0]


def to_length(x: Tensor, times: int, length: int) -> Tensor:
    """[B, T / times, d] -> [B, T, d]: each row but the first repeated."""
    rows = torch.repeat_interleave(x[:, 1:], times, dim=1)
    rows = nn.functional.pad(rows, (0, 0, 0, times - 1))[:, : length - 1]
    return torch.cat([x[:, :1], rows], dim=1)


# ---- positions --------------------------------------------------------------------------------------------------------------

def waves(pos: Tensor, d: int):
    angle = pos.float()[:, None] * (1 / 10000 ** (torch.arange(0, d // 2).float() / (d // 2)))
    return torch.sin(angle), torch.cos(angle)


def shift_rows(x: Tensor, keys: int, shift: int) -> Tensor:
    """[B, n, i, rel] -> [B, n, i, keys] with y[i, j] = x[i, j + shift * (queries - i)]: each row starts `shift` earlier."""
    b, n, queries, rel = x.shape
    x = x.reshape(b, n, rel, queries)[:, :, shift:]
    return x.reshape(b, n, queries, rel - shift)[..., :keys]


class Shifted:
    """Tables of distances, from the largest down, for each block and both of its kinds of layer."""

    def __init__(self, c):
        self.tables = {}
        rows = torch.arange(-2 * c.length, 2 * c.length)
        table = torch.cat(waves(rows, c.d), dim=1)
        pos = list(range(c.length))
        for block in range(len(c.blocks)):
            if block:
                pooled = [1 - 2 ** block] + pos[1:-1][::2]
                self.add(table, block, 2, pooled, pos, 2 ** (block - 1), 2 * c.length)
                pos = pooled
            self.add(table, block, 1, pos, pos, 2 ** block, 2 * c.length)

    def add(self, table, block, shift, queries, keys, stride, zero):
        most = queries[0] - keys[0] + shift * len(queries) * stride
        rel = torch.arange(most, queries[0] - keys[-1] - 1, -stride) + zero
        self.tables[block, shift] = torch.gather(table, 0, rel[:, None].expand(-1, table.size(1)))

    def pool_queries(self):
        pass

    def pool_keys(self):
        pass

    def score(self, q: Tensor, w: Tensor, keys: int, block: int) -> Tensor:
        shift = 1 if q.size(1) == keys else 2
        r = torch.einsum("td,dnh->tnh", self.tables[block, shift], w)
        return shift_rows(torch.einsum("binh,tnh->bnit", q, r), keys, shift)


class Factorized:
    """sin and cos of i - j by those of i and of j: two tables for the queries, two for the keys."""

    def __init__(self, c):
        sin, cos = waves(torch.arange(0, c.length), c.d)
        self.queries = [torch.cat([sin, sin], dim=1), torch.cat([cos, cos], dim=1)]
        self.keys = [torch.cat([cos, sin], dim=1), torch.cat([-sin, cos], dim=1)]

    def pool_queries(self):
        self.queries = [every_second(t, 0) for t in self.queries]

    def pool_keys(self):
        self.keys = [every_second(t, 0) for t in self.keys]

    def score(self, q: Tensor, w: Tensor, keys: int, block: int) -> Tensor:
        q = torch.einsum("binh,dnh->bind", q, w)
        parts = [torch.einsum("bind,jd->bnij", q * t[:, None], k) for t, k in zip(self.queries, self.keys)]
        return parts[0] + parts[1]


class Scope:
    """What all layers of a run look at besides the rows: masks and positions, pooled as the rows are."""

    def __init__(self, c, mask, types):
        self.block = 0
        self.positions = (Shifted if c.position == "relative_shift" else Factorized)(c)
        self.mask = mask
        cls = types == CLS_TYPE
        self.same = (types[:, :, None] == types[:, None]) | cls[:, :, None] | cls[:, None]
        self.not_cls = nn.functional.pad(torch.ones(c.length - 1, c.length - 1), (1, 0, 1, 0))

    def pool_queries(self):
        self.block += 1
        self.positions.pool_queries()
        self.same = every_second(self.same, 1)
        self.not_cls = every_second(self.not_cls, 0)

    def pool_keys(self):
        self.positions.pool_keys()
        self.same = every_second(self.same, 2)
        self.not_cls = every_second(self.not_cls, 1)
        if self.mask is not None:
            self.mask = least_of_two(self.mask)


# ---- layers -----------------------------------------------------------------------------------------------------------------

class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        n, h = c.heads, c.h
        self.heads, self.h = n, h
        self.q = nn.Linear(c.d, n * h, bias=False)
        self.k, self.v = nn.Linear(c.d, n * h), nn.Linear(c.d, n * h)
        self.r_w, self.r_r, self.r_s = (nn.Parameter(0.3 * torch.randn(n, h)) for _ in range(3))
        self.r = nn.Parameter(torch.randn(c.d, n, h) / c.d ** 0.5)
        self.segments = nn.Parameter(torch.randn(2, n, h))
        self.o = nn.Linear(n * h, c.d)
        self.norm = nn.LayerNorm(c.d, eps=1e-9)

    def split(self, x: Tensor) -> Tensor:
        return x.reshape(x.size(0), x.size(1), self.heads, self.h)

    def segment_score(self, q: Tensor, same: Tensor) -> Tensor:
        different, alike = torch.einsum("bind,snd->bnis", q, self.segments).split(1, dim=-1)
        same = same[:, None].expand(-1, self.heads, -1, -1)
        return torch.where(same, alike.expand(same.shape), different.expand(same.shape))

    def forward(self, rows: Tensor, seen: Tensor, scope: Scope) -> Tensor:
        scale = self.h ** -0.5
        q, k, v = self.split(self.q(rows)) * scale, self.split(self.k(seen)), self.split(self.v(seen))
        score = torch.einsum("bind,bjnd->bnij", q + self.r_w * scale, k)
        position = scope.positions.score(q + self.r_r * scale, self.r, seen.size(1), scope.block)
        segment = self.segment_score(q + self.r_s * scale, scope.same)
        score = score + position * scope.not_cls + segment * scope.not_cls
        if scope.mask is not None:
            score = score - HIDE * (1 - scope.mask[:, None, None].float())
        out = torch.einsum("bnij,bjnd->bind", torch.softmax(score, dim=-1), v)
        return self.norm(rows + self.o(out.reshape(out.size(0), out.size(1), -1)))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.attention = Attention(c)
        self.up, self.down = nn.Linear(c.d, c.ffn), nn.Linear(c.ffn, c.d)
        self.norm = nn.LayerNorm(c.d, eps=1e-9)

    def forward(self, rows: Tensor, seen: Tensor, scope: Scope) -> Tensor:
        y = self.attention(rows, seen, scope)
        return self.norm(y + self.down(nn.functional.gelu(self.up(y), approximate="tanh")))


class Funnel(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.words = nn.Embedding(c.vocab, c.d)
        self.norm = nn.LayerNorm(c.d, eps=1e-9)
        self.blocks = nn.ModuleList(nn.ModuleList(Layer(c) for _ in range(n)) for n in c.blocks)
        self.decoder = nn.ModuleList(Layer(c) for _ in range(c.decoder))

    def encode(self, x: Tensor, scope: Scope):
        """The rows after the last block and those after the first."""
        first = x
        for i, block in enumerate(self.blocks):
            if i:
                scope.pool_queries()
                x = block[0](mean_of_two(x), x, scope)
                scope.pool_keys()
            for j, layer in enumerate(block):
                for _ in range(self.c.repeats[i] - (1 if i and j == 0 else 0)):
                    x = layer(x, x, scope)
            if i == 0:
                first = x
        return x, first

    def forward(self, tokens: Tensor, types: Tensor, mask: Tensor = None):
        x, first = self.encode(self.norm(self.words(tokens)), Scope(self.c, mask, types))
        if not self.decoder:
            return x
        x = to_length(x, 2 ** (len(self.blocks) - 1), first.size(1)) + first
        scope = Scope(self.c, mask, types)
        for layer in self.decoder:
            x = layer(x, x, scope)
        return x


def build(c, form, exporter, batch):
    """The tables of positions follow the length at export: it is fixed, the batch need not be."""
    c.check()
    net, g = seeded(lambda: Funnel(c)), generator(c)

    def one_set(b):
        tokens = torch.randint(1, c.vocab, (b, c.length), generator=g)
        types = torch.randint(0, 2, (b, c.length), generator=g).sort(dim=1).values
        types[:, 0] = CLS_TYPE
        ends = torch.randint(c.length // 2, c.length + 1, (b, 1), generator=g)
        return (tokens, types, (torch.arange(c.length) < ends).float())[: 3 if c.mask else 2]

    inputs, outputs = ["tokens", "types", "mask"][: 3 if c.mask else 2], ["rows"]
    sets = [one_set(b) for b in ([2, 1, 3] if batch == "dynamic" else [int(batch)] * 2)]
    dynamic = {name: {0: "batch"} for name in inputs + outputs} if batch == "dynamic" else {}
    return Model(net, sets, inputs, outputs, dynamic)


SYSTEMS = [
    System(name="funnel", what="Funnel-Transformer: blocks of halved length, pooled queries, decoder at full length",
           sizes=SIZES, forms={"whole": "tokens to rows"}, build=build,
           tests=(Export("test", "whole", "torchscript", batch="dynamic"), Export("test", "whole", "dynamo"),
                  Export("test_factorized", "whole", "torchscript"),
                  Export("test_factorized", "whole", "dynamo", batch="dynamic"),
                  Export("test_base", "whole", "torchscript", opset=13))),
]
