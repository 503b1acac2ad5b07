"""PRformer: forecasting with a pyramid of convolutions and GRUs before a transformer, after Yu et al., arXiv 2408.10483.

Each series is embedded alone. Windows that divide each other form chains; a chain's convolutions do not overlap
(kernel = stride), so that level w has a row for each w samples. From the coarsest row downwards, each level adds what
the level above it says, and a GRU reads it; its last state is that level's part of the embedding:

    c_w = conv(c_finer)                             finest first, no activation between
    u   = c_w + repeat(u_coarser)                   coarsest first
    embedding = Linear(concat of GRU_w(u).last)

Series are the tokens of the transformer, which has no positions. A reversible norm takes mean and spread away first
and gives them back at the end.
"""
import dataclasses

import torch
from torch import Tensor, nn

from system import Export, Model, System, generator, seeded


@dataclasses.dataclass(frozen=True)
class Config:
    length: int
    windows: tuple
    d: int
    series: int
    layers: int
    predict: int = 96
    ffn: int = 0              # 0: as wide as d
    heads: int = 8
    channels: int = 128
    norm: bool = True         # by mean and spread of the window, which only its end tells: a stream goes without
    marks: int = 0            # time marks that come as series of their own and are not predicted
    seed: int = 1


SIZES = {
    "test": Config(length=48, windows=(4, 8, 12, 24), d=16, series=3, layers=1, predict=8, heads=2, channels=12),
    "test_marks": Config(length=20, windows=(2, 4, 8), d=12, series=2, layers=2, predict=4, heads=3, channels=8, marks=2),
    "etth1": Config(length=720, windows=(24, 48, 72, 144), d=720, series=7, layers=5),
    "electricity": Config(length=660, windows=(22, 44, 66, 88, 132), d=660, series=321, layers=3),
    "traffic": Config(length=720, windows=(24, 48, 72, 96, 144), d=520, series=862, layers=4),
}


def chains(windows):
    """Chains of windows, coarse to fine. Each starts at the largest window that no chain has yet, goes on with those
    that divide the one before it, and ends at the smallest one: (24, 48, 72, 144) -> [144, 72, 24], [48, 24]."""
    windows = sorted(windows)
    left, found = windows[:], []
    while left:
        chain = [left[-1]]
        for w in reversed(left[:-1]):
            if chain[-1] % w == 0:
                chain.append(w)
        left = [w for w in left if w not in chain]
        if chain[-1] != windows[0]:
            chain.append(windows[0])
        found.append(chain)
    return found


def repeat_rows(u, times, n):
    """Each column of u `times` times, and the last one more often where that is less than n."""
    u = nn.functional.interpolate(u, scale_factor=times)
    return u if u.size(2) >= n else torch.cat([u, u[:, :, -1:].expand(-1, -1, n - u.size(2))], dim=2)


