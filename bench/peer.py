"""What the programs that time tlbc and other runtimes share: the model's data, how long, and one JSON object a line.

A peer is a module peers_NAME.py with `open_model(case, options)`, which gives an `Opened`; one that compiles ahead of time has `build(case, to)` as
well, which leaves a file for `options.made` (what it returns, if anything, corrects what is told of it), and perhaps `facts(case)`, which are added to what is told of it. `main` is the command line of all of them:

    peers_ort.py [--threads N[,N]...] [--runs N] [--seconds S] [--no-spin] MODEL...     times models, one JSON object a line
    peers_tlbc.py --build FILE MODEL                  compiles ahead of time: {"seconds": .., "bytes": ..}
    peers_tlbc.py --serve [--made FILE] MODEL         opens the model, then answers commands on standard input, a line each

A server's first line says how opening went: {"load_ms": .., "version": ..}. It answers {"do": "check"} with the largest difference to the expected
outputs, {"do": "time", "runs": .., "seconds": ..} with the fastest and the median run and the memory so far. What cannot be done is the
answer {"failed": why}. MODEL is a test-data folder or an .onnx file beside its test_data_set_0; a folder with states.txt is a step, whose states
go from each test set's outputs to the next one's inputs.
"""
import argparse
import dataclasses
import glob
import json
import os
import re
import sys
import time

import numpy as np
import onnx
from onnx import numpy_helper

LEAST_RUNS = 5


class Unable(Exception):
    """Why this peer cannot do what was asked; the text is for the table."""


# ---- the model's data ----------------------------------------------------------------------------------------------------

def model_path(name):
    """The .onnx file of a folder or file argument."""
    return os.path.join(name, "model.onnx") if os.path.isdir(name) else name


def model_name(path):
    """Folder's name for DIR/model.onnx, else the file's without .onnx."""
    folder, file = os.path.split(os.path.abspath(path))
    return os.path.basename(folder) if file == "model.onnx" else file.removesuffix(".onnx")


def read_arrays(where, kind, count):
    arrays = []
    for i in range(count):
        with open(os.path.join(where, f"{kind}_{i}.pb"), "rb") as f:
            arrays.append(numpy_helper.to_array(onnx.TensorProto.FromString(f.read())))
    return arrays


def first_inputs(path, count):
    """The arrays of test_data_set_0."""
    return read_arrays(os.path.join(os.path.dirname(path), "test_data_set_0"), "input", count)


@dataclasses.dataclass
class Case:
    """A model and what goes in and must come out."""
    path: str        # of the .onnx
    inputs: list     # names, in the file's order; those with an initializer are no inputs
    outputs: list
    sets: list       # [(input arrays, expected output arrays)], of the first set's shapes
    carried: list    # [(number of an input, number of the output that is its next value)]: the states of a step

    @property
    def arrays(self):
        return self.sets[0][0]

    @property
    def is_step(self):
        return bool(self.carried)


def read_states(path, inputs, outputs):
    where = os.path.join(os.path.dirname(path), "states.txt")
    if not os.path.exists(where):
        return []
    with open(where, encoding="utf-8") as f:
        pairs = [pair.split("=") for pair in f.read().strip().split(",")]
    return [(inputs.index(i), outputs.index(o)) for i, o in pairs]


def read_case(path):
    graph = onnx.load(path, load_external_data=False).graph
    weights = {w.name for w in graph.initializer} | {w.values.name for w in graph.sparse_initializer}
    inputs, outputs = [v.name for v in graph.input if v.name not in weights], [v.name for v in graph.output]
    carried = read_states(path, inputs, outputs)
    sets = []
    for number in range(len(glob.glob(os.path.join(os.path.dirname(path), "test_data_set_*")))):
        where = os.path.join(os.path.dirname(path), f"test_data_set_{number}")
        arrays = read_arrays(where, "input", len(inputs))
        if sets and [a.shape for a in arrays] != [a.shape for a in sets[0][0]]:
            continue  # a peer that compiles for fixed shapes cannot run it
        expected = read_arrays(where, "output", len(outputs)) if os.path.exists(os.path.join(where, "output_0.pb")) else []
        sets.append((arrays, expected))
    return Case(path, inputs, outputs, sets, carried)


