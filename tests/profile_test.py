"""tools/profile: the analysis of what nsys exports, and the whole command with a stand-in for nsys and convoy."""

import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools" / "profiling"), str(ROOT / "tests" / "support")]
sys.dont_write_bytecode = True
import analysis  # noqa: E402
import cases  # noqa: E402
from nsys_trace import Trace  # noqa: E402

# The columns that are read, and one that is not, of the tables in NVIDIA's "SQLite schema" of nsys 2023.4.
SCHEMA = """
CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER NOT NULL, end INTEGER NOT NULL, streamId INTEGER NOT NULL,
  correlationId INTEGER, demangledName INTEGER NOT NULL, graphNodeId INTEGER, deviceId INTEGER NOT NULL);
CREATE TABLE CUPTI_ACTIVITY_KIND_MEMCPY (start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL);
CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER NOT NULL, end INTEGER NOT NULL, globalTid INTEGER,
  correlationId INTEGER);
CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, text TEXT,
  globalTid INTEGER, textId INTEGER);
"""
GRAPHS = [{"name": "update", "ranges": [{"path": "update", "kernels": 1}]},
          {"name": "all", "ranges": [{"path": "step/forward/conv", "kernels": 1},
                                     {"path": "step/backward/conv", "kernels": 2},
                                     {"path": "step/backward/conv/all-reduce", "kernels": 1},
                                     {"path": "step/update", "kernels": 1}]}]
THREAD = 77


class Recorder:
    """Makes an export; times in microseconds."""

    def __init__(self, path):
        self.database = sqlite3.connect(path)
        self.database.executescript(SCHEMA)
        self.names = {}

    def name(self, text):
        if text not in self.names:
            self.names[text] = len(self.names) + 1
            self.database.execute("INSERT INTO StringIds VALUES (?, ?)", (self.names[text], text))
        return self.names[text]

    def kernel(self, name, start, end, correlation, node=None, stream=7, device=0):
        self.database.execute("INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (?, ?, ?, ?, ?, ?, ?)",
                              (start * 1000, end * 1000, stream, correlation, self.name(name), node, device))

    def call(self, start, correlation, thread=THREAD):
        self.database.execute("INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (?, ?, ?, ?)",
                              (start * 1000, start * 1000 + 500, thread, correlation))

    def range(self, name, start, end, by_id=False, kind=59, thread=THREAD):
        self.database.execute("INSERT INTO NVTX_EVENTS VALUES (?, ?, ?, ?, ?, ?)",
                              (start * 1000, end * 1000, kind, None if by_id else name, thread,
                               self.name(name) if by_id else None))

    def step_as_graph(self, at, correlation, device=0):
        """100 us: forward 10, gap 5, backward 20 and 15, all-reduce 30 of which 15 beside it, update 10, copy 5."""
        self.range("step", at, at + 20, thread=THREAD + device)
        for name, start, end, node, stream in (
                ("conv", 0, 10, 1, 7), ("conv", 15, 35, 2, 7), ("ncclDevKernel_AllReduce_Sum_f32", 35, 65, 3, 8),
                ("sum", 35, 50, 4, 7), ("sgd", 65, 75, 5, 7)):
            self.kernel(name, at + start, at + end, correlation, node, stream, device)
        self.database.execute("INSERT INTO CUPTI_ACTIVITY_KIND_MEMCPY VALUES (?, ?, ?)", ((at + 75) * 1000,
                                                                                      (at + 80) * 1000, device))

    def done(self):
        self.database.commit()
        self.database.close()


