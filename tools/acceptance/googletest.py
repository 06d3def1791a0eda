"""Reads what a GoogleTest program prints: cases by name, also where the program dies in the middle."""

import re

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
    """(passed, failed, skipped): a list of names, one of names, and a dictionary from name to reason."""
    passed, failed, skipped = [], [], {}
    running, reason = None, []
    for line in output.splitlines():
        row = ROW.match(line)
        if not row:
            reason.append(line.strip())
            continue
        kind, name = row.groups()
        if kind == "RUN":
            running, reason = name, []
        elif name == running:  # the summary at the end names them again
            if kind == "OK":
                passed.append(name)
            elif kind == "FAILED":
                failed.append(name)
            else:
                skipped[name] = " ".join(line for line in reason if not line.endswith(": Skipped")) or "no reason given"
            running = None
    if running:  # it died there
        failed.append(running)
    return passed, failed, skipped
