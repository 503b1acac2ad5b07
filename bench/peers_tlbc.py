#!/usr/bin/env python3
"""Compiles models with tlbc and times them as the peers are timed: from Python, through ctypes, about a microsecond a call.

usage: peers_tlbc.py --build FILE.so MODEL        $TLBC is the program, `tlbc` from PATH without; $TLBC_FLAGS are further options of `tlbc compile`
       peers_tlbc.py --serve --made FILE.so MODEL

Open dimensions are pinned to what test_data_set_0 has. Of a folder with states.txt a step function is made, which keeps the states.
"""
import ctypes
import json
import os
import struct
import subprocess
import sys
import time

import numpy as np
import onnx

import peer

VERSION_OF_ABI = 4
MAX_RANK = 16


# ---- include/tlbc/runtime.h ----------------------------------------------------------------------------------------------

class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t), ("dtype", ctypes.c_int), ("rank", ctypes.c_uint32),
                ("dims", ctypes.c_int64 * MAX_RANK)]


class TensorInfo(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("rank", ctypes.c_uint32), ("dims", ctypes.c_void_p),
                ("sequence", ctypes.c_uint32), ("delay", ctypes.c_uint32), ("element", ctypes.c_void_p)]


class StateInfo(ctypes.Structure):
    _fields_ = [("tensor", TensorInfo), ("stream_axis", ctypes.c_int32), ("kept", ctypes.c_uint16), ("in_place", ctypes.c_uint16), ("bytes", ctypes.c_uint64),
                ("initial", ctypes.c_void_p)]


class SessionOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("threads", ctypes.c_uint32), ("workspace", ctypes.c_void_p),
                ("workspace_bytes", ctypes.c_size_t), ("streams", ctypes.c_uint32), ("allocate", ctypes.c_void_p),
                ("release", ctypes.c_void_p), ("allocator_context", ctypes.c_void_p), ("states_of", ctypes.c_void_p)]


P, STATUS = ctypes.c_void_p, ctypes.c_int


class Api(ctypes.Structure):
    _fields_ = [("session_create", ctypes.CFUNCTYPE(STATUS, P, P, ctypes.POINTER(P))),
                ("session_free", ctypes.CFUNCTYPE(None, P)),
                ("session_message", ctypes.CFUNCTYPE(ctypes.c_char_p, P)),
                ("shapes", ctypes.CFUNCTYPE(STATUS, P, P, P, P)),
                ("run", ctypes.CFUNCTYPE(STATUS, P, P, P)),
                ("library_path", P),
                ("step", ctypes.CFUNCTYPE(STATUS, P, P, P)),
                ("step_many", P),
                ("reset", ctypes.CFUNCTYPE(STATUS, P, ctypes.c_uint32)),
                ("clone", P),
                ("state_save", ctypes.CFUNCTYPE(STATUS, P, ctypes.c_uint32, P, ctypes.POINTER(ctypes.c_size_t))),
                ("state_load", ctypes.CFUNCTYPE(STATUS, P, ctypes.c_uint32, P, ctypes.c_size_t))]


