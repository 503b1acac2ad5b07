#!/usr/bin/env python3
"""Measures tlbc and its peers on the systems of models/, in turns, and writes the table and the picture of docs/PERFORMANCE.md.

usage: peers.py [--tlbc PATH] [--venvs DIR] [--work DIR] [--peers NAME,..] [--threads N,..] [--rounds N] [ROW...]
       peers.py --quick             measures the rows of the results again: tlbc and the fastest peer or two of each, with fewer runs
       peers.py --write             only writes the table and the picture, from the results that are there
example: peers.py --tlbc build/release/tlbc --threads 1,2                            every system, every size, whole and step
         peers.py --tlbc build/release/tlbc --peers ort,torch tlb:tiny tore::step    one size; the steps of one system

A ROW is SYSTEM[:[SIZE][:FORM]], or a test-data folder. For each row:

  1. models/export.py writes the model, its inputs and PyTorch's outputs (kept in --work)
  2. those peers that compile ahead of time do so (kept in --work; tlbc compiles every time)
  3. for each number of threads every peer opens the model in a process of its own, pinned to as many processors, and its outputs for
     every test set are compared with PyTorch's: one that differs by more than 1e-3 has failed
  4. the peers run in turns, --rounds times, in swapped order every second round; a worker is stopped between its turns, and a turn in
     which other processes took part of its processors is repeated, up to --tries times

A peer that is not installed, cannot take the model, crashes, computes something else or is not ready in time is a note in the table; the
others go on. Results are kept in --results, a JSON file that later calls complete, row by row. A peer that a call does not ask keeps its
earlier time, marked so; a row's ratio is that to the fastest of all, earlier or not.
"""
import argparse
import datetime
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import time

import picture
import report
import roofline
from worker import LATE, Failed, Hold, Worker, run_once

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TOLERANCE = 1e-3
SLOW = 2.0          # seconds of a run, from which on it is not repeated in turns
QUIET = 0.05        # of a worker's processors: when others have taken more, the turn is repeated

USUAL = {"rounds": 3, "seconds": 0.2, "tries": 4}
QUICK = {"rounds": 2, "seconds": 0.1, "tries": 3}
LIKELY = ["ort", "openvino"]    # the fastest peers of most rows: asked where nothing is known
NEAR = 1.3                      # times the best peer's: one that was slower than that is not the next best

PEERS = list(report.NAMES)
AHEAD = {"tlbc", "iree", "tvm", "emx", "torch_compile"}   # those that compile ahead of time


# ---- rows ----------------------------------------------------------------------------------------------------------------

class Row:
    """A model to measure: one that is exported, or a folder that is there."""

    def __init__(self, system, size="", form="", exporter="", folder=""):
        self.system, self.size, self.form, self.exporter, self.folder = system, size, form, exporter, folder

    @property
    def name(self):
        return ":".join(part for part in (self.system, self.size, self.form) if part)


def default_forms(forms):
    """The usual form of a system, and its step."""
    return [form for number, form in enumerate(forms) if number == 0 or form == "step"]


def rows_of(listing, chosen):
    """The rows that the arguments choose from what `export.py --list --json` says; all usual ones without arguments."""
    rows = []
    for text in chosen or [system["name"] for system in listing]:
        if os.path.isdir(text):
            rows.append(Row(os.path.basename(os.path.abspath(text)), folder=text))
            continue
        name, _, rest = text.partition(":")
        size, _, form = rest.partition(":")
        found = [system for system in listing if system["name"] == name]
        if not found:
            raise ValueError(f"no system '{name}'; there are: {', '.join(system['name'] for system in listing)}")
        fitting = [Row(name, s, f, exporter) for s, forms in found[0]["sizes"].items() if size in ("", s)
                   for f, exporter in forms.items() if f == form or (not form and f in default_forms(forms))]
        if not fitting:
            raise ValueError(f"'{text}' names no size and form of {name}")
        rows += fitting
    return rows


