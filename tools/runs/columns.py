"""The rows of a table of runs: a group's figures as mean, deviation and number; unfinished runs one by one."""

import statistics
from collections import namedtuple

from runs.groups import deviation

# What stands in a cell beside plain text; `digits` after the point.
Figure = namedtuple("Figure", "mean deviation n digits")
# A field of the summary; `scale` makes the heading's unit of it.
Column = namedtuple("Column", "heading field scale digits")
COLUMNS = (
    Column("test accuracy (%)", "test_accuracy", 100, 2),
    Column("validation accuracy (%)", "validation_accuracy", 100, 2),
    Column("test loss", "test_loss", 1, 4),
    Column("train loss", "train_loss", 1, 4),
    Column("distance", "weight_distance", 1, 4),
    Column("steps", "steps", 1, 0),
    Column("train time (s)", "train_seconds", 1, 1),
    Column("images/s", "images_per_second", 1, 0),
)


def figure(values, digits):
    return Figure(statistics.mean(values), deviation(values), len(values), digits) if values else ""


def done_row(group, is_state_shown):
    """{heading: cell} of a group of complete runs."""
    row = {"run": group.label, "n": str(len(group.samples))}
    if is_state_shown:
        row["state"] = "complete"
    for column in COLUMNS:
        row[column.heading] = figure([column.scale * value for value in group.values(column.field)], column.digits)
    return row


def unfinished_row(run):
    """Of a run that is no part of any mean: its last figures, how far it is, and the time left at its pace."""
    row = {"run": run.name, "n": "", "state": run.state}
    if run.images_in_all:
        row["state"] += f", {100 * run.last.get('images_seen', 0) / run.images_in_all:.0f} %"
    left = run.seconds_left()
    row["time left"] = "" if left is None else duration(left)
    for column in COLUMNS:
        field = {"steps": "step"}.get(column.field, column.field)
        found = [epoch[field] for epoch in run.epochs if isinstance(epoch.get(field), (int, float))]
        row[column.heading] = figure([column.scale * value for value in found[-1:]], column.digits)
    return row


def duration(seconds):
    """As convoy's progress has it: 12 s, 3:05, 2:03:05."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = f"{whole // 60 % 60:02}:{whole % 60:02}"
    return (f"{whole // 3600}:{minutes}" if whole >= 3600 else minutes).lstrip("0")


def first_reaching(run, accuracy):
    """The first epoch's row whose test accuracy is at least that; None where none is."""
    return next((row for row in run.epochs if row.get("test_accuracy", -1) >= accuracy), None)


def target_cells(group, accuracy, baseline):
    """What it took the group's runs to reach a test accuracy, and how many times faster than the baseline's that was."""
    rows = [row for row in (first_reaching(run, accuracy) for run in group.samples) if row]
    seconds = [row["train_seconds"] for row in rows]
    goal = f"to {100 * accuracy:g} %"
    cells = {f"reached {100 * accuracy:g} %": f"{len(rows)} of {len(group.samples)}",
             f"images {goal}": figure([row["images_seen"] for row in rows], 0),
             f"epochs {goal}": figure([row["epoch"] for row in rows], 1),
             f"train time {goal} (s)": figure(seconds, 1)}
    if baseline is not None:
        own = [row["train_seconds"] for row in (first_reaching(run, accuracy) for run in baseline.samples) if row]
        cells["speed-up"] = f"{statistics.mean(own) / statistics.mean(seconds):.2f}×" if own and seconds else ""
    return cells


def is_of_target(heading):
    """Whether target_cells adds it."""
    return heading not in ("run", "n", "state", "time left", *(column.heading for column in COLUMNS))


def table_of(groups, target=None, baseline=None):
    """(headings, rows as dicts): complete groups, then unfinished runs; columns in which nothing stands are left out."""
    complete = [group for group in groups if group.is_complete]
    unfinished = [run for group in groups if not group.is_complete for run in group.runs]
    rows = []
    for group in complete:
        row = done_row(group, bool(unfinished))
        if target is not None:
            row.update(target_cells(group, target, baseline))
        rows.append(row)
    rows += [unfinished_row(run) for run in unfinished]
    order = ["run", "n", "state", "time left", *(column.heading for column in COLUMNS)]
    order += [heading for row in rows for heading in row]
    return [heading for heading in dict.fromkeys(order) if any(row.get(heading, "") != "" for row in rows)], rows
