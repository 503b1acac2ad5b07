#!/usr/bin/env python3
"""Checks the driver of peers.py with stand-ins for exporters, peers and tlbc: no network, no packages.

usage: peers_test.py
"""
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock
from xml.etree import ElementTree

import explain
import peers
import picture
import report
import roofline
from worker import Failed, Hold, Worker, run_once

LISTING = [{"name": "sums", "what": "", "sizes": {"test": {"whole": "torchscript", "step": "dynamo"}, "big": {"whole": "dynamo"}}},
           {"name": "odd", "what": "", "sizes": {"test": {"unrolled": "torchscript", "loop": "torchscript"}}}]

# A peer: behaves as its first argument says, and is as fast as the second.
STAND_IN = """
import json, os, sys, time
how, us = sys.argv[1], float(sys.argv[2])
say = lambda **answer: print(json.dumps(answer), flush=True)
if how == "refuses": say(failed="no such op"); sys.exit(1)
if how == "chatters": print("hello", flush=True)
if how == "hangs": time.sleep(60)
say(load_ms=1, version="7")
for line in sys.stdin:
    command = json.loads(line)
    if command["do"] == "check": say(error=1.0 if how == "errs" else 0.0, sets=1, run_s=1e-6)
    elif how == "crashes": os.kill(os.getpid(), 11)
    else: us += 1; say(min_us=us, median_us=2 * us, runs=10, memory=1000)
"""


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.stand_in = self.file("stand_in.py", STAND_IN)

    def file(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def command(self, how, us=1):
        return [sys.executable, self.stand_in, how, str(us)]


class WorkerTest(Folder):
    def worker(self, how):
        worker = Worker(self.command(how))
        self.addCleanup(worker.close)
        return worker

    def test_answers(self):
        worker = self.worker("runs")
        self.assertEqual(worker.welcome(20)["version"], "7")
        self.assertEqual(worker.ask({"do": "time"}, 20)["min_us"], 2)
        self.assertEqual(worker.ask({"do": "time"}, 20)["min_us"], 3)

    def test_is_stopped_between_turns(self):
        worker = self.worker("runs")
        worker.welcome(20)
        worker.ask({"do": "time"}, 20)
        self.assertTrue(os.WIFSTOPPED(os.waitpid(worker.process.pid, os.WUNTRACED)[1]))

    def test_does_not_outlive_the_driver(self):
        code = (f"import os, sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(peers.__file__))!r})\n"
                f"from worker import Worker\nw = Worker({self.command('runs')!r}); w.welcome(20); w.ask({{'do': 'time'}}, 20)\n"
                f"print(w.process.pid, flush=True); os.kill(os.getpid(), 9)")
        pid = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
        gone = time.monotonic() + 10
        while os.path.exists(f"/proc/{pid}") and time.monotonic() < gone:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                if f.read().split()[2] == "Z":
                    return
            time.sleep(0.05)
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_what_goes_wrong_is_said(self):
        for how, words in (("refuses", "no such op"), ("chatters", "no JSON object"), ("hangs", "no answer within 1 s")):
            with self.assertRaisesRegex(Failed, words):
                self.worker(how).welcome(1 if how == "hangs" else 20)
        worker = self.worker("crashes")
        worker.welcome(20)
        with self.assertRaisesRegex(Failed, "SIGSEGV"):
            worker.ask({"do": "time"}, 20)

    def test_sees_others(self):
        worker = self.worker("runs")
        worker.cpus = {min(os.sched_getaffinity(0))}
        worker.welcome(20)
        before, spin = time.monotonic(), "import time\nwhile time.process_time() < 0.3: pass"
        with mock.patch.object(worker, "ask", lambda *_: subprocess.run(["taskset", "-c", str(*worker.cpus), sys.executable, "-c", spin]) and {}):
            others = worker.ask_and_watch({"do": "time"}, 20)["others"]
        self.assertGreaterEqual(others * (time.monotonic() - before), 0.25)
        self.assertLessEqual(others, 1.1)

    def test_last_words(self):
        with self.assertRaisesRegex(Failed, "status 3: Traceback lost"):
            run_once([sys.executable, "-c", "import sys; sys.stderr.write('x\\nTraceback lost'); sys.exit(3)"], 20)


class HoldTest(Folder):
    def test_is_let_go_after_the_limit(self):
        log = os.path.join(self.folder.name, "log")
        script = self.file("hold.sh", f'echo begin >> "{log}"\n"$@"\necho end >> "{log}"\n')
        hold = Hold(["sh", script], 0.2)
        hold.turn()
        hold.turn()
        time.sleep(0.3)
        hold.turn()
        hold.release()
        with open(log, encoding="utf-8") as f:
            self.assertEqual(f.read().split(), ["begin", "end", "begin", "end"])


class QuietTurnTest(unittest.TestCase):
    def turn(self, *others, tries=4):
        answers = [{"min_us": number, "others": share} for number, share in enumerate(others)]
        args = mock.Mock(tries=tries)
        return peers.quiet_turn(args, mock.Mock(), mock.Mock(ask_and_watch=lambda *_: answers.pop(0)))["min_us"]

    def test_the_first_quiet_one(self):
        self.assertEqual(self.turn(0.5, 0.01, 0), 1)

    def test_the_least_disturbed(self):
        self.assertEqual(self.turn(0.5, 0.2, 0.3, tries=3), 1)


class RowsTest(unittest.TestCase):
    def names(self, *chosen):
        return [row.name for row in peers.rows_of(LISTING, chosen)]

    def test_usual_rows(self):
        self.assertEqual(self.names(), ["sums:test:whole", "sums:test:step", "sums:big:whole", "odd:test:unrolled"])

    def test_chosen_rows(self):
        self.assertEqual(self.names("sums:big"), ["sums:big:whole"])
        self.assertEqual(self.names("sums::step"), ["sums:test:step"])
        self.assertEqual(self.names("odd:test:loop"), ["odd:test:loop"])
        with self.assertRaisesRegex(ValueError, "no system 'even'; there are: sums, odd"):
            self.names("even")
        with self.assertRaisesRegex(ValueError, "names no size and form"):
            self.names("sums:huge")


class NewcomerTest(unittest.TestCase):
    def test_a_missing_environment_is_told(self):
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            status = peers.main(["--python", os.path.join(peers.ROOT, "none", "python"), "--results", "none.json", "sums"])
        self.assertEqual(status, 1)
        self.assertIn("none/python: models/setup_venv.sh makes it", said.getvalue())


class BuildTest(Folder):
    def test_tlbc_compiles_again_when_it_has_changed(self):
        program, row = self.file("tlbc", ""), peers.Row("sums", folder=self.folder.name)
        os.chmod(program, 0o755)
        counter = self.file("count.py", "import json, sys; open(sys.argv[1] + '.count', 'a').write('x'); print(json.dumps({'seconds': 1}))")
        args = mock.Mock(prepare=[], patience=20)
        with mock.patch.dict(os.environ, TLBC=program), mock.patch.object(
                peers, "program_of", lambda args, peer: [sys.executable, counter, os.path.join(self.folder.name, peer)]):
            for peer in ("tlbc", "tvm"):
                self.assertEqual([peers.build(args, row, peer)["seconds"] for _ in range(2)], [1, 1])
            os.utime(program, (1, 1))
            for peer in ("tlbc", "tvm"):
                peers.build(args, row, peer)
        counts = [os.path.getsize(os.path.join(self.folder.name, f"{peer}.count")) for peer in ("tlbc", "tvm")]
        self.assertEqual(counts, [2, 1])


    def test_a_late_compiler_gets_more_time(self):
        row, slow = peers.Row("sums", folder=self.folder.name), [sys.executable, "-c", "import time; time.sleep(1); print('{\"seconds\": 1}')"]
        with mock.patch.object(peers, "program_of", lambda args, peer: slow):
            for patience, said in ((0.1, "no answer within 0 s"), (20, "no answer within 0 s")):
                with self.assertRaisesRegex(Failed, said):
                    peers.build(mock.Mock(prepare=[], patience=patience), row, "tvm")
            args = mock.Mock(prepare=[], patience=20, verbose=False)
            peers.prepare(args, row, ["tvm"])
            self.assertEqual(peers.build(args, row, "tvm")["seconds"], 1)


class MeasureTest(Folder):
    BEHAVIOUR = {"tlbc": ("runs", 10), "ort": ("runs", 20), "tvm": ("refuses", 0), "iree": ("crashes", 0), "torch": ("errs", 5)}

    def setUp(self):
        super().setUp()
        self.results = os.path.join(self.folder.name, "results.json")
        self.model = os.path.join(self.folder.name, "model")
        os.makedirs(self.model)
        self.file("model/model.onnx", "x" * 100)

    def measure(self, *arguments):
        names = list(self.BEHAVIOUR)
        self.asked = []
        stand_in = mock.patch.object(peers, "program_of", lambda args, peer: self.asked.append(peer) or self.command(*self.BEHAVIOUR[peer]))
        built = mock.patch.object(peers, "build", lambda args, row, peer: {"seconds": 2.0, "bytes": 50})
        listed = mock.patch.object(peers, "list_systems", lambda args: LISTING)
        with stand_in, built, listed, contextlib.redirect_stderr(io.StringIO()):
            status = peers.main(["--peers", ",".join(names), "--results", self.results, "--threads", "1", "--no-report", *arguments, self.model])
        with open(self.results, encoding="utf-8") as f:
            return status, json.load(f)["rows"]

    def test_goes_on_when_peers_fail(self):
        status, rows = self.measure("--rounds", "3", "--tries", "1")
        self.assertEqual(status, 0)
        found = rows[0]["peers"]
        self.assertEqual((found["tlbc"]["min_us"], found["tlbc"]["spread"]), (11, 2 / 11))
        self.assertEqual((found["ort"]["min_us"], found["ort"]["runs"], found["ort"]["memory"]), (21, 30, 1000))
        self.assertEqual(found["tvm"]["failed"], "no such op")
        self.assertIn("SIGSEGV", found["iree"]["failed"])
        self.assertIn("differ by 1.0e+00", found["torch"]["failed"])

    def test_rows_are_replaced_or_kept(self):
        self.measure("--rounds", "1")
        _, rows = self.measure("--rounds", "2")
        self.assertEqual([r["peers"]["tlbc"]["runs"] for r in rows], [20])
        _, rows = self.measure("--rounds", "3", "--tries", "1", "--missing")
        self.assertEqual([r["peers"]["tlbc"]["runs"] for r in rows], [20])

    def test_new_rows_stand_beside_their_like(self):
        rows = [{"row": name, "system": name[0]} for name in ("a:x", "a:y", "a:y", "b:x")]
        place = [peers.place_of({"rows": rows}, peers.Row(*name.split(":"))) for name in ("a:x", "a:z", "b:x", "c:x")]
        self.assertEqual(place, [1, 3, 4, 4])

    def test_stale_rows(self):
        self.measure("--rounds", "1")
        _, rows = self.measure("--rounds", "2", "--stale")
        self.assertEqual([r["peers"]["tlbc"]["runs"] for r in rows], [10])
        with mock.patch.object(peers, "commit", lambda: "another"):
            _, rows = self.measure("--rounds", "2", "--tries", "1", "--stale")
        self.assertEqual([r["peers"]["tlbc"]["runs"] for r in rows], [20])

    def test_quick_asks_the_fastest_peers(self):
        with mock.patch.dict(self.BEHAVIOUR, tvm=("runs", 24), iree=("runs", 23), torch=("runs", 30)):
            self.measure("--rounds", "1", "--tries", "1")
            _, rows = self.measure("--quick", "--tries", "1")
            found = rows[0]["peers"]
            self.assertEqual(set(self.asked), {"tlbc", "ort", "iree"})
            self.assertEqual({peer: (r["runs"], r.get("earlier", False)) for peer, r in found.items()},
                             {"tlbc": (20, False), "ort": (20, False), "iree": (20, False), "tvm": (10, True), "torch": (10, True)})
        with mock.patch.dict(self.BEHAVIOUR, iree=("runs", 40)):
            self.measure("--rounds", "1", "--tries", "1")
            self.measure("--quick", "--tries", "1")
            self.assertEqual(set(self.asked), {"tlbc", "ort"})

    def test_quick_rows(self):
        results = {"rows": [{"row": name, "threads": threads, "system": system, "size": size, "form": form, "peers": {}} for threads in (1, 2) for
                            name, system, size, form in (("sums:big:whole", "sums", "big", "whole"), ("gone:test:step", "gone", "test", "step"), ("x", "x", "", ""))]}
        self.assertEqual(peers.known_rows(LISTING, results), ["sums:big:whole"])
        self.assertEqual(peers.fastest_peers(results, peers.Row("sums", "big", "whole")), peers.LIKELY)

    def test_late_peers_are_awaited_once(self):
        with mock.patch.dict(self.BEHAVIOUR, tvm=("hangs", 0)):
            _, rows = self.measure("--rounds", "1", "--patience", "5", "--threads", "1,2")
        self.assertEqual([r["peers"]["tvm"]["failed"] for r in rows], ["no answer within 5 s"] * 2)
        self.assertEqual((self.asked.count("tvm"), self.asked.count("ort")), (1, 2))

    def test_tlbc_that_fails_is_the_status(self):
        with mock.patch.dict(self.BEHAVIOUR, tlbc=("refuses", 0)):
            self.assertEqual(self.measure("--rounds", "1")[0], 1)


def row(name, threads, form="whole", **times):
    found = {peer: {"min_us": us, "spread": 0.0, "load_ms": 1.0, "memory": 1000, "version": "1"} for peer, us in times.items() if us}
    found.update({peer: {"failed": "no <op>"} for peer, us in times.items() if not us})
    found["tlbc"].update(flops=4e6, flops_written=2e6, weight_bytes=1 << 20, io_bytes=0)
    return {"row": name, "system": "s", "threads": threads, "form": form, "machine": "A", "commit": "c", "date": "2026-01-01", "peers": found}


class ExplainTest(unittest.TestCase):
    SUMMARY = {"us": 100, "calls": 10, "waiting": 0.2, "products": 0.2, "speed": 50.0, "parts": [["Tanh", 0.5], ["Reshape", 0.3]]}

    def test_summary(self):
        kernels = [{"kernel": "Fused_1", "op": "Tanh", "calls": 4, "us": 50}, {"kernel": "MatMul_2", "op": "MatMul", "calls": 1, "us": 10},
                   {"kernel": "MatMul_3", "op": "MatMul", "calls": 1, "us": 10, "flops": 500e3}, {"kernel": "copy_4", "calls": 4, "us": 30}]
        found = explain.summary({"us": 100, "phases": [{"waiting_us": 5}, {"waiting_us": 15}], "kernels": kernels})
        self.assertEqual(found, {**self.SUMMARY, "parts": [["Tanh", 0.5], ["copy", 0.3]]})

    def test_causes(self):
        for cause, threads, changes in (("element by element", 1, {}), ("waiting", 2, {}), ("products", 1, {"products": 0.7}), ("short calls", 2, {"calls": 200}),
                                        ("copies", 1, {"parts": [["Reshape", 0.6]]})):
            self.assertEqual(explain.cause({**self.SUMMARY, **changes}, threads), cause)

    def test_short_calls_are_told_in_nanoseconds(self):
        self.assertEqual(explain.sentence({**self.SUMMARY, "calls": 200, "parts": []}, 2, 100.0),
                         "short calls: 200 calls of 500 ns, products 20% of the time, waiting 20%")


class ReportTest(Folder):
    MACHINE = {"peak_gflops": 100.0, "bandwidth": {"1": [[1 << 16, 100.0], [1 << 20, 20.0], [1 << 24, 10.0]], "2": [[1 << 24, 30.0]]}}
    RESULTS = {"machine": MACHINE, "rows": [row("a", 1, tlbc=100, ort=300, iree=200, tvm=0), row("b", 1, tlbc=100, ort=50),
                                            row("a:step", 1, "step", tlbc=1, ort=8)]}

    def test_best_peer_and_ratio(self):
        self.assertEqual([report.ratio(r["peers"]) for r in self.RESULTS["rows"]], [2, 0.5, 8])
        lines = report.times_table(self.RESULTS, report.Notes())
        self.assertIn("| **200.0 µs** |", lines[2])
        self.assertIn("| 2.00 |", lines[2])
        self.assertIn("1 thread, 3 rows: geometric mean of the ratios 2.00, lowest 0.50 (b), 1 below 1.", report.overall(self.RESULTS)[0])
        self.assertIn("1 thread, 1 steps: geometric mean of the ratios 8.00", report.overall(self.RESULTS)[1])

    def test_an_earlier_time_is_marked(self):
        found = row("a", 1, tlbc=100, ort=300, iree=200)["peers"]
        found["iree"]["earlier"] = True
        self.assertEqual([report.cell(found, peer, report.Notes()) for peer in ("ort", "iree")], ["300.0 µs", "**200.0 µs †**"])
        self.assertEqual(report.ratio(found), 2)

    def test_what_failed_is_a_note(self):
        text = report.document(self.RESULTS)
        self.assertIn("– [1]", text)
        self.assertIn("1. TVM: no &lt;op&gt;", text)

    def test_costs_of_the_largest_row_of_each_form(self):
        rows = [row("a", 1, tlbc=100), row("b", 1, tlbc=300), row("c", 1, "step", tlbc=7), row("b", 2, tlbc=900)]
        for found, facts in zip(rows[1:3], ({"flops": 3e9, "flops_written": 4e9}, {"flops": 2e3})):
            found["peers"]["tlbc"] = {**found["peers"]["tlbc"], "flops_written": None, **facts}
        lines = report.costs_table({"rows": rows})[2:]
        self.assertEqual([line.split(" | ")[:4] for line in lines],
                         [["| b", "4.0 GFLOP", "3.0 GFLOP", "25%"], ["| c", "", "2.0 kFLOP", ""]])

    def test_roofline_is_the_longer_of_the_two(self):
        found = {"flops": 4e6, "flops_written": 2e6, "weight_bytes": 1 << 20}
        time, what = roofline.seconds(self.MACHINE, found, 1)
        self.assertEqual((round(time * 1e6, 1), what), (52.4, "bytes"))
        time, what = roofline.seconds(self.MACHINE, {"flops": 4e8, "flops_written": 8e8, "weight_bytes": 1 << 20}, 2)
        self.assertEqual((round(time * 1e6, 1), what), (2000.0, "arithmetic"))
        self.assertIsNone(roofline.seconds(self.MACHINE, {}, 1))

    def test_roofline_of_branches_is_what_the_data_takes(self):
        time, what = roofline.seconds(self.MACHINE, {"flops": 0, "flops_taken": 1e9, "weight_bytes": 1 << 16}, 1)
        self.assertEqual((round(time * 1e3, 3), what), (10.0, "arithmetic"))

    def test_rows_below_the_roofline_are_explained(self):
        found = row("a", 1, tlbc=100, ort=300)
        self.assertEqual(report.explanations({"machine": self.MACHINE, "rows": [found]}), [])
        found["peers"]["tlbc"]["schedule"] = ExplainTest.SUMMARY
        self.assertIn("| a | 1 | 52% | element by element: 10 calls, products 20% of the time at 50% of the peak, Tanh 50%, Reshape 30% |",
                      report.explanations({"machine": self.MACHINE, "rows": [found]}))
        found["peers"]["tlbc"]["min_us"] = 53
        self.assertEqual(report.explanations({"machine": self.MACHINE, "rows": [found]}), [])

    def test_only_what_is_between_the_markers_changes(self):
        path = self.file("p.md", f"head\n{report.BEGIN}\nold\n{report.END}\ntail\n")
        report.replace_between(path, "new")
        report.replace_between(path, "newer")
        with open(path, encoding="utf-8") as f:
            self.assertEqual(f.read(), f"head\n{report.BEGIN}\nnewer\n{report.END}\ntail\n")
        with self.assertRaisesRegex(ValueError, "lacks"):
            report.replace_between(self.file("q.md", "nothing"), "new")

    def test_picture(self):
        root = ElementTree.fromstring(picture.draw(self.RESULTS))
        titles = [t.text for t in root.iter("{http://www.w3.org/2000/svg}title")]
        self.assertIn("b: ONNX Runtime 0.50", titles)
        marks = {t: e for e in root.iter() for t in [e.findtext("{http://www.w3.org/2000/svg}title")] if t}
        centre = {t: float(e.get("cx")) for t, e in marks.items() if e.get("cx")}
        self.assertLess(centre["b: ONNX Runtime 0.50"], centre["a: ONNX Runtime 3.00"])
        self.assertFalse(picture.to_png("x.svg", "x.png", "/nonexistent/python"))


if __name__ == "__main__":
    unittest.main()
