"""Runs that differ by nothing but the seed are one group; a group's label says what sets it apart from the others."""

import statistics

from runs.messages import say

# Of the configuration, what does not change what a run computes.
NOT_COMPARED = ("seed", "out", "resume", "checkpoint-every", "keep-checkpoints", "log-every", "log-ranks", "local-accuracy",
                "timeout", "startup-timeout", "profile-steps", "data-mode")
# Settings that seldom are what a reader wants to be told of.
SAID_LAST = ("threads", "evaluate-every", "data checksum")
LONGEST_LABEL = 80


def deviation(values):
    """The sample's standard deviation; None of fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def comparable(run):
    """What the runs of a group have in common, as a flat dict; the run's own name where it has no configuration."""
    if not run.configuration:
        return {"run": run.name}
    settings = {key: value for key, value in run.configuration.items() if key not in NOT_COMPARED}
    settings["ranks"] = run.summary.get("world_size", 1)
    settings["ran in"] = run.summary.get("precision", "")
    # Data are told by what they are, not by the path at which they lay.
    settings["data"] = run.summary.get("data", "") or run.configuration.get("data", "")
    settings["data checksum"] = run.summary.get("data_checksum", "")
    return settings


class Group:
    """Runs of one configuration, all complete or all not; `label` is set by grouped()."""

    def __init__(self, settings, is_complete):
        self.settings, self.is_complete, self.runs, self.label = settings, is_complete, [], ""

    @property
    def samples(self):
        """The runs, of complete ones the first of each seed: a seed that is repeated is no other draw."""
        first = {}
        for run in self.runs:
            first.setdefault(run.configuration.get("seed", run.name) if self.is_complete else run.name, run)
        return list(first.values())

    @property
    def repeats(self):
        """A line for each run that is no sample."""
        samples = self.samples
        return [f"{run.name}: seed {run.configuration['seed']} again; it counts once, as in "
                f"{next(first.name for first in samples if first.configuration['seed'] == run.configuration['seed'])}"
                for run in self.runs if run not in samples]

    def values(self, field):
        """Of the summaries that have it."""
        found = [run.summary.get(field) for run in self.samples]
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
    for line in [line for group in groups for line in group.repeats]:
        say(line)
    distinct = of_distinct_settings(groups)
    labels = [label(group, distinct) for group in distinct]
    for same, text in zip(distinct, labels):
        text = text if labels.count(text) == 1 else place(same)
        for group in groups:
            if group.settings == same.settings:
                group.label = text + ("" if group.is_complete else f" ({group.states})")
    return groups


def of_distinct_settings(groups):
    """One of a complete and an unfinished group of the same settings."""
    return [group for at, group in enumerate(groups) if group.settings not in [other.settings for other in groups[:at]]]


def differences(groups):
    """The names of settings in which the groups differ, in the order of the first group's."""
    names = list(dict.fromkeys(name for group in groups for name in group.settings))
    return [name for name in names if len({repr(group.settings.get(name)) for group in groups}) > 1]


def label(group, groups):
    """The recipe's name, and what sets the group apart from others of that name: all of it where that is short, else
    just enough."""
    name = str(group.settings.get("name") or group.settings.get("run"))
    namesakes = [other for other in groups if other.settings.get("name") == group.settings.get("name")]
    if len(namesakes) < 2 or "name" not in group.settings:
        return name
    different = differences(namesakes)
    for settings in (different, distinguishing(namesakes, different)):
        text = ", ".join([name, *(f"{setting} {text_of(group.settings.get(setting))}" for setting in settings)])
        if len(text) <= LONGEST_LABEL:
            return text
    return f"{name}, {place(group)}"


def distinguishing(groups, names):
    """Few of the settings that together tell the groups apart: each time the one that tells apart most."""
    chosen = []
    while True:
        def parts(name):
            return len({tuple(repr(group.settings.get(each)) for each in [*chosen, name]) for group in groups})
        best = max(names, key=lambda name: (parts(name), name not in SAID_LAST))
        chosen.append(best)
        if parts(best) == len(groups) or len(chosen) == len(names):
            return chosen


def place(group):
    """The folder of the group's first run, without the seed-N that the experiments add."""
    folder = group.runs[0].folder
    return str(folder.parent if folder.name.startswith("seed-") and folder.parent.name else folder)


def text_of(value):
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {text_of(own)}" if isinstance(own, dict) else f"{name} {text_of(own)}"
                         for name, own in value.items())
    if isinstance(value, float):
        return f"{value:.9g}"
    return "none" if value in ("", None) else str(value)
