"""tools/tensorboard: what TensorBoard's own reader finds in the files that it writes."""

import json
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

LACK = cases.lack_of("tensorboard", "2.8")
if LACK is None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2
    from tensorboard.util import tensor_util


@unittest.skipIf(LACK, LACK)
class TensorBoard(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self):
        done = subprocess.run([sys.executable, str(ROOT / "tools" / "tensorboard"), "runs/a", "runs/b", "-o", "events"],
                              capture_output=True, text=True, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)

    def events(self, run):
        events = EventAccumulator(str(self.folder / "events" / run))
        events.Reload()
        return events

    def values(self, events, tag):
        return [(event.step, round(float(tensor_util.make_ndarray(event.tensor_proto)), 6)) for event in events.Tensors(tag)]

    def test_each_run_has_a_folder_with_the_values_of_its_rows_at_their_steps(self):
        make_run(self.folder / "runs/a", (0.5, 0.75), distance=0.25)
        make_run(self.folder / "runs/b/seed-0", (0.9,))
        self.write()
        first = self.events("a")
        self.assertEqual(self.values(first, "test/accuracy"), [(10, 0.5), (20, 0.75)])
        self.assertEqual(self.values(first, "ranks/weight_distance"), [(10, 0.25), (20, 0.125)])
        self.assertEqual(self.values(first, "train/loss"), [(5, 2), (10, 1.5), (15, 1.2), (20, 1)])
        self.assertEqual(first.Tensors("test/accuracy")[0].wall_time, 1767323045 + 2 + 1.5)  # 2026-01-02T03:04:05Z
        self.assertEqual(self.values(self.events("b/seed-0"), "test/accuracy"), [(10, 0.9)])

    def test_the_configuration_is_its_hyperparameters(self):
        make_run(self.folder / "runs/a", learning_rate=0.25, nesterov=True, average="every:4")
        make_run(self.folder / "runs/b")
        self.write()
        content = self.events("a").summary_metadata["_hparams_/session_start_info"].plugin_data.content
        found = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
        self.assertEqual(found.hparams["learning-rate"].number_value, 0.25)
        self.assertIs(found.hparams["nesterov"].bool_value, True)
        self.assertEqual(found.hparams["average"].string_value, "every:4")

    def test_writing_again_replaces_the_file_and_leaves_others_alone(self):
        run = make_run(self.folder / "runs/a", (0.5,))
        make_run(self.folder / "runs/b")
        self.write()
        other = self.folder / "events/a/notes.txt"
        other.touch()
        row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
        row.update(step=20, epoch=2, images_seen=200, test_accuracy=0.875)
        with (run / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.write()
        self.assertEqual(len(list((self.folder / "events/a").iterdir())), 2)
        self.assertTrue(other.exists())
        self.assertEqual(self.values(self.events("a"), "test/accuracy"), [(10, 0.5), (20, 0.875)])


if __name__ == "__main__":
    cases.main()
