"""The table: what each policy makes of each number of ranks; and the smallest K that hides the network."""

import math
from dataclasses import dataclass

from scaling import model
from scaling.policies import families

SHARES = (0.01, 0.05)  # of a step, that the network may take
CURVE_POINTS = 8       # of each doubling of K
LEAST_LAST = 64        # K where curves end, at least
EVERY = model.Policy("every:K")


@dataclass(frozen=True)
class Epoch:
    """What is trained on, and how it is divided."""
    images: float
    batch: float     # of each rank where weak, of all together where strong
    is_weak: bool

    def batch_of_rank(self, ranks):
        return self.batch if self.is_weak else self.batch / ranks

    def steps(self, ranks):
        return self.images / (self.batch_of_rank(ranks) * ranks)


def of_epoch(policy, epoch, ranks):
    """The policy with its K in this epoch."""
    return policy.with_period(max(1.0, epoch.steps(ranks))) if policy.is_epoch else policy


def predict(policy, work, cluster, epoch, ranks):
    """A row of the table, by its columns' names."""
    batch = epoch.batch_of_rank(ranks)
    step = work.step_seconds(batch)
    cost = model.cost(of_epoch(policy, epoch, ranks), work, cluster, ranks, step)
    whole = step + cost.network + cost.wait
    seconds = epoch.steps(ranks) * whole
    speedup = epoch.steps(1) * work.step_seconds(epoch.batch_of_rank(1)) / seconds
    return {"policy": policy.text, "ranks": ranks, "nodes": cluster.nodes(ranks), "batch_per_rank": batch,
            "epoch_seconds": seconds, "speedup": speedup, "efficiency": speedup / ranks,
            "network_share": cost.network / whole, "wait_share": cost.wait / whole}


def table(policies, work, cluster, epoch, ranks):
    return [predict(policy, work, cluster, epoch, count) for policy in policies for count in ranks]


def smallest_periods(policies, work, cluster, epoch, ranks):
    """A row for each kind of policy and number of ranks: by share, the smallest K; None where no K is enough."""
    found = []
    for family in families(policies):
        for count in (count for count in ranks if count > 1):
            step = work.step_seconds(epoch.batch_of_rank(count))
            found.append({"policy": family.text, "ranks": count, **{
                f"period_{100 * share:g}_percent": model.smallest_period(family, work, cluster, count, step, share)
                for share in SHARES}})
    return found


def curve(work, cluster, epoch, ranks, most, marks):
    """[(K, efficiency)] of every:K, over K from 1 to `most`, the marks among them."""
    points = range(math.ceil(CURVE_POINTS * math.log2(most)))
    periods = sorted({round(2**(point / CURVE_POINTS)) for point in points} | set(marks) | {most})
    return [(period, predict(EVERY.with_period(period), work, cluster, epoch, ranks)["efficiency"]) for period in periods]


def pictured(work, cluster, epoch, ranks):
    """Of every:K, for each number of ranks: {ranks: curve}, all over the same K, and {ranks: {share: smallest K}}."""
    marks = {}
    for count in ranks:
        step = work.step_seconds(epoch.batch_of_rank(count))
        marks[count] = {share: model.smallest_period(EVERY, work, cluster, count, step, share) for share in SHARES}
    most = max([LEAST_LAST, *(2 * period for found in marks.values() for period in found.values())])
    return {count: curve(work, cluster, epoch, count, most, found.values()) for count, found in marks.items()}, marks
