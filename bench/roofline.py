#!/usr/bin/env python3
"""What the machine could do at best: the time of a model's arithmetic at the peak of multiply-adds, or of its bytes at the measured bandwidth.

usage: roofline.py --tlbc PATH MODEL.so       measures the machine, one JSON object: {"peak_gflops": .., "bandwidth": {"1": [[bytes, GB/s], ..]}}

The peak of one core is what `tlbc bench` measures beside any model. The bandwidth is that of reading a block again and again, on one thread and on two at once, for blocks of several sizes: a model whose weights fit into a cache reads them from there.
"""
import argparse
import ctypes
import json
import subprocess
import sys
import threading
import time

SIZES = [1 << n for n in (18, 20, 22, 24, 26, 28)]
THREADS = (1, 2)
MEMCHR = ctypes.CDLL(None).memchr
MEMCHR.argtypes, MEMCHR.restype = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], ctypes.c_void_p


# ---- the machine ---------------------------------------------------------------------------------------------------------

def measure_peak(tlbc, model):
    done = subprocess.run([tlbc, "bench", model, "--runs", "1", "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["peak_gflops"]


def new_block(size):
    """Bytes that are 2, in memory of their own: untouched memory is one page of zeros."""
    block = ctypes.create_string_buffer(size)
    ctypes.memset(block, 2, size)
    return block


def read_block(block, seconds, out):
    """Bytes a second of the fastest pass of the C library's memchr, which looks for a 1 in vain and lets other threads run meanwhile."""
    best, end = float("inf"), time.perf_counter() + seconds
    passes = max(1, (1 << 22) // len(block))
    while time.perf_counter() < end or best == float("inf"):
        start = time.perf_counter()
        for _ in range(passes):
            MEMCHR(block, 1, len(block))
        best = min(best, (time.perf_counter() - start) / passes)
    out.append(len(block) / best)


def measure_bandwidth(size, threads, seconds=0.1):
    """GB/s of all threads together, each with its share of the block."""
    blocks = [new_block(size // threads) for _ in range(threads)]
    found = []
    workers = [threading.Thread(target=read_block, args=(block, seconds, found)) for block in blocks]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(found) * 1e-9


# ---- a model -------------------------------------------------------------------------------------------------------------

COUNTS = ("flops", "flops_written", "flops_taken")      # what is told of a compiled model's arithmetic: by it, and of the file it came from
ENOUGH = 0.6        # share of the roofline that needs no explanation


def bandwidth_of(machine, size, threads):
    """GB/s for a block of this size: of the smallest measured block that is no smaller."""
    points = machine["bandwidth"][str(threads)]
    return next((speed for n, speed in points if n >= size), points[-1][1])


def cheapest(found):
    """Floating-point operations of the cheapest form that is known: as written, or as tlbc has rewritten it; of the branches that the data takes."""
    counts = [found.get(name) or 0 for name in COUNTS]
    return min((n for n in counts if n > 0), default=0)


def seconds(machine, found, threads):
    """(seconds that the roofline allows, "arithmetic" or "bytes"); None where nothing is known. `found` is tlbc's result."""
    size = found.get("weight_bytes", 0) + found.get("io_bytes", 0)
    arithmetic = cheapest(found) / (machine["peak_gflops"] * 1e9 * threads)
    reading = size / (bandwidth_of(machine, size, threads) * 1e9)
    if not arithmetic and not reading:
        return None
    return (arithmetic, "arithmetic") if arithmetic >= reading else (reading, "bytes")


def share(machine, found, threads):
    """The roofline's time over tlbc's; None where it is not known."""
    roof = machine and "min_us" in found and seconds(machine, found, threads)
    return roof[0] * 1e6 / found["min_us"] if roof else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tlbc", default="tlbc")
    parser.add_argument("model", metavar="MODEL.so")
    args = parser.parse_args()
    bandwidth = {str(n): [[size, measure_bandwidth(size, n)] for size in SIZES] for n in THREADS}
    print(json.dumps({"peak_gflops": measure_peak(args.tlbc, args.model), "bandwidth": bandwidth}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