def known_rows(listing, results):
    """Names of the rows that the results have and models/ can export."""
    able = {(system["name"], size, form) for system in listing for size, forms in system["sizes"].items() for form in forms}
    names = dict.fromkeys(":".join((r["system"], r["size"], r["form"])) for r in results["rows"])
    return [name for name in names if tuple(name.split(":")) in able]


def fastest_peers(results, row, count=2):
    """The row's best peer so far, and the next if it was near: on any number of threads."""
    closest = {}
    for times in (report.timed(r["peers"]) for r in results["rows"] if r["row"] == row.name):
        times.pop("tlbc", None)
        for peer, us in times.items():
            closest[peer] = min(closest.get(peer, math.inf), us / min(times.values()))
    return [peer for peer in sorted(closest, key=closest.get) if closest[peer] <= NEAR][:count] or LIKELY


def peers_for(args, results, row):
    """Whom to ask: of --peers, --quick leaves tlbc and the fastest."""
    fastest = fastest_peers(results, row) if args.quick else args.peers
    return [peer for peer in args.peers if peer == "tlbc" or peer in fastest]


def python_of(args, peer):
    """The Python that has the peer: its own environment, or the one of models/."""
    own = os.path.join(args.venvs, peer, "bin", "python")
    return own if os.path.exists(own) else args.python


