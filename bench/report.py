"""The table of docs/PERFORMANCE.md about peers, from what peers.py has measured.

    text = report.document(results)          Markdown
    report.replace_between(path, text)       between the two markers of the file

A time is the fastest of all runs; behind it, where rounds disagree, how far the fastest runs of the rounds lie apart. The best peer's time is bold. What
did not run is a dash with the number of a note, and a dagger marks a time of an earlier call than tlbc's.
"""
import math

import explain
import roofline

BEGIN, END = "<!-- peers.py: begin -->", "<!-- peers.py: end -->"
NAMES = {"tlbc": "tlbc", "ort": "ONNX Runtime", "openvino": "OpenVINO", "iree": "IREE", "tvm": "TVM", "tract": "tract", "emx": "emx-onnx-cgen",
         "torch": "PyTorch", "torch_compile": "torch.compile"}
WORTH_TELLING = 0.1     # a spread from which on it is told


# ---- numbers as text -----------------------------------------------------------------------------------------------------

def show_time(us):
    return f"{us:.1f} µs" if us < 1000 else f"{us / 1000:.2f} ms"


def show_seconds(s):
    return "–" if s is None else f"{s * 1e3:.1f} ms" if s < 0.1 else f"{s:.2f} s" if s < 100 else f"{s:.0f} s"


def show_bytes(n):
    return "–" if n is None else f"{n / 1e3:.0f} kB" if n < 1e6 else f"{n / 1e6:.1f} MB"


def show_flops(n):
    return next((f"{n / size:.1f} {unit}FLOP" for size, unit in ((1e9, "G"), (1e6, "M")) if n >= size), f"{n / 1e3:.1f} kFLOP")


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


# ---- one row -------------------------------------------------------------------------------------------------------------

def timed(found):
    """{peer: microseconds} of those that ran."""
    return {peer: result["min_us"] for peer, result in found.items() if "min_us" in result}


def best_peer(found):
    times = {peer: us for peer, us in timed(found).items() if peer != "tlbc"}
    return min(times, key=times.get) if times else None


def ratio(found):
    """The best peer's time over tlbc's: above 1, tlbc is faster. None where one of them did not run."""
    best = best_peer(found)
    return found[best]["min_us"] / found["tlbc"]["min_us"] if best and "min_us" in found.get("tlbc", {}) else None


