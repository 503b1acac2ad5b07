"""Token recycling in a vision transformer: the blocks are cut in two, and tokens of earlier glimpses are used again.

A glimpse is a square of patches. The extractor, the first blocks, sees one glimpse alone; the aggregator, the others, sees
the tokens of all glimpses so far, and the average of their class tokens:

    z = extractor([cls; patches(glimpse) + position[ids]])            [B, 1+G, d]
    mean = mean * t/(t+1) + z[0]/(t+1);  cache = [cache; z[1:]]
    x = aggregator([mean; cache]);  logits = head(norm x)[0]

Systems: `tore` classifies after every glimpse, `tore_extract` and `tore_aggregate` are its two halves alone, `tore_mae`
decodes the cached tokens to an image and chooses the next glimpse where the decoder's attention has the highest entropy.
"""
import dataclasses
import math
from typing import Final, List

import torch
from torch import Tensor, nn

from system import Export, Model, System, chain, generator, seeded


@dataclasses.dataclass(frozen=True)
class Config:
    d: int = 32
    depth: int = 4
    cut: int = 2             # blocks of the extractor
    heads: int = 4
    ratio: int = 2           # hidden width of the feed-forward part over d
    grid: int = 4            # patches along a side of the image
    patch: int = 4
    glimpse: int = 2         # patches along a side of a glimpse
    glimpses: int = 4
    classes: int = 5
    layer_scale: bool = False
    sincos: bool = False     # fixed positions of sines and cosines instead of learned ones
    # decoder of tore_mae
    dec_d: int = 16
    dec_heads: int = 2
    dec_depth: int = 1
    cache: str = "masked"    # a step attends to "masked", the whole cache with a mask, or to the "cut" that is filled
    eps: float = 1e-6
    seed: int = 1

    @property
    def tokens(self):
        """Of a glimpse."""
        return self.glimpse * self.glimpse

    def check(self):
        if self.cache not in ("masked", "cut"):
            raise ValueError("cache is masked or cut")


