"""Every block of commands in README.md is run as it stands, in a copy of the folder, or exempted here with its reason.
What makes it short is an environment that the page does not show: a `convoy` that trains a few steps only."""
# labels: slow

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.dont_write_bytecode = True
import cases  # noqa: E402
import python_packages  # noqa: E402

CONVOY = Path.cwd() / "convoy"
FASHION = Path("/usr/share/datasets/fashion-mnist")
CIFAR = Path(os.environ.get("CONVOY_TEST_DATA", "/nonexistent")) / "cifar-10-batches-bin"
SECONDS = 600  # of a block

# Commands, by how they begin, that are not run here.
EXEMPT = {
    "tools/quickstart": "it installs packages and builds everything anew",
    "tools/test": "it runs this test",
    "build/convoy train --recipe airbench94 --gpus-per-process all": "it needs a GPU",
    "build/convoy preflight --gpus-per-process all": "it needs a GPU",
    "build/convoy selftest --precision bf16": "it needs a GPU",
    "tools/gpu_acceptance --data": "it needs a GPU, and builds for it",
    "tools/profile train": "it needs a GPU, and nsys",
    "tools/gpu_acceptance --pack": "it needs a CUDA toolkit, and builds for minutes",
    "packed/tools/gpu_acceptance": "it needs what --pack makes",
    "tools/submit": "it needs a Slurm; tests/slurm submits every script",
    "cpack": "it needs what --pack makes",
    "tools/load_torch.py": "it needs PyTorch; load_torch_test runs it",
    "tools/scaling_model --bench": "beside other work a bench may tell no link; scaling_model_test gives it figures",
    "build/convoy eval --weights theirs.safetensors": "it needs what load_torch.py makes",
}
LACK = cases.lack_of("matplotlib", "3.7") or cases.lack_of("tensorboard", "2.8")
# What a block names that this machine may lack: (text, whether it is there, what is missing).
NEEDS = (
    ("/usr/share/datasets/fashion-mnist", FASHION.is_dir(), f"{FASHION} (the package dataset-fashion-mnist) is not here"),
    ("data/cifar-10-batches-bin", CIFAR.is_dir(), "CONVOY_TEST_DATA names no folder with cifar-10-batches-bin"),
    ("tools/plot", LACK is None, LACK),
    ("--picture efficiency.png", LACK is None, LACK),
    ("mpirun ", shutil.which("mpirun"), "no mpirun on the PATH"),
    ("--precision bf16", "avx512_bf16" in Path("/proc/cpuinfo").read_text(), "this processor has no AVX-512 BF16"),
)
# Stands where the page's build/convoy does.
SHORT_CONVOY = """#!/bin/sh
case $1 in
  train) exec {convoy} "$@" --steps 3 --test-images 500 ;;
  eval) exec {convoy} "$@" --test-images 500 ;;
  bench) exec {convoy} "$@" --steps 2 ;;
  *) exec {convoy} "$@" ;;
esac
"""


def write_picture(path, shade):
    """A PNG of 40 x 30 pixels of one grey."""
    def chunk(kind, contents):
        return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 30, 8, 0, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress((b"\0" + bytes([shade]) * 40) * 30)) + chunk(b"IEND", b""))


def write_own_pictures(folder):
    """What the reader of the page has: pictures of dark cats and bright dogs."""
    for number in range(60):
        part = "train" if number < 50 else "test"
        write_picture(folder / "pictures" / part / "cat" / f"{number}.png", number)
        write_picture(folder / "pictures" / part / "dog" / f"{number}.png", 255 - number)
    write_picture(folder / "cat.png", 20)
    write_picture(folder / "photos" / "dog.png", 220)


def blocks(language):
    """[(heading above it, text)]"""
    found, heading = [], ""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for match in re.finditer(r"^#+ (?P<heading>[^\n]*)$|^```(?P<language>\w*)\n(?P<text>.*?)^```$", text, re.M | re.S):
        if match["heading"]:
            heading = match["heading"]
        elif match["language"] == language:
            found.append((heading, match["text"]))
    return found


