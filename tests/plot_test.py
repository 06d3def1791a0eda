"""tools/plot: what its pictures show, as matplotlib has it, and the files that it writes."""

import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "support")]
sys.dont_write_bytecode = True
import cases  # noqa: E402
from made_runs import make_run  # noqa: E402
from runs import curves  # noqa: E402
from runs.groups import grouped  # noqa: E402
from runs.run import find_runs  # noqa: E402

LACK = cases.lack_of("matplotlib", "3.7")
if LACK is None:
    from runs import drawing


@unittest.skipIf(LACK, LACK)
class Plot(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def three_seeds_and_another(self):
        for seed, accuracy in enumerate((0.6, 0.7, 0.8)):
            make_run(self.folder / f"runs/a/seed-{seed}", (0.5, accuracy), seed=seed)
        make_run(self.folder / "runs/b", (0.4, 0.9), distance=0.5, average="every:4")

    def figure(self, axis="epoch", quantities=curves.DEFAULT_QUANTITIES):
        groups = grouped(find_runs([self.folder / "runs"]))
        figure = drawing.figure_of(groups, *curves.panels(groups, quantities, axis))
        self.addCleanup(drawing.plt.close, figure)
        return figure

    def plot(self, *options):
        return subprocess.run([sys.executable, str(ROOT / "tools" / "plot"), *map(str, options)], capture_output=True,
                              text=True, cwd=self.folder)

    def test_the_lines_are_the_groups_means_with_a_band_where_there_are_seeds(self):
        self.three_seeds_and_another()
        panel = next(axes for axes in self.figure().axes if axes.get_title(loc="left") == "accuracy (%)")
        lines = {tuple(round(value, 6) for value in line.get_ydata()) for line in panel.lines}
        self.assertEqual(lines, {(50, 70), (40, 90), (49, 69), (39, 89)})
        bands = [{(round(x, 6), round(y, 6)) for x, y in band.get_paths()[0].vertices} for band in panel.collections]
        self.assertEqual(len(bands), 2)  # of test and training of the group of three
        self.assertIn({(1, 50), (2, 60), (2, 80)}, bands)

    def test_every_panel_names_its_quantity_and_units_and_spans_the_same_x(self):
        self.three_seeds_and_another()
        panels = [axes for axes in self.figure("time").axes if axes.has_data()]
        self.assertEqual([axes.get_title(loc="left") for axes in panels],
                         ["loss (nats)", "accuracy (%)", "learning rate", "distance between ranks (relative)"])
        self.assertEqual({axes.get_xlabel() for axes in panels}, {"training time (s)"})
        self.assertEqual(len({axes.get_xlim() for axes in panels}), 1)

    def test_long_times_are_in_minutes_or_hours(self):
        self.assertEqual([drawing.x_axis("time", seconds)[0] for seconds in (100, 1000, 100_000)],
                         ["training time (s)", "training time (min)", "training time (h)"])

    def test_groups_differ_without_their_colours(self):
        looks = [drawing.style(number) for number in range(28)]
        self.assertEqual(len({(look["dashes"], look["marker"]) for look in looks}), 28)
        greys = [sum(weight * int(colour[at:at + 2], 16) for weight, at in ((0.299, 1), (0.587, 3), (0.114, 5)))
                 for colour in drawing.COLOURS[:3]]
        self.assertTrue(all(abs(a - b) > 10 for a, b in zip(greys, greys[1:])), greys)

    def test_the_legend_lies_outside_the_data_and_inside_the_picture(self):
        self.three_seeds_and_another()
        make_run(self.folder / "runs/c", name="with-quite-a-long-name-as-they-happen", state="running")
        figure = self.figure()
        figure.canvas.draw()
        legend = figure.legends[0].get_window_extent()
        self.assertTrue(all(not legend.overlaps(axes.get_tightbbox()) for axes in figure.axes if axes.has_data()))
        self.assertTrue(figure.bbox.x0 <= legend.x0 and legend.x1 <= figure.bbox.x1, legend)
        self.assertTrue(figure.bbox.y0 <= legend.y0, legend)
        texts = [text.get_text().strip() for text in figure.legends[0].get_texts()]
        self.assertEqual([text for text in texts if text],
                         ["made, average step, n = 3", "made, average every:4",
                          "with-quite-a-long-name-as-they-happen (running)", "training", "test", "± standard deviation"])

    def test_what_spans_much_is_logarithmic_and_rates_begin_at_zero(self):
        make_run(self.folder / "runs/a", (0.05, 0.95), distance=0.5)
        panels = {axes.get_title(loc="left").split(" (")[0]: axes for axes in self.figure().axes}
        self.assertEqual((panels["loss"].get_yscale(), panels["accuracy"].get_yscale()), ("log", "linear"))
        self.assertEqual(panels["learning rate"].get_ylim()[0], 0)

    def test_it_writes_png_pdf_and_svg_the_same_each_time(self):
        self.three_seeds_and_another()
        for name, start in (("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml")):
            path, groups = self.folder / name, grouped(find_runs([self.folder / "runs"]))
            found, _ = curves.panels(groups, ["accuracy"], "images")
            drawing.save(drawing.figure_of(groups, found, "images"), path)
            first = path.read_bytes()
            self.assertTrue(first.startswith(start), name)
            drawing.save(drawing.figure_of(groups, found, "images"), path)
            self.assertEqual(path.read_bytes(), first, name)
            self.assertNotRegex(first, b"CreationDate|<dc:date>", name)

    def test_the_command_draws_what_it_is_asked_for_and_says_so(self):
        self.three_seeds_and_another()
        done = self.plot("runs", "--y", "accuracy", "speed", "--x", "images", "--title", "Of two", "-o", "two.svg")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "two.svg: 4 runs in 2 curves\n")
        # Text in an SVG file is drawn as shapes, each with a comment that says what it is.
        texts = re.findall(r"<!-- (.*?) -->", (self.folder / "two.svg").read_text())
        for text in ("Of two", "accuracy (%)", "speed (images/s)", "images seen", "made, average step, n = 3"):
            self.assertIn(text, texts)

    def test_wrong_use_ends_with_2_and_a_line(self):
        run = make_run(self.folder / "a", ())
        for options, text in (((run, "-o", "a.jpg"), "ends in .png, .pdf, .svg"), ((run,), "no rows yet"),
                              (("nothing",), "no run remains")):
            done = self.plot(*options)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(text, done.stderr.splitlines()[-1])

    def test_the_intervals_of_the_experiment_are_points_with_bars(self):
        figure = drawing.figure_of_intervals(["a", "b"], {"2 ranks": [(0.1, 0.2), (3, 1)], "4 ranks": [(0.2, 0), (9, 2)]},
                                             "gap (points)", "title")
        self.addCleanup(drawing.plt.close, figure)
        axes = figure.axes[0]
        points = [list(line.get_ydata()) for line in axes.lines if line.get_marker() in ("o", "s")]
        self.assertEqual(points, [[0.1, 3], [0.2, 9]])
        self.assertEqual([label.get_text() for label in axes.get_xticklabels()], ["a", "b"])
        self.assertEqual(axes.get_yscale(), "symlog")

    def test_intervals_of_a_few_points_are_drawn_in_proportion(self):
        figure = drawing.figure_of_intervals(["a", "b"], {"8 ranks": [(0.1, 0.2), (3, 1)]}, "gap (points)", "title")
        self.addCleanup(drawing.plt.close, figure)
        self.assertEqual(figure.axes[0].get_yscale(), "linear")


if __name__ == "__main__":
    cases.main()
