"""A decision transformer with a temporal latent bottleneck: trajectories in causal chunks of N time steps.

A time step is three tokens: return to go, state of the world, action; each gets the embedding of its time step.
Chunks of 3N tokens go through tlb_net's cell with causal self blocks; the token of a state of the world predicts
the action of its time step, from its chunk up to it and from the chunks before through the bottleneck's state.

    returns f32[B,T], worlds f32[B,T,w], actions i64[B,T], times i64[B,T]  ->  action logits f32[B,T,actions]
"""
import dataclasses
from typing import Final, List

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

import tlb_config
from system import Export, Model, System, chain, generator, refuse_loops, seeded
from tlb_net import Cell


@dataclasses.dataclass(frozen=True)
class Config:
    d: int = 16
    heads: int = 2
    ffn: int = 32
    fast: str = "SSC"
    world: int = 5       # width of a state of the world
    actions: int = 4
    times: int = 32      # largest time step + 1
    T: int = 8           # time steps
    N: int = 2           # time steps in a chunk
    M: int = 2
    seed: int = 1

    def cell(self):
        return tlb_config.Config(d=self.d, qkv=self.d, heads=self.heads, ffn=self.ffn, fast=self.fast, K=3 * self.N,
                                 T=3 * self.T, M=self.M, input="features", pos="none", state_pos=False, bias=True,
                                 gelu="erf", eps=1e-5, causal=True).check()


class Decision(nn.Module):
    """What all forms share."""
    N: Final[int]

    def __init__(self, c):
        super().__init__()
        self.N = c.N
        self.time = nn.Embedding(c.times, c.d)
        self.action = nn.Embedding(c.actions, c.d)
        self.ret, self.world = nn.Linear(1, c.d), nn.Linear(c.world, c.d)
        self.norm = nn.LayerNorm(c.d)
        self.cell = Cell(c.cell())
        self.first_state = nn.Parameter(torch.zeros(1, c.M, c.d))
        self.norm_out, self.out = nn.LayerNorm(c.d), nn.Linear(c.d, c.actions)

    def embed(self, returns: Tensor, worlds: Tensor, actions: Tensor, times: Tensor) -> Tensor:
        """[B, 3T, d]: three tokens for each time step"""
        at = self.time(times)
        three = torch.stack([self.ret(returns[:, :, None]) + at, self.world(worlds) + at, self.action(actions) + at], dim=2)
        return self.norm(three.flatten(1, 2))

    def predict(self, y: Tensor) -> Tensor:
        return self.out(self.norm_out(y[:, 1::3]))

    def begin(self, batch: int) -> Tensor:
        return self.first_state.expand(batch, -1, -1)


class Unrolled(Decision):
    def forward(self, returns, worlds, actions, times):
        state = self.begin(returns.size(0))
        ys = []
        for x in self.embed(returns, worlds, actions, times).split(3 * self.N, dim=1):
            y, state = self.cell(x, state, None)
            ys.append(y)
        return self.predict(torch.cat(ys, dim=1))


class Loop(Decision):
    def forward(self, returns: Tensor, worlds: Tensor, actions: Tensor, times: Tensor):
        state = self.begin(returns.size(0))
        x = self.embed(returns, worlds, actions, times)
        ys: List[Tensor] = []
        for i in range((x.size(1) + 3 * self.N - 1) // (3 * self.N)):
            y, state = self.cell(x[:, 3 * self.N * i : min(3 * self.N * (i + 1), x.size(1))], state, None)
            ys.append(y)
        return self.predict(torch.cat(ys, dim=1))


class Scanned(Decision):
    def step(self, state, x):
        y, state = self.cell(x, state, None)
        return state, self.predict(y)

    def forward(self, returns, worlds, actions, times):
        x = self.embed(returns, worlds, actions, times)
        chunks = x.reshape(x.size(0), -1, 3 * self.N, x.size(2)).transpose(0, 1)
        _, ys = scan(self.step, self.begin(x.size(0)).clone(), chunks, dim=0)
        return ys.transpose(0, 1).flatten(1, 2)


class Stepped(Decision):
    def forward(self, returns, worlds, actions, times, state):
        y, state = self.cell(self.embed(returns, worlds, actions, times), state, None)
        return self.predict(y), state


NETS = {"unrolled": Unrolled, "loop": Loop, "scan": Scanned, "step": Stepped}
INPUTS = ["returns", "worlds", "actions", "times"]


def trajectory(c, batch, length, random):
    first = torch.randint(0, c.times - length + 1, (batch, 1), generator=random)
    return (torch.rand(batch, length, generator=random), torch.randn(batch, length, c.world, generator=random),
            torch.randint(0, c.actions, (batch, length), generator=random), first + torch.arange(length))


def model(c, form, exporter, batch):
    net = seeded(lambda: NETS[form](c), c.seed, tables=("first_state",))
    random = generator(c)
    is_open = form == "loop"
    rows = [2, 1, 3] if batch == "dynamic" or is_open else [int(batch)] * 2
    axes = {0: "batch", 1: "time"} if is_open else {0: "batch"}
    dynamic = {n: axes for n in [*INPUTS, "logits"]} if len(rows) == 3 else {}
    if form == "step":
        parts = zip(*(t.split(c.N, dim=1) for t in trajectory(c, rows[0], 3 * c.N, random)))
        if dynamic:
            dynamic.update(state={0: "batch"}, state_next={0: "batch"})
        return Model(net, chain(net, parts, [net.begin(rows[0]).clone()], 1), [*INPUTS, "state"], ["logits", "state_next"],
                     dynamic, states={"state": "state_next"})
    lengths = [c.T, c.T // 2 + 1, 1] if is_open else [c.T] * len(rows)
    sets = [trajectory(c, b, t, random) for b, t in zip(rows, lengths)]
    return Model(net, sets, INPUTS, ["logits"], dynamic, exported=torch.jit.script(net) if is_open else None)


def refuse(c, form, exporter, batch):
    reason = refuse_loops(form, exporter, batch)
    if reason:
        return reason
    if form == "scan" and c.T % c.N != 0:
        return "a Scan takes whole chunks: N must divide T"
    return None


SYSTEMS = [System(
    name="tlb_dt", what="decision transformer over causal chunks with a latent bottleneck", build=model, refuse=refuse,
    sizes={
        "test": Config(),
        # Widths of the decision transformer for Atari: 3 x 30 tokens of 128, here in chunks of 5 time steps.
        "atari": Config(d=128, heads=8, ffn=512, fast="SCSCSC", world=128, actions=18, times=1024, T=30, N=5, M=5),
    },
    forms={"unrolled": "a copy of the cell for each chunk", "loop": "a Loop over chunks; batch and length are dynamic",
           "scan": "a Scan over chunks", "step": "the time steps of one chunk"},
    tests=(
        Export("test", "unrolled", "dynamo"),
        Export("test", "unrolled", "torchscript", batch="dynamic"),
        Export("test", "loop", "torchscript"),
        Export("test", "scan", "dynamo", batch="2"),
        Export("test", "step", "torchscript", batch="2"),
    ))]