def sincos_table(grid, d):
    """Positions of grid x grid patches: half of the columns for the row, half for the column. [grid*grid, d]"""
    rate = 1e4 ** (-torch.arange(d // 4) / (d // 4))
    angle = torch.arange(grid)[:, None] * rate
    axis = torch.cat([angle.sin(), angle.cos()], dim=1)
    rows, columns = axis.repeat_interleave(grid, 0), axis.repeat(grid, 1)
    return torch.cat([rows, columns], dim=1)


class Attention(nn.Module):
    """Multi-head self-attention with one projection for q, k and v."""
    heads: Final[int]
    width: Final[int]

    def __init__(self, d, heads):
        super().__init__()
        self.heads, self.width = heads, d // heads
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def weights(self, x: Tensor, hide: Tensor):
        """Softmax of the scores [B, heads, n, n] and the values. `hide` is added to the scores."""
        qkv = self.qkv(x).reshape(x.size(0), x.size(1), 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        scores = torch.matmul(qkv[0], qkv[1].transpose(-2, -1)) * self.width ** -0.5
        return torch.softmax(scores + hide, dim=-1), qkv[2]

    def forward(self, x: Tensor, hide: Tensor):
        p, v = self.weights(x, hide)
        out = torch.matmul(p, v).transpose(1, 2).reshape(x.size(0), x.size(1), self.heads * self.width)
        return self.proj(out), p


class Block(nn.Module):
    """Pre-norm block; with layer scale each residual has a factor for each channel."""

    def __init__(self, d, heads, ratio, eps, layer_scale=False):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d, eps), nn.LayerNorm(d, eps)
        self.attention = Attention(d, heads)
        self.up, self.down = nn.Linear(d, ratio * d), nn.Linear(ratio * d, d)
        self.scale1 = nn.Parameter(torch.full((d,), 0.5)) if layer_scale else None
        self.scale2 = nn.Parameter(torch.full((d,), 0.5)) if layer_scale else None

    def forward(self, x: Tensor, hide: Tensor):
        a, p = self.attention(self.norm1(x), hide)
        x = x + (a if self.scale1 is None else a * self.scale1)
        f = self.down(nn.functional.gelu(self.up(self.norm2(x))))
        return x + (f if self.scale2 is None else f * self.scale2), p


class Extractor(nn.Module):
    """One glimpse f32[B, 3, g*p, g*p] and where its patches are, i64[B, G], to tokens [B, 1+G, d]."""

    def __init__(self, c):
        super().__init__()
        self.patches = nn.Conv2d(3, c.d, c.patch, c.patch)
        self.cls = nn.Parameter(0.1 * torch.randn(1, 1, c.d))
        table = sincos_table(c.grid, c.d) if c.sincos else 0.1 * torch.randn(c.grid * c.grid, c.d)
        self.position = nn.Parameter(table, requires_grad=not c.sincos)
        self.blocks = nn.ModuleList(Block(c.d, c.heads, c.ratio, c.eps, c.layer_scale) for _ in range(c.cut))
        self.register_buffer("nothing", torch.zeros(1))

    def forward(self, pixels: Tensor, ids: Tensor) -> Tensor:
        z = self.patches(pixels).flatten(2).transpose(1, 2) + self.position[ids]
        z = torch.cat([self.cls.expand(z.size(0), -1, -1), z], dim=1)
        for block in self.blocks:
            z, _ = block(z, self.nothing)
        return z


class Aggregator(nn.Module):
    """Mean class token [B, d] and cached tokens [B, S, d] to logits. `hide` [B, 1, 1, 1+S]: -1e10 for tokens that are not."""

    def __init__(self, c):
        super().__init__()
        self.blocks = nn.ModuleList(Block(c.d, c.heads, c.ratio, c.eps, c.layer_scale) for _ in range(c.depth - c.cut))
        self.norm, self.head = nn.LayerNorm(c.d, c.eps), nn.Linear(c.d, c.classes)

    def forward(self, mean: Tensor, cache: Tensor, hide: Tensor) -> Tensor:
        x = torch.cat([mean[:, None], cache], dim=1)
        for block in self.blocks:
            x, _ = block(x, hide)
        return self.head(self.norm(x)[:, 0])


class Halves(nn.Module):
    tokens: Final[int]
    d: Final[int]

    def __init__(self, c):
        super().__init__()
        self.tokens, self.d = c.tokens, c.d
        self.extractor, self.aggregator = Extractor(c), Aggregator(c)
        self.register_buffer("nothing", torch.zeros(1))


class Whole(Halves):
    """All glimpses at once, f32[B, N, 3, g*p, g*p]: they are a batch for the extractor."""

    def forward(self, pixels, ids):
        b, n = pixels.shape[:2]
        z = self.extractor(pixels.flatten(0, 1), ids.flatten(0, 1)).reshape(b, n, 1 + self.tokens, self.d)
        return self.aggregator(z[:, :, 0].mean(dim=1), z[:, :, 1:].flatten(1, 2), self.nothing)


class Unrolled(Halves):
    """One glimpse after the other; logits after each, [B, N, classes]."""

    def forward(self, pixels, ids):
        mean, cache, logits = torch.zeros(pixels.size(0), self.d), [], []
        for t in range(pixels.size(1)):
            z = self.extractor(pixels[:, t], ids[:, t])
            mean = mean * (t / (t + 1)) + z[:, 0] * (1 / (t + 1))
            cache.append(z[:, 1:])
            logits.append(self.aggregator(mean, torch.cat(cache, dim=1), self.nothing))
        return torch.stack(logits, dim=1)


class Loop(Halves):
    """Any number of glimpses: the cache grows from round to round."""

    def forward(self, pixels: Tensor, ids: Tensor):
        mean = torch.zeros(pixels.size(0), self.d)
        cache = torch.zeros(pixels.size(0), 0, self.d)
        logits: List[Tensor] = []
        for t in range(pixels.size(1)):
            z = self.extractor(pixels[:, t], ids[:, t])
            mean = mean * (float(t) / float(t + 1)) + z[:, 0] * (1.0 / float(t + 1))
            cache = torch.cat([cache, z[:, 1:]], dim=1)
            logits.append(self.aggregator(mean, cache, self.nothing))
        return torch.stack(logits, dim=1)


class Stepped(Halves):
    """One more glimpse; the cache [B, S, d] has room for all, `count` i64[1] glimpses are in it."""

    def __init__(self, c):
        super().__init__(c)
        self.is_cut = c.cache == "cut"
        self.room = c.glimpses * c.tokens

    def forward(self, pixels, ids, mean, cache, count):
        z = self.extractor(pixels, ids)
        t = count.to(torch.float32)
        mean = mean * (t / (t + 1)) + z[:, 0] / (t + 1)
        where = count * self.tokens + torch.arange(self.tokens)
        cache = cache.index_copy(1, where, z[:, 1:])
        count = count + 1
        if self.is_cut:
            logits = self.aggregator(mean, cache[:, : (count * self.tokens).item()], self.nothing)
        else:
            filled = torch.arange(1 + self.room) <= count * self.tokens
            logits = self.aggregator(mean, cache, torch.where(filled, 0.0, -1e10))
        return logits, mean, cache, count


class ExtractOnly(Halves):
    def forward(self, pixels, ids):
        return self.extractor(pixels, ids)


class AggregateOnly(Halves):
    def forward(self, mean, cache):
        return self.aggregator(mean, cache, self.nothing)


class Decoder(nn.Module):
    """Tokens of the known patches [B, S, d], where they are, and the class token to the whole image and the next glimpse.

    Attention of the last block, without the class token's row and column, says where the decoder is unsure: entropies
    a * -log2 a, summed over heads and keys, known patches left out, averaged over places of a glimpse; the highest wins.
    """

    def __init__(self, c):
        super().__init__()
        self.grid, self.glimpse, self.patch = c.grid, c.glimpse, c.patch
        self.narrow = nn.Linear(c.d, c.dec_d)
        self.unknown = nn.Parameter(0.1 * torch.randn(1, 1, c.dec_d))
        self.register_buffer("position", sincos_table(c.grid, c.dec_d))
        self.register_buffer("nothing", torch.zeros(1))
        self.blocks = nn.ModuleList(Block(c.dec_d, c.dec_heads, 4, c.eps) for _ in range(c.dec_depth))
        self.norm, self.out = nn.LayerNorm(c.dec_d, c.eps), nn.Linear(c.dec_d, 3 * c.patch * c.patch)

    def next_glimpse(self, p, ids):
        """p [B, heads, 1+N, 1+N]; -> the patch at the upper left corner of the next glimpse [B], the map of entropies."""
        a = p[:, :, 1:, 1:]
        bits = -a * torch.log2(a)
        bits = torch.where(torch.isnan(bits), 0.0, bits).sum(dim=(1, 3))
        bits = bits.scatter(1, ids, 0.0)
        image = bits.reshape(-1, 1, self.grid, self.grid)
        mean = nn.functional.avg_pool2d(image, self.glimpse, stride=1)
        mean = nn.functional.pad(mean, (0, self.glimpse - 1, 0, self.glimpse - 1))
        return mean.flatten(1).argmax(dim=1), bits

    def forward(self, cls, tokens, ids):
        known = self.narrow(tokens)
        n = self.grid * self.grid
        x = self.unknown.expand(known.size(0), n, -1)
        x = x.scatter(1, ids[:, :, None].expand(-1, -1, known.size(2)), known) + self.position
        x = torch.cat([self.narrow(cls)[:, None], x], dim=1)
        for block in self.blocks:
            x, p = block(x, self.nothing)
        patches = self.out(self.norm(x))[:, 1:]
        image = patches.reshape(-1, self.grid, self.grid, self.patch, self.patch, 3).permute(0, 5, 1, 3, 2, 4)
        image = image.reshape(-1, 3, self.grid * self.patch, self.grid * self.patch)
        return image, *self.next_glimpse(p, ids)


def glimpses(c, batch, n, random):
    """Pixels [batch, n, 3, side, side] and ids [batch, n, G] of glimpses that do not overlap."""
    side = c.glimpse * c.patch
    per_row = c.grid // c.glimpse
    order = torch.stack([torch.randperm(per_row * per_row, generator=random)[:n] for _ in range(batch)])
    corner = (order // per_row) * c.glimpse * c.grid + (order % per_row) * c.glimpse
    inside = (torch.arange(c.glimpse)[:, None] * c.grid + torch.arange(c.glimpse)).flatten()
    return torch.randn(batch, n, 3, side, side, generator=random), corner[:, :, None] + inside


def rows(batch, more=(2, 1, 3)):
    return list(more) if batch == "dynamic" else [int(batch)] * 2


def named(names, axes, batch):
    return {n: axes for n in names} if batch == "dynamic" else {}


NETS = {"whole": Whole, "unrolled": Unrolled, "loop": Loop, "step": Stepped}


def model(c, form, exporter, batch):
    net = seeded(lambda: NETS[form](c), c.seed)
    random = generator(c)
    if form == "step":
        b = rows(batch)[0]
        pixels, ids = glimpses(c, b, min(c.glimpses, 3), random)
        states = [torch.zeros(b, c.d), torch.zeros(b, c.glimpses * c.tokens, c.d), torch.zeros(1, dtype=torch.int64)]
        names = ["mean", "cache", "count"]
        sets = chain(net, list(zip(pixels.unbind(1), ids.unbind(1))), states, 1)
        dynamic = named(["pixels", "ids", "mean", "cache", "logits", "mean_next", "cache_next"], {0: "batch"}, batch)
        return Model(net, sets, ["pixels", "ids", *names], ["logits", *(n + "_next" for n in names)], dynamic,
                     states={n: n + "_next" for n in names})
    counts = [2, c.glimpses, 1] if form == "loop" else [c.glimpses] * 3
    sets = [glimpses(c, b, n, random) for b, n in zip(rows("dynamic" if form == "loop" else batch), counts)]
    axes = {0: "batch", 1: "glimpses"} if form == "loop" else {0: "batch"}
    dynamic = named(["pixels", "ids", "logits"], axes, "dynamic" if form == "loop" else batch)
    return Model(net, sets, ["pixels", "ids"], ["logits"], dynamic, exported=torch.jit.script(net) if form == "loop" else None)


def extract_model(c, form, exporter, batch):
    net = seeded(lambda: ExtractOnly(c), c.seed)
    random = generator(c)
    sets = [tuple(t[:, 0] for t in glimpses(c, b, 1, random)) for b in rows(batch)]
    return Model(net, sets, ["pixels", "ids"], ["tokens"], named(["pixels", "ids", "tokens"], {0: "batch"}, batch))


def aggregate_model(c, form, exporter, batch):
    """Of a dynamic number of cached tokens."""
    net = seeded(lambda: AggregateOnly(c), c.seed)
    random = generator(c)
    sets = [(torch.randn(b, c.d, generator=random), torch.randn(b, n * c.tokens, c.d, generator=random))
            for b, n in zip(rows(batch) + rows(batch), [2, 1, c.glimpses])]
    dynamic = {"cache": {1: "filled"}}
    if batch == "dynamic":
        dynamic = {"mean": {0: "batch"}, "cache": {0: "batch", 1: "filled"}, "logits": {0: "batch"}}
    return Model(net, sets, ["mean", "cache"], ["logits"], dynamic)


def mae_model(c, form, exporter, batch):
    net = seeded(lambda: Decoder(c), c.seed)
    random = generator(c)
    counts = [2, 1, c.glimpses - 1]
    sets = []
    for b, n in zip(rows(batch) + rows(batch), counts):
        ids = glimpses(c, b, n, random)[1].flatten(1)
        sets.append((torch.randn(b, c.d, generator=random), torch.randn(*ids.shape, c.d, generator=random), ids))
    axes = {0: "batch", 1: "known"} if batch == "dynamic" else {1: "known"}
    dynamic = {"tokens": axes, "ids": axes, **named(["cls", "image", "next", "entropy"], {0: "batch"}, batch)}
    return Model(net, sets, ["cls", "tokens", "ids"], ["image", "next", "entropy"], dynamic)


def refuse(c, form, exporter, batch):
    if form == "loop" and exporter == "dynamo":
        return "the loop is scripted, which the dynamo exporter does not take"
    if form == "step" and c.cache == "cut" and exporter == "torchscript":
        return "cache=cut cuts at a number in a tensor, which tracing would write into the graph"
    return None


BASE = Config(d=768, depth=12, cut=6, heads=12, ratio=4, grid=14, patch=16, glimpse=2, glimpses=12, classes=1000,
              sincos=True, dec_d=128, dec_heads=4)
SIZES = {
    "test": Config(),
    "deit_s": dataclasses.replace(BASE, d=384, heads=6, layer_scale=True, sincos=False),
    "deit_b": dataclasses.replace(BASE, layer_scale=True, sincos=False),
    "mae_b": BASE,
    "mae_b_classic": dataclasses.replace(BASE, dec_d=512, dec_heads=16, dec_depth=8),
}
ONCE = {"whole": "one graph"}

SYSTEMS = [
    System(name="tore", what="token recycling: class logits from glimpses, tokens of earlier ones cached", sizes=SIZES,
           build=model, refuse=refuse,
           forms={"whole": "all glimpses at once, a batch for the extractor", "unrolled": "logits after each glimpse",
                  "loop": "a Loop over the glimpses, with a cache that grows", "step": "one more glimpse; cache with room for all"},
           tests=(Export("test", "whole", "torchscript", batch="2"),
                  Export("test", "whole", "dynamo", batch="dynamic", settings="layer_scale=1", label="scale"),
                  Export("test", "unrolled", "dynamo"),
                  Export("test", "loop", "torchscript"),
                  Export("test", "step", "torchscript", batch="2"),
                  Export("test", "step", "dynamo"),
                  Export("test", "step", "dynamo", settings="cache=cut", label="cut"))),
    System(name="tore_extract", what="the extractor of tore alone", sizes=SIZES, build=extract_model, forms=ONCE,
           tests=(Export("test", "whole", "torchscript", batch="dynamic"),)),
    System(name="tore_aggregate", what="the aggregator of tore alone, over any number of cached tokens", sizes=SIZES,
           build=aggregate_model, forms=ONCE, tests=(Export("test", "whole", "dynamo"), Export("test", "whole", "torchscript"))),
    System(name="tore_mae", what="the decoder of tore: image and next glimpse", sizes=SIZES, build=mae_model, forms=ONCE,
           tests=(Export("test", "whole", "torchscript", batch="dynamic"), Export("test", "whole", "dynamo"))),
]
