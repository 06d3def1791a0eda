"""Runs that differ by nothing but the seed are one group; a group's label says what sets it apart from the others."""

import statistics
from pathlib import Path

# Of the configuration, what does not change what a run computes: where it lies, and what its data are called (they are
# told by their checksum).
NOT_COMPARED = ("seed", "out", "data")
LONGEST_LABEL = 70


def deviation(values):
    """The sample's standard deviation; None of fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def comparable(run):
    """What the runs of a group have in common, as a flat dict; the run's own name where it has no configuration."""
    if not run.configuration:
        return {"run": run.name}
    settings = {key: value for key, value in run.configuration.items() if key not in NOT_COMPARED}
    settings["processes"] = run.summary.get("world_size", 1)
    settings["ran in"] = run.summary.get("precision", "")
    settings["data"] = run.summary.get("data_checksum", "") or run.configuration.get("data", "")
    return settings


class Group:
    """Runs of one configuration, all complete or all not; `label` is set by grouped()."""

    def __init__(self, settings, is_complete):
        self.settings, self.is_complete, self.runs, self.label = settings, is_complete, [], ""

    def values(self, field):
        """Of the summaries that have it."""
        found = [run.summary.get(field) for run in self.runs]
        return [value for value in found if isinstance(value, (int, float))]

    @property
    def states(self):
        return " and ".join(sorted({run.state for run in self.runs}))


def grouped(runs):
    """The groups in the order of their first runs, labelled. Unfinished runs are in groups of their own."""
    groups = {}
    for run in runs:
        settings = comparable(run)
        key = (run.is_complete, *sorted((name, repr(value)) for name, value in settings.items()))
        groups.setdefault(key, Group(settings, run.is_complete)).runs.append(run)
    groups = list(groups.values())
    distinct = []
    for group in groups:  # a complete and an unfinished group of the same settings share a label
        if group.settings not in [other.settings for other in distinct]:
            distinct.append(group)
    labels = [label(group, distinct) for group in distinct]
    for same, text in zip(distinct, labels):
        text = text if labels.count(text) == 1 else same.runs[0].name
        for group in groups:
            if group.settings == same.settings:
                group.label = text + ("" if group.is_complete else f" ({group.states})")
    return groups


def differences(groups):
    """The names of settings in which the groups differ, in the order of the first group's."""
    names = list(dict.fromkeys(name for group in groups for name in group.settings))
    return [name for name in names if len({repr(group.settings.get(name)) for group in groups}) > 1]


def label(group, groups):
    """The recipe's name, and what else it takes to tell the group from others of that name."""
    name = str(group.settings.get("name") or group.settings.get("run"))
    namesakes = [other for other in groups if other.settings.get("name") == group.settings.get("name")]
    if len(namesakes) < 2 or "name" not in group.settings:
        return name
    parts = [f"{setting} {text_of(group.settings.get(setting))}" for setting in differences(namesakes)]
    full = ", ".join([name, *parts])
    return full if len(full) <= LONGEST_LABEL else f"{name}, {place(group)}"


def place(group):
    """The folder that holds the group's runs, or its one run: without seed-N, as --repeat and the experiments name them."""
    folder = group.runs[0].folder
    return folder.parent.name if folder.name.startswith("seed-") and folder.parent.name else Path(folder).name


def text_of(value):
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value in ("", None) else str(value)