class Chain(nn.Module):
    """[B*N, 1, L] -> the last states of the chain's GRUs, side by side."""

    def __init__(self, c, windows, uses):
        super().__init__()
        fine = windows[::-1]
        self.windows = windows
        self.convs = nn.ModuleList(
            nn.Conv1d(c.channels if i else 1, c.channels, kernel_size=w // (fine[i - 1] if i else 1),
                      stride=w // (fine[i - 1] if i else 1)) for i, w in enumerate(fine))
        self.grus = nn.ModuleList(
            nn.GRU(c.channels, c.d // len(c.windows) // uses[w], batch_first=True) for w in windows)

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for conv in self.convs:
            x = conv(x)
            levels.append(x)
        u, states = None, []
        for i, level in enumerate(reversed(levels)):
            if u is not None:
                level = level + repeat_rows(u, self.windows[i - 1] // self.windows[i], level.size(2))
            u = level
            states.append(self.grus[i](u.transpose(1, 2))[1][0])
        return torch.cat(states, dim=1)


class Pyramid(nn.Module):
    def __init__(self, c):
        super().__init__()
        found = chains(c.windows)
        uses = {w: sum(w in chain for chain in found) for w in c.windows}
        self.chains = nn.ModuleList(Chain(c, chain, uses) for chain in found)
        width = sum(gru.hidden_size for chain in self.chains for gru in chain.grus)
        self.rates = nn.Parameter(torch.ones(len(found), 1))
        self.map = nn.Linear(width, c.d)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, N] -> [B, N, d]. The softmax over one element is in the original too: it is 1."""
        b, n = x.size(0), x.size(2)
        rows = x.transpose(1, 2).reshape(b * n, 1, x.size(1))
        scale = torch.softmax(self.rates / 0.5, dim=-1)
        parts = [chain(rows) * scale[i] for i, chain in enumerate(self.chains)]
        return self.map(torch.cat(parts, dim=1).reshape(b, n, self.map.in_features))


class Layer(nn.Module):
    """Post-norm: attention among the series, then two convolutions of width 1."""

    def __init__(self, c):
        super().__init__()
        self.heads = c.heads
        inner = c.d // c.heads * c.heads  # electricity is 660 wide and has 8 heads of 82
        self.q, self.k, self.v, self.o = (nn.Linear(*size) for size in [(c.d, inner)] * 3 + [(inner, c.d)])
        self.up, self.down = nn.Conv1d(c.d, c.ffn or c.d, 1), nn.Conv1d(c.ffn or c.d, c.d, 1)
        self.norm1, self.norm2 = nn.LayerNorm(c.d), nn.LayerNorm(c.d)

    def split(self, x: Tensor) -> Tensor:
        return x.reshape(x.size(0), x.size(1), self.heads, x.size(2) // self.heads)

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        a = torch.softmax(q.size(3) ** -0.5 * torch.einsum("blhe,bshe->bhls", q, k), dim=-1)
        return self.o(torch.einsum("bhls,bshd->blhd", a, v).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attend(x))
        y = self.down(nn.functional.gelu(self.up(x.transpose(1, 2)))).transpose(1, 2)
        return self.norm2(x + y)


class PRformer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.series, self.is_normed = c.series, c.norm
        self.gamma, self.beta = nn.Parameter(torch.ones(c.series)), nn.Parameter(torch.zeros(c.series))
        self.embedding = Pyramid(c)
        self.layers = nn.Sequential(*(Layer(c) for _ in range(c.layers)))
        self.norm = nn.LayerNorm(c.d)
        self.out = nn.Linear(c.d, c.predict)

    def forecast(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.layers(self.embedding(x)))).transpose(1, 2)[:, :, : self.series]

    def forward(self, x: Tensor, marks: Tensor = None) -> Tensor:
        if not self.is_normed:
            return self.forecast(x)
        mean = x.mean(dim=1, keepdim=True)
        spread = torch.sqrt(torch.clamp(((x - mean) ** 2).mean(dim=1, keepdim=True), min=1e-5))
        x = (x - mean) / spread * self.gamma + self.beta
        if marks is not None:
            x = torch.cat([x, marks], dim=2)
        y = self.forecast(x)
        # The spread of a series may be scaled by almost nothing: keep away from dividing by 0, with its sign.
        gamma = torch.sign(self.gamma) * torch.clamp(torch.abs(self.gamma), min=1e-5)
        return (y - self.beta) / gamma * spread + mean


def build(c, form, exporter, batch):
    net, g = seeded(lambda: PRformer(c)), generator(c)

    def one_set(b):
        x = torch.randn(b, c.length, c.series, generator=g).cumsum(dim=1) * 0.3 + torch.arange(c.series)
        return (x, torch.rand(b, c.length, c.marks, generator=g) - 0.5) if c.marks else (x,)

    inputs, outputs = ["x", "marks"][: 1 + bool(c.marks)], ["forecast"]
    sets = [one_set(b) for b in ([2, 1, 3] if batch == "dynamic" else [int(batch)] * 2)]
    dynamic = {name: {0: "batch"} for name in inputs + outputs} if batch == "dynamic" else {}
    return Model(net, sets, inputs, outputs, dynamic)


SYSTEMS = [
    System(name="prformer", what="PRformer: pyramid of convolutions and GRUs per series, transformer over the series",
           sizes=SIZES, forms={"whole": "a window of all series to the forecast"}, build=build,
           tests=(Export("test", "whole", "torchscript", batch="dynamic"), Export("test", "whole", "dynamo"),
                  Export("test_marks", "whole", "torchscript", opset=13),
                  Export("test", "whole", "torchscript", opset=15, settings="heads=3", label="uneven"),
                  Export("test", "whole", "torchscript", settings="norm=0", label="plain"),
                  Export("test", "whole", "dynamo", settings="norm=0", label="plain"))),
]
