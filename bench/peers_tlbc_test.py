#!/usr/bin/env python3
"""Checks that peers_tlbc.py still knows the interface of compiled models and the form of saved states: steps with a first state of their own.

usage: peers_tlbc_test.py TLBC FOLDER...        exit status 77 without the packages numpy and onnx
"""
import importlib.util
import os
import sys
import tempfile


def main():
    if not all(importlib.util.find_spec(name) for name in ("numpy", "onnx")):
        return 77
    os.environ["TLBC"] = sys.argv[1]
    import peer
    import peers_tlbc
    worst = 0.0
    with tempfile.TemporaryDirectory() as where:
        for number, folder in enumerate(sys.argv[2:]):
            case, made = peer.read_case(peer.model_path(folder)), os.path.join(where, f"{number}.so")
            peers_tlbc.build(case, made)
            difference = peer.check(peers_tlbc.open_model(case, peer.Options(made=made)), case)["error"]
            print(f"{folder}: {difference:.1e}")
            worst = max(worst, difference)
    return int(not worst <= 1e-3)


if __name__ == "__main__":
    sys.exit(main())
