"""tools/report: the page is whole, refers to nothing outside itself, and holds the figures of its runs."""

import html.parser
import re
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
from made_runs import make_run  # noqa: E402

LACK = cases.lack_of("matplotlib", "3.7")
VOID = {"meta", "br", "link", "img", "hr", "input"}
NAMESPACES = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")


class Page(html.parser.HTMLParser):
    """Rows of cells, texts by element, ids and references; complains about elements that are not closed in turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.ids, self.references = [], [], [], []
        self.rows, self.items, self.marked = [], [], []
        self.elements = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append(tag)
        if tag not in VOID:
            self.open.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.references += [value for name, value in attributes.items() if name in ("href", "src", "xlink:href", "srcset")]
        self.references += re.findall(r"url\(([^)]*)\)", attributes.get("style") or "")
        self.references += [attributes["clip-path"][4:-1]] if "clip-path" in attributes else []
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "li":
            self.items.append("")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open[-1][0] != tag:
            self.wrong.append(f"</{tag}> in {[name for name, _ in self.open][-3:]}")
        else:
            self.open.pop()

    def handle_data(self, text):
        names = [name for name, _ in self.open]
        if "td" in names or "th" in names:
            self.rows[-1][-1] += text
            if self.open[-1][1].get("class") == "differs":
                self.marked.append(text)
        elif "li" in names:
            self.items[-1] += text


@unittest.skipIf(LACK, LACK)
class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """A page that compares: two seeds of a configuration, one run of another, and one that failed."""
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for seed, accuracy in enumerate((0.81, 0.84)):
            make_run(cls.folder / f"runs/a/seed-{seed}", (0.5, accuracy), seed=seed, summary={"dirty": True})
        make_run(cls.folder / "runs/b", (0.6, 0.9), distance=0.5, learning_rate=0.5,
                 summary={"command_line": ["convoy", "train", "--data", "my <pictures> & more"]})
        make_run(cls.folder / "runs/c", (0.2,), state="failed", learning_rate=0.5, summary={"reason": "rank 3 died"})
        make_run(cls.folder / "runs/d", name="synthetic", summary={"data": "SYNTHETIC", "data_checksum": "1"})
        cls.text = cls.report(cls.folder, "runs", "--target", "0.8", "--baseline", "runs/a")
        cls.page = Page(cls.text)

    @staticmethod
    def report(folder, *options):
        done = subprocess.run([sys.executable, str(ROOT / "tools" / "report"), *options], capture_output=True, text=True,
                              cwd=folder)
        assert done.returncode == 0, done.stderr
        return (folder / "report.html").read_text(encoding="utf-8")

    def rows(self, first):
        return [row for row in self.page.rows if row and row[0] == first]

    def test_it_is_one_whole_page_that_refers_to_nothing_outside(self):
        page = self.page
        self.assertEqual((page.wrong, page.open), ([], []))
        self.assertEqual(len(page.ids), len(set(page.ids)))
        for reference in page.references:
            self.assertTrue(reference.startswith("#") and reference[1:] in page.ids, reference)
        self.assertEqual(set(re.findall(r"https?://[^\"'\s)]*", self.text)) - set(NAMESPACES), set())
        self.assertFalse({"script", "link", "img", "iframe", "object"} & set(page.elements))
        self.assertNotIn("@import", self.text)
        self.assertEqual(self.text.count("<figure>"), 4)

    def test_it_holds_the_figures_and_what_the_target_took(self):
        mean, deviation = 100 * statistics.mean((0.81, 0.84)), 100 * statistics.stdev((0.81, 0.84))
        figures, reached = self.rows("made, learning-rate 0.1")
        self.assertEqual(figures[1:4], ["2", "complete", f"{mean:.2f} ± {deviation:.2f}"])
        self.assertEqual(reached[1:], ["2", "2 of 2", "200", "2.0 ± 0.0", "2.0 ± 0.0", "1.00×"])
        self.assertEqual(self.rows("runs/c")[0][1:4], ["", "failed, 33 %", "20.00"])

    def test_it_says_what_differs_and_where_everything_comes_from(self):
        self.assertEqual(self.rows("learning-rate"), [["learning-rate", "0.1", "0.5", "0.1"]])
        self.assertIn("0.5", self.page.marked)
        self.assertNotIn("0.1", self.page.marked)
        self.assertEqual(self.rows("host"), [["host", "here"]])
        self.assertEqual(self.rows("device"), [["device", "cpu (one of them)"]])
        provenance = self.rows("runs/a/seed-1")[0]
        for text in ("1", "1.2.3 (abcdef012345, with changes)", "0123456789abcdef"):
            self.assertIn(text, provenance)
        self.assertIn("convoy train --data &#x27;my &lt;pictures&gt; &amp; more&#x27;", self.text)

    def test_it_warns_of_uncommitted_changes_failures_and_synthetic_data(self):
        warnings = "\n".join(self.page.items)
        self.assertIn("runs/c is not complete and in no mean: failed: rank 3 died", warnings)
        self.assertIn("2 runs (runs/a/seed-0, runs/a/seed-1) come from a program with changes", warnings)
        self.assertIn("1 run (runs/d) trained on SYNTHETIC pictures", warnings)
        self.assertIn("different data: Fashion-MNIST (IDX) (0123456789abcdef), SYNTHETIC (1)", warnings)

    def test_a_single_run_has_all_its_settings_and_no_warning(self):
        text = self.report(self.folder, "runs/b")
        page = Page(text)
        self.assertEqual((page.wrong, page.open), ([], []))
        self.assertNotIn('class="warnings"', text)
        self.assertRegex(text, r"<dt>batch</dt><dd>10</dd>")


if __name__ == "__main__":
    cases.main()
