"""CRATE, the white-box transformer, after Yu et al., arXiv 2311.13110, and its masked auto-encoder, arXiv 2404.02446.

A layer looks at its tokens through one matrix U for queries, keys and values alike, and then takes one step towards a
sparse code of them in the dictionary D:

    u = x + MSSA(norm x)            MSSA(z) = softmax(w w^T / sqrt(h)) w O + o,  w = z U,  per head
    x = ISTA(norm u)                ISTA(z) = relu(z + eta (z D - (z D^T) D) - eta lambda)

There is no residual around ISTA. The auto-encoder's decoder undoes a layer: x = z - MSSA(norm z), z = (norm y) D'^T.
"""
import dataclasses
import math

import torch
from torch import Tensor, nn

from system import Export, Model, System, generator, seeded


@dataclasses.dataclass(frozen=True)
class Config:
    d: int
    depth: int
    heads: int
    h: int
    image: int = 224
    patch: int = 16
    classes: int = 1000
    eta: float = 0.1
    sparse: float = 0.1       # lambda
    decoder: int = 0          # layers of the auto-encoder's decoder
    kept: int = 0             # patches that the encoder sees, of (image / patch)^2
    seed: int = 1

    @property
    def patches(self):
        return (self.image // self.patch) ** 2


SIZES = {
    "test": Config(d=32, depth=2, heads=2, h=12, image=16, patch=4, classes=5),
    "test_one": Config(d=16, depth=1, heads=1, h=16, image=8, patch=4, classes=3),
    "tiny": Config(d=384, depth=12, heads=6, h=64),
    "small": Config(d=576, depth=12, heads=12, h=48),
    "base": Config(d=768, depth=12, heads=12, h=64),
    "large": Config(d=1024, depth=24, heads=16, h=64),
}
MAE_SIZES = {
    "test": Config(d=32, depth=2, heads=2, h=12, image=16, patch=4, sparse=0.5, decoder=2, kept=4),
    "small": Config(d=576, depth=12, heads=12, h=48, sparse=0.5, decoder=12, kept=49),
    "base": Config(d=768, depth=12, heads=12, h=64, sparse=0.5, decoder=12, kept=49),
}


def patches_of(x: Tensor, p: int) -> Tensor:
    """[B, 3, H, W] -> [B, H/p * W/p, p*p*3], pixels before channels."""
    b, c, height, width = x.shape
    x = x.reshape(b, c, height // p, p, width // p, p)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(b, (height // p) * (width // p), p * p * c)


class SubspaceAttention(nn.Module):
    """MSSA: one projection is query, key and value."""

    def __init__(self, c):
        super().__init__()
        self.heads, self.h = c.heads, c.h
        self.u = nn.Linear(c.d, c.heads * c.h, bias=False)
        self.o = nn.Identity() if c.heads == 1 and c.h == c.d else nn.Linear(c.heads * c.h, c.d)

    def forward(self, z: Tensor) -> Tensor:
        b, n = z.shape[:2]
        w = self.u(z).reshape(b, n, self.heads, self.h).transpose(1, 2)
        a = torch.softmax(w @ w.transpose(-1, -2) / math.sqrt(self.h), dim=-1)
        return self.o((a @ w).transpose(1, 2).reshape(b, n, self.heads * self.h))


class SparseStep(nn.Module):
    """ISTA: one proximal gradient step towards a sparse code in the dictionary."""

    def __init__(self, c):
        super().__init__()
        self.dictionary = nn.Parameter(torch.randn(c.d, c.d) / math.sqrt(c.d))
        self.eta, self.sparse = c.eta, c.sparse

    def forward(self, z: Tensor) -> Tensor:
        code = z @ self.dictionary.t()
        gradient = z @ self.dictionary - code @ self.dictionary
        return torch.relu(z + self.eta * gradient - self.eta * self.sparse)


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm_attention, self.attention = nn.LayerNorm(c.d), SubspaceAttention(c)
        self.norm_step, self.step = nn.LayerNorm(c.d), SparseStep(c)

    def forward(self, x: Tensor) -> Tensor:
        u = x + self.attention(self.norm_attention(x))
        return self.step(self.norm_step(u))


class DecoderLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm_step = nn.LayerNorm(c.d)
        self.dictionary = nn.Parameter(torch.randn(c.d, c.d) / math.sqrt(c.d))
        self.norm_attention, self.attention = nn.LayerNorm(c.d), SubspaceAttention(c)

    def forward(self, y: Tensor) -> Tensor:
        z = self.norm_step(y) @ self.dictionary.t()
        return z - self.attention(self.norm_attention(z))


class Embedding(nn.Module):
    """Patches with positions; the class token in front has position 0."""

    def __init__(self, c):
        super().__init__()
        self.patch = c.patch
        width = 3 * c.patch ** 2
        self.map = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, c.d), nn.LayerNorm(c.d))
        self.cls = nn.Parameter(torch.randn(1, 1, c.d))
        self.pos = nn.Parameter(torch.randn(1, 1 + c.patches, c.d))

    def patches(self, image: Tensor) -> Tensor:
        return self.map(patches_of(image, self.patch)) + self.pos[:, 1:]

    def with_cls(self, x: Tensor) -> Tensor:
        return torch.cat([(self.cls + self.pos[:, :1]).expand(x.size(0), -1, -1), x], dim=1)


