"""tools/scaling_model: its formulas worked by hand, what it reads, what it prints and draws, wrong use."""

import contextlib
import csv
import importlib.machinery
import importlib.util
import io
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "support")]
sys.dont_write_bytecode = True
import cases  # noqa: E402
from made_runs import make_run  # noqa: E402
from scaling import links, measured, model, policies, predictions  # noqa: E402
from scaling.model import Cluster, Link, Workload  # noqa: E402

TOOL = ROOT / "tools" / "scaling_model"
LOADER = importlib.machinery.SourceFileLoader("scaling_model", str(TOOL))
program = importlib.util.module_from_spec(importlib.util.spec_from_loader("scaling_model", LOADER))
LOADER.exec_module(program)

FREE = Link(0.0, math.inf)
SLOW = Link(1e-3, 1e6)       # a message of a megabyte: 1.001 s
STEP = 0.5                   # seconds, whatever the batch
WORK = Workload(STEP, 0.0, average_bytes=4e6, gradient_bytes=4e6, bucket_bytes=1e6)
EPOCH = predictions.Epoch(images=6400, batch=10, is_weak=True)
FLAT = Cluster(SLOW)
NODES = Cluster(Link(1e-4, 1e8), SLOW, ranks_per_node=4, nics_per_node=2)
COUNTS = (1, 2, 3, 4, 8, 16, 64)
TEXTS = ("step", "every:1", "every:8", "every:8+delay:1", "every:8+node:2", "epoch", "end")


def cost(text, work=WORK, cluster=FLAT, ranks=2, step=STEP):
    return model.cost(policies.parse(text), work, cluster, ranks, step)


def row(text, work=WORK, cluster=FLAT, ranks=2, epoch=EPOCH):
    return predictions.predict(policies.parse(text), work, cluster, epoch, ranks)


class AllReduce(unittest.TestCase):
    def test_two_ranks_each_send_half_of_it_twice(self):
        self.assertAlmostEqual(model.all_reduce(Cluster(Link(0.0, 1e6)), 4e6, 2), 4.0)  # 2 * 2 MB at 1 MB/s

    def test_a_ring_of_four_sends_a_quarter_six_times(self):
        self.assertAlmostEqual(model.ring(FLAT, 4e6, 4), 6 * (1e-3 + 1.0))

    def test_one_rank_and_a_free_link_cost_nothing(self):
        self.assertEqual(model.all_reduce(FLAT, 4e6, 1), 0)
        for ranks in COUNTS:
            self.assertEqual(model.all_reduce(Cluster(FREE), 4e6, ranks), 0)

    def test_without_bandwidth_s_cost_the_messages_remain(self):
        self.assertAlmostEqual(model.ring(Cluster(Link(1e-3, math.inf)), 4e6, 8), 14e-3)
        nodes = Cluster(Link(1e-3, math.inf), Link(1e-1, math.inf), ranks_per_node=4)
        self.assertAlmostEqual(model.ring(nodes, 4e6, 16), 24e-3 + 6e-1)  # 2 * 15 messages, 2 * 3 of them between nodes
        self.assertAlmostEqual(model.tree(nodes, 4e6, 16), 6e-3 + 4e-1)   # 2 * 3 in the nodes, 2 * log2(4) between them

    def test_the_narrowest_link_that_is_needed_decides(self):
        self.assertEqual([NODES.bandwidth(ranks) for ranks in (4, 8)], [1e8, 2e6])  # two NICs of 1 MB/s
        wide = replace(NODES, nics_per_node=1000)
        self.assertEqual(wide.bandwidth(8), 1e8)

    def test_a_hierarchy_with_one_rank_a_node_is_flat(self):
        single = Cluster(FREE, SLOW, ranks_per_node=1)
        for ranks in COUNTS[1:]:
            self.assertAlmostEqual(model.ring(single, 4e6, ranks), model.ring(FLAT, 4e6, ranks), msg=ranks)
        work = replace(WORK, spread=0.1)
        for ranks in COUNTS:
            two_levels, flat = (cost(text, work, replace(single, memory_bandwidth=1e6), ranks)
                                for text in ("every:8+node:2", "every:8"))
            self.assertEqual(two_levels, flat)

    def test_trees_are_for_short_messages_and_rings_for_long_ones(self):
        single = Cluster(FREE, Link(1e-3, 1e6), ranks_per_node=1)
        for size, better in ((1, model.tree), (1e9, model.ring)):
            self.assertEqual(model.all_reduce(single, size, 64), better(single, size, 64))
        self.assertEqual(model.all_reduce(replace(single, algorithm="ring"), 1, 64), model.ring(single, 1, 64))

    def test_its_bus_bandwidth_is_that_of_nccl_tests(self):
        fast = Cluster(Link(0.0, 450e9))
        for ranks in (2, 4, 8):
            seconds = model.all_reduce(fast, 1e9, ranks)
            self.assertAlmostEqual(1e9 / seconds * 2 * (ranks - 1) / ranks, 450e9, delta=1)