class Notes:
    """Numbered reasons; the same reason has one number."""

    def __init__(self):
        self.texts = []

    def number(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1

    def lines(self):
        return [f"{i}. {text}" for i, text in enumerate(self.texts, 1)]


def escape(text):
    """Text of a peer inside a Markdown list: no markup of its own."""
    for sign in "<>|*_`":
        text = text.replace(sign, {"<": "&lt;", ">": "&gt;"}.get(sign, "\\" + sign))
    return " ".join(text.split())


def cell(found, peer, notes):
    result = found.get(peer)
    if result is None:
        return ""
    if "min_us" not in result:
        why = f"{NAMES[peer]}: {escape(shorten(result['failed']))}"
        return f"– [{notes.number(why)}]"
    text = show_time(result["min_us"])
    if result.get("spread", 0) > WORTH_TELLING:
        text += f" ± {result['spread']:.0%}"
    if result.get("earlier"):
        text += " †"
    return f"**{text}**" if peer == best_peer(found) else text


def shorten(text, most=160):
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " ..."


def roof_cell(machine, found, threads):
    result = found.get("tlbc", {})
    roof = machine and "min_us" in result and roofline.seconds(machine, result, threads)
    if not roof:
        return ""
    return f"{show_time(roof[0] * 1e6)} {'A' if roof[1] == 'arithmetic' else 'B'}, {roof[0] * 1e6 / result['min_us']:.0%}"


def peers_of(rows):
    return [peer for peer in NAMES if any(peer in row["peers"] for row in rows)]


# ---- tables --------------------------------------------------------------------------------------------------------------

def times_table(results, notes):
    rows = results["rows"]
    peers = peers_of(rows)
    head = ["model", "threads", *(NAMES[peer] for peer in peers), "ratio", "roofline, share"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        found, r = row["peers"], ratio(row["peers"])
        cells = [row["row"], str(row["threads"]), *(cell(found, peer, notes) for peer in peers), "" if r is None else f"{r:.2f}",
                 roof_cell(results.get("machine"), found, row["threads"])]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def other_table(results):
    """Compiling, loading, memory and file of the rows on one thread."""
    peers = peers_of(results["rows"])
    lines = [f"| model | {' | '.join(NAMES[peer] for peer in peers)} |", "|---" * (len(peers) + 1) + "|"]
    for row in results["rows"]:
        if row["threads"] != 1:
            continue
        cells = [row["row"]]
        for peer in peers:
            r = row["peers"].get(peer, {})
            cells.append("" if "min_us" not in r else " / ".join([show_seconds(r.get("compile_s")), show_seconds(r["load_ms"] / 1e3), show_bytes(r["memory"]),
                                                                  show_bytes(r.get("file_bytes"))]))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def overall(results):
    """A line for each number of threads, and one more for the steps among the rows."""
    lines = []
    for threads in sorted({row["threads"] for row in results["rows"]}):
        for what, chosen in (("rows", lambda row: True), ("steps", lambda row: row["form"] == "step")):
            ratios = {row["row"]: ratio(row["peers"]) for row in results["rows"] if row["threads"] == threads and chosen(row)}
            ratios = {name: r for name, r in ratios.items() if r}
            if not ratios:
                continue
            worst = min(ratios, key=ratios.get)
            lines.append(f"* {threads} thread{'s' * (threads > 1)}, {len(ratios)} {what}: geometric mean of the ratios {geometric_mean(list(ratios.values())):.2f}, "
                         f"lowest {ratios[worst]:.2f} ({worst}), {sum(r < 1 for r in ratios.values())} below 1.")
    return lines


def explanations(results):
    """What bounds each row that is far below its roofline."""
    machine = results.get("machine")
    lines = []
    for row in results["rows"]:
        result = row["peers"].get("tlbc", {})
        share = roofline.share(machine, result, row["threads"])
        if share is not None and share < roofline.ENOUGH and "schedule" in result:
            lines.append(f"| {row['row']} | {row['threads']} | {share:.0%} | {explain.sentence(result['schedule'], row['threads'], machine['peak_gflops'])} |")
    return ["| model | threads | of the roofline | where tlbc's time goes |", "|---|---|---|---|", *lines] if lines else []


def largest_rows(results):
    """Of each system and form the row on one thread that takes longest."""
    chosen = {}
    for row in results["rows"]:
        key, us = (row["system"], row["form"]), row["peers"].get("tlbc", {}).get("min_us")
        if row["threads"] == 1 and us and us > chosen.get(key, (0, None))[0]:
            chosen[key] = (us, row)
    return [row for _, row in sorted(chosen.values(), key=lambda pair: pair[1]["row"])]


def costs_table(results):
    """What a run costs, and how much of the arithmetic in the file passes have removed."""
    lines = ["| model | arithmetic in the file | left to do | removed | weights | time | memory |", "|---|---|---|---|---|---|---|"]
    for row in largest_rows(results):
        found = row["peers"]["tlbc"]
        written, left = found.get("flops_written"), roofline.cheapest(found)
        before, removed = (show_flops(written), f"{1 - left / written:.0%}") if written else ("", "")
        lines.append(f"| {row['row']} | {before} | {show_flops(left)} | {removed} "
                     f"| {show_bytes(found.get('weight_bytes', 0))} | {show_time(found['min_us'])} | {show_bytes(found['memory'])} |")
    return lines


def machine_of(rows):
    return "; ".join(sorted({row["machine"] for row in rows}))


def versions_of(rows):
    versions = {peer: r["version"] for row in rows for peer, r in row["peers"].items() if "version" in r}
    return ", ".join(f"{NAMES[peer]} {versions[peer]}" for peer in NAMES if peer in versions)


def provenance(results):
    rows = results["rows"]
    commits, dates = sorted({row["commit"] for row in rows}), sorted({row["date"] for row in rows})
    lines = [f"Machine: {machine_of(rows)}. {versions_of(rows)}; tlbc at {', '.join(commits)}; {dates[0]}{' to ' + dates[-1] if len(dates) > 1 else ''}."]
    machine = results.get("machine")
    if machine:
        speeds = ", ".join(f"{speed:.0f} GB/s from {show_bytes(n)}" for n, speed in machine["bandwidth"]["1"])
        lines.append(f"Roofline: {machine['peak_gflops']:.1f} GFLOP/s of multiply-adds a core; one core reads {speeds}.")
    return lines


def document(results):
    notes = Notes()
    times = times_table(results, notes)
    parts = [provenance(results), overall(results), ["![time of each peer over tlbc's](peers.svg)"], times,
             ["What did not run, and why:"] if notes.texts else [], notes.lines(), explanations(results),
             ["Compile time / load time / memory that opening and running added to the process / size of the file, on one thread. Runtimes that compile as they load "
              "have no compile time, and their file is the .onnx; their own libraries come on top. A model compiled by tlbc needs none."], other_table(results)]
    return "\n\n".join("\n".join(part) for part in parts if part)


def costs(results):
    return "\n\n".join("\n".join(part) for part in (provenance(results)[:1], costs_table(results)))


def replace_between(path, text):
    with open(path, encoding="utf-8") as f:
        old = f.read()
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks '{BEGIN}' and '{END}'")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{before}{BEGIN}\n{text}\n{END}{after}")
