"""The options --target and --baseline of tools/table and tools/report."""

from pathlib import Path

from runs.messages import fail


def add_options(parser):
    parser.add_argument("--target", type=float, metavar="A", help="adds what it took to first reach this test accuracy "
                        "(0.93): images, epochs and seconds of training, at the evaluations that the runs made")
    parser.add_argument("--baseline", metavar="RUN", help="with --target: adds the speed-up in seconds of training over "
                        "this run and its group")


def check(args):
    if args.target is not None and not 0 < args.target <= 1:
        fail(f"--target {args.target:g}: a test accuracy above 0 and at most 1 expected", 2)
    if args.baseline and args.target is None:
        fail("--baseline: needs --target, the accuracy that both are to reach", 2)


def paths(args):
    """All that was named; the baseline may be one of the runs, or another."""
    return args.runs + ([args.baseline] if args.baseline else [])


def baseline_group(args, groups):
    """The complete group of the runs at or below --baseline; None without that option."""
    if not args.baseline:
        return None
    path = Path(args.baseline).resolve()
    for group in groups:
        if group.is_complete and any(path in (run.folder.resolve(), *run.folder.resolve().parents) for run in group.runs):
            return group
    return fail(f"--baseline {args.baseline}: no complete run there", 2)