def commands(block):
    """Lines, continued ones joined."""
    return [line for line in block.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def exemption(command):
    """How the exempt command begins; None of one that is to be run."""
    return next((start for start in EXEMPT if re.match(re.escape(start) + r"(\s|$)", command)), None)


def left_out(folder, names):
    """What git does not keep."""
    made = [name for name in names if name.startswith("build") or name in ("runs", "data", ".git")]
    return ["__pycache__", *(made if Path(folder) == ROOT else [])]


@unittest.skipUnless(CONVOY.exists(), f"{CONVOY} is not built")
class Readme(unittest.TestCase):
    """The blocks follow each other as on the page: later ones look at the runs of earlier ones."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="convoy readme ")) / "convoy"
        cls.addClassCleanup(shutil.rmtree, cls.folder.parent)
        shutil.copytree(ROOT, cls.folder, ignore=left_out)
        (cls.folder / "build").mkdir()
        wrapper = cls.folder / "build" / "convoy"
        wrapper.write_text(SHORT_CONVOY.format(convoy=f"'{CONVOY}'"))
        wrapper.chmod(0o755)
        if CIFAR.is_dir():
            (cls.folder / "data").mkdir()
            (cls.folder / "data" / "cifar-10-batches-bin").symlink_to(CIFAR)
        write_own_pictures(cls.folder)
        cls.environment = dict(
            os.environ, OMP_WAIT_POLICY="passive", CONVOY_CACHE=str(python_packages.cache()),
            # What tools/launch gives mpirun by itself: root in a container, more ranks than cores.
            OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1")
        cls.environment.pop("CONVOY_DATA", None)

    def run_block(self, text):
        kept = [command for command in commands(text) if exemption(command) is None]
        if not kept:
            self.skipTest("; ".join(f"{command.split('  ')[0]}: {EXEMPT[exemption(command)]}" for command in commands(text)))
        for need, is_there, what in NEEDS:
            if not is_there and any(need in command for command in kept):
                self.skipTest(what)
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", "\n".join(kept)], cwd=self.folder, env=self.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, "\n".join([*kept, done.stdout[-4000:]]))
        self.check_promises(kept)

    def check_promises(self, kept):
        """What the page says of a command, beyond that it runs."""
        made = {"sheet.png": b"\x89PNG", "curves.png": b"\x89PNG", "eval.png": b"\x89PNG",
                "efficiency.png": b"\x89PNG", "report.html": b"<!DOCTYPE html>"}
        for name, start in made.items():
            if any(f" {name}" in command for command in kept):
                self.assertTrue((self.folder / name).read_bytes().startswith(start), name)
        if any("repeats the run bit for bit" in command for command in kept):
            first, again = ((self.folder / "runs" / name / "weights.safetensors").read_bytes() for name in ("first", "again"))
            self.assertEqual(first, again)

    def test_every_exemption_is_for_a_command_of_the_page(self):
        found = {exemption(command) for _, text in blocks("sh") for command in commands(text)}
        self.assertEqual(set(EXEMPT) - found, set())

    def test_the_network_files_of_the_page_are_networks(self):
        self.assertTrue(blocks("json"))
        for _, text in blocks("json"):
            path = self.folder / "own.json"
            path.write_text(text)
            done = subprocess.run([CONVOY, "info", "--model", path], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            for layer in json.loads(text)["layers"]:
                self.assertIn(layer["name"], done.stdout)


def add_blocks():
    """A case for each block, in the page's order, and one for each command in it that is exempt beside others."""
    for number, (heading, text) in enumerate(blocks("sh"), 1):
        name = f"test_block_{number:02}_{re.sub(r'[^a-z0-9]+', '_', heading.lower()).strip('_')}"
        setattr(Readme, name, lambda self, text=text: self.run_block(text))
        exempt = [command for command in commands(text) if exemption(command)]
        for at, command in enumerate(exempt if len(exempt) < len(commands(text)) else [], 1):
            def skipped(self, command=command):
                self.skipTest(f"{command.split('  ')[0]}: {EXEMPT[exemption(command)]}")
            setattr(Readme, f"{name}_exempt_{at}", skipped)


add_blocks()
if __name__ == "__main__":
    cases.main()