class Policies(unittest.TestCase):
    def test_weights_cost_an_average_and_a_check_every_k_steps(self):
        average, check = 2 * (1e-3 + 2.0), 2 * (1e-3 + 8e-6)  # halves of 4 MB, and of two ranks' norms
        self.assertAlmostEqual(cost("every:1").network, average + check)
        self.assertAlmostEqual(cost("every:8").network, (average + check) / 8)
        self.assertAlmostEqual(row("epoch")["network_share"],  # 320 steps of an epoch on two ranks
                               (average + check) / 320 / (STEP + (average + check) / 320))
        self.assertEqual(cost("end").network + cost("never").network, 0)

    def test_passes_over_memory_are_counted(self):
        work_at = replace(Cluster(FREE), memory_bandwidth=1e6)
        for text, passes in (("step", 2), ("every:1", 3), ("every:1+delay:1", 13)):
            self.assertAlmostEqual(cost(text, cluster=work_at).network, 4 * passes, msg=text)
        self.assertAlmostEqual(cost("every:4+node:1", cluster=work_at).network, (4 * 3 + 3 * 4 * 2) / 4)

    def test_a_late_average_travels_during_a_step(self):
        check = 2 * (1e-3 + 8e-6)
        self.assertAlmostEqual(cost("every:4+delay:1").network, (2 * 2.001 - STEP + check) / 4)
        self.assertAlmostEqual(cost("every:4+delay:1", step=5.0).network, check / 4)
        alone = replace(WORK, overlaps=False)
        self.assertAlmostEqual(cost("every:4+delay:1", alone, step=5.0).network, (2 * 2.001 + check) / 4)

    def test_gradients_hide_behind_the_backward_pass_but_for_the_last_bucket(self):
        bucket = 2 * (1e-3 + 0.5)  # halves of 1 MB
        long, short = 100.0, 0.6
        self.assertAlmostEqual(cost("step", step=long).network, bucket)
        # The first of four buckets is ready after a quarter of the 0.4 s of the pass; the rest of it is hidden.
        self.assertAlmostEqual(cost("step", step=short).network, 4 * bucket - 0.3)
        self.assertAlmostEqual(cost("step", replace(WORK, overlaps=False), step=long).network, 4 * bucket)
        self.assertAlmostEqual(cost("step", replace(WORK, bucket_bytes=0), step=long).network, 2 * (1e-3 + 2.0))

    def test_nodes_average_between_averages_of_the_world(self):
        world = model.all_reduce(NODES, 4e6, 8) + model.all_reduce(NODES, 64, 8)
        node = model.all_reduce(NODES, 4e6, 4)
        self.assertAlmostEqual(cost("every:8+node:2", cluster=NODES, ranks=8).network, (world + 3 * node) / 8)
        self.assertEqual(cost("every:8+node:8", cluster=NODES, ranks=8), cost("every:8", cluster=NODES, ranks=8))

    def test_ranks_wait_for_the_slowest_of_them(self):
        # Of the normal distribution's order statistics: 1 / sqrt(pi), 1.02938, 1.42360; the variance of two is 1 - 1 / pi.
        for ranks, mean in ((1, 0), (2, 1 / math.sqrt(math.pi)), (4, 1.02938), (8, 1.42360)):
            self.assertAlmostEqual(model.largest_of(ranks)[0], mean, places=5)
        self.assertAlmostEqual(model.largest_of(2)[1]**2, 1 - 1 / math.pi, places=6)
        work, mean = replace(WORK, spread=0.1), 1 / math.sqrt(math.pi)
        for text, steps in (("step", 1), ("every:1", 1), ("every:16", 16), ("every:16+delay:1", 16)):
            self.assertAlmostEqual(cost(text, work).wait, 0.1 * STEP * mean / math.sqrt(steps), places=6, msg=text)
        eight = cost("every:16+node:4", work, NODES, 8).wait  # two nodes of four
        deviation = model.largest_of(4)[1]
        self.assertAlmostEqual(eight, 0.1 * STEP * (1.02938 / 2 + deviation * mean / 4), places=6)

    def test_texts_are_those_of_the_program_s_options(self):
        self.assertEqual(policies.parse("every:64+node:4+delay:1"),
                         model.Policy("every:64+node:4+delay:1", period=64, node_period=4, is_delayed=True))
        for text in ("", "every", "every:0", "every:1.5", "steps", "step+delay:1", "end+node:2", "every:4+delay:2",
                     "epoch+"):
            with self.assertRaises(ValueError, msg=text):
                policies.parse(text)


