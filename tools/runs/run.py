"""A run as it lies in its folder: summary.json and the rows of metrics.jsonl, with whatever is damaged left out."""

import json
import math
import os
import platform
import re
import time
from pathlib import Path

from runs.messages import fail, say

SUMMARY, METRICS = "summary.json", "metrics.jsonl"
FIELDS = {"step": ("step", "epoch", "images_seen", "loss"),
          "epoch": ("step", "epoch", "images_seen", "train_seconds", "train_loss"),
          "rollback": ("step", "to_step")}


def is_complete(summary):
    """Done, or stopped where --steps said so."""
    return summary.get("state") == "done" or (
        summary.get("state") == "stopped" and summary.get("reason", "").startswith("--steps"))


def read_summary(folder):
    """None where there is none yet, or none that can be read; that is said."""
    path = folder / SUMMARY
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        say(f"{path}: cannot be read ({error}); left out")
        return None
    if not isinstance(summary, dict):
        say(f"{path}: a JSON object expected; left out")
        return None
    return summary


def final_accuracy(summary):
    """(its field, the value): of the validation set where the run had one, else of the test set."""
    field = "validation_accuracy" if "validation_accuracy" in summary else "test_accuracy"
    return field, summary.get(field)


def is_row(row):
    """Has what a row of its kind must have, as finite numbers."""
    if not isinstance(row, dict):
        return False
    fields = FIELDS.get(row.get("kind"), ())
    return all(isinstance(row.get(field), (int, float)) and math.isfinite(row[field]) for field in fields)


def read_rows(folder):
    """The rows of metrics.jsonl in the order of their steps. A line that is damaged, or that a running program has
    half written, is left out; what a later row repeats or goes back behind gives way to it, and so does what a rollback
    has undone."""
    path = folder / METRICS
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        say(f"{path}: cannot be read ({error.strerror}); left out")
        return []
    rows, damaged = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if is_row(row) and row.get("kind") == "rollback":
            while rows and rows[-1]["step"] > row["to_step"]:
                rows.pop()
        elif is_row(row):
            while rows and (rows[-1]["step"], rows[-1]["kind"] == "epoch") >= (row["step"], row["kind"] == "epoch"):
                rows.pop()
            rows.append(row)
        else:
            damaged.append(number)
    if damaged:
        others = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        say(f"{path}: line {damaged[0]}{others}: damaged or half written; left out")
    return rows


