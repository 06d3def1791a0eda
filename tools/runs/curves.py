"""Curves of a group of runs: a quantity against epochs, images or seconds of training, as mean and deviation over them."""

import statistics
from collections import namedtuple

from runs.groups import deviation

# A line of a panel: which rows it comes from, of which field. Training has the rows of steps where all runs have some.
Line = namedtuple("Line", "name step_field epoch_field")
# scale: a value's unit in the picture over its unit in the rows.
Quantity = namedtuple("Quantity", "title unit scale lines")
QUANTITIES = {
    "loss": Quantity("loss", "nats", 1, (
        Line("training", "loss", "train_loss"), Line("validation", None, "validation_loss"),
        Line("test", None, "test_loss"))),
    "accuracy": Quantity("accuracy", "%", 100, (
        Line("training", None, "train_accuracy"), Line("validation", None, "validation_accuracy"),
        Line("test", None, "test_accuracy"))),
    "learning-rate": Quantity("learning rate", "", 1, (Line("training", "learning_rate", "learning_rate"),)),
    # The root mean square over ranks of ||w_r - mean|| / ||mean||, before the last average.
    "distance": Quantity("distance between ranks", "relative", 1, (
        Line("training", None, "weight_distance"),)),
    "speed": Quantity("speed", "images/s", 1, (Line("training", None, "images_per_second"),)),
}
DEFAULT_QUANTITIES = ("loss", "accuracy", "learning-rate", "distance")
AXES = {"epoch": "epochs", "images": "images seen", "time": "training time"}
MOST_POINTS = 200  # of a line: more would be noise, and megabytes in a page

# x, mean, deviation (None of a single run)
Point = namedtuple("Point", "x mean deviation")


def curve(group, line, axis, scale=1):
    """The line's points over the group's samples: at the images that all of them have seen when they wrote a row. Empty
    where there is none."""
    by_run = values_of(group.samples, line)
    points = []
    for images in sorted(set.intersection(*map(set, by_run))):
        places = [place(run, images, axis) for run in group.samples]
        if None in places:
            continue
        values = [scale * values[images] for values in by_run]
        points.append(Point(statistics.mean(places), statistics.mean(values), deviation(values)))
    return thinned(points)


def values_of(runs, line):
    """[{images seen: value}] of the rows of steps; of those of epochs where the runs have no step's in common."""
    by_step = [values_in(run.steps, line.step_field) for run in runs]
    return by_step if set.intersection(*map(set, by_step)) else [values_in(run.epochs, line.epoch_field) for run in runs]


def values_in(rows, field):
    return {row["images_seen"]: row[field] for row in rows if isinstance(row.get(field), (int, float))}


def place(run, images, axis):
    if axis == "images":
        return images
    return run.epoch_at(images) if axis == "epoch" else run.train_seconds_at(images)


def thinned(points):
    """At most MOST_POINTS, each the mean over as many neighbours; the first and the last stay as they are."""
    width = -(-len(points) // MOST_POINTS)
    if width <= 1:
        return points
    inner = points[1:-1]
    chunks = [inner[at:at + width] for at in range(0, len(inner), width)]
    return [points[0], *map(middle, chunks), points[-1]]


def middle(points):
    spread = [point.deviation for point in points]
    return Point(statistics.mean(point.x for point in points), statistics.mean(point.mean for point in points),
                 None if None in spread else statistics.mean(spread))


def panels(groups, quantities, axis):
    """({quantity: {(group's number, line): points}} of those that have something to show, the axis): images, where epochs
    are asked for and no run has completed one."""
    found = {}
    for name in quantities:
        quantity = QUANTITIES[name]
        curves = {(number, line): curve(group, line, axis, quantity.scale)
                  for number, group in enumerate(groups) for line in quantity.lines}
        curves = {key: points for key, points in curves.items() if points}
        if curves:
            found[name] = curves
    return panels(groups, quantities, "images") if axis == "epoch" and not found else (found, axis)
