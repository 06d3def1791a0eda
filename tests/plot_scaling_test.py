"""tools/plot_scaling: what its picture shows, and tables that are none."""

import importlib.machinery
import importlib.util
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

TOOL = ROOT / "tools" / "plot_scaling"
LACK = cases.lack_of("matplotlib", "3.7")
TABLE = """\
scaling,ranks,nodes,batch,images_per_second,speedup,efficiency
strong,1,1,32,100,1.00,1.00
weak,1,1,32,100,1.00,1.00
strong,4,2,32,200,2.00,0.50
strong,2,1,32,150,1.50,0.75
weak,2,1,64,190,1.90,0.95
weak,4,2,128,360,3.60,0.90
"""


def module():
    loader = importlib.machinery.SourceFileLoader("plot_scaling", str(TOOL))
    found = importlib.util.module_from_spec(importlib.util.spec_from_loader("plot_scaling", loader))
    loader.exec_module(found)
    return found


class PlotScaling(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.table = self.folder / "scaling.csv"
        self.table.write_text(TABLE)

    def plot(self, *options):
        return subprocess.run([sys.executable, str(TOOL), *map(str, options)], capture_output=True, text=True,
                              cwd=self.folder)

    @unittest.skipIf(LACK, LACK)
    def test_a_line_for_each_scaling_over_ranks_in_their_order(self):
        tool = module()
        speedup, efficiency = tool.figure_of(tool.read(self.table)).axes
        lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in speedup.lines}
        self.assertEqual(lines, {"ideal": ([1, 2, 4], [1, 2, 4]), "strong": ([1, 2, 4], [1, 1.5, 2]),
                                 "weak": ([1, 2, 4], [1, 1.9, 3.6])})
        self.assertEqual([list(line.get_ydata()) for line in efficiency.lines[1:]], [[100, 75, 50], [100, 95, 90]])

    @unittest.skipIf(LACK, LACK)
    def test_the_picture_lies_beside_the_table_unless_told_where(self):
        self.assertEqual(self.plot("scaling.csv").returncode, 0)
        self.assertTrue((self.folder / "scaling.png").read_bytes().startswith(b"\x89PNG"))
        self.assertEqual(self.plot("scaling.csv", "-o", "other.svg").returncode, 0)
        self.assertIn("efficiency", (self.folder / "other.svg").read_text())

    def test_what_is_no_table_is_one_line(self):
        (self.folder / "torn.csv").write_text(TABLE[:200])
        (self.folder / "empty.csv").write_text(TABLE.splitlines()[0])
        (self.folder / "other.csv").write_text("a,b\n1,2\n")
        for name, words in (("torn.csv", "no table of"), ("empty.csv", "no row"), ("other.csv", "no table of"),
                            ("none.csv", "No such file")):
            outcome = self.plot(name)
            self.assertEqual(outcome.returncode, 2, name)
            self.assertRegex(outcome.stderr, rf"^tools/plot_scaling: {name}: .*{words}.*\n$")
        self.assertEqual(self.plot("scaling.csv", "-o", "scaling.gif").returncode, 2)


if __name__ == "__main__":
    unittest.main()
