"""How far cells of an experiment fall behind others in their final accuracy: differences in points, paired by seed."""

import statistics

from runs.groups import deviation
from runs.run import final_accuracy

# Quantile 0.975 of Student's t by degrees of freedom.
T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


def accuracy(summary):
    return final_accuracy(summary)[1]


def interval(values):
    """Half of the 95 % interval of the mean; None of fewer than two values."""
    if len(values) < 2:
        return None
    return T[min(len(values) - 2, len(T) - 1)] * deviation(values) / len(values) ** 0.5


def gaps(runs, baseline):
    """Of two lists of summaries, of the same seeds; positive: worse than the baseline."""
    return [100 * (accuracy(one) - accuracy(other)) for one, other in zip(baseline, runs)]


def gap_text(values):
    half = interval(values)
    return f"{statistics.mean(values):+.2f}" + ("" if half is None else f" ± {half:.2f}")


def verdict(values, aim):
    """On an aim for the mean gap: reached or missed where the whole interval says so."""
    half = interval(values)
    if half is None:
        return "one seed"
    mean = statistics.mean(values)
    return "reached" if mean + half <= aim else "missed" if mean - half > aim else "not resolved"


def accuracy_text(runs):
    found = [accuracy(run) for run in runs]
    spread = deviation(found)
    return f"{100 * statistics.mean(found):.2f}" + ("" if spread is None else f" ± {100 * spread:.2f}")


def draw(path, names, series, title):
    """{series: [gaps of each name]} as means with intervals."""
    from runs import drawing
    points = {label: [(statistics.mean(values), interval(values) or 0) for values in found]
              for label, found in series.items()}
    drawing.save(drawing.figure_of_intervals(names, points, "gap (points of accuracy)", title), path)
    print(f"{path}: drawn")
