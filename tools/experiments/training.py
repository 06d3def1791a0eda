"""What the experiments share: a run that is done is not run again."""

import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CONVOY = ROOT / "build" / "convoy"
sys.path.insert(0, str(ROOT / "tools"))
sys.dont_write_bytecode = True
from runs.messages import fail  # noqa: E402
from runs.run import final_accuracy, is_complete, read_summary  # noqa: E402


def launched(convoy, processes):
    """(the beginning of the command, the environment) of so many processes of this machine; one starts without MPI."""
    if processes == 1:
        return [str(convoy)], None
    return [str(ROOT / "tools" / "launch"), str(processes)], {**os.environ, "CONVOY": str(convoy)}


def is_done(run, options):
    """Whether `convoy train OPTIONS --out RUN` is complete; one of other options ends the program."""
    summary = read_summary(run)
    if not summary or not is_complete(summary):
        return False
    found = summary.get("command_line", [])[2:]
    if found != [*options, "--out", str(run)]:
        fail(f"{run} comes from other options ({' '.join(found)}); choose another --out", 2)
    print(f"{run}: done before", flush=True)
    return True


def train(convoy, run, options, processes=1):
    """The exit status of `convoy train OPTIONS --out RUN`; 0 at once where that run is complete."""
    if is_done(run, options):
        return 0
    program, environment = launched(convoy, processes)
    command = [*program, "train", *options, "--out", str(run)]
    print(" ".join(command), flush=True)
    return subprocess.run(command, env=environment).returncode


def add_jobs_option(parser):
    parser.add_argument("--jobs", type=int, default=1, metavar="N",
                        help="trainings at a time, each on its own part of the cores (%(default)s); tools/table tells how "
                        "far they are")


def train_all(convoy, runs, jobs):
    """Trains each of `runs`, (folder, options), as train() does, `jobs` at a time, each of these on cores of its own.

    Gives (folder, exit status) of the first that failed, after which none is started, or None. Of several at a time
    only the accuracy is shown, how many are done, and all that a failed one has said.
    """
    if jobs == 1:
        return next(((run, status) for run, options in runs if (status := train(convoy, run, options)) != 0), None)
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= jobs <= len(cores):
        fail(f"--jobs {jobs}: 1 to {len(cores)}, the cores that may be used", 2)
    waiting = [(run, options) for run, options in runs if not is_done(run, options)]
    free, failures, trained = queue.SimpleQueue(), [], itertools.count(1)
    running, stopped = set(), threading.Event()
    for job in range(jobs):
        free.put(",".join(map(str, cores[job::jobs])))

    def one(run, options):
        if failures:
            return
        mine = free.get()
        command = ["taskset", "-c", mine, str(convoy), "train", *options, "--out", str(run)]
        print(" ".join(command), flush=True)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as training:
            running.add(training)
            if stopped.is_set():  # while this one was being started
                training.terminate()
            said = training.communicate()[0]
            running.remove(training)
        free.put(mine)
        if stopped.is_set():
            return
        if training.returncode == 0:
            measure, accuracy = final_accuracy(read_summary(run))
            print(f"{run}: {measure.replace('_', ' ')} {accuracy:.4f} [{next(trained)} of {len(waiting)}]", flush=True)
        else:
            failures.append((run, training.returncode))
            print(said, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            list(pool.map(lambda each: one(*each), waiting))  # the list takes along what they raise
        except BaseException:  # which leaves those out that have not begun
            stopped.set()
            for training in list(running):
                training.terminate()
            raise
    return failures[0] if failures else None


def end_if(failure):
    """Ends the program with what train_all has met, if anything."""
    if failure:
        run, status = failure
        fail(f"{run} ended with exit status {status}; the same command goes on from there", max(status, 1))


def until_interrupted(main):
    """main(), which Control-C and SIGTERM end, and its trainings with it, with a line."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on from there", 130)
