"""What was measured: runs' folders, and the lines of `convoy bench --json` and `convoy bench --average --json`."""

import json
import math
import statistics
from dataclasses import dataclass, field

from runs.messages import say
from runs.run import find_runs
from scaling.model import Cluster, Link, ring, tree

WITHIN, BETWEEN = "within", "between"


@dataclass
class Measured:
    steps: dict = field(default_factory=dict)     # batch of a rank: [seconds of compute, of each run or bench]
    links: dict = field(default_factory=dict)     # WITHIN or BETWEEN: [Link, of each bench]
    spreads: list = field(default_factory=list)   # relative deviations of a bench's steps
    policies: list = field(default_factory=list)  # texts
    average_bytes: float = None
    bucket_bytes: float = None
    images: float = None                          # of an epoch

    def add_step(self, batch, seconds):
        if not (batch > 0 and 0 < seconds < math.inf):
            raise ValueError(f"{seconds} s for a batch of {batch}: both above 0 expected")
        self.steps.setdefault(batch, []).append(seconds)

    def link(self, where):
        """With the medians of what benches found; None without."""
        found = self.links.get(where)
        return found and Link(*(statistics.median(values) for values in
                                zip(*((link.latency, link.bandwidth) for link in found))))

    def median_steps(self):
        return {batch: statistics.median(seconds) for batch, seconds in sorted(self.steps.items())}


def line_through(steps):
    """(fixed, per image) of {batch: seconds}, by least squares, each relative to what was measured; with one batch, its
    seconds are fixed. Neither is negative."""
    if len(steps) == 1:
        return next(iter(steps.values())), 0.0
    weights = {batch: seconds**-2 for batch, seconds in steps.items()}
    total = sum(weights.values())
    batch_mean = sum(weights[batch] * batch for batch in steps) / total
    seconds_mean = sum(weights[batch] * seconds for batch, seconds in steps.items()) / total
    slope = (sum(weights[batch] * (batch - batch_mean) * (seconds - seconds_mean) for batch, seconds in steps.items()) /
             sum(weights[batch] * (batch - batch_mean)**2 for batch in steps))
    fixed = seconds_mean - slope * batch_mean
    if slope < 0:
        return seconds_mean, 0.0
    if fixed < 0:  # then the line goes through zero
        return 0.0, sum(weights[b] * b * s for b, s in steps.items()) / sum(weights[b] * b * b for b in steps)
    return fixed, slope


def add_runs(measured, paths):
    """Compute is what training took, less what the first rank waited for communication."""
    for run in find_runs(paths):
        summary, options = run.summary, run.configuration
        if not (run.is_complete and summary.get("steps") and summary.get("train_seconds") and options.get("batch")):
            say(f"{run.name}: no complete run; left out")
            continue
        exposed = summary.get("exposed_communication_seconds", 0) / summary["steps"]
        try:
            measured.add_step(options["batch"] / summary.get("world_size", 1), seconds_of_step(run) - exposed)
        except ValueError as error:
            say(f"{run.name}: its steps without communication took {error}; left out")
            continue
        measured.average_bytes = summary.get("average_bytes") or measured.average_bytes
        measured.images = run.images_per_epoch or measured.images
        if "gradient-bucket" in options:
            measured.bucket_bytes = 1e6 * options["gradient-bucket"]
        if summary.get("world_size", 1) > 1:
            measured.policies.append(policy_of(options))


def seconds_of_step(run):
    """Of the last epoch, where there is more than one: the first one loads libraries and chooses plans."""
    if len(run.epochs) < 2:
        return run.summary["train_seconds"] / run.summary["steps"]
    before, last = run.epochs[-2:]
    return (last["train_seconds"] - before["train_seconds"]) / (last["step"] - before["step"])


def policy_of(options):
    """As tools/scaling_model calls it."""
    node = str(options.get("average-node") or "")
    return (options["average"] + (f"+node:{node[6:]}" if node.startswith("every:") else "") +
            ("+delay:1" if options.get("average-delay") else ""))


def add_bench(measured, path):
    """Raises ValueError with what is wrong with the file, OSError where it cannot be read."""
    lines = [(number, line) for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
             if line.startswith("{")]  # the others are what the launcher says
    if not lines:
        raise ValueError("no line of convoy bench --json in it")
    for number, line in lines:
        try:
            row = json.loads(line)
            if "average_bytes" in row:
                add_average(measured, row)
            else:
                add_steps(measured, row)
        except (KeyError, TypeError, ZeroDivisionError, statistics.StatisticsError, json.JSONDecodeError) as error:
            raise ValueError(f"line {number}: not of convoy bench --json ({type(error).__name__}: {error})") from error
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error


def add_steps(measured, row):
    middle = statistics.median(row["seconds"])
    measured.add_step(row["batch"], middle)
    if len(row["seconds"]) > 3:  # from the quartiles: a step that another program held up is not the machine's
        low, _, high = statistics.quantiles(row["seconds"], n=4)
        measured.spreads.append((high - low) / 1.349 / middle)


def add_average(measured, row):
    workers, hosts = row["workers"], row["hosts"]
    if hosts not in (1, workers):
        raise ValueError(f"{workers} workers on {hosts} hosts measure two links at once: all on one host, or one on each, "
                         "expected")
    measured.links.setdefault(WITHIN if hosts == 1 else BETWEEN, []).append(link_of(row, workers, hosts))
    measured.average_bytes = row["average_bytes"]


def link_of(row, workers, hosts):
    """With which the model gives both measured times."""
    smallest, whole, size = row["seconds_of_smallest"], row["average_seconds"], row["average_bytes"]

    def of(link, algorithm, bytes_):
        return algorithm(Cluster(link, link, ranks_per_node=workers // hosts), bytes_, workers)

    latency = smallest / min(of(Link(1.0, math.inf), algorithm, 0) for algorithm in (ring, tree))
    bandwidths = []
    for algorithm in (ring, tree):
        left = whole - of(Link(latency, math.inf), algorithm, 0)
        if left > 0:
            bandwidths.append(of(Link(0.0, 1.0), algorithm, size) / left)
    if not bandwidths:
        raise ValueError(f"an average of {size:,.0f} bytes took no longer than one of a number: measure on a quieter "
                         "machine, with more --steps")
    return Link(latency, min(bandwidths))
