"""Runs a file's unittest cases, and leaves a report as GoogleTest does where GTEST_OUTPUT asks for one: so tools/test
counts each case, and names what was skipped and why."""

import os
import sys
import unittest
from pathlib import Path
from xml.sax.saxutils import quoteattr


ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import python_packages  # noqa: E402


def lack_of(package, least):
    """None where the package is there, in this process: the file may be run anew for that. Else why it cannot be had."""
    try:
        python_packages.use(package, least, lambda line: print(line, file=sys.stderr))
    except python_packages.PackagesError as error:
        return str(error)
    return None


class Result(unittest.TextTestResult):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.verdicts = {}  # by case, in order: (what it is, reason)

    def startTest(self, test):
        super().startTest(test)
        self.verdicts[test.id()] = ("passed", "")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.verdicts[test.id()] = ("skipped", reason)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.verdicts[test.id()] = ("failed", "")

    def addError(self, test, error):
        super().addError(test, error)
        self.verdicts[test.id()] = ("failed", "")

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.verdicts[test.id()] = ("failed", "")


class Runner(unittest.TextTestRunner):
    resultclass = Result


def report(verdicts):
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", "  <testsuite>"]
    for name, (verdict, reason) in verdicts.items():
        group, _, case = name.rpartition(".")
        result = "skipped" if verdict == "skipped" else "completed"
        group = group.split(".")[-1]
        lines.append(f'    <testcase name={quoteattr(case)} result="{result}" classname={quoteattr(group)}>')
        if verdict == "failed":
            lines.append('      <failure message="see its output"/>')
        if verdict == "skipped":
            lines.append(f"      <skipped message={quoteattr(reason)}/>")
        lines.append("    </testcase>")
    return "\n".join([*lines, "  </testsuite>", "</testsuites>"]) + "\n"


def main():
    outcome = unittest.main(testRunner=Runner, exit=False).result
    folder = os.environ.get("GTEST_OUTPUT", "")
    if folder.startswith("xml:") and folder.endswith("/"):
        name = Path(sys.argv[0]).stem
        name = name[:-5] if name.endswith("_test") else name
        (Path(folder[4:]) / f"test_{name}.xml").write_text(report(outcome.verdicts), encoding="utf-8")
    sys.exit(not outcome.wasSuccessful())