class Model(ctypes.Structure):
    _fields_ = [("abi_version", ctypes.c_uint32), ("struct_size", ctypes.c_uint32), ("name", ctypes.c_char_p),
                ("compiler", ctypes.c_char_p), ("target", ctypes.c_char_p), ("options", ctypes.c_char_p),
                ("sha256", ctypes.c_uint8 * 32), ("n_inputs", ctypes.c_uint32), ("n_outputs", ctypes.c_uint32),
                ("n_symbols", ctypes.c_uint32), ("n_states", ctypes.c_uint32), ("inputs", ctypes.POINTER(TensorInfo)),
                ("outputs", ctypes.POINTER(TensorInfo)), ("symbols", P), ("states", ctypes.POINTER(StateInfo)),
                ("chunk", ctypes.c_uint32), ("delay", ctypes.c_uint32), ("flops", ctypes.c_double),
                ("weight_bytes", ctypes.c_uint64), ("api", ctypes.POINTER(Api)), ("program", P), ("entries", P),
                ("n_entries", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("tail", P), ("no_tail", ctypes.c_char_p)]


def fnv1a(data):
    """The check of a saved state (runtime/states.c)."""
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


# ---- compiling -----------------------------------------------------------------------------------------------------------

def symbolic_dims(case):
    """{name: value} of the inputs' open dimensions, as test_data_set_0 fills them; those without a name are INPUT.dAXIS in tlbc."""
    values = {v.name: v for v in onnx.load(case.path, load_external_data=False).graph.input}
    dims = {}
    for name, array in zip(case.inputs, case.arrays, strict=True):
        for axis, (dim, size) in enumerate(zip(values[name].type.tensor_type.shape.dim, array.shape, strict=True)):
            if dim.dim_param and dim.dim_param != "?":
                dims[dim.dim_param] = size
            elif not dim.HasField("dim_value") or dim.dim_value < 0:
                dims[f"{name}.d{axis}"] = size
    return dims


def command(case, to):
    words = [os.environ.get("TLBC", "tlbc"), "compile", case.path, "-o", to, *os.environ.get("TLBC_FLAGS", "").split()]
    for name, size in symbolic_dims(case).items():
        words += ["--dim", f"{name}={size}"]
    for i, o in case.carried:
        words += ["--state", f"{case.inputs[i]}={case.outputs[o]}"]
    return words


def run(words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise peer.Unable(f"status {done.returncode}: {lines[0] if lines else 'no message'}")
    return done.stdout


def build(case, to):
    run(command(case, to))


def flops_of_branches(case):
    """What PyTorch counts where a branch's choice is the data's: products of the test sets' runs, on average. Its LSTM and GRU are not counted."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    import peers_torch
    net = peers_torch.load_net(case)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        for arrays, _ in case.sets:
            net(*[torch.from_numpy(array.copy()) for array in arrays])
    return counter.get_total_flops() / len(case.sets)


def facts(case):
    """Arithmetic of the products as the file has them; where branches make that depend on data, of those that the test sets take."""
    words = [os.environ.get("TLBC", "tlbc"), "inspect", case.path, "--quick", "--json"]
    for name, size in symbolic_dims(case).items():
        words += ["--dim", f"{name}={size}"]
    found = json.loads(run(words))
    flops = found.get("flops")
    if flops is None and any(used["op"] == "If" for used in found["operators"]):
        return {"flops_taken": flops_of_branches(case)}
    return {"flops_written": flops if isinstance(flops, (int, float)) else 0}


# ---- running -------------------------------------------------------------------------------------------------------------

class Opened(peer.Opened):
    def __init__(self, case, options):
        if not options.made:
            raise peer.Unable("--made is needed: what --build has written")
        start = time.perf_counter()
        self.model = Model.in_dll(ctypes.CDLL(os.path.abspath(options.made)), "tlbc_model")
        if self.model.abi_version != VERSION_OF_ABI:
            raise peer.Unable(f"version {self.model.abi_version} of the model interface, {VERSION_OF_ABI} is known")
        self.api = self.model.api.contents
        self.session = P()
        sessions = SessionOptions(struct_size=ctypes.sizeof(SessionOptions), threads=options.threads)
        status = self.api.session_create(ctypes.addressof(self.model), ctypes.addressof(sessions), ctypes.byref(self.session))
        if status:
            raise peer.Unable(f"no session: status {status}")
        self.load_ms = (time.perf_counter() - start) * 1e3
        self.version = self.model.compiler.decode().removeprefix("tlbc ")
        self.facts = {"flops": self.model.flops, "weight_bytes": self.model.weight_bytes}
        self.order = [case.inputs.index(self.model.inputs[i].name.decode()) for i in range(self.model.n_inputs)]
        self.places = [case.outputs.index(self.model.outputs[i].name.decode()) for i in range(self.model.n_outputs)]
        self.n_outputs = len(case.outputs)
        self.kept = []

    def must(self, status):
        if status:
            raise peer.Unable(f"status {status}: {self.api.session_message(self.session).decode()}")

    def tensors_in(self, arrays):
        """The tensors of the model's own order; the arrays stay alive as long as this object."""
        tensors = (Tensor * max(1, len(self.order)))()
        for t, number in zip(tensors, self.order):
            array = np.require(arrays[number], requirements=["C", "A"])
            self.kept.append(array)
            t.data, t.bytes, t.rank = array.ctypes.data, array.nbytes, array.ndim
            t.dtype = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            t.dims[:array.ndim] = array.shape
        return tensors

    def tensors_out(self, inputs):
        """Room for outputs; one whose shape depends on data gets it from the session."""
        tensors = (Tensor * max(1, self.model.n_outputs))()
        self.must(self.api.shapes(self.session, inputs, tensors, None))
        for t in tensors:
            if all(d >= 0 for d in t.dims[:t.rank]) and t.bytes:
                room = np.empty(t.bytes + 64, np.uint8)
                self.kept.append(room)
                t.data = (room.ctypes.data + 63) & ~63
        return tensors

    def arrays_of(self, tensors):
        """Outputs as copies, None for a state, which stays in the session."""
        arrays = [None] * self.n_outputs
        for t, place in zip(tensors, self.places):
            dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(t.dtype))
            shape = t.dims[:t.rank]
            count = int(np.prod(shape, dtype=np.int64))
            raw = ctypes.string_at(t.data, count * dtype.itemsize) if count else b""
            arrays[place] = np.frombuffer(raw, dtype).reshape(shape)
        return arrays

    def bind(self, inputs, function=None):
        inputs = self.tensors_in(inputs)
        outputs = self.tensors_out(inputs)
        function, session, must = function or self.api.run, self.session, self.must

        def run():
            status = function(session, inputs, outputs)
            if status:
                must(status)
        run.outputs = outputs
        return run

    def call(self, inputs):
        run = self.bind(inputs)
        run()
        return self.arrays_of(run.outputs)

    def first_states(self, case):
        """What state_load takes for the first set's states; None where they are what a fresh session has, zeros."""
        size = ctypes.c_size_t(0)
        self.must(self.api.state_save(self.session, 0, None, ctypes.byref(size)))
        saved = ctypes.create_string_buffer(size.value)
        self.must(self.api.state_save(self.session, 0, saved, ctypes.byref(size)))
        names = [self.model.states[i].tensor.name.decode() for i in range(self.model.n_states)]
        data = b"".join(np.ascontiguousarray(case.arrays[case.inputs.index(name)]).tobytes() for name in names)
        if data == saved.raw[64:]:
            return None
        before, check, behind = saved.raw[:24], bytes(8), saved.raw[32:64]  # the check counts as 0 in itself
        return before + struct.pack("<Q", fnv1a(before + check + behind + data)) + behind + data

    def bind_steps(self, case):
        states = self.first_states(case)
        session, reset, load = self.session, self.api.reset, self.api.state_load
        runs = [self.bind(arrays, self.api.step) for arrays, _ in case.sets]

        def steps(collect=None):
            self.must(reset(session, 0))
            if states:
                self.must(load(session, 0, states, len(states)))
            for run in runs:
                run()
                if collect is not None:
                    collect.append(self.arrays_of(run.outputs))
        return steps


def open_model(case, options):
    return Opened(case, options)


if __name__ == "__main__":
    sys.exit(peer.main(__doc__, open_model, build, facts))
