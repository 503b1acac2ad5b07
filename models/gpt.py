#!/usr/bin/env python3
"""A small GPT-2-shaped decoder with a cache of keys and values: one model for the prompt (nothing cached) and for each further token.

usage: gpt.py [-o DIR]      writes tests/models/gpt_cache: its test data sets are steps of one stream

Inputs: tokens [batch, new], past [layers, 2, batch, heads, cached, width of a head]; outputs: logits of the last token, and the
cache with the new positions, `present`.
"""
import argparse
import math
import os
import sys

import torch
from torch import nn

from onnx_folder import runtime_difference, write


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x, past):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        rows = torch.arange(q.shape[2]).unsqueeze(1) + past.shape[3]
        hidden = torch.arange(k.shape[2]).unsqueeze(0) > rows
        scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(hidden, -1e9)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)), torch.stack([k, v])

    def forward(self, x, past):
        y, present = self.attend(self.norm1(x), past)
        x = x + y
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x)), approximate="tanh")), present


class Gpt(nn.Module):
    def __init__(self, layers=6, width=384, heads=6, vocabulary=8192, positions=1024):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens, past):
        at = torch.arange(tokens.shape[1]) + past.shape[4]
        x = self.tokens(tokens) + self.positions(at)
        presents = []
        for i, block in enumerate(self.blocks):
            x, present = block(x, past[i])
            presents.append(present)
        last = self.norm(x[:, -1])
        return last @ self.tokens.weight.t(), torch.stack(presents)


def random_gpt(seed=0, **options):
    torch.manual_seed(seed)
    net = Gpt(**options)
    for name, parameter in net.named_parameters():
        if "norm" in name and name.endswith("weight"):
            nn.init.normal_(parameter, 1.0, 0.1)
        else:
            nn.init.normal_(parameter, std=0.02 if name.endswith("bias") else 0.05)
    return net.eval()


STEPS = (4, 1, 2, 1, 1)  # new tokens in each
AXES = {"tokens": {1: "new"}, "past": {4: "cached"}}


def stream(net, layers, heads, width, vocabulary):
    """Tokens and the cache that the steps before left."""
    past = torch.zeros(layers, 2, 1, heads, 0, width // heads)
    for n in STEPS:
        tokens = torch.randint(0, vocabulary, (1, n))
        yield tokens, past
        with torch.no_grad():
            past = net(tokens, past)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default=os.path.join(os.path.dirname(__file__), "..", "tests", "models"))
    args = parser.parse_args()
    size = dict(layers=2, width=32, heads=4, vocabulary=50)
    net, folder = random_gpt(positions=64, **size), os.path.join(args.output, "gpt_cache")
    sets = list(stream(net, **size))
    write(folder, net, net, sets[2:3] + sets[:2] + sets[3:], ["tokens", "past"], ["logits", "present"], AXES, "dynamo", 18, inline=True)
    difference = runtime_difference(folder)
    print(f"{folder}: ONNX Runtime differs by {difference}")
    return difference is not None and not difference <= 1e-5


if __name__ == "__main__":
    sys.exit(main())
