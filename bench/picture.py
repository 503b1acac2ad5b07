"""Draws what peers.py has measured: each peer's time over tlbc's, a line for each model, a panel for each number of threads.

    picture.write("docs/peers.svg", results)          plain SVG on a ground of its own, so that it reads on dark and light pages
    picture.to_png("docs/peers.svg", "docs/peers.png", python)      by cairosvg, in an environment that has it

A mark to the right of the line at 1 is a peer slower than tlbc; the axis is logarithmic.
"""
import math
import subprocess
from xml.sax.saxutils import escape

import report

# Okabe and Ito's colours, which people who see fewer colours can tell apart; shapes tell them apart again.
LOOKS = {"ort": ("#0072b2", "circle"), "openvino": ("#d55e00", "square"), "iree": ("#009e73", "diamond"), "tvm": ("#cc79a7", "circle"),
         "tract": ("#8a6d00", "diamond"), "emx": ("#56b4e9", "square"), "torch": ("#444444", "circle"), "torch_compile": ("#e69f00", "diamond")}
GROUND, INK, FAINT, TLBC = "#fbfbf9", "#222222", "#d5d5d0", "#b3261e"
LABELS, PANEL, ROW, TOP, GAP, BOTTOM = 230, 430, 19, 86, 24, 64


class Axis:
    """A logarithmic axis of ratios, from x for the smallest on."""

    def __init__(self, ratios, x, width):
        self.low = min(0.5, min(ratios, default=1) / 1.15)
        self.high = max(10, max(ratios, default=1) * 1.15)
        self.x, self.width = x, width

    def at(self, ratio):
        return self.x + self.width * math.log(ratio / self.low) / math.log(self.high / self.low)

    def ticks(self):
        powers = [10 ** n for n in range(-2, 6)]
        return [m * p for p in powers for m in (1, 2, 5) if self.low <= m * p <= self.high]


def text(x, y, words, anchor="start", size=12, fill=INK, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}" font-weight="{weight}">'
            f'{escape(words)}</text>')


def mark(x, y, peer, title):
    colour, shape = LOOKS[peer]
    inside = f"<title>{escape(title)}</title>"
    look = f'fill="{colour}" fill-opacity="0.9"'
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.6" {look}>{inside}</circle>'
    if shape == "square":
        return f'<rect x="{x - 4.1:.1f}" y="{y - 4.1:.1f}" width="8.2" height="8.2" {look}>{inside}</rect>'
    return f'<path d="M{x:.1f} {y - 5.8:.1f}l5.8 5.8l-5.8 5.8l-5.8 -5.8z" {look}>{inside}</path>'


def ratios_of(row):
    """{peer: its time over tlbc's}"""
    times = report.timed(row["peers"])
    return {peer: us / times["tlbc"] for peer, us in times.items() if peer != "tlbc"} if "tlbc" in times else {}


def grid(axis, bottom):
    parts = []
    for tick in axis.ticks():
        x = axis.at(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="{TLBC if tick == 1 else FAINT}" '
                     f'stroke-width="{1.6 if tick == 1 else 1}"/>')
        if math.log10(tick) % 1 == 0 or len(axis.ticks()) < 8:
            parts.append(text(x, bottom + 16, f"{tick:g}", "middle", 11, TLBC if tick == 1 else INK))
    return parts


def panel(rows, names, threads, x):
    """The marks of all rows with this number of threads."""
    found = {row["row"]: ratios_of(row) for row in rows if row["threads"] == threads}
    axis = Axis([r for ratios in found.values() for r in ratios.values()], x, PANEL)
    bottom = TOP + ROW * len(names)
    parts = [text(x, TOP - 14, f"{threads} thread{'s' * (threads > 1)}", weight="bold"), *grid(axis, bottom)]
    for i, name in enumerate(names):
        y = TOP + ROW * (i + 0.5)
        parts += [mark(axis.at(r), y, peer, f"{name}: {report.NAMES[peer]} {r:.2f}") for peer, r in found.get(name, {}).items()]
    parts.append(text(x + PANEL / 2, bottom + 36, "time over tlbc's (tlbc = 1; further right is slower)", "middle", 11))
    return parts


def legend(peers, x):
    parts = []
    for peer in peers:
        parts += [mark(x + 6, 46, peer, report.NAMES[peer]), text(x + 16, 50, report.NAMES[peer], size=12)]
        x += 34 + 7.2 * len(report.NAMES[peer])
    return parts


def draw(results):
    rows = results["rows"]
    names = list(dict.fromkeys(row["row"] for row in rows))
    threads = sorted({row["threads"] for row in rows})
    peers = [peer for peer in report.peers_of(rows) if peer != "tlbc"]
    width = LABELS + len(threads) * (PANEL + GAP) + GAP
    height = TOP + ROW * len(names) + BOTTOM
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
             f'font-family="DejaVu Sans, Helvetica, Arial, sans-serif">',
             f'<rect width="{width}" height="{height}" rx="6" fill="{GROUND}" stroke="{FAINT}"/>',
             text(16, 24, "Time of one run or step, against tlbc", size=15, weight="bold"), *legend(peers, 16)]
    for i, name in enumerate(names):
        y = TOP + ROW * (i + 0.5)
        parts.append(f'<line x1="16" y1="{y:.1f}" x2="{width - GAP}" y2="{y:.1f}" stroke="{FAINT}" stroke-width="0.6"/>')
        parts.append(text(LABELS - 10, y + 4, name, "end", 11.5))
    for i, n in enumerate(threads):
        parts += panel(rows, names, n, LABELS + i * (PANEL + GAP))
    parts.append(text(16, height - 8, f"{report.machine_of(rows)}. {report.versions_of(rows)}.", size=9.5))
    return "\n".join(parts + ["</svg>"]) + "\n"


def write(path, results):
    with open(path, "w", encoding="utf-8") as f:
        f.write(draw(results))


def to_png(svg, png, python):
    """False where cairosvg is not installed."""
    code = "import sys, cairosvg; cairosvg.svg2png(url=sys.argv[1], write_to=sys.argv[2], scale=1.5)"
    try:
        return subprocess.run([python, "-c", code, svg, png], capture_output=True).returncode == 0
    except OSError:
        return False
