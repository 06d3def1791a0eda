"""The part `tests` of tools/gpu_acceptance: all cases for CUDA, each suite in a process of its own, so that one that
crashes, or leaves the GPU in an error, takes no other along."""

import os
import re
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import googletest
from context import PartFailed, how_it_ended, row, tail

Suite = namedtuple("Suite", "program name cases")

TEXT_LINES = 15  # of a failed case in the JSON
PAGE_LINES = 8  # of all of them on the page


def test_programs(folder):
    """Those with cases for CUDA: the packed one, or as many as tests/CMakeLists.txt has written into a file."""
    packed, built = folder / "gpu_tests", folder / "gpu_programs.txt"
    if packed.exists():
        return [packed]
    return [folder / name for name in built.read_text().split()] if built.exists() else []


class Outcome:
    """What has become of the cases."""

    def __init__(self):
        self.passed, self.failed, self.skipped, self.not_run = [], {}, {}, []
        self.stopped = []  # suites that the end of the time met

    def add(self, suite, done):
        """done: of the suite's process; None where there was no time to start it."""
        if done is None:
            self.not_run += suite.cases
            return
        found = googletest.cases(done.output)
        self.passed += found.passed
        self.failed.update(found.failed)
        self.skipped.update(found.skipped)
        left = [name for name in suite.cases
                if name not in {*found.passed, *found.failed, *found.skipped, found.running}]
        if done.code is None:
            self.not_run += left + [name for name in (found.running,) if name]
            self.stopped.append(f"{found.running or suite.name} after {done.seconds:.0f} s")
        elif found.running:  # it died there
            self.failed[found.running] = found.printed
        if done.code not in (0, None) and (left or not found.failed):
            self.failed[f"{suite.name}: {how_it_ended(done)}, {len(left)} cases not run"] = tail(done.output, TEXT_LINES)

    def row(self):
        counts = f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"
        if self.not_run:
            counts += f", {len(self.not_run)} not run: no time"
        texts = {name: [line for line in text if line][-TEXT_LINES:] for name, text in self.failed.items()}
        found = row(counts, bool(self.passed) and not self.failed, self.lines(texts), passed=self.passed,
                    failed=list(self.failed), failure_texts=texts, skipped=self.skipped, not_run=self.not_run,
                    log_tail=[])  # the texts say it
        if self.not_run and not self.failed:
            found["verdict"] = "unfinished"
        return found

    def lines(self, texts):
        lines, room = [], PAGE_LINES
        for name, text in list(texts.items())[:12]:
            lines += [f"failed  {name}", *("          " + line for line in text[:room])]
            room = max(0, room - len(text))
        lines += [f"stopped {name}, at the end of the time" for name in self.stopped[:4]]
        return lines + [f"skipped {reason}" for reason in sorted(set(self.skipped.values()))[:4]]


def list_suites(context, outcome):
    """The largest first: what is left at the end is little, and shared."""
    suites = []
    for program in test_programs(context.build / "tests"):
        try:
            done = context.must_run(f"{program.name}-list", [program, "--gtest_list_tests", "--gtest_filter=*cuda*"])
        except PartFailed as reason:
            outcome.failed[f"{program.name}: lists no cases: {reason}"] = tail(context.output, TEXT_LINES)
            continue
        suites += [Suite(program, name, cases[::8] if context.args.small else cases)
                   for name, cases in googletest.suites(done.output).items()]
    return sorted(suites, key=lambda suite: -len(suite.cases))


def workers(context):
    """They share the GPU, where it lets them; plans are made on the CPU, so a few beside each other."""
    if any(gpu["compute_mode"] in ("Exclusive_Process", "Exclusive_Thread", "Prohibited") for gpu in context.gpus):
        return 1
    return max(1, min(4, len(os.sched_getaffinity(0)) // 2))


def tests(context):
    """With --small every eighth case."""
    outcome = Outcome()
    suites = list_suites(context, outcome)
    if not suites and not outcome.failed:
        raise PartFailed(f"no test for CUDA in {context.build / 'tests'}")

    def run(suite):
        if time.monotonic() >= context.limit:
            return None
        return context.run(re.sub(r"\W+", "_", f"{suite.program.name}-{suite.name}"),
                           [suite.program, f"--gtest_filter={':'.join(suite.cases)}"])

    with ThreadPoolExecutor(workers(context)) as pool:
        try:
            for suite, done in zip(suites, pool.map(run, suites)):
                outcome.add(suite, done)
        except BaseException:  # a signal: the pool waits for what runs
            context.stop()
            raise
    return outcome.row()
