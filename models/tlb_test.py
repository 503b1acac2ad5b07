#!/usr/bin/env python3
"""Checks of the TLB model itself, in PyTorch alone.

usage: tlb_test.py      prints a line per check, exit status 1 if one fails
"""
import sys

import torch

from tlb_config import config
from tlb_net import build, fast_steps, sinusoid


def close(a, b):
    return all(torch.allclose(x, y, atol=1e-5) for x, y in zip(a, b, strict=True))


def net(size, form, *settings):
    return build(config(size, ["outputs=both", *settings]), form)


def tokens(batch, length, seed=3):
    return torch.randint(1, 16, (batch, length), generator=torch.Generator().manual_seed(seed))


def check_sinusoid():
    table = sinusoid(4, 6)
    angle = torch.tensor(3 / 1e4 ** (2 / 6))
    return torch.allclose(table[3, 2:4], torch.stack([angle.sin(), angle.cos()])) and sinusoid(2, 5).shape == (2, 5)


def check_forms_agree():
    """Every way to cut and every loop computes the same."""
    x = tokens(2, 20)
    expected = net("test", "unrolled")(x)
    unrolled = [net("test", "unrolled", f"chunks={k}")(x) for k in ("split", "stack")]
    loops = [net("test", "loop", f"loop={k}")(x) for k in ("list", "while", "buffer")]
    others = [net("test", "loop", "chunks=stack")(x), net("test", "scan")(x)]
    return all(close(got, expected) for got in unrolled + loops + others)


def check_ragged():
    """22 tokens by 4: the last chunk has 2, with positions of its own rows."""
    x = tokens(2, 22)
    return close(net("test", "unrolled", "T=22")(x), net("test", "loop", "T=22")(x))


def check_causal():
    """A chunk sees its own tokens and, through the state, those of the chunks before; nothing later."""
    x = tokens(1, 20)
    changed = x.clone()
    changed[0, 13] = (changed[0, 13] + 1) % 16  # in chunk 3 of 0..4
    model = net("test", "loop")
    (before, y), (after, z) = model(x), model(changed)
    moved = (y - z).abs().amax(dim=(0, 2)) > 1e-6
    return not moved[:12].any() and moved[12:].all() and not torch.allclose(before, after, atol=1e-6)


def check_mask():
    """Padding changes nothing before it, inside a chunk or after the last real one."""
    model = net("test", "loop", "mask=1")
    x = tokens(1, 10)
    padded = torch.cat([x, torch.zeros(1, 2, dtype=x.dtype)], dim=1)
    logits, y = model(x)
    same, z = model(padded)
    first = model(x[:, :4])[0], model(torch.cat([x[:, :4], torch.zeros(1, 4, dtype=x.dtype)], dim=1))[0]
    # A chunk of padding still adds the positions to the state: the logits move, the tokens before it do not.
    return torch.allclose(logits, same, atol=1e-5) and torch.allclose(y, z[:, :10], atol=1e-5) and \
        not torch.allclose(*first, atol=1e-5)


def check_keras_order():
    """L=4, r=2 lists S C S S C S; every entry runs as S, and each even one again as C, with the same weights."""
    steps = fast_steps(config("test_keras"))
    uses = "".join("S" if s.use == "self" else "C" for s in steps)
    shared = [steps[i].block is steps[i + 1].block for i in range(len(steps) - 1)]
    return uses == "SCSSCSSCS" and shared == [True, False] + [False, True, False] * 2


def check_patches():
    """Steps over the patches of an image, Keras' cells old and new: the last step's class is that of the whole image."""
    for size in ("test_keras", "test_keras3"):
        c = config(size)
        image = torch.rand(2, c.channels, c.side, c.side, generator=torch.Generator().manual_seed(3))
        patches = image.unfold(2, c.patch, c.patch).unfold(3, c.patch, c.patch).permute(0, 2, 3, 1, 4, 5).flatten(1, 2)
        step = net(size, "step")
        states = [step.begin(2), torch.zeros(1, dtype=torch.int64)]
        for part in patches.split(c.K, dim=1):
            logits, _, *states = step(part, *states)
        if not torch.allclose(logits, net(size, "unrolled")(image)[0], atol=1e-5):
            return False
    return True


CHECKS = [check_sinusoid, check_forms_agree, check_ragged, check_causal, check_mask, check_keras_order, check_patches]


def main():
    failed = 0
    with torch.no_grad():
        for check in CHECKS:
            ok = bool(check())
            failed += not ok
            print(f"{'ok' if ok else 'FAILED'} {check.__name__}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
