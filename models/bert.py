"""BERT encoders: of the shape of BERT-base with random weights, or any with the weights of a published checkpoint.

The parameters have the names of the published checkpoints (`encoder.layer.0.attention.self.query.weight`), so that `load` can
read one; safetensors files are read here, without the package of that name.
"""
import json
import math
import struct

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.self = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.output = nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=1e-12)})

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, mask):
        q, k, v = (self.split(self.self[name](x)) for name in ("query", "key", "value"))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + mask
        y = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.output["LayerNorm"](self.output["dense"](y) + x)


class Layer(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.attention = Attention(width, heads)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = nn.ModuleDict({"dense": nn.Linear(inner, width), "LayerNorm": nn.LayerNorm(width, eps=1e-12)})

    def forward(self, x, mask):
        x = self.attention(x, mask)
        inner = nn.functional.gelu(self.intermediate["dense"](x))
        return self.output["LayerNorm"](self.output["dense"](inner) + x)


class Bert(nn.Module):
    """input_ids, attention_mask, token_type_ids to the last hidden state; `mean`: to one vector of length 1 for a sentence."""

    def __init__(self, layers=12, width=768, heads=12, inner=3072, vocabulary=30522, positions=512, mean=False):
        super().__init__()
        self.embeddings = nn.ModuleDict({
            "word_embeddings": nn.Embedding(vocabulary, width), "position_embeddings": nn.Embedding(positions, width),
            "token_type_embeddings": nn.Embedding(2, width), "LayerNorm": nn.LayerNorm(width, eps=1e-12)})
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer(width, heads, inner) for _ in range(layers))})
        self.mean = mean

    def embed(self, ids, types):
        tables = self.embeddings
        positions = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        x = tables["word_embeddings"](ids) + tables["token_type_embeddings"](types)
        return tables["LayerNorm"](x + tables["position_embeddings"](positions))

    def forward(self, input_ids, attention_mask, token_type_ids):
        x = self.embed(input_ids, token_type_ids)
        mask = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * -10000.0
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        if not self.mean:
            return x
        weight = attention_mask.unsqueeze(-1).to(x.dtype)
        pooled = (x * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return nn.functional.normalize(pooled, p=2.0, dim=1)


def random_bert(seed=0, **options):
    """Normalisations and biases get a spread, as training gives them."""
    torch.manual_seed(seed)
    net = Bert(**options)
    for name, parameter in net.named_parameters():
        if "LayerNorm.weight" in name:
            nn.init.normal_(parameter, 1.0, 0.1)
        else:
            nn.init.normal_(parameter, std=0.1 if "bias" in name else 0.04)
    return net.eval()


def read_safetensors(path):
    """{name: tensor} of a file of f32 and i64 tensors."""
    kinds = {"F32": torch.float32, "I64": torch.int64}
    with open(path, "rb") as f:
        data = bytearray(f.read())
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + size + at for at in entry["data_offsets"])
        values = torch.frombuffer(data[start:end], dtype=kinds[entry["dtype"]]) if end > start else torch.empty(0)
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def load(path, **options):
    """An encoder with the weights of a checkpoint; what it has beyond them (a pooler, position numbers) is left out."""
    net = Bert(**options)
    tensors = read_safetensors(path)
    net.load_state_dict({name: tensors[name] for name in net.state_dict()})
    return net.eval()
