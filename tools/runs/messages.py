"""What the tools say to their user: a line each, with the tool's name before it."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def tool():
    """tools/plot, tools/experiments/recipe."""
    path = Path(sys.argv[0]).resolve()
    return path.relative_to(ROOT) if ROOT in path.parents else path.name


def say(message):
    print(f"{tool()}: {message}", file=sys.stderr, flush=True)


def fail(message, code=1):
    say(message)
    sys.exit(code)


def count(number, noun):
    """1 run, 2 runs."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
