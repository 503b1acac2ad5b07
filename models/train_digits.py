#!/usr/bin/env python3
"""Trains a small TLB on scikit-learn's 8x8 digits and writes the example of examples/digits.

usage: train_digits.py [-o DIR] [--batch 1|dynamic] [--epochs N]

The eight rows of an image are the sequence: chunks of K=2 rows go through the fast stream, M=4 state vectors carry what
was seen, and the final state is classified. Seeded and on one thread: the same machine and torch version give the same
file. Writes DIR/model.onnx (input f32[1,8,8], pixels 0..16; output f32[1,10]), a test_data_set_0, and DIR/heldout.bin:

    offset 0   char[4]   "DGT1"
    offset 4   uint32    count
    offset 8   count times: float32[64] the pixels 0..16 in rows, int32 the digit        all little-endian
"""
import argparse
import os
import struct
import sys
import time

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import onnx_folder
from tlb_config import Config
from tlb_net import LogitsOnly, Unrolled

SIZE = Config(input="features", features=8, T=8, K=2, M=4, d=48, qkv=48, heads=3, ffn=96, fast="SSC", classes=10)
HELD_OUT = 360  # of 1,797


class Digits(nn.Module):
    """Pixels 0..16 in, logits out."""

    def __init__(self):
        super().__init__()
        self.net = LogitsOnly(Unrolled(SIZE))

    def forward(self, image):
        return self.net(image / 16)


def split_data(seed):
    """((train images, train labels), (held-out images, held-out labels)), shuffled."""
    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    images = torch.from_numpy(data.images[order].astype(np.float32))
    labels = torch.from_numpy(data.target[order].astype(np.int64))
    return (images[HELD_OUT:], labels[HELD_OUT:]), (images[:HELD_OUT], labels[:HELD_OUT])


def shifted(images):
    """Each image moved by -1..1 pixels in both directions, zeros moving in: 1,437 images are few."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    y, x = torch.randint(0, 3, (2, len(images), 1, 1))
    rows, columns = y + torch.arange(8)[:, None], x + torch.arange(8)[None, :]
    return padded[torch.arange(len(images))[:, None, None], rows, columns]


def train(model, images, labels, epochs, batch=64):
    steps = (len(images) + batch - 1) // batch
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * steps)
    for epoch in range(epochs):
        total = 0.0
        for part in torch.randperm(len(images)).split(batch):
            loss = nn.functional.cross_entropy(model(shifted(images[part])), labels[part], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {total / steps:.4f}", flush=True)


def write_heldout(path, images, labels):
    with open(path, "wb") as f:
        f.write(b"DGT1" + struct.pack("<I", len(labels)))
        for image, label in zip(images.numpy(), labels.tolist(), strict=True):
            f.write(image.astype("<f4").tobytes() + struct.pack("<i", label))


def write_example(folder, model, images, labels, batch):
    """model.onnx, one test set and the held-out images; other files in the folder stay."""
    dynamic = {"image": {0: "batch"}, "logits": {0: "batch"}} if batch == "dynamic" else {}
    onnx_folder.write(folder, model, model, [(images[:1],)], ["image"], ["logits"], dynamic, "torchscript", 17)
    write_heldout(os.path.join(folder, "heldout.bin"), images, labels)
    print(f"ONNX Runtime differs by {onnx_folder.runtime_difference(folder)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default=os.path.join(os.path.dirname(__file__), "..", "examples", "digits"))
    parser.add_argument("--batch", default="1", choices=["1", "dynamic"])
    parser.add_argument("--epochs", type=int, default=60)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SIZE.seed)
    (images, labels), heldout = split_data(SIZE.seed)
    model, start = Digits(), time.time()
    train(model, images, labels, args.epochs)
    model.eval().requires_grad_(False)
    right = int((model(heldout[0]).argmax(1) == heldout[1]).sum())
    print(f"{right} of {HELD_OUT} held-out digits right ({right / HELD_OUT:.2%}), {time.time() - start:.0f} s")
    if right < 0.95 * HELD_OUT:
        return 1
    write_example(args.output, model, *heldout, args.batch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
