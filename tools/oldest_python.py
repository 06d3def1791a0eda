"""Imported by the Python tools before anything else of theirs: ends in a line where this Python is too old for them."""

import sys

OLDEST = (3, 9)

if sys.version_info[:2] < OLDEST:
    sys.exit("{} is Python {}.{}, and Convoy's tools need {}.{} or later: load a module, or put another one first on the "
             "PATH".format(sys.executable, *sys.version_info[:2], *OLDEST))