def pinned_model(case):
    """The model with weights inside and its inputs' sizes fixed, for peers that want them so."""
    model = onnx.load(case.path)
    values = {v.name: v for v in model.graph.input}
    for name, array in zip(case.inputs, case.arrays, strict=True):
        for dim, size in zip(values[name].type.tensor_type.shape.dim, array.shape, strict=True):
            dim.dim_value = size
    del model.graph.value_info[:]
    return model


def largest_difference(got, expected):
    """Of numbers above one, relative to them; everything but floats must be equal."""
    if got.shape != expected.shape:
        raise Unable(f"an output is {got.shape}, expected {expected.shape}")
    if not np.issubdtype(expected.dtype, np.floating):
        return 0.0 if np.array_equal(got, expected) else float("inf")
    if expected.size == 0 or np.array_equal(got, expected, equal_nan=True):
        return 0.0
    difference = float((np.abs(got - expected) / np.maximum(1, np.abs(expected))).max())
    return float("inf") if np.isnan(difference) else difference


# ---- a model that is ready to run ----------------------------------------------------------------------------------------

@dataclasses.dataclass
class Options:
    threads: int = 1
    spin: bool = True
    made: str = ""       # what build() left


class Opened:
    """What open_model gives. A peer overrides `call`, and the others where its interface has something faster."""
    version = "?"
    load_ms = 0.0
    facts = {}           # what else the peer knows of the model, for the report

    def call(self, inputs):
        """One run: arrays in, arrays out, in the file's order."""
        raise NotImplementedError

    def bind(self, inputs):
        """A function for one run on inputs that stay in place."""
        return lambda: self.call(inputs)

    def bind_steps(self, case):
        """A function for all steps of the test sets; gives their outputs if asked for by `collect`."""
        def steps(collect=None):
            carried = [case.arrays[i] for i, _ in case.carried]
            for arrays, _ in case.sets:
                inputs = list(arrays)
                for (i, _), value in zip(case.carried, carried, strict=True):
                    inputs[i] = value
                outputs = self.call(inputs)
                carried = [outputs[o] for _, o in case.carried]
                if collect is not None:
                    collect.append([np.array(o) for o in outputs])
        return steps


class OnDevice(Opened):
    """A function over values of the peer's own: subclasses give values(arrays), invoke(values) and to_host(value)."""

    def call(self, inputs):
        return [self.to_host(result) for result in self.invoke(self.values(inputs))]

    def bind(self, inputs):
        values, function = self.values(inputs), self.function
        return lambda: function(*values)

    def bind_steps(self, case):
        sets = [self.values(arrays) for arrays, _ in case.sets]

        def steps(collect=None):
            outputs = None
            for values in sets:
                values = list(values)
                for i, o in case.carried if outputs else []:
                    values[i] = outputs[o]
                outputs = self.invoke(values)
                if collect is not None:
                    collect.append([self.to_host(result) for result in outputs])
        return steps


def check(opened, case):
    """Largest difference to the expected outputs of all sets, and how long a run took at the last."""
    if not case.sets[0][1]:
        raise Unable("the model's folder has no expected outputs")
    results, start = [], time.perf_counter()
    if case.is_step:
        opened.bind_steps(case)(results)
        seconds = (time.perf_counter() - start) / len(case.sets)
    else:
        for inputs, _ in case.sets:
            start = time.perf_counter()
            results.append(opened.call(inputs))
        seconds = time.perf_counter() - start
    pairs = [(got, want) for (_, expected), outputs in zip(case.sets, results, strict=True)
             for got, want in zip(outputs, expected, strict=True) if got is not None]  # None: a state that stays inside
    return {"error": max(largest_difference(np.asarray(got), want) for got, want in pairs), "sets": len(results), "run_s": seconds}


# ---- time ----------------------------------------------------------------------------------------------------------------

