"""McQuic: learned image compression with multivariate vector quantisation, after Zhu et al., arXiv 2203.10897.

Two models share their codebooks: `mcquic_encode` gives an image's codes at three levels, each of half the resolution
of the one before, `mcquic_decode` makes an image of codes. At each level a vector of `ch / m` channels is replaced by
the number of the nearest of k vectors of a codebook:

    code[b, m, y, x] = argmin over k of |q[b, m, y, x] - codebook[m, k]|^2

What the code does not say goes to the next level. Images are padded to whole tiles of 128 by reflection before.
"""
import dataclasses
import math

import torch
from torch import Tensor, nn

from system import Export, Model, System, generator, seeded

TILE = 128


@dataclasses.dataclass(frozen=True)
class Config:
    ch: int
    m: int
    k: tuple
    height: int = 512
    width: int = 768
    tile: int = TILE
    seed: int = 1


SIZES = {
    "test": Config(ch=4, m=2, k=(16, 8, 4), height=64, width=64, tile=64),
    "test_pad": Config(ch=4, m=2, k=(16, 8, 4), height=50, width=39, tile=64),
    "ch128": Config(ch=128, m=2, k=(8192, 2048, 512)),
    "ch192": Config(ch=192, m=12, k=(8192, 2048, 512)),
}


