"""Convolutions and what belongs to them as einsum, after Dangel, arXiv 2307.02275.

For each axis a pattern P[k, o, i] of zeros and ones says whether output o sees input i through element k of the kernel:
i = o * stride - padding + k * dilation. An operation is one product of the tensors and a pattern per axis, summed over
what the result does not have (here for two axes; g are groups):

    forward       n g c i j, k o i, l p j, g d c k l -> n g d o p
    input_vjp     n g d o p, k o i, l p j, g d c k l -> n g c i j
    weight_vjp    n g c i j, k o i, l p j, n g d o p -> g d c k l
    unfold        n c i j, k o i, l p j -> n c k l o p
    kfc           n g c i j, k o i, l p j, K o I, L p J, n g C I J -> g c k l C K L      divided by n
    kfac_reduce   the same with o and p of each half summed apart                        divided by n (o p)^2
    transposed    the input VJP taken as a layer; its unfold and kfac_reduce swap the roles of o and i
"""
import dataclasses
import math

import torch
from torch import Tensor, nn

from system import Export, Model, System, generator, seeded

OPERATIONS = ("forward", "input_vjp", "weight_vjp", "unfold", "kfc", "kfac_reduce", "transposed", "transposed_unfold",
              "transposed_kfac_reduce")


@dataclasses.dataclass(frozen=True)
class Config:
    op: str
    batch: int = 2
    groups: int = 1
    c: int = 3                # channels in, of all groups
    d: int = 4                # channels out
    size: tuple = (6, 6)      # one number per axis, in all of these
    kernel: tuple = (3, 3)
    stride: tuple = (1, 1)
    padding: tuple = (1, 1)
    dilation: tuple = (1, 1)
    bias: bool = True
    seed: int = 1

    def check(self):
        if self.op not in OPERATIONS:
            raise ValueError(f"op is one of: {' '.join(OPERATIONS)}")
        if self.c % self.groups or self.d % self.groups:
            raise ValueError("groups divides c and d")

    @property
    def out(self):
        """Positions of the convolution along each axis."""
        return tuple((i + 2 * p - d * (k - 1) - 1) // s + 1 for i, k, s, p, d in
                     zip(self.size, self.kernel, self.stride, self.padding, self.dilation))


