"""What the experiments share: a run that is done is not run again, and what the runs of several seeds give together."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CONVOY = ROOT / "build" / "convoy"


def fail(message, code=1):
    print(f"tools/experiments/{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    sys.exit(code)


def read_summary(run):
    """None where there is none yet."""
    path = run / "summary.json"
    return json.loads(path.read_text()) if path.exists() else None


def is_complete(summary):
    """Done, or stopped where --steps said so."""
    return summary["state"] == "done" or (
        summary["state"] == "stopped" and summary.get("reason", "").startswith("--steps"))


def train(convoy, run, options):
    """The exit status of `convoy train OPTIONS --out RUN`; 0 at once where that run is complete."""
    command = [str(convoy), "train", *options, "--out", str(run)]
    summary = read_summary(run)
    if summary and is_complete(summary):
        if summary["command_line"][1:] != command[1:]:
            fail(f"{run} comes from other options ({' '.join(summary['command_line'][1:])}); choose another --out", 2)
        print(f"{run}: done before", flush=True)
        return 0
    print(" ".join(command), flush=True)
    return subprocess.run(command).returncode


def epoch_rows(run):
    with (run / "metrics.jsonl").open() as lines:
        return [row for row in map(json.loads, lines) if row["kind"] == "epoch"]


def deviation(values):
    """None of a single value."""
    return statistics.stdev(values) if len(values) > 1 else None