def time_runs(run, runs, seconds, least=LEAST_RUNS, warm_least=3):
    """Microseconds of each run, after a tenth of the time (at least three runs) to warm up."""
    start = time.perf_counter()
    warm = 0
    while warm < warm_least or (warm < runs // 10 and time.perf_counter() - start < seconds / 10):
        run()
        warm += 1
    times = []
    start = time.perf_counter()
    while len(times) < least or (len(times) < runs and time.perf_counter() - start < seconds):
        before = time.perf_counter_ns()
        run()
        times.append((time.perf_counter_ns() - before) / 1e3)
    return times


def measure(open_model, path, threads, args):
    case = read_case(path)
    opened = open_model(case, Options(threads, not args.no_spin, args.made))
    times = time_runs(opened.bind(case.arrays), args.runs, args.seconds)
    return {
        "model": model_name(path), "threads": threads,
        "min_us": round(min(times), 2), "median_us": round(float(np.median(times)), 2),
        "p99_us": round(float(np.percentile(times, 99)), 2), "runs": len(times),
        "load_ms": round(opened.load_ms, 2), "version": opened.version,
    }


# ---- memory --------------------------------------------------------------------------------------------------------------

def reset_peak():
    """Bytes the process occupies now; its peak counts from here on."""
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass
    return memory("VmRSS")


def memory(what="VmHWM"):
    with open("/proc/self/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(what + ":"))


# ---- the programs --------------------------------------------------------------------------------------------------------

def reason(error):
    """One line of an exception: what its lines say from the first on that names an error, without where in the peer's source it was raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from ")]
    first = next((i for i, line in enumerate(lines) if "error" in line.lower()), 0)
    telling = " ".join(lines[first:])
    text = telling if isinstance(error, Unable) else f"{type(error).__name__}: {telling}"
    return re.sub(r"(?<!\w)(?:/[\w.+-]+)+/", "", text)[:300]  # folders of this machine say nothing


class Server:
    """One opened model and the commands about it."""

    def __init__(self, open_model, args):
        self.case = read_case(model_path(args.models[0]))
        self.base = reset_peak()
        self.opened = open_model(self.case, Options(int(args.threads), not args.no_spin, args.made))
        self.run = None

    def welcome(self):
        first = self.case.sets[0]
        return {"load_ms": self.opened.load_ms, "version": self.opened.version, "io_bytes": sum(a.nbytes for a in first[0] + first[1]),
                **self.opened.facts}

    def check(self, command):
        return check(self.opened, self.case)

    def time(self, command):
        steps = len(self.case.sets) if self.case.is_step else 1
        if self.run is None:
            self.run = self.opened.bind_steps(self.case) if self.case.is_step else self.opened.bind(self.case.arrays)
        times = time_runs(self.run, command["runs"], command["seconds"], least=2, warm_least=1)
        return {"min_us": min(times) / steps, "median_us": float(np.median(times)) / steps, "runs": len(times) * steps,
                "memory": max(0, memory() - self.base)}

    def answer(self, command):
        return {"check": self.check, "time": self.time}[command["do"]](command)


def serve(open_model, args):
    """Answers on what was standard output; what the runtime itself prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(function, *arguments):
        try:
            result = function(*arguments)
        except Exception as error:  # whatever a peer raises is its result
            result = {"failed": reason(error)}
        print(json.dumps(result), file=answers, flush=True)
        return "failed" not in result

    server = []
    if not say(lambda: server.append(Server(open_model, args)) or server[0].welcome()):
        return 1
    for line in sys.stdin:
        say(server[0].answer, json.loads(line))
    return 0


def make(build, facts, args):
    """Compiles ahead of time and says how long that took and how large the result is."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        case = read_case(model_path(args.models[0]))
        start = time.perf_counter()
        told = build(case, args.build)
        seconds = time.perf_counter() - start
        files = [f for f in glob.glob(args.build + "*") if os.path.isfile(f) and not f.endswith((".json", ".c", ".onnx"))]
        result = {"seconds": seconds, "bytes": sum(os.path.getsize(f) for f in files), **(facts(case) if facts else {}), **(told or {})}
    except Exception as error:
        result = {"failed": reason(error)}
    print(json.dumps(result), file=answers, flush=True)
    return 1 if "failed" in result else 0


def main(doc, open_model, build=None, facts=None):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", default="1", help="intra-op threads, several with commas")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--no-spin", action="store_true", help="idle threads sleep instead of spinning")
    parser.add_argument("--made", default="", metavar="FILE", help="what --build left")
    parser.add_argument("--build", metavar="FILE", help="compile ahead of time")
    parser.add_argument("--serve", action="store_true", help="answer commands about one model")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    args = parser.parse_args()
    if args.build:
        if not build:
            parser.error("this peer compiles when it loads the model")
        return make(build, facts, args)
    if args.serve:
        return serve(open_model, args)
    for model in args.models:
        for threads in (int(t) for t in args.threads.split(",")):
            print(json.dumps(measure(open_model, model_path(model), threads, args)), flush=True)
    return 0
