"""Reads what a GoogleTest program prints: cases by name, also where the program dies in the middle."""

import re
from collections import namedtuple

Cases = namedtuple("Cases", "passed failed skipped running printed")  # printed: by the one that was running
ROW = re.compile(r"^\[ +(RUN|OK|FAILED|SKIPPED) +\] (\S+?\.\S+?)(?:,|\s\(|$)")


def suites(listing):
    """The output of --gtest_list_tests as a dictionary from suite to the full names of its cases."""
    found, suite = {}, None
    for line in listing.splitlines():
        name = line.split("#", 1)[0].rstrip()
        if re.fullmatch(r"\S+\.", name):
            suite = found.setdefault(name[:-1], [])
        elif suite is not None and re.fullmatch(r"  \S+", name):
            suite.append(list(found)[-1] + "." + name.strip())
    return found


def cases(output):
    """passed: names; failed: from name to the lines that it printed; skipped: from name to reason; running: the name of
    the case that the output ends in, or None."""
    passed, failed, skipped = [], {}, {}
    running, reason = None, []
    for line in output.splitlines():
        row = ROW.match(line)
        if not row:
            reason.append(line.rstrip())
            continue
        kind, name = row.groups()
        if kind == "RUN":
            running, reason = name, []
        elif name == running:  # the summary at the end names them again
            if kind == "OK":
                passed.append(name)
            elif kind == "FAILED":
                failed[name] = reason
            else:
                skipped[name] = skip_reason(reason)
            running = None
    return Cases(passed, failed, skipped, running, reason if running else [])


def skip_reason(lines):
    return " ".join(line.strip() for line in lines if not line.endswith(": Skipped")) or "no reason given"
