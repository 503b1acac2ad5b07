"""A small transformer decoder whose masks let a position see its neighbourhood, written in the ways in which people write masks.

    mask       causal | window | both (sides) | chunk | chunk_causal | chunk_back (and the chunk in front) | sink (first and window) | prefix
    attention  causal (is_causal of sdpa) | sdpa (a condition) | add (numbers added) | scores (spelled out, -inf) |
               lowest (spelled out, the lowest number) | table (spelled out, a buffer cut to the length)
    positions  learned | rotary | sinusoid

Inputs: tokens [batch, time]; outputs: a row of logits for each.
"""
import dataclasses
import math

import torch
from system import Export, Model, System, generator, seeded
from torch import Tensor, nn
from torch.nn import functional

MASKS = {
    "causal": lambda i, j, k: j <= i,
    "window": lambda i, j, k: (j <= i) & (i - j < k),
    "both": lambda i, j, k: (i - j).abs() < k,
    "chunk": lambda i, j, k: i // k == j // k,
    "chunk_causal": lambda i, j, k: (i // k == j // k) & (j <= i),
    "chunk_back": lambda i, j, k: (j // k <= i // k) & (i // k - j // k <= 1),
    "sink": lambda i, j, k: (j <= i) & ((i - j < k) | (j < 2)),
    "prefix": lambda i, j, k: (j <= i) | (j < k),
}
ATTENTIONS = ("causal", "sdpa", "add", "scores", "lowest", "table")


@dataclasses.dataclass(frozen=True)
class Config:
    mask: str = "window"
    attention: str = "sdpa"
    positions: str = "learned"
    k: int = 4           # of the window, the chunk, the prefix
    d: int = 16
    heads: int = 2
    depth: int = 2
    vocab: int = 12
    length: int = 24
    longest: int = 64    # that the model has positions for
    open: bool = False   # any length

    def check(self):
        if self.mask not in MASKS or self.attention not in ATTENTIONS:
            raise ValueError(f"mask is one of {', '.join(MASKS)}, attention of {', '.join(ATTENTIONS)}")
        if self.positions not in ("learned", "rotary", "sinusoid"):
            raise ValueError("positions is learned, rotary or sinusoid")
        if self.attention == "causal" and self.mask != "causal":
            raise ValueError("attention=causal has mask=causal")


def rotate(x: Tensor, at: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    angle = at.float()[:, None] * (10000 ** (-torch.arange(half) / half))[None]
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.norm1, self.norm2 = nn.LayerNorm(c.d), nn.LayerNorm(c.d)
        self.qkv, self.out = nn.Linear(c.d, 3 * c.d), nn.Linear(c.d, c.d)
        self.up, self.down = nn.Linear(c.d, 2 * c.d), nn.Linear(2 * c.d, c.d)
        if c.attention == "table":
            at = torch.arange(c.longest)
            self.register_buffer("shown", MASKS[c.mask](at[:, None], at[None], c.k)[None, None])

    def attend(self, q: Tensor, k: Tensor, v: Tensor, at: Tensor) -> Tensor:
        c = self.c
        if c.attention == "causal":
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        time = q.shape[2]
        shown = self.shown[:, :, :time, :time] if c.attention == "table" else MASKS[c.mask](at[:, None], at[None], c.k)
        if c.attention == "sdpa":
            return functional.scaled_dot_product_attention(q, k, v, attn_mask=shown)
        if c.attention == "add":
            added = torch.zeros(time, time).masked_fill(~shown, float("-inf"))
            return functional.scaled_dot_product_attention(q, k, v, attn_mask=added)
        low = torch.finfo(torch.float32).min if c.attention == "lowest" else float("-inf")
        scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~shown, low)
        return scores.softmax(-1) @ v

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.c.heads, -1)).transpose(1, 2) for t in self.qkv(self.norm1(x)).chunk(3, -1))
        if self.c.positions == "rotary":
            q, k = rotate(q, at), rotate(k, at)
        x = x + self.out(self.attend(q, k, v, at).transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.tokens = nn.Embedding(c.vocab, c.d)
        if c.positions == "learned":
            self.positions = nn.Embedding(c.longest, c.d)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.depth))
        self.norm, self.head = nn.LayerNorm(c.d), nn.Linear(c.d, c.vocab)

    def forward(self, tokens: Tensor) -> Tensor:
        at, c = torch.arange(tokens.shape[1]), self.c
        x = self.tokens(tokens)
        if c.positions == "learned":
            x = x + self.positions(at)
        if c.positions == "sinusoid":
            angle = at.float()[:, None] * torch.exp(torch.arange(0, c.d, 2) * (-math.log(10000.0) / c.d))[None]
            x = x + torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
        for block in self.blocks:
            x = block(x, at)
        return self.head(self.norm(x))


def build(c, form, exporter, batch):
    net, g = seeded(lambda: Decoder(c)), generator(c)
    sizes = [2, 1] if batch == "dynamic" else [int(batch)] * 2
    lengths = [c.length, c.length - 5] if c.open else [c.length] * 2
    sets = [(torch.randint(c.vocab, (b, t), generator=g),) for b, t in zip(sizes, lengths)]
    axes = {**({0: "batch"} if batch == "dynamic" else {}), **({1: "time"} if c.open else {})}
    return Model(net, sets, ["tokens"], ["logits"], {"tokens": axes, "logits": axes} if axes else {})


def test(exporter, settings, label, batch="1"):
    return Export("test", "whole", exporter, settings=settings, label=label, batch=batch)


SYSTEMS = [System(
    name="masked", what="decoder whose positions see their neighbourhood", sizes={"test": Config()},
    forms={"whole": "the whole sequence"}, build=build,
    tests=[
        test("torchscript", "mask=causal attention=causal", "causal"),
        test("dynamo", "mask=causal attention=sdpa open=1", "causal_open"),
        test("torchscript", "mask=window open=1", "window"),
        test("dynamo", "mask=window attention=scores open=1 positions=rotary", "window_rotary"),
        test("dynamo", "mask=both attention=add open=1", "both"),
        test("torchscript", "mask=chunk attention=lowest open=1", "chunk", "dynamic"),
        test("dynamo", "mask=chunk_causal attention=sdpa", "chunk_causal", "2"),
        test("dynamo", "mask=chunk_back attention=sdpa open=1", "chunk_back"),
        test("torchscript", "mask=sink attention=scores open=1", "sink"),
        test("dynamo", "mask=prefix attention=sdpa", "prefix"),
    ])]
