"""tools/bench_peers: what it compares."""

import argparse
import runpy
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.dont_write_bytecode = True
import cases  # noqa: E402


class Command(unittest.TestCase):
    def test_of_every_peer_is_a_training_on_the_cpu(self):
        command = runpy.run_path(str(ROOT / "tools" / "bench_peers"))["command"]
        line = [str(word) for word in command(argparse.Namespace(convoy="convoy", threads=2), "python", "convoy", "seed",
                                              64, "fp32", "", 3)]
        self.assertEqual(line[line.index("--device") + 1], "cpu")


if __name__ == "__main__":
    cases.main()