class Predictions(unittest.TestCase):
    def test_a_free_network_scales_perfectly(self):
        for text in TEXTS:
            for ranks in COUNTS:
                found = row(text, cluster=Cluster(FREE), ranks=ranks)
                self.assertAlmostEqual(found["efficiency"], 1, msg=(text, ranks))
                self.assertAlmostEqual(found["epoch_seconds"], 640 * STEP / ranks)

    def test_seldom_enough_any_network_is_hidden(self):
        for ranks in COUNTS:
            self.assertGreater(row(f"every:{10**9}", replace(WORK, spread=0.1), ranks=ranks)["efficiency"], 1 - 1e-4)

    def test_every_k_on_two_ranks_by_hand(self):
        found = row("every:8", cluster=Cluster(Link(0.0, 1e6)))
        step = STEP + (4.0 + 16e-6) / 8
        self.assertAlmostEqual(found["epoch_seconds"], 320 * step)
        self.assertAlmostEqual(found["speedup"], 2 * STEP / step)
        self.assertAlmostEqual(found["network_share"], 1 - STEP / step)

    def test_strong_scaling_divides_the_batch_but_not_what_a_step_costs_anyway(self):
        epoch = predictions.Epoch(images=6400, batch=64, is_weak=False)
        work = replace(WORK, fixed=0.1, per_image=0.01)
        found = row("end", work, ranks=8, epoch=epoch)
        self.assertEqual(found["batch_per_rank"], 8)
        self.assertAlmostEqual(found["speedup"], (0.1 + 0.64) / (0.1 + 0.08))
        self.assertAlmostEqual(found["epoch_seconds"], 100 * (0.1 + 0.08))

    def test_efficiency_falls_with_ranks_latency_and_bytes_and_rises_with_k_and_bandwidth(self):
        def falls(values, what):
            self.assertTrue(all(a >= b - 1e-12 for a, b in zip(values, values[1:])), (what, values))
            self.assertGreater(values[0], values[-1], what)

        work = replace(WORK, spread=0.05)
        for text in TEXTS[:-1]:
            falls([row(text, work, NODES, ranks)["efficiency"] for ranks in (1, 4, 8, 16, 64)], text)
            falls([row(text, replace(work, average_bytes=size, gradient_bytes=size), NODES, 16)["efficiency"]
                   for size in (1e4, 1e6, 4e6, 1e8)], text)
            for latency in (True, False):
                falls([row(text, work, replace(NODES, between=Link(value, 1e6) if latency else Link(1e-3, 1 / value)), 16)
                       ["efficiency"] for value in (1e-9, 1e-5, 1e-3, 1e-1)], (text, latency))
        falls([row(f"every:{period}", work, NODES, 16)["efficiency"] for period in (1000, 100, 16, 8, 2, 1)], "K")

    def test_the_smallest_k_is_the_first_that_hides_the_network(self):
        for family in policies.families(map(policies.parse, TEXTS)):
            for share in predictions.SHARES:
                unit = family.node_period or 1
                period = model.smallest_period(family, WORK, NODES, 16, STEP, share)
                if period is None:
                    self.assertEqual(family.text, "every:K+node:2")
                    continue

                def network(steps):
                    return model.network_share(family.with_period(steps), WORK, NODES, 16, STEP)
                self.assertLessEqual(network(period), share, family.text)
                self.assertTrue(period == unit or network(period - unit) > share, (family.text, period))
        # (4 s + 16 us) / K at most a twentieth of the whole step: K from 19 (4 + 16e-6) / 0.5 = 152.0006.
        every = model.Policy("every:K")
        self.assertEqual(model.smallest_period(every, WORK, Cluster(Link(0.0, 1e6)), 2, STEP, 0.05), 153)

    def test_no_k_hides_what_nodes_average_too_often(self):
        slow_inside = replace(NODES, within=SLOW)
        family = model.Policy("every:K+node:1", node_period=1)
        self.assertIsNone(model.smallest_period(family, WORK, slow_inside, 16, STEP, 0.05))


