"""Policies by their texts: those of `convoy train --average`, with `+node:K` for --average-node every:K and `+delay:1` for
--average-delay 1."""

import re

from scaling.model import Policy

FORMS = "step, every:K, epoch, end or never, and for weights +node:K and +delay:1 after it, as in every:64+node:4"
DEFAULT = ("step", "every:4", "every:16", "every:16+delay:1", "epoch")


def parse(text):
    """Raises ValueError with what was expected."""
    first, *others = text.split("+")
    every = re.fullmatch(r"every:([1-9]\d*)", first)
    if every:
        fields = {"period": int(every[1])}
    elif first == "epoch":
        fields = {"is_epoch": True}
    elif first == "step":
        fields = {"averages_gradients": True}
    elif first in ("end", "never"):
        fields = {}
    else:
        raise ValueError(f"{text}: {FORMS} expected")
    for other in others:
        node = re.fullmatch(r"node:([1-9]\d*)", other)
        if first in ("step", "end", "never") or not (node or other == "delay:1"):
            raise ValueError(f"{text}: {FORMS} expected")
        fields.update({"node_period": int(node[1])} if node else {"is_delayed": True})
    return Policy(text, **fields)


def families(policies):
    """Those that average weights, each once whatever its K, with `every:K` for what it was."""
    found = {}
    for policy in policies:
        if policy.period or policy.is_epoch:
            _, plus, others = policy.text.partition("+")
            text = "every:K" + plus + others
            found.setdefault(text, Policy(text, node_period=policy.node_period, is_delayed=policy.is_delayed))
    return list(found.values())
