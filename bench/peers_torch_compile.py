#!/usr/bin/env python3
"""Times torch.compile (Inductor, C++ for the CPU, weights frozen) on models that models/export.py wrote.

usage: peers_torch_compile.py [--threads N[,N]...] [--runs N] [--seconds S] MODEL...

Opening is tracing and compiling; Inductor's cache, where it is warm, makes that shorter.
"""
import os
import sys

os.environ.setdefault("TORCHINDUCTOR_FREEZING", "1")

import torch  # noqa: E402  after the setting

import peer  # noqa: E402
import peers_torch  # noqa: E402


def open_model(case, options):
    return peers_torch.Opened(case, options, torch.compile)


if __name__ == "__main__":
    sys.exit(peer.main(__doc__, open_model))