class Run:
    """`rows` as in metrics.jsonl, split by kind into `steps` and `epochs`; `summary` is empty where there is none."""

    def __init__(self, folder):
        self.folder = folder
        self.summary = read_summary(folder) or {}
        rows = [row for row in read_rows(folder) if row["kind"] in ("step", "epoch")]
        self.steps = [row for row in rows if row["kind"] == "step"]
        self.epochs = [row for row in rows if row["kind"] == "epoch"]
        self.last = rows[-1] if rows else {}
        configuration = self.summary.get("configuration")
        self.configuration = configuration if isinstance(configuration, dict) else {}

    @property
    def name(self):
        """The folder as the user gave it."""
        return str(self.folder)

    @property
    def is_complete(self):
        return is_complete(self.summary)

    @property
    def state(self):
        """As in summary.json; `killed` where that says running but its process, on this host, is gone."""
        state = self.summary.get("state", "unknown")
        return "killed" if state == "running" and self.writer_is_gone() else state

    def writer_is_gone(self):
        """.lock holds `process PID on HOST`; asking for the lock itself could keep a starting run from it."""
        try:
            words = (self.folder / ".lock").read_text(encoding="utf-8").split()
        except (OSError, ValueError):
            return False
        if len(words) != 4 or words[3] != platform.node() or not words[1].isdigit():
            return False
        try:
            os.kill(int(words[1]), 0)
        except ProcessLookupError:
            return True
        except OSError:  # another user's
            pass
        return False

    @property
    def images_per_epoch(self):
        """As the summary has it. In runs of earlier versions from the first epoch that is done: one that is stopped within an
        epoch leaves a row for it as far as it came, which the summary, or a row of the resumed run after it, tells."""
        if isinstance(self.summary.get("training_images"), int) and self.summary["training_images"] > 0:
            return self.summary["training_images"]
        done = self.summary.get("epochs") if self.state in ("done", "stopped") else None
        for row, later in zip(self.epochs, [*self.epochs[1:], {}]):
            if row["epoch"] != later.get("epoch") and (done is None or row["epoch"] <= done):
                return row["images_seen"] / row["epoch"]
        return None

    @property
    def images_in_all(self):
        """That the run will have seen when it is done; None where nothing tells."""
        steps, batch = self.configuration.get("steps"), self.configuration.get("batch")
        whole = None
        if self.images_per_epoch and self.configuration.get("epochs"):
            whole = self.images_per_epoch * self.configuration["epochs"]
        if steps and batch:
            return min(steps * batch, whole or math.inf)
        return whole

    def seconds_left(self, now=None):
        """Of a running run, at the pace of its metrics, evaluations included; None where they do not say."""
        rows = sorted(self.steps + self.epochs, key=lambda row: row["images_seen"])
        if self.state != "running" or not self.images_in_all or not rows:
            return None
        if any("elapsed_seconds" not in row for row in (rows[0], rows[-1])):
            return None
        first, last = rows[0], rows[-1]
        images, seconds = last["images_seen"] - first["images_seen"], last["elapsed_seconds"] - first["elapsed_seconds"]
        if len(rows) == 1:  # it tells its own pace
            images, seconds = last.get("images_per_second", 0), 1
        if images <= 0 or seconds <= 0:
            return None
        since = (time.time() if now is None else now) - (self.folder / METRICS).stat().st_mtime
        return max(0.0, (self.images_in_all - last["images_seen"]) * seconds / images - max(0.0, since))

    def train_seconds_at(self, images):
        """Seconds of training, without start-up and evaluation, when it had seen so many images."""
        earlier, seconds = 0, 0.0
        for row in self.epochs:
            if images <= row["images_seen"]:
                share = (images - earlier) / max(1, row["images_seen"] - earlier)
                return seconds + share * (row["train_seconds"] - seconds)
            earlier, seconds = row["images_seen"], row["train_seconds"]
        for row in self.steps:  # in the epoch that is not done yet: at the pace of its own rows
            if row["images_seen"] > earlier and row.get("images_per_second", 0) > 0:
                seconds += (min(images, row["images_seen"]) - earlier) / row["images_per_second"]
                earlier = row["images_seen"]
                if images <= earlier:
                    break
        return seconds

    def epoch_at(self, images):
        """Epochs as a fraction; None where nothing tells how many images one has."""
        return images / self.images_per_epoch if self.images_per_epoch else None


def is_run(folder):
    return (folder / SUMMARY).is_file() or (folder / METRICS).is_file()


def find_runs(paths):
    """The runs at and below the given folders, in that order, each once; a path without any is named and left out.
    Ends the program, with exit code 2, where none remains."""
    found = {}
    for path in map(Path, paths):
        here = [path] if is_run(path) else []
        if not here and path.is_dir():
            here = sorted({file.parent for name in (SUMMARY, METRICS) for file in path.rglob(name)}, key=natural)
        if not path.exists():
            say(f"{path}: not there; left out")
        elif not here:
            say(f"{path}: no run: neither {SUMMARY} nor {METRICS} in it or below; left out")
        for folder in here:
            found.setdefault(folder.resolve(), folder)
    runs = []
    for folder in found.values():
        run = Run(folder)
        if run.summary or run.last:
            runs.append(run)
        else:
            say(f"{folder}: a run without a readable summary or row; left out")
    if not runs:
        fail("no run remains; see convoy train --out", 2)
    return runs


def natural(path):
    """A key that puts seed-10 after seed-9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]
