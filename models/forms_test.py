#!/usr/bin/env python3
"""Checks, in PyTorch alone, that the forms of a system compute the same: unrolled, loop, scan, and step after step.

usage: forms_test.py      prints a line per check, exit status 1 if one fails
"""
import dataclasses
import sys

import torch

import feedback
import tapir
import tlb_dt
import tlb_jrc
import tore
from system import seeded


def close(a, b):
    return all(torch.allclose(x, y, atol=1e-5) for x, y in zip(a, b, strict=True))


def net(module, form, **fields):
    config = dataclasses.replace(module.Config(), **fields)
    return seeded(lambda: module.NETS[form](config), 1, tables=("first_state",)), config


def numbers(*shape, below, seed=3):
    return torch.randint(1, below, shape, generator=torch.Generator().manual_seed(seed))


def check_ragged():
    """13 tokens by 6: three chunks of 5, 5 and 3; padding ends inside a chunk, and chunks before the end."""
    x = numbers(3, 13, below=16)
    x[1, 7:] = 0
    x[2, 4:] = 0
    return close(net(tlb_jrc, "unrolled")[0](x), net(tlb_jrc, "loop")[0](x))


def check_ragged_steps():
    for fields in ({}, {"is_global": True, "pool": "last", "updates": 2}):
        x = numbers(2, 12, below=16)
        x[1, 8:] = 0
        logits, tokens = net(tlb_jrc, "unrolled", T=12, **fields)[0](x)
        if not close(net(tlb_jrc, "scan", T=12, **fields)[0](x), (logits, tokens)):
            return False
        step, _ = net(tlb_jrc, "step", **fields)
        state, count, found = step.begin(2), torch.zeros(2, 1), []
        for part in x.split(6, dim=1):
            last, y, state, count = step(part, state, count)
            found.append(y)
        if not close((last, torch.cat(found, dim=1)), (logits, tokens)):
            return False
    return True


def check_decisions():
    c = tlb_dt.Config()
    inputs = tlb_dt.trajectory(c, 2, c.T, torch.Generator().manual_seed(3))
    expected = net(tlb_dt, "unrolled")[0](*inputs)
    step, _ = net(tlb_dt, "step")
    state, found = step.begin(2), []
    for part in zip(*(t.split(c.N, dim=1) for t in inputs)):
        y, state = step(*part, state)
        found.append(y)
    others = [net(tlb_dt, form)[0](*inputs) for form in ("loop", "scan")]
    return close([*others, torch.cat(found, dim=1)], [expected] * 3)


def check_decisions_are_causal():
    """An action changes predictions behind it alone."""
    c = tlb_dt.Config()
    inputs = list(tlb_dt.trajectory(c, 1, c.T, torch.Generator().manual_seed(3)))
    model, _ = net(tlb_dt, "loop")
    before = model(*inputs)
    inputs[2] = inputs[2].clone()
    inputs[2][0, 5] = (inputs[2][0, 5] + 1) % c.actions
    moved = (model(*inputs) - before).abs().amax(dim=(0, 2)) > 1e-7
    return not moved[:6].any() and moved[6:].all()


def check_glimpses():
    """Glimpse by glimpse, with a growing cache and with one that has room; all at once after the last."""
    pixels, ids = tore.glimpses(tore.Config(), 2, 4, torch.Generator().manual_seed(3))
    unrolled = net(tore, "unrolled")[0](pixels, ids)
    ok = close([net(tore, "loop")[0](pixels, ids), net(tore, "whole")[0](pixels, ids)], [unrolled, unrolled[:, -1]])
    for cache in ("masked", "cut"):
        step, c = net(tore, "step", cache=cache)
        states = [torch.zeros(2, c.d), torch.zeros(2, 16, c.d), torch.zeros(1, dtype=torch.int64)]
        found = []
        for t in range(4):
            y, *states = step(pixels[:, t], ids[:, t], *states)
            found.append(y)
        ok = ok and close([torch.stack(found, dim=1)], [unrolled])
    return ok


def check_feedback():
    """Both rings, keys and values of one layer or of all; steps from an empty memory."""
    x = numbers(2, 8, below=11)
    for shared in (True, False):
        c = feedback.Config()
        memory = torch.zeros(2, c.L, c.d)
        expected = net(feedback, "unrolled", shared=shared)[0](x, memory)
        for form in ("loop", "scan"):
            for ring in ("concat", "index"):
                if not close(net(feedback, form, shared=shared, ring=ring)[0](x, memory), expected):
                    return False
        for ring in ("concat", "index"):
            step, _ = net(feedback, "step", shared=shared, ring=ring)
            states = [*step.memory(memory)] + ([torch.zeros(1, dtype=torch.int64)] if ring == "index" else [])
            found = []
            for token in x.unbind(1):
                y, *states = step(token, *states)
                found.append(y)
            if not close([torch.stack(found, dim=1)], expected[:1]):
                return False
    return True


def check_tapir():
    """Both revisers, the branch of either exporter; both branches are taken, and labels are revised."""
    c = tapir.Config()
    x = numbers(6, below=c.vocab)
    expected = tapir.varied(lambda: tapir.Loop(c), c)(x)
    prefix = dataclasses.replace(c, reviser="prefix")
    others = [tapir.varied(lambda: tapir.Loop(prefix), prefix)(x), tapir.varied(lambda: tapir.Unrolled(c), c)(x)]
    long = tapir.varied(lambda: tapir.Loop(c), c)(numbers(9, below=c.vocab, seed=5))
    revised = long[2] >= c.threshold
    return all(close(o, expected) for o in others) and revised.any() and not revised.all() and long[3].sum() > 0


CHECKS = [check_ragged, check_ragged_steps, check_decisions, check_decisions_are_causal, check_glimpses, check_feedback,
          check_tapir]


def main():
    failed = 0
    with torch.no_grad():
        for check in CHECKS:
            ok = bool(check())
            failed += not ok
            print(f"{'ok' if ok else 'FAILED'} {check.__name__}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