class WithFolder(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)

    def bench(self, name, *rows):
        path = self.folder / name
        path.write_text("tools/launch: mpirun -n 2\n" + "".join(json.dumps(row) + "\n" for row in rows))
        return path

    def model(self, *options):
        """As a process would be, but in this one."""
        words, out, err, code = [str(TOOL), *map(str, options)], io.StringIO(), io.StringIO(), 0
        with mock.patch.object(sys, "argv", words), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                program.main()
            except SystemExit as end:
                code = end.code
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    def json_of(self, *options):
        done = self.model(*options, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout, parse_constant=lambda name: self.fail(f"{name} is no JSON"))


def average_row(workers, hosts, cluster, size=4e6):
    return {"workers": workers, "hosts": hosts, "average_bytes": size,
            "average_seconds": model.all_reduce(cluster, size, workers),
            "seconds_of_smallest": model.all_reduce(cluster, 0, workers)}


class Inputs(WithFolder):
    def test_a_line_goes_through_two_batches_and_between_more(self):
        self.assertEqual(tuple(round(x, 9) for x in measured.line_through({10: 0.3, 20: 0.5})), (0.1, 0.02))
        fixed, slope = measured.line_through({10: 0.31, 20: 0.49, 40: 0.9})
        self.assertTrue(0.09 < fixed < 0.13 and 0.018 < slope < 0.021, (fixed, slope))
        self.assertEqual(measured.line_through({10: 0.3}), (0.3, 0))
        self.assertEqual(measured.line_through({10: 0.3, 20: 0.2})[1], 0)  # a step is not shorter for more images
        self.assertEqual(measured.line_through({10: 0.1, 20: 0.3})[0], 0)  # nor is one of none less than nothing

    def test_the_link_of_a_bench_gives_its_times_back(self):
        for workers, hosts in ((2, 1), (8, 1), (2, 2), (16, 16)):
            link = Link(3e-4, 2e7)
            cluster = Cluster(link, link, ranks_per_node=workers // hosts)
            for size in (1e4, 4e6):  # between hosts a tree is the faster one for the first, a ring for the second
                found = measured.link_of(average_row(workers, hosts, cluster, size), workers, hosts)
                self.assertAlmostEqual(found.latency / link.latency, 1, msg=(workers, hosts, size))
                self.assertAlmostEqual(found.bandwidth / link.bandwidth, 1, msg=(workers, hosts, size))

    def test_benches_are_read_with_what_else_was_printed(self):
        inside, outside = Link(1e-5, 1e9), Link(1e-4, 1e8)
        path = self.bench("bench", {"batch": 64, "seconds": [0.1, 0.2, 0.1, 0.1, 9.0]}, average_row(4, 1, Cluster(inside)),
                          average_row(4, 4, Cluster(FREE, outside, ranks_per_node=1)))
        found = self.json_of("--bench", path, "--ranks", 4, 16, "--gpus-per-node", 4, "--policies", "every:4")
        self.assertEqual(found["workload"]["fixed"], 0.1)
        self.assertEqual(found["workload"]["average_bytes"], 4e6)
        self.assertAlmostEqual(found["cluster"]["within"]["bandwidth"], 1e9, delta=1)
        self.assertAlmostEqual(found["cluster"]["between"]["latency"], 1e-4)
        given = self.json_of("--bench", path, "--bandwidth", 5, "--latency-between", 7, "--average-bytes", 10)
        self.assertEqual(given["cluster"]["within"]["bandwidth"], 5e9)
        self.assertAlmostEqual(given["cluster"]["within"]["latency"], 1e-5)
        self.assertAlmostEqual(given["cluster"]["between"]["latency"], 7e-6)
        self.assertEqual(given["workload"]["gradient_bytes"], 10)
        self.assertIsNone(given["cluster"]["memory_bandwidth"])

    def test_of_several_benches_the_median_is_taken(self):
        paths = [self.bench(f"bench-{gigabytes}", {"batch": 64, "seconds": [seconds]},
                            average_row(2, 1, Cluster(Link(1e-5 * gigabytes, 1e9 * gigabytes))))
                 for gigabytes, seconds in ((1, 0.1), (2, 0.3), (9, 0.2))]
        found = self.json_of("--bench", *paths)
        self.assertAlmostEqual(found["cluster"]["within"]["bandwidth"], 2e9, delta=10)
        self.assertAlmostEqual(found["cluster"]["within"]["latency"], 2e-5)
        self.assertEqual(found["workload"]["fixed"], 0.2)

    def test_the_spread_of_a_bench_is_that_of_its_middle_half(self):
        seconds = [50, *(0.9 + 0.02 * at for at in range(10))]  # the quartiles are 0.94 and 1.06
        path = self.bench("bench", {"batch": 64, "seconds": seconds})
        found = self.json_of("--bench", path, "--average-bytes", 1e6, "--within", "nvlink4", "--ranks", 2,
                             "--spread", "measured")
        self.assertAlmostEqual(found["workload"]["spread"], 0.12 / 1.349)
        self.assertGreater(found["rows"][0]["wait_share"], 0)

    def test_runs_tell_compute_bytes_policy_and_epoch(self):
        # Ten steps of batch 10 an epoch, a second each, of which 0.02 s a step were communication; two ranks.
        summary = {"world_size": 2, "average_bytes": 5e6, "exposed_communication_seconds": 0.02 * 30}
        make_run(self.folder / "runs/two", summary=summary, average="every:8", average_node="every:2",
                 average_delay=1, gradient_bucket=2)
        make_run(self.folder / "runs/running", state="running", summary=summary)
        found = self.json_of("runs", "--within", "shared-memory", "--ranks", 2)
        self.assertAlmostEqual(found["workload"]["fixed"], 0.08)
        self.assertEqual(found["epoch"], {"images": 100, "batch": 5, "is_weak": True})
        self.assertEqual((found["workload"]["average_bytes"], found["workload"]["bucket_bytes"]), (5e6, 2e6))
        self.assertEqual([row["policy"] for row in found["rows"]], ["every:8+node:2+delay:1", *policies.DEFAULT])

    def test_runs_of_two_batches_make_strong_scaling(self):
        for batch, pace in ((10, 1.0), (20, 1.5)):
            make_run(self.folder / f"runs/{batch}", pace=pace, batch=batch, summary={"average_bytes": 4e6})
        found = self.json_of("runs", "--scaling", "strong", "--ranks", 1, 4, "--within", "shared-memory")
        self.assertAlmostEqual(found["workload"]["fixed"], 0.05)
        self.assertEqual([row["batch_per_rank"] for row in found["rows"][:2]], [20, 5])

    def test_wrong_use_ends_with_2_and_a_line(self):
        step, bytes_ = ("--step-seconds", "64:0.1"), ("--average-bytes", "1e6")
        whole = (*step, *bytes_, "--within", "nvlink4")
        nothing = self.bench("nothing", {"batch": 64, "seconds": [0.0, 0.0]})
        broken, quick = self.bench("broken", {"batch": 3}), self.bench("quick", {
            "workers": 2, "hosts": 1, "average_bytes": 4e6, "average_seconds": 1e-5, "seconds_of_smallest": 2e-5})
        mixed, empty = self.bench("mixed", average_row(4, 2, Cluster(SLOW, SLOW, 2))), self.bench("empty")
        run = make_run(self.folder / "run", state="failed")
        waiting = make_run(self.folder / "waiting", summary={"exposed_communication_seconds": 100})
        for options, text in (
                ((), "a step's time is missing"),
                (("nothing",), "no run remains"),
                ((run,), "a step's time is missing"),
                (("--step-seconds", "0.1", *bytes_), "say --batch B"),
                ((*step, "--within", "nvlink4"), "bytes of an average are missing"),
                ((*step, *bytes_), "link within a node is missing"),
                ((*step, *bytes_, "--latency", "3"), "latency and bandwidth expected"),
                ((*whole, "--gpus-per-node", "8"), "64 ranks need 8 nodes"),
                ((*whole, "--scaling", "strong"), "for the batch 64 alone"),
                ((*whole, "--batch", "32"), "for the batch 64 alone"),
                ((*whole, "--step-seconds", "8:1", "16:1", "--scaling", "strong"), "less than one image"),
                ((*whole, "--spread", "measured"), "at least four timed steps"),
                ((*whole, "--spread", "-1"), "a number from 0 expected"),
                ((*whole, "--bandwidth", "0"), "above 0"),
                ((*whole, "--latency", "nan"), "a number from 0 expected"),
                ((*whole, "--backward-share", "1.5"), "from 0 to 1"),
                ((*whole, "--ranks", "0"), "a whole number from 1"),
                ((*whole, "--policies", "every:0"), "step, every:K, epoch"),
                ((*whole, "--picture", "a.jpg"), "ends in .png, .pdf, .svg"),
                ((*whole, "--ranks", "1", "--picture", "a.png"), "see --ranks"),
                ((*whole, "--step-seconds", "64:0"), "a number from 1e-09"),
                ((*whole, "--csv", "--json"), "not allowed with"),
                (("--bench", "missing"), "missing: No such file"),
                (("--bench", empty), "no line of convoy bench"),
                (("--bench", broken), "line 2: not of convoy bench"),
                (("--bench", nothing), "line 2: 0.0 s for a batch of 64"),
                ((waiting,), "a step's time is missing"),
                (("--bench", quick), "on a quieter machine"),
                (("--bench", mixed), "two links at once")):
            done = self.model(*options)
            self.assertEqual(done.returncode, 2, (options, done.stderr))
            self.assertIn(text, done.stderr.splitlines()[-1], options)
            self.assertTrue(all(line.startswith("tools/scaling_model: ") for line in done.stderr.splitlines()), done.stderr)
            self.assertEqual(done.stdout, "")

    def test_named_links_carry_what_they_state(self):
        self.assertEqual(links.WITHIN["nvlink4"].bandwidth, 450e9)
        self.assertEqual([8e-9 * links.BETWEEN[name].bandwidth for name in ("ndr", "100gbe", "25gbe")], [400, 100, 25])


class Outputs(WithFolder):
    OPTIONS = ("--step-seconds", "64:0.01", "--average-bytes", "4e6", "--within", "nvlink4", "--between", "25gbe",
               "--policies", "step", "every:4", "every:8+node:2")

    def test_text_csv_and_json_say_the_same(self):
        rows = self.json_of(*self.OPTIONS)["rows"]
        self.assertEqual(len(rows), 3 * 7)
        table = list(csv.DictReader(io.StringIO(self.model(*self.OPTIONS, "--csv").stdout)))
        self.assertEqual(list(table[0]), list(rows[0]))
        text = self.model(*self.OPTIONS).stdout.splitlines()
        for at, (row, line) in enumerate(zip(rows, table)):
            self.assertEqual([line["policy"], int(line["ranks"]), float(line["efficiency"])],
                             [row["policy"], row["ranks"], row["efficiency"]])
            words = text[3 + at].split()
            self.assertEqual(words[:2] + [words[6]], [row["policy"], str(row["ranks"]), f"{100 * row['efficiency']:.1f}"])

    def test_the_smallest_k_stands_below_the_table(self):
        periods = self.json_of(*self.OPTIONS)["smallest_periods"]
        lines = self.model(*self.OPTIONS).stdout.splitlines()
        at = next(number for number, line in enumerate(lines) if line.startswith("smallest K"))
        self.assertEqual(len(lines) - at - 1, 2 * 6)  # every:K and every:K+node:2, on 2 to 64 ranks
        for line, row in zip(lines[at + 1:], periods):
            self.assertEqual(line.split(), [row["policy"], str(row["ranks"]), f"{row['period_1_percent']:,}",
                                            f"{row['period_5_percent']:,}"])

    def test_matplotlib_is_looked_for_before_anything_is_printed(self):
        """The search may start the program anew."""
        printed = io.StringIO()
        error = program.python_packages.PackagesError
        with mock.patch.object(program.python_packages, "use", side_effect=error("none")), \
                mock.patch.object(sys, "argv", [str(TOOL), *self.OPTIONS, "--picture", "a.png"]), \
                contextlib.redirect_stdout(printed), self.assertRaises(error):
            program.main()
        self.assertEqual(printed.getvalue(), "")

    def test_help_names_its_formulas(self):
        done = subprocess.run([sys.executable, str(TOOL), "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("tools/scaling/model.py", done.stdout)


# In place of the program: steps of 8 ms alone, of 9 without averages, of 10 with, in the second round 16.
SHORT_CONVOY = """
import json, sys
from pathlib import Path
from made_runs import make_run
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
if sys.argv[1] == "bench":
    print(json.dumps(dict(workers=2, hosts=1, average_bytes=1e6, seconds_of_smallest=0.002,
                          average_seconds=0.001 if Path("useless").exists() else
                          0.006 if Path("second").exists() else 0.004)))
else:
    out = Path(options["--out"])
    pace = dict(alone=0.08, never=0.09).get(out.name, 0.16 if out.parent.name == "round-1" else 0.1)
    make_run(out, 5 * [0.5], pace=pace, summary=dict(command_line=sys.argv))
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for row in (row for row in rows if row["kind"] == "epoch"):  # the first epoch is slow, and the third
        row["train_seconds"] += 5 if row["epoch"] < 3 else 6
    (out / "metrics.jsonl").write_text("".join(json.dumps(row) + chr(10) for row in rows))
    print(options.get("--average"), options.get("--average-node"))
"""
SHORT_MPIRUN = """
[ "$1" != --version ] || { echo another; exit; }
shift 2
exec "$@"
"""


class Experiment(WithFolder):
    def setUp(self):
        super().setUp()
        (self.folder / "convoy.py").write_text(SHORT_CONVOY)
        start = f"PYTHONPATH='{ROOT}/tests/support' exec '{sys.executable}' '{self.folder}/convoy.py' \"$@\"\n"
        for name, text in (("convoy", start), ("mpirun", SHORT_MPIRUN)):
            (self.folder / name).write_text("#!/bin/sh\n" + text)
            (self.folder / name).chmod(0o755)

    def experiment(self, *options):
        return subprocess.run([sys.executable, str(ROOT / "tools" / "experiments" / "scaling"), "--convoy",
                               str(self.folder / "convoy"), "--batches", "8", *options], capture_output=True, text=True,
                              env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"})

    def rows(self, done):
        return [line.split(" | ")[1:] for line in done.stdout.splitlines() if line.startswith("| 8 |")]

    def test_nothing_is_predicted_from_an_average_that_was_shorter_than_one_of_a_number(self):
        Path("useless").touch()
        options = ("--policies", "every:1")
        useless = self.experiment(*options, "--rounds", "1")
        self.assertEqual(useless.returncode, 0, useless.stderr)
        self.assertEqual(self.rows(useless)[1], ["every:1", "0.80 (0.80 ... 0.80)", "0.90 (0.90 ... 0.90)",
                                                 "average too short to time", "average too short to time |"])
        Path("useless").unlink()
        done = self.experiment(*options, "--rounds", "2")  # from the average of the second
        self.assertEqual(self.rows(done)[1], ["every:1", "0.65 (0.50 ... 0.80)", "0.73 (0.56 ... 0.90)",
                                              "0.57 (0.57 ... 0.57)", "0.57 (0.57 ... 0.57) |"])

    def test_the_table_has_what_was_measured_beside_what_is_predicted(self):
        options = ("--policies", "every:1", "every:4+node:2")
        first = self.experiment(*options, "--rounds", "1")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertIn("every:4 every:2\n", first.stdout)
        Path("second").touch()
        done = self.experiment(*options, "--rounds", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("round-0/every:1: done before"), 1)
        rows = self.rows(done)
        # 8 ms of 9 (those that never meet) and of 10 and 16; a check of 2 ms and an average of 4, in the second round 6.
        self.assertEqual(rows[:2], [["never", "0.89 (0.89 ... 0.89)", "1.00 (1.00 ... 1.00)", "1.00 (1.00 ... 1.00)",
                                     "1.00 (1.00 ... 1.00) |"],
                                    ["every:1", "0.65 (0.50 ... 0.80)", "0.73 (0.56 ... 0.90)", "0.54 (0.50 ... 0.57)",
                                     "0.54 (0.50 ... 0.57) |"]])

    def test_wrong_use_ends_with_2_and_a_line(self):
        for options in (("--ranks", "1"), ("--policies", "every"), ("--rounds", "0")):
            done = self.experiment(*options)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done.stderr)


LACK = cases.lack_of("matplotlib", "3.7")


@unittest.skipIf(LACK, LACK)
class Picture(WithFolder):
    def test_it_is_a_png_of_its_size_and_the_same_each_time(self):
        contents = []
        for name in ("a.png", "b.png"):
            done = self.model(*Outputs.OPTIONS, "--picture", name)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout.count("smallest K"), 1)
            contents.append((self.folder / name).read_bytes())
        self.assertEqual(contents[0], contents[1])
        self.assertEqual(contents[0][:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(struct.unpack(">II", contents[0][16:24]), (1980, 924))  # 9 × 4.2 inches, 220 dots each
        self.assertGreater(len(contents[0]), 50_000)

    def test_lines_and_marks_are_the_predictions(self):
        from scaling import drawing
        chosen = [policies.parse(text) for text in ("step", "every:8")]
        rows = predictions.table(chosen, WORK, NODES, EPOCH, (1, 4, 16))
        curves, marks = predictions.pictured(WORK, NODES, EPOCH, (4, 16))
        figure = drawing.figure_of(rows, curves, marks, "title")
        self.addCleanup(drawing.plt.close, figure)
        left, right = figure.axes
        for line, policy in zip(left.lines, chosen):
            self.assertEqual(list(line.get_xdata()), [1, 4, 16])
            self.assertEqual(list(line.get_ydata()),
                             [100 * row["efficiency"] for row in rows if row["policy"] == policy.text])
        points = {(line.get_marker(), line.get_xdata()[0]) for line in right.lines if len(line.get_xdata()) == 1}
        self.assertEqual(points, {(marker, marks[ranks][share]) for ranks in (4, 16)
                                  for share, marker, _ in drawing.MARKS})
        self.assertEqual([text.get_text() for text in right.get_legend().get_texts()],
                         [*(f"{ranks} ranks: ● {marks[ranks][0.01]:,}, ■ {marks[ranks][0.05]:,}" for ranks in (4, 16)),
                          "smallest K: network ≤ 1%", "smallest K: network ≤ 5%"])

    def test_a_folder_that_cannot_be_written_is_one_line(self):
        done = self.model(*Outputs.OPTIONS, "--picture", "missing/a.png")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot be written", done.stderr.splitlines()[-1])


if __name__ == "__main__":
    cases.main()
