"""A peer in a process of its own, driven over a pipe, and the command that keeps the machine quiet during its turns.

    worker = Worker([python, "bench/peers_ort.py", "--serve", folder], cpus={0}, threads=1)
    worker.welcome(60)                                       {"load_ms": .., "version": ..}
    worker.ask({"do": "time", "runs": 100, "seconds": 1}, 60)
    worker.close()

A worker is stopped (SIGSTOP) between its turns: idle threads of one peer that spin would slow the next. One that crashes, says nothing in
time or answers {"failed": ..} makes Failed, nothing else.
"""
import ctypes
import json
import os
import select
import signal
import subprocess
import tempfile
import time

PR_SET_PDEATHSIG = 1
LATE = "no answer within"


class Failed(Exception):
    """What a worker could not do; the message is for the table."""


def set_up(cpus):
    """In the child, before the peer: it is pinned, and does not outlive the driver, stopped as it may be."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if cpus:
        os.sched_setaffinity(0, cpus)


def busy_seconds(cpus):
    """What these processors have worked so far, or their host has taken away from them."""
    ticks, names = 0, {f"cpu{cpu}" for cpu in cpus}
    with open("/proc/stat", encoding="utf-8") as f:
        for name, *counts in (line.split() for line in f):
            if name in names:
                user, nice, system, _, _, irq, soft, steal = (int(count) for count in counts[:8])
                ticks += user + nice + system + irq + soft + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def environment(threads):
    """Every library that counts its own threads is told how many."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TVM_NUM_THREADS", "RAYON_NUM_THREADS")
    return {**os.environ, **{name: str(threads) for name in names}}


class Worker:
    def __init__(self, command, cpus=None, threads=1):
        self.errors = tempfile.TemporaryFile()
        self.rest = b""
        self.cpus = cpus or os.sched_getaffinity(0)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        start_new_session=True, preexec_fn=lambda: set_up(cpus), env=environment(threads))

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def last_words(self):
        """Why the process ended."""
        status = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        how = f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"{how}: {lines[-1][:200]}" if lines else how

    def read_line(self, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Failed(f"{LATE} {seconds:.0f} s")
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise Failed(self.last_words())
            self.rest += piece
        line, _, self.rest = self.rest.partition(b"\n")
        return line

    def welcome(self, seconds):
        try:
            answer = json.loads(self.read_line(seconds))
        except ValueError:
            raise Failed("the answer is no JSON object") from None
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer

    def ask(self, command, seconds):
        """The answer to one command; the process runs only meanwhile."""
        self.signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
            return self.welcome(seconds)
        except BrokenPipeError:
            raise Failed(self.last_words()) from None
        finally:
            self.signal(signal.SIGSTOP)

    def own_seconds(self):
        """Processor time of the process so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as f:
            user, system = f.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def ask_and_watch(self, command, seconds):
        """The answer, and in `others` the share of the worker's processors that went to anybody else meanwhile."""
        began, busy, own = time.monotonic(), busy_seconds(self.cpus), self.own_seconds()
        answer = self.ask(command, seconds)
        others = busy_seconds(self.cpus) - busy - (self.own_seconds() - own)
        answer["others"] = max(0.0, others / (time.monotonic() - began) / len(self.cpus))
        return answer

    def close(self):
        self.signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            try:
                stream.close()
            except BrokenPipeError:
                pass


def run_once(command, seconds, cpus=None, threads=1):
    """The one answer of a command that ends by itself."""
    worker = Worker(command, cpus, threads)
    try:
        return worker.welcome(seconds)
    finally:
        worker.close()


class Hold:
    """The time that a command (`--hold`) keeps the machine quiet by running; without one nothing happens.

    The command gets a small program as further arguments, which it must run; it is let go after `limit` seconds at the latest
    between two turns, and started again for the next turn.
    """
    PROGRAM = ["sh", "-c", "echo held; read line"]

    def __init__(self, command, limit):
        self.command, self.limit = command, limit
        self.process = None
        self.since = 0.0

    def turn(self):
        """To be called before every turn."""
        if not self.command:
            return
        if self.process and time.monotonic() - self.since > self.limit:
            self.release()
        if not self.process:
            self.process = subprocess.Popen(self.command + self.PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.process.stdout.readline()
            self.since = time.monotonic()

    def release(self):
        if self.process:
            self.process.communicate(b"\n")
            self.process = None