TEST = {
    "forward": Config("forward"),
    "forward_1d": Config("forward", size=(9,), kernel=(4,), stride=(2,), padding=(1,), dilation=(1,)),
    "forward_3d": Config("forward", size=(4, 5, 3), kernel=(2, 3, 1), stride=(1, 2, 1), padding=(0, 1, 0),
                         dilation=(1, 1, 1)),
    "forward_groups": Config("forward", groups=3, d=6),
    "forward_dilated": Config("forward", size=(9, 7), dilation=(2, 2), bias=False),
    "forward_strided": Config("forward", size=(8, 8), kernel=(2, 2), stride=(3, 3), padding=(0, 0)),
    "forward_patch": Config("forward", size=(8, 8), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
    "forward_down": Config("forward", size=(8, 8), kernel=(1, 1), stride=(2, 2), padding=(0, 0)),
    "forward_1x1": Config("forward", kernel=(1, 1), padding=(0, 0)),
    "input_vjp": Config("input_vjp"),
    "input_vjp_strided": Config("input_vjp", groups=3, d=6, size=(8, 7), stride=(2, 2)),
    "weight_vjp": Config("weight_vjp"),
    "weight_vjp_strided": Config("weight_vjp", groups=3, d=6, size=(8, 7), stride=(2, 2)),
    "unfold": Config("unfold"),
    "unfold_dilated": Config("unfold", size=(9, 7), stride=(2, 1), dilation=(2, 2)),
    "kfc": Config("kfc", groups=3, d=6, size=(5, 5), stride=(2, 2)),
    "kfac_reduce": Config("kfac_reduce", groups=3, d=6, size=(5, 5)),
    "transposed": Config("transposed", size=(8, 7), stride=(2, 2)),
    "transposed_unfold": Config("transposed_unfold", size=(5, 5), stride=(2, 2)),
    "transposed_kfac_reduce": Config("transposed_kfac_reduce", size=(5, 5), stride=(2, 2)),
}
CONV = dict(batch=1, c=64, d=64, size=(56, 56))
BENCH = {
    **{f"{op}_56": Config(op, **CONV) for op in ("forward", "input_vjp", "weight_vjp", "unfold", "kfc", "kfac_reduce")},
    "depthwise_56": Config("forward", batch=1, groups=64, c=64, d=64, size=(56, 56)),
    "pointwise_56": Config("forward", batch=1, c=64, d=64, size=(56, 56), kernel=(1, 1), padding=(0, 0)),
    "patch_56": Config("forward", batch=1, c=64, d=64, size=(56, 56), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
}


def pattern(i, k, stride, padding, dilation) -> Tensor:
    """[k, o, i] of zeros and ones."""
    o = (i + 2 * padding - dilation * (k - 1) - 1) // stride + 1
    place = torch.arange(o)[None, :] * stride - padding + torch.arange(k)[:, None] * dilation
    return (place[:, :, None] == torch.arange(i)).float()


class Einconv(nn.Module):
    """An operation with its patterns. Letters stand for axes: i in, o out, k kernel, one of each per axis."""
    I, O, K = "xyz", "uvw", "klm"
    I2, O2, K2 = "XYZ", "UVW", "KLM"

    def __init__(self, c):
        super().__init__()
        self.c, self.axes = c, len(c.size)
        for a, how in enumerate(zip(c.size, c.kernel, c.stride, c.padding, c.dilation)):
            self.register_buffer(f"pattern{a}", pattern(*how))
        self.weight = nn.Parameter(torch.randn(c.d, c.c // c.groups, *c.kernel)) if self.has_weight() else None
        channels = c.c if c.op == "transposed" else c.d
        self.bias = nn.Parameter(torch.zeros(channels)) if c.bias and c.op in ("forward", "transposed") else None

    def has_weight(self):
        return self.c.op in ("forward", "input_vjp", "transposed")

    def letters(self, kinds):
        return [kind[: self.axes] for kind in kinds]

    def patterns(self):
        return [getattr(self, f"pattern{a}") for a in range(self.axes)]

    def pattern_terms(self, second=False, shared_out=False):
        k, o, i = (self.K2, self.O if shared_out else self.O2, self.I2) if second else (self.K, self.O, self.I)
        return [k[a] + o[a] + i[a] for a in range(self.axes)]

    def grouped(self, x):
        """[n, g c, ...] -> [n, g, c, ...]"""
        return x.reshape(x.size(0), self.c.groups, -1, *x.shape[2:])

    def kernel(self, w):
        """[g d, c, ...] -> [g, d, c, ...]"""
        return w.reshape(self.c.groups, -1, *w.shape[1:])

    def product(self, terms, result, tensors):
        return torch.einsum(",".join(terms) + "->" + result, *tensors)

    def forward_op(self, x):
        i, o, k = self.letters([self.I, self.O, self.K])
        y = self.product(["ngc" + i, *self.pattern_terms(), "gdc" + k], "ngd" + o,
                         [self.grouped(x), *self.patterns(), self.kernel(self.weight)])
        return self.with_bias(y.flatten(1, 2))

    def input_vjp(self, v):
        i, o, k = self.letters([self.I, self.O, self.K])
        x = self.product(["ngd" + o, *self.pattern_terms(), "gdc" + k], "ngc" + i,
                         [self.grouped(v), *self.patterns(), self.kernel(self.weight)])
        return self.with_bias(x.flatten(1, 2))

    transposed = input_vjp

    def with_bias(self, y):
        return y if self.bias is None else y + self.bias.reshape(-1, *[1] * self.axes)

    def weight_vjp(self, x, v):
        i, o, k = self.letters([self.I, self.O, self.K])
        w = self.product(["ngc" + i, *self.pattern_terms(), "ngd" + o], "gdc" + k,
                         [self.grouped(x), *self.patterns(), self.grouped(v)])
        return w.flatten(0, 1)

    def unfold(self, x):
        i, o, k = self.letters([self.I, self.O, self.K])
        y = self.product(["nc" + i, *self.pattern_terms()], "nc" + k + o, [x, *self.patterns()])
        return y.flatten(1, 1 + self.axes).flatten(2)

    def transposed_unfold(self, v):
        i, o, k = self.letters([self.I, self.O, self.K])
        y = self.product(["nc" + o, *self.pattern_terms()], "nc" + k + i, [v, *self.patterns()])
        return y.flatten(1, 1 + self.axes).flatten(2)

    def factor(self, x, seen, seen2, shared_out, scale):
        """Both halves see x through the patterns; `seen` are the letters of x's axes."""
        k, k2 = self.letters([self.K, self.K2])
        x = self.grouped(x)
        y = self.product(
            ["ngc" + seen, *self.pattern_terms(), *self.pattern_terms(True, shared_out), "nge" + seen2, ""],
            "gc" + k + "e" + k2, [x, *self.patterns(), *self.patterns(), x, torch.tensor(scale)])
        return y.flatten(1, 1 + self.axes).flatten(2)

    def kfc(self, x):
        i, i2 = self.letters([self.I, self.I2])
        return self.factor(x, i, i2, True, 1 / self.c.batch)

    def kfac_reduce(self, x):
        i, i2 = self.letters([self.I, self.I2])
        return self.factor(x, i, i2, False, 1 / (self.c.batch * math.prod(self.c.out) ** 2))

    def transposed_kfac_reduce(self, v):
        o, o2 = self.letters([self.O, self.O2])
        return self.factor(v, o, o2, False, 1 / (self.c.batch * math.prod(self.c.size) ** 2))

    def forward(self, x: Tensor, v: Tensor = None):
        run = getattr(self, "forward_op" if self.c.op == "forward" else self.c.op)
        return run(x) if v is None else run(x, v)


def build(c, form, exporter, batch):
    """The batch is the size's own: the factors divide by it."""
    c.check()
    net, g = seeded(lambda: Einconv(c)), generator(c)
    x, v = (c.batch, c.c, *c.size), (c.batch, c.d, *c.out)
    seen_v = c.op in ("input_vjp", "transposed")
    transposed = c.op in ("transposed_unfold", "transposed_kfac_reduce")
    shapes = [v if seen_v else (c.batch, c.c, *c.out) if transposed else x] + [v] * (c.op == "weight_vjp")
    sets = [tuple(torch.randn(s, generator=g) for s in shapes) for _ in range(2)]
    return Model(net, sets, ["v" if seen_v else "x", "v"][: len(shapes)], ["y"])


def refuse(c, form, exporter, batch):
    return None if batch == "1" else "einconv has the batch of its size; --set batch=N"


SYSTEMS = [
    System(name="einconv", what="einconv: convolutions, their derivatives, im2col and Kronecker factors as one einsum each",
           sizes={**TEST, **BENCH}, forms={"whole": "one Einsum"}, build=build, refuse=refuse,
           tests=tuple(Export(size, "whole", "torchscript") for size in TEST)
           + tuple(Export(size, "whole", "dynamo") for size in ("forward", "kfc", "transposed"))),
]