def conv(c_in, c_out, k=3, stride=1):
    return nn.Conv2d(c_in, c_out, k, stride, padding=k // 2)


class Gdn(nn.Module):
    """Divisive normalisation y = x / sqrt(beta + Gamma x^2), or its inverse; beta and Gamma are kept as roots."""

    def __init__(self, ch, inverse=False):
        super().__init__()
        self.inverse = inverse
        self.eps = 2.0 ** -36
        beta, gamma = 0.5 + torch.rand(ch), 0.1 * torch.eye(ch) + 0.02 * torch.rand(ch, ch)
        self.beta = nn.Parameter(torch.sqrt(beta + self.eps))
        self.gamma = nn.Parameter(torch.sqrt(gamma + self.eps))

    def raised(self, p: Tensor, bound: float) -> Tensor:
        return torch.clamp(p, min=math.sqrt(bound + self.eps)) ** 2 - self.eps

    def forward(self, x: Tensor) -> Tensor:
        gamma = self.raised(self.gamma, 0.0)[:, :, None, None]
        norm = nn.functional.conv2d(x * x, gamma, self.raised(self.beta, 1e-6))
        return x * (torch.sqrt(norm) if self.inverse else torch.rsqrt(norm))


class Residual(nn.Module):
    """x + conv(act(conv(silu(x)))) in three kinds: same size, half (stride 2, GDN), double (pixel shuffle, inverse GDN)."""

    def __init__(self, c_in, c_out, kind="same"):
        super().__init__()
        self.first = {"same": lambda: conv(c_in, c_out), "down": lambda: conv(c_in, c_out, stride=2),
                      "up": lambda: shuffle(c_in, c_out)}[kind]()
        self.act = nn.SiLU() if kind == "same" else Gdn(c_out, inverse=kind == "up")
        self.second = conv(c_out, c_out)
        self.skip = {"same": lambda: conv(c_in, c_out, 1) if c_in != c_out else nn.Identity(),
                     "down": lambda: conv(c_in, c_out, stride=2), "up": lambda: shuffle(c_in, c_out)}[kind]()

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.second(self.act(self.first(nn.functional.silu(x))))


def shuffle(c_in, c_out):
    return nn.Sequential(conv(c_in, 4 * c_out), nn.PixelShuffle(2))


class Attention(nn.Module):
    """x + a * sigmoid(conv(b)): no softmax in it."""

    def __init__(self, ch):
        super().__init__()
        self.a = nn.Sequential(*(Residual(ch, ch) for _ in range(3)))
        self.b = nn.Sequential(*(Residual(ch, ch) for _ in range(3)), conv(ch, ch, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.a(x) * torch.sigmoid(self.b(x))


def stack(ch, kinds):
    """A row of blocks of one width: D halve, U double, R keep, A attend, c convolve."""
    made = {"D": lambda: Residual(ch, ch, "down"), "U": lambda: Residual(ch, ch, "up"), "R": lambda: Residual(ch, ch),
            "A": lambda: Attention(ch), "c": lambda: conv(ch, ch)}
    return nn.Sequential(*(made[kind]() for kind in kinds))


class Codebook(nn.Module):
    def __init__(self, ch, m, k):
        super().__init__()
        self.m = m
        self.vectors = nn.Parameter(torch.randn(m, k, ch // m))

    def nearest(self, x: Tensor) -> Tensor:
        """[B, m c, h, w] -> codes [B, m, h, w] by |x|^2 + |v|^2 - 2 x v"""
        b, _, h, w = x.shape
        x = x.reshape(b, self.m, -1, h, w)
        rows = x.permute(0, 1, 3, 4, 2).reshape(b, self.m, h * w, -1)
        squares = (rows ** 2).sum(-1, keepdim=True) + (self.vectors ** 2).sum(-1)[:, None, :]
        distance = squares - 2 * rows @ self.vectors.transpose(1, 2)
        return distance.argmin(dim=-1).reshape(b, self.m, h, w)

    def look_up(self, code: Tensor) -> Tensor:
        b, _, h, w = code.shape
        which = torch.arange(self.m)[None, :, None, None]
        return self.vectors[which, code].permute(0, 1, 4, 2, 3).reshape(b, -1, h, w)


class Level(nn.Module):
    """One level of both sides."""

    def __init__(self, ch, m, k, last):
        super().__init__()
        self.codebook = Codebook(ch, m, k)
        self.latent = stack(ch, "DRA")
        self.quantise = stack(ch, "RAc")
        self.rest = None if last else stack(ch, "RAc")
        self.restore = stack(ch, "AcR")
        self.side = None if last else stack(ch, "AcR")
        self.up = stack(ch, "ARU")


class McQuic(nn.Module):
    def __init__(self, c):
        super().__init__()
        ch = c.ch
        self.c = c
        self.encoder = nn.Sequential(conv(3, ch, stride=2), stack(ch, "RDARDR"))
        self.levels = nn.ModuleList(Level(ch, c.m, k, i == len(c.k) - 1) for i, k in enumerate(c.k))
        self.decoder = nn.Sequential(stack(ch, "RUARUR"), shuffle(ch, 3))

    def margins(self):
        """Left, right, top, bottom: what is missing to whole tiles, split evenly."""
        wide, high = -self.c.width % self.c.tile, -self.c.height % self.c.tile
        return wide // 2, wide - wide // 2, high // 2, high - high // 2


class Encode(McQuic):
    def forward(self, image: Tensor):
        if any(self.margins()):
            image = nn.functional.pad(image, self.margins(), mode="reflect")
        x, codes = self.encoder(image), []
        for level in self.levels:
            z = level.latent(x)
            codes.append(level.codebook.nearest(level.quantise(z)))
            if level.rest is not None:
                x = level.rest(z) - level.codebook.look_up(codes[-1])
        return tuple(codes)


class Decode(McQuic):
    def forward(self, code0: Tensor, code1: Tensor, code2: Tensor):
        former = None
        for level, code in reversed(list(zip(self.levels, (code0, code1, code2)))):
            d = level.restore(level.codebook.look_up(code))
            if former is not None:
                d = d + level.side(former)
            former = level.up(d)
        left, _, top, _ = self.margins()
        image = self.decoder(former)
        return image[:, :, top : top + self.c.height, left : left + self.c.width]


def grid(c, level):
    """Rows and columns of a level's codes."""
    return tuple((n + -n % c.tile) // (16 << level) for n in (c.height, c.width))


def batches(batch):
    return [2, 1] if batch == "dynamic" else [int(batch)]


def model(c, net, sets, inputs, outputs, batch):
    dynamic = {name: {0: "batch"} for name in inputs + outputs} if batch == "dynamic" else {}
    return Model(net, sets, inputs, outputs, dynamic)


def build_encode(c, form, exporter, batch):
    net, g = seeded(lambda: Encode(c)), generator(c)
    sets = [(torch.rand(b, 3, c.height, c.width, generator=g),) for b in batches(batch)]
    return model(c, net, sets, ["image"], [f"code{i}" for i in range(len(c.k))], batch)


def build_decode(c, form, exporter, batch):
    net, g = seeded(lambda: Decode(c)), generator(c)
    sets = [tuple(torch.randint(k, (b, c.m, *grid(c, i)), generator=g) for i, k in enumerate(c.k)) for b in batches(batch)]
    return model(c, net, sets, [f"code{i}" for i in range(len(c.k))], ["image"], batch)


SYSTEMS = [
    System(name="mcquic_encode", what="McQuic: image to codes at three levels", sizes=SIZES,
           forms={"whole": "image to codes"}, build=build_encode,
           tests=(Export("test", "whole", "torchscript", batch="dynamic"), Export("test_pad", "whole", "dynamo"))),
    System(name="mcquic_decode", what="McQuic: codes at three levels to image", sizes=SIZES,
           forms={"whole": "codes to image"}, build=build_decode,
           tests=(Export("test", "whole", "torchscript"), Export("test_pad", "whole", "dynamo", batch="dynamic"))),
]