def list_systems(args):
    if not shutil.which(args.python):
        raise Failed(f"there is no {os.path.relpath(args.python)}: models/setup_venv.sh makes it; --python names another with these packages")
    done = subprocess.run([args.python, os.path.join(ROOT, "models", "export.py"), "--list", "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"models/export.py --list: {done.stderr.strip()}")
    return json.loads(done.stdout)


# ---- before the turns ----------------------------------------------------------------------------------------------------

def export(args, row):
    """Writes the row's folder where it is not there yet."""
    if row.folder:
        return
    row.folder = os.path.join(args.work, row.name.replace(":", "_"))
    spec = os.path.join(row.folder, "system.json")
    if os.path.exists(spec):
        return
    done = subprocess.run(args.prepare + [args.python, os.path.join(ROOT, "models", "export.py"), f"{row.system}:{row.size}", "--form", row.form,
                           "--exporter", row.exporter, "-o", row.folder], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"not exported: {(done.stderr.strip().splitlines() or ['no message'])[-1][:300]}")
    with open(spec, "w", encoding="utf-8") as f:
        json.dump({"system": row.system, "size": row.size, "form": row.form, "exporter": row.exporter, "batch": "1", "settings": []}, f)


def program_of(args, peer):
    return [python_of(args, peer), os.path.join(HERE, f"peers_{peer}.py")]


def bytes_of_model(folder):
    files = [os.path.join(folder, name) for name in os.listdir(folder) if name.startswith("model.onnx")]
    return sum(os.path.getsize(f) for f in files)


def made_by(row, peer):
    return os.path.join(row.folder, "made", f"{peer}.so")


def record_of(row, peer):
    """What compiling has told, also where it has failed."""
    return made_by(row, peer) + ".json"


def maker_of(peer):
    """What tells one compiler from the next: of tlbc, which changes from day to day, the program's size and time."""
    program = shutil.which(os.environ["TLBC"]) if peer == "tlbc" else None
    return [os.path.getsize(program), os.stat(program).st_mtime_ns] if program else []


def kept_record(row, peer):
    """What compiling told, where the same compiler has done it."""
    if not os.path.exists(record_of(row, peer)):
        return None
    with open(record_of(row, peer), encoding="utf-8") as f:
        result = json.load(f)
    return result if result.pop("maker", []) == maker_of(peer) else None


def forget_late(args, row, peer):
    """Lets a peer that was not ready in time try again, where it has more time now."""
    result = kept_record(row, peer) or {}
    if LATE in result.get("failed", "") and result.get("patience", 0) < args.patience:
        os.remove(record_of(row, peer))


def make(args, row, peer):
    """Compiles ahead of time and keeps what that told."""
    os.makedirs(os.path.dirname(made_by(row, peer)), exist_ok=True)
    before = [] if peer == "tlbc" else args.prepare  # tlbc needs no queue: it takes a second
    try:
        result = run_once(before + program_of(args, peer) + ["--build", made_by(row, peer), row.folder], args.patience)
    except Failed as failure:
        result = {"failed": str(failure), "patience": args.patience}
    with open(record_of(row, peer), "w", encoding="utf-8") as f:
        json.dump({**result, "maker": maker_of(peer)}, f)
    return result


def build(args, row, peer):
    """What compiling ahead of time gave: {"made": file, "seconds": .., "bytes": ..}; without that, the size of the .onnx."""
    if peer not in AHEAD:
        return {"bytes": bytes_of_model(row.folder)} if not peer.startswith("torch") else {}
    made, result = made_by(row, peer), kept_record(row, peer) or make(args, row, peer)
    if "failed" in result:
        raise Failed(f"not compiled: {result['failed']}")
    return {"made": made, **result} if os.path.exists(made) else result


def prepare(args, row, peers):
    """Compiles for all peers; what fails will be told when it is measured."""
    for peer in peers:
        tell(args, f"{row.name}: {peer}")
        forget_late(args, row, peer)
        try:
            build(args, row, peer)
        except Failed as failure:
            tell(args, str(failure))


def open_worker(args, row, peer, threads, built):
    """A worker whose outputs are right, and what is known of it so far."""
    made = ["--made", built["made"]] if "made" in built else []
    command = program_of(args, peer) + ["--serve", "--threads", str(threads), *made, row.folder]
    worker = Worker(command, set(list(sorted(os.sched_getaffinity(0)))[-threads:]), threads)
    try:
        result = worker.welcome(args.patience)
        result.update(worker.ask({"do": "check"}, args.patience))
        if not result["error"] <= TOLERANCE:
            raise Failed(f"wrong outputs: they differ by {result['error']:.1e}")
    except Failed:
        worker.close()
        raise
    result.update({"compile_s": built.get("seconds"), "file_bytes": built.get("bytes"), "rounds": []})
    result.update({name: built[name] for name in roofline.COUNTS if name in built})
    return worker, result


# ---- turns ---------------------------------------------------------------------------------------------------------------

def quiet_turn(args, hold, worker):
    """A turn that others left alone, or of --tries turns the one they disturbed least. Work that is shared equally between threads
    waits for the one that was held up, so 2 threads cannot be measured beside anything else."""
    best = None
    for _ in range(args.tries):
        hold.turn()
        answer = worker.ask_and_watch({"do": "time", "runs": args.runs, "seconds": args.seconds}, args.patience)
        best = answer if not best or answer["others"] < best["others"] else best
        if best["others"] <= QUIET:
            break
    return best


def take_turns(args, hold, workers, results):
    """Fills results[peer]["rounds"]; a worker that fails takes no further part."""
    tell(args, "turns")
    for number in range(args.rounds):
        order = list(workers)
        for peer in order if number % 2 == 0 else order[::-1]:
            if peer not in workers or (number > 0 and results[peer]["run_s"] > SLOW):
                continue
            try:
                results[peer]["rounds"].append(quiet_turn(args, hold, workers[peer]))
            except Failed as failure:
                results[peer] = {"failed": str(failure)}
                workers.pop(peer).close()
    hold.release()


def summary(result):
    """The fastest run, how far the rounds' minima lie apart, and the memory, in place of the rounds."""
    rounds = result.pop("rounds", None)
    if rounds:
        minima = [r["min_us"] for r in rounds]
        result.update(min_us=min(minima), spread=(max(minima) - min(minima)) / min(minima), median_us=min(r["median_us"] for r in rounds),
                      memory=max(r["memory"] for r in rounds), runs=sum(r["runs"] for r in rounds),
                      others=round(max(r.get("others", 0) for r in rounds), 3))
    return result


def measure(args, hold, row, threads, peers, before):
    """{peer: result} of one row; `failed` says what went wrong. Peers that were late on fewer threads, which `before` has, are not awaited again."""
    results, workers = {}, {}
    for peer in peers:
        if LATE in before.get(peer, {}).get("failed", ""):
            results[peer] = before[peer]
            continue
        if args.built and peer in AHEAD - {"tlbc"} and not os.path.exists(record_of(row, peer)):
            continue
        try:
            tell(args, f"{row.name}, {threads} threads: {peer}")
            workers[peer], results[peer] = open_worker(args, row, peer, threads, build(args, row, peer))
        except Failed as failure:
            results[peer] = {"failed": str(failure)}
    try:
        take_turns(args, hold, workers, results)
    finally:
        for worker in workers.values():
            worker.close()
    return {peer: summary(result) for peer, result in results.items()}


# ---- results -------------------------------------------------------------------------------------------------------------

def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} processors"


def commit():
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "?"


def load_results(path):
    if not os.path.exists(path):
        return {"rows": []}
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def find_row(results, row, threads):
    return next((r for r in results["rows"] if r["row"] == row.name and r["threads"] == threads), None)


def place_of(results, row):
    """Where a new row goes: behind those of its system, and of those behind its own on other threads."""
    for alike in (lambda r: r["row"] == row.name, lambda r: r["system"] == row.system):
        there = [number for number, r in enumerate(results["rows"]) if alike(r)]
        if there:
            return there[-1] + 1
    return len(results["rows"])


def keep(results, path, row, threads, found):
    """Puts a row in place of an older one. Peers that were not asked this time keep what they had, as `earlier`."""
    old = find_row(results, row, threads)
    before = {peer: {**r, "earlier": True} for peer, r in old["peers"].items() if peer not in found} if old else {}
    new = {"row": row.name, "system": row.system, "size": row.size, "form": row.form, "threads": threads, "commit": commit(),
           "date": datetime.date.today().isoformat(), "machine": processor(), "peers": {**before, **found}}
    if old:
        results["rows"][results["rows"].index(old)] = new
    else:
        results["rows"].insert(place_of(results, row), new)
    with open(path + ".part", "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1, sort_keys=True)
    os.replace(path + ".part", path)


def brief(found):
    """A line for the terminal."""
    parts = [f"{peer} {r['min_us']:.1f}" if "min_us" in r else f"{peer} -" for peer, r in found.items()]
    return ", ".join(parts)


# ---- the command ---------------------------------------------------------------------------------------------------------

def tell(args, text):
    if args.verbose:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def words(text):
    return text.split()


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tlbc", default="tlbc", help="the program; default: from PATH")
    parser.add_argument("--venvs", default=os.path.join(ROOT, ".venv-peers"), help="where bench/setup_peers.sh has put the peers")
    parser.add_argument("--python", default=os.path.join(ROOT, ".venv", "bin", "python"), help="with what models/requirements.txt names")
    parser.add_argument("--work", default=os.path.join(ROOT, "out"), help="for exported and compiled models")
    parser.add_argument("--results", default=os.path.join(HERE, "results.json"))
    parser.add_argument("--peers", default=PEERS, type=lambda text: text.split(","), help=f"of {', '.join(PEERS)}; default: all")
    parser.add_argument("--threads", default=[1, 2], type=lambda text: [int(t) for t in text.split(",")])
    parser.add_argument("--quick", action="store_true", help="tlbc and the fastest peer of each row, and the next if it is near, "
                        + ", ".join(f"--{name} {value}" for name, value in QUICK.items()) + "; without ROWs, all that the results have")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--runs", type=int, default=1000, help="most runs of a turn")
    parser.add_argument("--seconds", type=float, help="longest turn, after two runs")
    parser.add_argument("--tries", type=int, help="most turns for one that others leave alone")
    parser.add_argument("--patience", type=float, default=300, help="seconds to compile, open or check a model")
    parser.add_argument("--hold", type=words, default=[], metavar="CMD", help="keeps the machine quiet while it runs its arguments")
    parser.add_argument("--hold-limit", type=float, default=20, help="seconds after which it is let go")
    parser.add_argument("--prepare", type=words, default=[], metavar="CMD", help="goes before exports and compilations")
    parser.add_argument("--missing", action="store_true", help="only rows that the results do not have")
    parser.add_argument("--stale", action="store_true", help="only rows that were not measured at this commit")
    parser.add_argument("--verbose", action="store_true", help="say what is going on")
    parser.add_argument("--only-prepare", action="store_true", help="only export, and compile ahead of time; what took too long is tried again")
    parser.add_argument("--built", action="store_true", help="leave out peers that have not compiled the row yet (--only-prepare)")
    parser.add_argument("--no-report", action="store_true", help="only measure")
    parser.add_argument("--write", action="store_true", help="write the table and the picture from the results, measure nothing")
    parser.add_argument("rows", nargs="*", metavar="ROW")
    args = parser.parse_args(argv)
    for name, value in (QUICK if args.quick else USUAL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    unknown = set(args.peers) - set(PEERS)
    if unknown:
        parser.error(f"no peer named {' '.join(sorted(unknown))}")
    return args


def measure_machine(args, row):
    """Peak and bandwidth, once for all rows, by a model that is compiled already."""
    made = made_by(row, "tlbc")
    if not os.path.exists(made):
        return None
    try:
        return run_once(args.hold + [args.python, os.path.join(HERE, "roofline.py"), "--tlbc", os.environ["TLBC"], made], 100)
    except Failed as failure:
        print(f"roofline: {failure}", file=sys.stderr)
        return None


def explain(args, machine, row, threads, result):
    """Adds where tlbc's time goes, where it is below its roofline."""
    share = roofline.share(machine, result, threads)
    if share is None or share >= roofline.ENOUGH:
        return
    tell(args, f"{row.name}, {threads} threads: schedule")
    try:
        result["schedule"] = run_once(args.hold + [args.python, os.path.join(HERE, "explain.py"), "--threads", str(threads), row.folder], args.patience)
    except Failed as failure:
        print(f"{row.name}: no schedule: {failure}", file=sys.stderr)


def write_report(args, results):
    for page, text in (("PERFORMANCE.md", report.document), ("SYSTEMS.md", report.costs)):
        report.replace_between(os.path.join(ROOT, "docs", page), text(results))
    svg, png = (os.path.join(ROOT, "docs", f"peers.{kind}") for kind in ("svg", "png"))
    picture.write(svg, results)
    if not picture.to_png(svg, png, python_of(args, "picture")):
        print("peers.py: no PNG: cairosvg is missing (bench/setup_peers.sh picture)", file=sys.stderr)


def is_wanted(args, results, row, threads):
    old = find_row(results, row, threads)
    return not (old and args.missing) and not (old and args.stale and old["commit"] == commit())


def chosen_rows(args, results):
    listing = list_systems(args)
    return rows_of(listing, args.rows or (known_rows(listing, results) if args.quick else []))


def measure_rows(args, results):
    """True where tlbc ran every row."""
    hold, good = Hold(args.hold, args.hold_limit), True
    for row in chosen_rows(args, results):
        peers = peers_for(args, results, row)
        try:
            export(args, row)
        except Failed as failure:
            print(f"{row.name}: {failure}", file=sys.stderr)
            continue
        if args.only_prepare:
            prepare(args, row, peers)
            continue
        found = {}
        for threads in args.threads:
            if not is_wanted(args, results, row, threads):
                continue
            found = measure(args, hold, row, threads, peers, found)
            results["machine"] = results.get("machine") or measure_machine(args, row)
            explain(args, results["machine"], row, threads, found.get("tlbc", {}))
            keep(results, args.results, row, threads, found)
            good &= "failed" not in found.get("tlbc", {})
            print(f"{row.name}, {threads} threads: {brief(found)}", file=sys.stderr, flush=True)
    return good


def main(argv):
    args = parse_args(argv)
    os.environ["TLBC"] = args.tlbc if os.sep not in args.tlbc else os.path.abspath(args.tlbc)
    results = load_results(args.results)
    try:
        good = args.write or measure_rows(args, results)
        if results["rows"] and not args.no_report and not args.only_prepare:
            write_report(args, results)
    except (Failed, ValueError) as failure:
        print(f"peers.py: {failure}", file=sys.stderr)
        return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
