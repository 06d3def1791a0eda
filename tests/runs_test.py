"""tools/runs and tools/table: reading runs whole or damaged, groups over seeds, curves, tables."""

import contextlib
import csv
import io
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "support")]
sys.dont_write_bytecode = True
import cases  # noqa: E402
from made_runs import IMAGES, make_run  # noqa: E402
from runs import curves  # noqa: E402
from runs.columns import duration, table_of, target_cells  # noqa: E402
from runs.formats import FORMATS  # noqa: E402
from runs.groups import NOT_COMPARED, grouped  # noqa: E402
from runs.run import Run, find_runs  # noqa: E402


class WithFolder(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def read(self, *paths):
        """The runs; what was said about them is in self.said, the exit status, if it ended, in self.status."""
        said, self.status = io.StringIO(), None
        with contextlib.redirect_stderr(said):
            try:
                return find_runs(paths or [self.folder])
            except SystemExit as end:
                self.status = end.code
            finally:
                self.said = said.getvalue()

    def groups(self, *paths):
        return {group.label: group for group in grouped(self.read(*paths))}


class Reading(WithFolder):
    def test_a_damaged_and_a_half_written_line_are_left_out_and_named(self):
        run = make_run(self.folder / "a")
        lines = (run / "metrics.jsonl").read_text().splitlines()
        lines[1] = lines[1][:30] + "\0\0\0"
        lines[4] = '{"kind": "epoch", "step": 20, "epoch": 2, "images_seen": NaN, "train_seconds": 2, "train_loss": 1}'
        (run / "metrics.jsonl").write_text("\n".join(lines) + '\n{"kind":"step","st')
        found = self.read(run)[0]
        self.assertIn(f"{run}/metrics.jsonl: line 2 and 2 more: damaged or half written; left out", self.said)
        self.assertEqual(self.said.count("\n"), 1)
        self.assertEqual((len(found.steps), len(found.epochs)), (6 - 2, 3))

    def test_rows_that_a_later_one_goes_back_behind_give_way_to_it(self):
        run = make_run(self.folder / "a", (0.5, 0.6))
        lines = (run / "metrics.jsonl").read_text().splitlines()
        again = [json.loads(line) for line in lines[3:]]
        for row in again:
            row["learning_rate"] = 7
        (run / "metrics.jsonl").write_text("\n".join(lines + [json.dumps(row) for row in again]) + "\n")
        found = self.read(run)[0]
        self.assertEqual([row["step"] for row in found.steps], [5, 10, 15, 20])
        self.assertEqual([row["learning_rate"] for row in found.epochs], [0.1, 7])

    def test_rows_that_a_rollback_has_undone_give_way_and_those_before_it_stay(self):
        run = make_run(self.folder / "a", (0.5, 0.6, 0.7))  # an epoch has the steps 5 and 10
        lines = (run / "metrics.jsonl").read_text().splitlines()
        rollback = {"kind": "rollback", "step": 20, "epoch": 2, "to_step": 10, "images_seen": 100, "reason": "a NaN"}
        (run / "metrics.jsonl").write_text("\n".join(lines[:5] + [json.dumps(rollback)] + lines[6:]) + "\n")
        found = self.read(run)[0]
        self.assertEqual([row["step"] for row in found.steps], [5, 10, 25, 30])
        self.assertEqual([row["step"] for row in found.epochs], [10, 30])
        self.assertEqual(self.said, "")

    def test_a_run_without_a_summary_is_known_by_its_rows(self):
        run = make_run(self.folder / "a")
        (run / "summary.json").unlink()
        found = self.read(run)[0]
        self.assertEqual((found.state, found.is_complete, len(found.epochs)), ("unknown", False, 3))

    def test_a_damaged_summary_is_named(self):
        run = make_run(self.folder / "a")
        (run / "summary.json").write_text('{"state": "done", ')
        self.assertEqual(len(self.read(run)), 1)
        self.assertIn(f"{run}/summary.json: cannot be read", self.said)

    def test_what_is_no_run_is_named_and_without_any_run_the_tool_ends(self):
        run = make_run(self.folder / "a")
        (self.folder / "empty").mkdir()
        self.assertEqual([found.folder for found in self.read(self.folder / "empty", self.folder / "b", run)], [run])
        self.assertIn(f"{self.folder}/empty: no run: neither summary.json nor metrics.jsonl", self.said)
        self.assertIn(f"{self.folder}/b: not there", self.said)
        self.assertIsNone(self.read(self.folder / "empty"))
        self.assertEqual(self.status, 2)
        (run / "summary.json").unlink()
        (run / "metrics.jsonl").write_text("x\n")
        self.assertIsNone(self.read(run))
        self.assertEqual(self.status, 2)
        self.assertIn("a run without a readable summary or row", self.said)

    def test_a_folder_stands_for_the_runs_below_it_each_once_and_in_order(self):
        for seed in (10, 9):
            make_run(self.folder / "x" / f"seed-{seed}", seed=seed)
        found = self.read(self.folder / "x" / "seed-10", self.folder)
        self.assertEqual([run.folder.name for run in found], ["seed-10", "seed-9"])
        self.assertEqual([run.folder.name for run in self.read(self.folder)], ["seed-9", "seed-10"])

    def test_a_running_run_whose_process_is_gone_was_killed(self):
        run = make_run(self.folder / "a", state="running")
        self.assertEqual(Run(run).state, "running")
        (run / ".lock").write_text(f"process {os.getpid()} on {platform.node()}")
        self.assertEqual(Run(run).state, "running")
        gone = subprocess.Popen(["true"])
        gone.wait()
        (run / ".lock").write_text(f"process {gone.pid} on another-host")
        self.assertEqual(Run(run).state, "running")
        (run / ".lock").write_text(f"process {gone.pid} on {platform.node()}")
        self.assertEqual(Run(run).state, "killed")

    def test_the_time_left_is_that_of_the_images_left_at_the_pace_so_far(self):
        run = Run(make_run(self.folder / "a", (0.5, 0.6), state="running", epochs=10, pace=4.0))
        written = (run.folder / "metrics.jsonl").stat().st_mtime
        first, last = run.steps[0], run.epochs[-1]
        pace = (last["elapsed_seconds"] - first["elapsed_seconds"]) / (last["images_seen"] - first["images_seen"])
        self.assertAlmostEqual(run.seconds_left(written + 3), 8 * IMAGES * pace - 3)
        self.assertEqual(run.seconds_left(written + 1e6), 0)
        steps = Run(make_run(self.folder / "b", (0.5,), state="running", epochs=10, steps=15))
        self.assertEqual(steps.images_in_all, 150)
        self.assertIsNone(Run(make_run(self.folder / "c", (0.5,))).seconds_left())

    def test_within_the_first_epoch_the_summary_tells_how_much_is_left(self):
        folder = make_run(self.folder / "a", (0.5,), state="running", pace=10, summary={"training_images": IMAGES})
        lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
        (folder / "metrics.jsonl").write_text(lines[0])  # half of the first of three epochs
        run = Run(folder)
        self.assertEqual((run.images_in_all, run.epoch_at(50)), (3 * IMAGES, 0.5))
        self.assertAlmostEqual(run.seconds_left(0), 25)
        row, = table_of(grouped([run]))[1]
        self.assertEqual(row["state"], "running, 17 %")
        self.assertTrue(row["time left"])
        run.summary.pop("training_images")
        self.assertIsNone(run.seconds_left(0))

    def test_seconds_of_training_run_between_the_epochs_and_on_by_the_rows_of_steps(self):
        run = Run(make_run(self.folder / "a", (0.5, 0.6, 0.7), pace=4.0))
        self.assertAlmostEqual(run.train_seconds_at(150), 6)
        run.epochs = run.epochs[:1]
        self.assertAlmostEqual(run.train_seconds_at(250), 10)


class Groups(WithFolder):
    def test_runs_that_differ_by_seed_and_place_alone_are_one_group(self):
        for seed in range(3):
            make_run(self.folder / f"seed-{seed}", seed=seed, data=f"/mount{seed}/fashion")
        make_run(self.folder / "other", learning_rate=0.2)
        make_run(self.folder / "elsewhere", summary={"data_checksum": "0"})
        make_run(self.folder / "ranks", summary={"world_size": 2})
        sizes = [len(group.runs) for group in grouped(self.read())]
        self.assertEqual(sorted(sizes), [1, 1, 1, 3])

    def test_settings_that_cannot_change_the_result_make_no_other_group(self):
        make_run(self.folder / "a")
        make_run(self.folder / "b", seed=1, resume="auto", checkpoint_every="5m", keep_checkpoints=9, log_every=3,
                 log_ranks=True, local_accuracy=True, timeout=5, startup_timeout=5, profile_steps="3:4",
                 data_mode="staged")
        group, = grouped(self.read())
        self.assertEqual(len(group.samples), 2)

    def test_what_is_not_compared_are_options_of_the_program(self):
        table = (ROOT / "host" / "train" / "run_options.cpp").read_text()
        for name in NOT_COMPARED:
            self.assertIn(f'{{"{name}", ', table)

    def test_a_seed_that_is_repeated_counts_once_with_a_line(self):
        for name, seed, accuracy in (("a", 0, 0.8), ("b", 0, 0.9), ("c", 1, 0.6)):
            make_run(self.folder / name, (accuracy,), seed=seed)
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            group, = grouped(self.read())
        self.assertEqual(said.getvalue().split(": ", 1)[1],
                         f"{self.folder}/b: seed 0 again; it counts once, as in {self.folder}/a\n")
        self.assertEqual(group.values("test_accuracy"), [0.8, 0.6])
        self.assertEqual(table_of([group])[1][0]["n"], "2")
        self.assertEqual(curves.curve(group, curves.QUANTITIES["accuracy"].lines[2], "images")[0].mean, 0.7)
        self.assertEqual(target_cells(group, 0.75, None)["reached 75 %"], "1 of 2")

    def test_a_label_is_the_recipe_s_name_and_what_differs_within_it(self):
        make_run(self.folder / "a", name="sgd")
        make_run(self.folder / "b", name="local", average="every:4")
        make_run(self.folder / "c", name="local", average="epoch")
        make_run(self.folder / "d", (0.5,), state="running", name="local", average="epoch")
        self.assertEqual(set(self.groups()), {"sgd", "local, average every:4", "local, average epoch",
                                              "local, average epoch (running)"})

    def test_a_long_label_keeps_what_tells_the_groups_apart(self):
        long = {"nesterov": True, "threads": 2, "shard": "dirichlet:0.25", "outer_learning_rate": 0.123}
        make_run(self.folder / "a", average="every:4", **long)
        make_run(self.folder / "b", average="epoch")
        self.assertEqual(len(self.groups()), 2)
        for label in self.groups():
            self.assertLessEqual(len(label), 80)
            self.assertNotIn("threads", label)

    def test_runs_with_nothing_to_tell_them_apart_but_their_place_bear_that(self):
        for name in "ab":
            (make_run(self.folder / name) / "summary.json").unlink()
        self.assertEqual(set(self.groups()), {f"{self.folder / name} (unknown)" for name in "ab"})

    def test_a_run_stopped_by_steps_is_complete_and_one_by_a_signal_is_not(self):
        make_run(self.folder / "a", state="stopped", summary={"reason": "--steps 3"}, steps=3)
        make_run(self.folder / "b", state="stopped", summary={"reason": "signal 2"})
        self.assertEqual([group.is_complete for group in grouped(self.read())], [True, False])


class Curves(WithFolder):
    def curve(self, axis, name="accuracy", line=2, scale=1):
        group, = grouped(self.read())
        return curves.curve(group, curves.QUANTITIES[name].lines[line], axis, scale)

    def test_the_mean_and_deviation_over_seeds_at_each_evaluation(self):
        found = [(0.5, 0.7), (0.6, 0.7), (0.7, 0.7)]
        for seed, accuracies in enumerate(found):
            make_run(self.folder / f"{seed}", accuracies, seed=seed, pace=1.0 + seed)
        points = self.curve("epoch", scale=100)
        self.assertEqual([point.x for point in points], [1, 2])
        self.assertAlmostEqual(points[0].mean, 60)
        self.assertAlmostEqual(points[0].deviation, 10)
        self.assertAlmostEqual(points[1].deviation, 0)
        self.assertEqual([point.x for point in self.curve("images")], [100, 200])
        self.assertEqual([point.x for point in self.curve("time")], [2, 4])

    def test_training_loss_has_the_rows_of_steps_and_of_epochs_where_there_are_none(self):
        run = make_run(self.folder / "a")
        self.assertEqual([point.x for point in self.curve("images", "loss", 0)], [50, 100, 150, 200, 250, 300])
        lines = [line for line in (run / "metrics.jsonl").read_text().splitlines() if '"epoch", "step"' in line]
        (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        self.assertEqual([point.x for point in self.curve("images", "loss", 0)], [100, 200, 300])

    def test_runs_whose_rows_of_steps_never_meet_have_the_epochs(self):
        make_run(self.folder / "a")
        run = make_run(self.folder / "b", seed=1, log_every=0)
        lines = [line for line in (run / "metrics.jsonl").read_text().splitlines() if '"epoch", "step"' in line]
        (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        self.assertEqual([point.x for point in self.curve("images", "loss", 0)], [100, 200, 300])

    def test_an_epoch_that_a_stop_cut_short_is_no_measure_of_epochs(self):
        run = Run(make_run(self.folder / "a", (0.5, 0.6), state="stopped", summary={"epochs": 1}))
        run.epochs[1]["images_seen"] = 150
        self.assertEqual((run.images_per_epoch, run.epoch_at(150)), (100, 1.5))
        early = Run(make_run(self.folder / "b", (0.5,), state="stopped", summary={"epochs": 0}))
        self.assertIsNone(early.images_per_epoch)
        resumed = Run(make_run(self.folder / "c", (0.5, 0.6), state="running"))
        resumed.epochs.insert(0, {**resumed.epochs[0], "images_seen": 30})
        self.assertEqual(resumed.images_per_epoch, 100)

    def test_images_stand_for_epochs_where_none_is_done(self):
        run = make_run(self.folder / "a", (0.5,), state="stopped", summary={"epochs": 0, "reason": "--steps 10"})
        found, axis = curves.panels(grouped(self.read(run)), ["loss"], "epoch")
        self.assertEqual((list(found), axis), (["loss"], "images"))

    def test_many_points_become_means_of_neighbours_and_keep_their_ends(self):
        points = [curves.Point(x, float(x % 2), None) for x in range(10_001)]
        thin = curves.thinned(points)
        self.assertLessEqual(len(thin), curves.MOST_POINTS + 2)
        self.assertEqual((thin[0], thin[-1]), (points[0], points[-1]))
        self.assertTrue(all(abs(point.mean - 0.5) < 0.02 for point in thin[1:-2]))


class Table(WithFolder):
    def table(self, *options):
        return subprocess.run([sys.executable, str(ROOT / "tools" / "table"), *map(str, options)], capture_output=True,
                              text=True)

    def test_means_deviations_and_n_without_the_unfinished_runs(self):
        accuracies = [0.80, 0.82, 0.87]
        for seed, accuracy in enumerate(accuracies):
            make_run(self.folder / f"{seed}", (0.5, 0.6, accuracy), seed=seed)
        make_run(self.folder / "9", (0.1,), seed=9, state="running")
        make_run(self.folder / "8", (0.1, 0.2), seed=8, state="failed", summary={"reason": "the loss is not finite"})
        done = self.table(self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        mean, deviation = 100 * statistics.mean(accuracies), 100 * statistics.stdev(accuracies)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 4)
        self.assertRegex(lines[1], rf"^made +3 +complete +{mean:.2f} ± {deviation:.2f} ")
        self.assertRegex(lines[2], rf"^{self.folder}/8 +failed, 67 % +20\.00 ")
        self.assertRegex(lines[3], rf"^{self.folder}/9 +running, 33 % +\S+( s)? +10\.00 ")
        self.assertIn(f"{self.folder}/8: failed: the loss is not finite", done.stderr)

    def test_target_gives_what_it_took_and_how_much_faster_than_the_baseline_that_was(self):
        for seed in range(2):
            make_run(self.folder / f"slow/seed-{seed}", (0.5, 0.7, 0.95), seed=seed, pace=2.0 + seed)
        make_run(self.folder / "fast/seed-0", (0.5, 0.93, 0.94), learning_rate=0.5)
        make_run(self.folder / "never", (0.5, 0.6, 0.7), learning_rate=0.6)
        done = self.table(self.folder / "fast", self.folder / "never", "--target", 0.93, "--baseline",
                          self.folder / "slow/seed-1", "--format", "csv")
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = {row["run"]: row for row in csv.DictReader(io.StringIO(done.stdout))}
        fast, never = rows["made, learning-rate 0.5"], rows["made, learning-rate 0.6"]
        self.assertEqual((fast["reached 93 %"], fast["images to 93 %"], fast["epochs to 93 %"]), ("1 of 1", "200", "2"))
        self.assertEqual((float(fast["train time to 93 % (s)"]), fast["speed-up"]), (2, f"{9 / 2:.2f}×"))
        self.assertEqual((never["reached 93 %"], never["images to 93 %"], never["speed-up"]), ("0 of 1", "", ""))

    def test_csv_has_unrounded_figures_with_their_deviations(self):
        for seed, accuracy in enumerate((0.80001, 0.82)):
            make_run(self.folder / f"{seed}", (accuracy,), seed=seed)
        row, = csv.DictReader(io.StringIO(self.table(self.folder, "--format", "csv").stdout))
        self.assertEqual(row["n"], "2")
        self.assertAlmostEqual(float(row["test accuracy (%)"]), 81.0005)
        self.assertAlmostEqual(float(row["test accuracy (%) deviation"]), 100 * statistics.stdev((0.80001, 0.82)), 6)

    def test_latex_and_markdown_hold_the_same_cells_escaped(self):
        make_run(self.folder / "a", name="a_b|c", summary={"steps": 12345})
        headings, rows = table_of(grouped(self.read()))
        latex = FORMATS["latex"](headings, rows)
        self.assertIn("a\\_b|c & 1 & 80.00 & ", latex)
        self.assertIn("12{,}345", latex)
        self.assertIn("test accuracy (\\%)", latex)
        self.assertEqual(latex.count("&"), 2 * (len(headings) - 1))
        markdown = FORMATS["markdown"](headings, rows).splitlines()
        self.assertTrue(markdown[2].startswith("| a_b\\|c | 1 | 80.00 | "))
        self.assertEqual(markdown[1].count("---"), len(headings))

    def test_wrong_use_ends_with_2_and_a_line(self):
        run = make_run(self.folder / "a")
        stopped = make_run(self.folder / "b", (0.5,), state="failed")
        for options, text in (((self.folder / "nothing",), "no run remains"), ((run, "--target", 93), "--target 93"),
                              ((run, "--baseline", run), "needs --target"),
                              ((run, "--target", 0.9, "--baseline", stopped), "no complete run there")):
            done = self.table(*options)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(text, done.stderr.splitlines()[-1])

    def test_an_output_that_cannot_be_written_is_a_line(self):
        run = make_run(self.folder / "a")
        with open("/dev/full", "w") as full:
            done = subprocess.run([sys.executable, str(ROOT / "tools" / "table"), str(run)], stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.splitlines(), ["tools/table: standard output cannot be written: "
                                                    "No space left on device"])

    def test_durations_read_as_in_the_program_s_progress(self):
        self.assertEqual([duration(seconds) for seconds in (0, 59.4, 65, 3599.7, 7385)],
                         ["0 s", "59 s", "1:05", "1:00:00", "2:03:05"])


if __name__ == "__main__":
    cases.main()
