"""What the experiments share: a run that is done is not run again."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CONVOY = ROOT / "build" / "convoy"
sys.path.insert(0, str(ROOT / "tools"))
sys.dont_write_bytecode = True
from runs.messages import fail  # noqa: E402
from runs.run import is_complete, read_summary  # noqa: E402


def launched(convoy, processes):
    """(the beginning of the command, the environment) of so many processes of this machine; one starts without MPI."""
    if processes == 1:
        return [str(convoy)], None
    return [str(ROOT / "tools" / "launch"), str(processes)], {**os.environ, "CONVOY": str(convoy)}


def train(convoy, run, options, processes=1):
    """The exit status of `convoy train OPTIONS --out RUN`; 0 at once where that run is complete."""
    command = [str(convoy), "train", *options, "--out", str(run)]
    summary = read_summary(run)
    if summary and is_complete(summary):
        if summary.get("command_line", [])[1:] != command[1:]:
            fail(f"{run} comes from other options ({' '.join(summary.get('command_line', [])[1:])}); choose another --out", 2)
        print(f"{run}: done before", flush=True)
        return 0
    program, environment = launched(convoy, processes)
    command[:1] = program
    print(" ".join(command), flush=True)
    return subprocess.run(command, env=environment).returncode
