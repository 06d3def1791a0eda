"""What a reader of results must know beside the figures: a line each."""

from runs.messages import count


def warnings(groups):
    runs = [run for group in groups for run in group.runs]
    return [*unfinished(runs), *dirty(runs), *synthetic(runs), *repeated(groups), *mixed(groups), *other_data(groups)]


def unfinished(runs):
    for run in runs:
        if not run.is_complete:
            reason = run.summary.get("reason")
            yield f"{run.name} is not complete and in no mean: {run.state}" + (f": {reason}" if reason else "")


def dirty(runs):
    found = [run for run in runs if run.summary.get("dirty")]
    if found:
        yield (f"{count(len(found), 'run')} ({names(found)}) come from a program with changes that are in no commit: nobody "
               "else can build it")


def synthetic(runs):
    found = [run for run in runs if run.summary.get("data") == "SYNTHETIC"]
    if found:
        yield (f"{count(len(found), 'run')} ({names(found)}) trained on SYNTHETIC pictures: the accuracies say nothing about "
               "real ones")


def repeated(groups):
    for group in groups:
        yield from group.repeats


def mixed(groups):
    for group in groups:
        for field, what in (("commit", "commits"), ("device", "devices")):
            found = sorted({str(run.summary.get(field)) for run in group.runs})
            if len(found) > 1:
                yield f"{group.label}: the runs are of different {what}: {', '.join(found)}"


def other_data(groups):
    found = {run.summary.get("data_checksum"): run.summary.get("data", "") for group in groups for run in group.runs}
    if len(found) > 1:
        yield "the runs trained on different data: " + ", ".join(f"{name} ({sum_})" for sum_, name in found.items())


def names(runs):
    """The first few."""
    return ", ".join(run.name for run in runs[:3]) + (", ..." if len(runs) > 3 else "")