class Crate(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embedding = Embedding(c)
        self.layers = nn.Sequential(*(Layer(c) for _ in range(c.depth)))
        self.norm = nn.LayerNorm(c.d)
        self.head = nn.Linear(c.d, c.classes)

    def forward(self, image: Tensor) -> Tensor:
        x = self.layers(self.embedding.with_cls(self.embedding.patches(image)))
        return self.head(self.norm(x[:, 0]))


class CrateMae(nn.Module):
    """Patches `seen` [B, kept] go through the encoder; the decoder gives the pixels of all of them.

    `place` [B, patches] tells for each patch which of (the seen ones, then one mask token for each other) stands there.
    """

    def __init__(self, c):
        super().__init__()
        self.patches, self.kept = c.patches, c.kept
        self.embedding = Embedding(c)
        self.encoder = nn.Sequential(*(Layer(c) for _ in range(c.depth)))
        self.norm = nn.LayerNorm(c.d)
        self.to_decoder = nn.Linear(c.d, c.d)
        self.hole = nn.Parameter(torch.randn(1, 1, c.d))
        self.pos = nn.Parameter(torch.randn(1, 1 + c.patches, c.d))
        self.decoder = nn.Sequential(*(DecoderLayer(c) for _ in range(c.decoder)))
        self.norm_out = nn.LayerNorm(c.d)
        self.pixels = nn.Linear(c.d, 3 * c.patch ** 2)

    def rows(self, x: Tensor, index: Tensor) -> Tensor:
        return torch.gather(x, 1, index[:, :, None].expand(-1, -1, x.size(2)))

    def forward(self, image: Tensor, seen: Tensor, place: Tensor):
        x = self.rows(self.embedding.patches(image), seen)
        code = self.norm(self.encoder(self.embedding.with_cls(x)))
        y = self.to_decoder(code)
        holes = self.hole.expand(y.size(0), self.patches - self.kept, -1)
        rest = self.rows(torch.cat([y[:, 1:], holes], dim=1), place)
        y = self.decoder(torch.cat([y[:, :1], rest], dim=1) + self.pos)
        return self.pixels(self.norm_out(y))[:, 1:], code


def batches(batch):
    return [2, 1, 3] if batch == "dynamic" else [int(batch)] * 2


def build(c, form, exporter, batch):
    net, g = seeded(lambda: Crate(c)), generator(c)
    sets = [(torch.rand(b, 3, c.image, c.image, generator=g),) for b in batches(batch)]
    dynamic = {"image": {0: "batch"}, "logits": {0: "batch"}} if batch == "dynamic" else {}
    return Model(net, sets, ["image"], ["logits"], dynamic)


def build_mae(c, form, exporter, batch):
    net, g = seeded(lambda: CrateMae(c)), generator(c)

    def one_set(b):
        order = torch.rand(b, c.patches, generator=g).argsort(dim=1)
        return torch.rand(b, 3, c.image, c.image, generator=g), order[:, : c.kept].contiguous(), order.argsort(dim=1)

    inputs, outputs = ["image", "seen", "place"], ["pixels", "code"]
    dynamic = {name: {0: "batch"} for name in inputs + outputs} if batch == "dynamic" else {}
    return Model(net, [one_set(b) for b in batches(batch)], inputs, outputs, dynamic)


SYSTEMS = [
    System(name="crate", what="CRATE: one projection for q, k and v, and a sparse coding step for the feed-forward part",
           sizes=SIZES, forms={"whole": "image to logits"}, build=build,
           tests=(Export("test", "whole", "torchscript", batch="dynamic"), Export("test", "whole", "dynamo"),
                  Export("test_one", "whole", "torchscript", opset=13))),
    System(name="crate_mae", what="CRATE-MAE: the masked auto-encoder", sizes=MAE_SIZES,
           forms={"whole": "image and the order of its patches to pixels and code"}, build=build_mae,
           tests=(Export("test", "whole", "torchscript"), Export("test", "whole", "dynamo", batch="dynamic"))),
]
