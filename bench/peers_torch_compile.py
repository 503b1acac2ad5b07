#!/usr/bin/env python3
"""Times torch.compile (Inductor, C++ for the CPU, weights frozen) on models that models/export.py wrote.

usage: peers_torch_compile.py [--threads N[,N]...] [--runs N] [--seconds S] MODEL...
       peers_torch_compile.py --build FILE MODEL

Opening is tracing and compiling. --build does it once for one thread and once for two, so that Inductor's cache has the C++ compiled when the
model is opened; the time it tells is that for one thread.
"""
import os
import sys

os.environ.setdefault("TORCHINDUCTOR_FREEZING", "1")

import torch  # noqa: E402  after the setting

import peer  # noqa: E402
import peers_torch  # noqa: E402


def open_model(case, options):
    return peers_torch.Opened(case, options, torch.compile)


def build(case, to):
    seconds = []
    for threads in (1, 2):
        torch._dynamo.reset()
        seconds.append(open_model(case, peer.Options(threads)).load_ms / 1e3)
    return {"seconds": seconds[0], "bytes": None}


if __name__ == "__main__":
    sys.exit(peer.main(__doc__, open_model, build))