class Analysis(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = Path(self.folder.name) / "rank0.sqlite"
        self.recorder = Recorder(self.path)

    def traces(self):
        """By GPU."""
        self.recorder.done()
        return analysis.of_devices(Trace(self.path))

    def trace(self):
        trace, = self.traces().values()
        return trace

    def test_kernels_of_a_replayed_graph_go_to_the_layers_that_they_were_captured_in(self):
        self.recorder.step_as_graph(0, 1)
        self.recorder.step_as_graph(100, 2)
        rows, strangers = analysis.layers(self.trace(), GRAPHS)
        self.assertEqual(strangers, 0)
        self.assertEqual({(row.phase, row.layer): (row.kernels, round(row.milliseconds, 9)) for row in rows},
                         {("forward", "conv"): (1, 0.010), ("backward", "conv"): (2, 0.035),
                          ("collectives", ""): (1, 0.030), ("update", ""): (1, 0.010)})

    def exchanging_step(self, collective):
        """Two buckets are exchanged: one while the backward pass goes on, one at its end with a mark and a division."""
        kernels = ["conv", "conv", *collective, "conv", "arrive_kernel", *collective, "scale_kernel", "sgd"]
        for number, name in enumerate(kernels):
            self.recorder.kernel(name, 10 * number, 10 * number + 10, 1, number)
        exchange = len(collective)
        graph = {"name": "all", "ranges": [{"path": "step/forward/conv", "kernels": 1},
                                           {"path": "step/backward/conv", "kernels": 1},
                                           {"path": "step/backward/all-reduce", "kernels": exchange},
                                           {"path": "step/backward/conv", "kernels": 1},
                                           {"path": "step/backward/all-reduce", "kernels": exchange + 2},
                                           {"path": "step/update", "kernels": 1}]}
        rows, strangers = analysis.layers(self.trace(), [graph])
        self.assertEqual(strangers, 0)
        return {(row.phase, row.layer): row.kernels for row in rows}

    def test_the_mark_and_the_division_of_an_exchange_are_kernels_of_the_step(self):
        self.assertEqual(self.exchanging_step(["ncclDevKernel_AllReduce_Sum_f32"]),
                         {("forward", "conv"): 1, ("backward", "conv"): 2, ("collectives", ""): 2,
                          ("backward", "all-reduce"): 2, ("update", ""): 1})

    def test_an_exchange_in_the_order_of_ranks_is_several_kernels(self):
        steps = ["ncclDevKernel_SendRecv", "void convoy::cuda::(anonymous namespace)::sum_in_order_kernel<float>(float*)",
                 "ncclDevKernel_SendRecv"]
        self.assertEqual(self.exchanging_step(steps),
                         {("forward", "conv"): 1, ("backward", "conv"): 2, ("collectives", ""): 6,
                          ("backward", "all-reduce"): 2, ("update", ""): 1})

    def test_two_gpus_of_one_process_are_told_apart_and_their_steps_counted_once(self):
        for step in range(3):
            self.recorder.step_as_graph(100 * step, 2 * step + 1)
            self.recorder.step_as_graph(100 * step + 7, 2 * step + 2, device=1)
        traces = self.traces()
        self.assertEqual(list(traces), [0, 1])
        for trace in traces.values():
            summary = analysis.summary(trace)
            self.assertEqual(summary.steps, 3)
            self.assertAlmostEqual(summary.communication, 0.030)
            self.assertAlmostEqual(summary.compute, 0.060)
            rows, strangers = analysis.layers(trace, GRAPHS)
            self.assertEqual((strangers, {row.kernels for row in rows}), (0, {1, 2}))

    def test_a_launch_of_other_kernels_than_were_captured_is_counted_and_unknown(self):
        self.recorder.step_as_graph(0, 1)
        self.recorder.kernel("more", 80, 90, 1, 6)
        rows, strangers = analysis.layers(self.trace(), GRAPHS)
        self.assertEqual(strangers, 1)
        self.assertEqual({row.phase for row in rows}, {"unknown", "collectives"})

    def test_kernels_launched_by_themselves_go_to_the_ranges_around_their_launch(self):
        record = self.recorder
        record.range("step", 0, 50)
        record.range("forward", 1, 20, by_id=True)
        record.range("conv1", 2, 6)
        record.range("conv2", 7, 12)
        record.range("not a range of a thread", 0, 100, kind=60)
        for correlation, (name, launched) in enumerate([("a", 3), ("b", 8), ("c", 15), ("d", 40), ("e", 60)]):
            record.call(launched, correlation)
            record.kernel(name, 200 + 10 * correlation, 200 + 10 * correlation + 5, correlation)
        rows, _ = analysis.layers(self.trace(), [])
        self.assertEqual([(row.phase, row.layer) for row in rows],
                         [("forward", "conv1"), ("forward", "conv2"), ("forward", ""), ("unknown", "")])
        self.assertEqual(rows[-1].kernels, 2)

    def test_exposed_communication_and_gaps_are_what_no_kernel_hides(self):
        self.recorder.step_as_graph(0, 1)
        self.recorder.step_as_graph(100, 2)
        found = analysis.summary(self.trace())
        self.assertEqual(found.steps, 2)
        # From 0 to 180 us; each step: 10 + 20 + 15 + 10 of kernels and 5 of a copy; 15 of 30 alone; gaps 5 and once 20.
        for value, expected in zip(found[1:], (0.090, 0.060, 0.030, 0.015, 0.015)):
            self.assertAlmostEqual(value, expected)

    def test_an_export_without_some_tables_is_read(self):
        self.recorder.database.execute("DROP TABLE NVTX_EVENTS")
        self.recorder.database.execute("DROP TABLE CUPTI_ACTIVITY_KIND_MEMCPY")
        self.recorder.kernel("conv", 0, 10, 1, 1)
        trace = self.trace()
        self.assertEqual(analysis.summary(trace).steps, 1)
        self.assertEqual(analysis.layers(trace, [])[1], 1)


class Command(unittest.TestCase):
    """tools/profile with an nsys that runs what it is given, and a convoy that leaves its table."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        recorder = Recorder(self.folder / "made.sqlite")
        recorder.step_as_graph(0, 1)
        recorder.done()
        (self.folder / "graphs.json").write_text(json.dumps({"graphs": GRAPHS}))
        self.script("convoy", 'echo "convoy $*" >> "$HERE/log"\n'
                    'while [ "$1" != --out ]; do shift; done\n'
                    'mkdir -p "$2/profile"; cp "$HERE/graphs.json" "$2/profile/graph-nodes.json"\n'
                    'echo "{\\"device\\": \\"${DEVICE:-cuda}\\"}" > "$2/summary.json"\n')
        self.nsys("2024.6.1.90-246160830068v0")
        # As mpirun does: each process with its number.
        self.script("launcher", 'for rank in 0 1 2; do\n'
                    '  OMPI_COMM_WORLD_RANK=$rank OMPI_COMM_WORLD_SIZE=3 "$@" || exit\ndone\n')

    def script(self, name, text):
        path = self.folder / name
        path.write_text("#!/usr/bin/env bash\n" + text)
        path.chmod(0o755)

    def nsys(self, version, leaves_report=True):
        self.script("nsys", f'case $1 in --version) echo "NVIDIA Nsight Systems version {version}"; exit ;; esac\n'
                    'echo "nsys $*" >> "$HERE/log"\n'
                    'if [ "$1" = export ]; then\n'
                    '  while [ "$1" != --output ]; do shift; done; cp "$HERE/made.sqlite" "$2"; exit\nfi\n'
                    'for word; do\n  case $word in --output=*) '
                    f'{"touch" if leaves_report else "echo"} "${{word#--output=}}.nsys-rep" ;; esac\ndone\n'
                    'while [ "$1" != "$HERE/convoy" ]; do shift; done\nexec "$@"\n')

    def profile(self, *words, **variables):
        environment = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "HERE": str(self.folder),
                       "CONVOY": str(self.folder / "convoy"), **variables}
        for name in [name for name in environment if name.startswith(("OMPI_", "PMI", "SLURM_"))]:
            del environment[name]
        return subprocess.run([ROOT / "tools" / "profile", *words], env=environment, capture_output=True, text=True,
                              check=False)

    def log(self):
        return (self.folder / "log").read_text().splitlines()

    def test_one_process_is_profiled_in_steady_steps_and_reported(self):
        out = self.folder / "out"
        done = self.profile("--out", str(out), "--steps", "5", "train", "--recipe", "fashion")
        self.assertEqual(done.returncode, 0, done.stderr)
        nsys, convoy, _ = self.log()
        for word in ("profile", "--cuda-graph-trace=node", "--capture-range=cudaProfilerApi", "--trace=cuda,nvtx"):
            self.assertIn(word, nsys.split())
        self.assertEqual(convoy, f"convoy train --recipe fashion --profile-steps 11:15 --out {out}/run --steps 15")
        self.assertIn("exposed 0.015", done.stdout)
        with open(out / "layers.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([(row["phase"], row["layer"]) for row in rows],
                         [("forward", "conv"), ("backward", "conv"), ("collectives", ""), ("update", "")])
        with open(out / "summary.csv", newline="") as file:
            self.assertEqual([(row["rank"], row["gpu"]) for row in csv.DictReader(file)], [("0", "0")])

    def test_first_and_last_rank_of_a_job_are_profiled_inside_the_launcher(self):
        out = self.folder / "out"
        done = self.profile("--out", str(out), "--launcher", "launcher", "--layers", "train", "--steps", "40")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(path.name for path in out.glob("*.nsys-rep")), ["rank0.nsys-rep", "rank2.nsys-rep"])
        started = [line for line in self.log() if line.startswith("convoy")]
        self.assertEqual(started, 3 * [f"convoy train --steps 40 --profile-steps 11:30 --out {out}/run --no-graph"])

    def test_ranks_can_be_chosen(self):
        out = self.folder / "out"
        done = self.profile("--out", str(out), "--launcher", "launcher", "--profiled", "1", "train")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([path.name for path in out.glob("*.nsys-rep")], ["rank1.nsys-rep"])

    def test_nsys_that_is_missing_or_too_old_is_one_line(self):
        done = self.profile("train", NSYS="no-such-nsys")
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
        self.assertIn("nsys is not on the PATH", done.stderr)
        self.nsys("2022.4.2.1")
        done = self.profile("train")
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
        self.assertIn("2022.4", done.stderr)
        self.assertIn("2023.4 or later", done.stderr)

    def test_a_training_on_the_cpu_is_said(self):
        self.nsys("2024.6.1", leaves_report=False)  # as the real one does where nothing starts its range
        out = self.folder / "out"
        done = self.profile("--out", str(out), "train", DEVICE="cpu")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
        self.assertIn("ran on the CPU", done.stderr)
        done = self.profile("--out", str(out), "train", DEVICE="cuda")
        self.assertIn("no rank was profiled", done.stderr)

    def test_another_folder_of_the_run_is_refused(self):
        done = self.profile("--out", str(self.folder / "out"), "train", "--out", str(self.folder / "run"))
        self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
        self.assertIn("before the word train", done.stderr)
        self.assertFalse((self.folder / "out").exists())

    def test_a_training_that_fails_is_said(self):
        self.script("convoy", "exit 3\n")
        done = self.profile("--out", str(self.folder / "out"), "train")
        self.assertEqual(done.returncode, 1)
        self.assertIn("ended with 3", done.stderr)


class Job(unittest.TestCase):
    """slurm/rank, with an nsys and a convoy that leave their command lines."""

    def nsys(self, *words):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        for name, text in (("slurm/rank", None), ("bin/nsys", "echo nsys"), ("build/convoy", "echo convoy")):
            file = folder / name
            file.parent.mkdir()
            file.write_text(f'#!/bin/sh\n{text} "$@"\n' if text else (ROOT / name).read_text())
            file.chmod(0o755)
        environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "CONVOY_PROFILE_RANKS": "0 3", "SLURM_PROCID": "3",
                       "CONVOY_PROFILE_FOLDER": "/reports"}
        return subprocess.run([folder / "slurm" / "rank", *words], env=environment, capture_output=True, text=True,
                              check=True).stdout.split()

    def test_sees_the_kernels_of_a_graph_and_of_the_chosen_steps_alone(self):
        whole = self.nsys("train")
        self.assertEqual(whole[:2], ["nsys", "profile"])
        self.assertIn("--cuda-graph-trace=node", whole)
        self.assertFalse([word for word in whole if word.startswith("--capture-range")])
        steps = self.nsys("train", "--profile-steps", "11:60")
        self.assertIn("--capture-range=cudaProfilerApi", steps)
        self.assertEqual(steps[-3:], ["train", "--profile-steps", "11:60"])


if __name__ == "__main__":
    cases.main()
