"""How long one training step takes on N ranks. Times in seconds, sizes in bytes, bandwidths in bytes per second.

N ranks lie on M = ceil(N / G) nodes, at most G on each; the fullest, with g = min(N, G), decides. A message over a link
takes a + n / B: a_in and B_in inside a node, a_out and B_out = NICs * B_NIC from a node to another.

  an all-reduce of n bytes     A(n, N), the lesser of, with B the narrower of the links that N ranks need:
    ring    2(N - M) a_in + 2(M - 1) a_out + 2 (N - 1) / N * n / B
            Each rank sends n / N to the next one, 2(N - 1) times: the least that any all-reduce can send (Patarasuk and
            Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", JPDC 69(2), 2009; Thakur,
            Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH", IJHPCA 19(1), 2005).
            nccl-tests' bus bandwidth (doc/PERFORMANCE.md) is the B that this formula gives without its latencies.
    tree    2(g - 1) a_in + 2 ceil(log2 M) a_out + 2 n / B
            Chains inside the nodes, two binary trees between them, each with half of the data and pipelined (Sanders,
            Speck and Träff, "Two-tree algorithms for full bandwidth broadcast, reduction and scan", Parallel Computing
            35(12), 2009).
    So many latencies, and this n / B, is what NCCL reckons with when it chooses between the two (src/graph/tuning.cc). Its
    rings enter and leave each node once, so a hierarchy of nodes needs no other formula.

  a step of one rank           t(b) = t_0 + t_1 b for a batch of b images: a line through what was measured.

  --average step               network = max(A(q), m A(q) - (m - 1) / m * f t) + 2 n_g / B_mem,   q = n_g / m
            n_g bytes of gradients leave in m equal buckets, evenly over the backward pass, which is the last part f of
            the step; one after another (Li et al., "PyTorch Distributed", VLDB 2020). The last one is always exposed.
            Without overlap, m A(q) is. The gradients are divided in a pass over memory.
  --average every:K            network = [A(n) + C + 3 n / B_mem] / K
            n bytes of weights and statistics, their norms taken before, then divided, in one pass with the mean's norm.
            C = A(8 N): each rank's norm, for the finite check. `epoch` is K = steps of an epoch; `never` and `end` cost
            nothing.
  every:K+delay:1              network = [max(0, A(n) - t) + C + 13 n / B_mem] / K
            The average travels during the next step, and is applied as w + mean - sent.
  every:K+node:k               network = {A(n) + C + 3 n / B_mem + floor((K - 1) / k) [A(n, g) + 2 n / B_mem]} / K
            Between two averages over the world, each node averages by itself every k steps.

  Waiting for the slowest      steps of a rank are independent, normal, with a relative deviation s (--spread). E_N and D_N
            are mean and deviation of the largest of N standard normal numbers. Ranks that meet every K steps (1: step)
            wait = s t E_N / sqrt(K) a step; a delayed average too, for the finite check comes before it. With node:k,
            nodes wait within themselves and then for each other: s t [E_g / sqrt(k) + D_g E_M / sqrt(K)].
            A rank that is always slower is not in this: give its t.

  a step of N ranks            T = t(b) + network + wait
  an epoch of I images         I / (b N) * T, as if the last batch were full
  speed-up                     weak (each rank has the batch b): N t(b) / T; strong (b = B / N): t(B) / T
  efficiency                   speed-up / N
  K hides the network to p     where network <= p (t + network)

Not in this: NVLink SHARP and other reductions in the switch, NCCL's factors for protocols and sizes, other jobs' traffic,
the slower compute beside a collective that takes cores or memory bandwidth from it, evaluation, checkpoints, reading data.
"""

import functools
import math
from dataclasses import dataclass, replace

# Passes over memory, in multiples of the bytes averaged: what an average does beside its collective.
DIVIDE, NORM = 2, 1                            # read and write; read
LATE = NORM + 2 * 2 + DIVIDE + 2 * 3           # two copies, a sign changed, difference and weights added
NORM_BYTES = 8                                 # of a rank
MOST_STEPS = 2**40                             # a K beyond which none is looked for


@dataclass(frozen=True)
class Link:
    latency: float    # of a message
    bandwidth: float  # each way


@dataclass(frozen=True)
class Cluster:
    within: Link
    between: Link = None        # of a node's NIC; None: all ranks are in one node
    ranks_per_node: int = 0     # 0: all
    nics_per_node: int = 1
    algorithm: str = "best"     # of ALGORITHMS, or the better one
    memory_bandwidth: float = math.inf

    def nodes(self, ranks):
        return -(-ranks // self.ranks_per_node) if self.ranks_per_node else 1

    def fullest_node(self, ranks):
        return min(ranks, self.ranks_per_node or ranks)

    def bandwidth(self, ranks):
        """Of the narrowest link that so many ranks need."""
        found = [self.within.bandwidth] if self.fullest_node(ranks) > 1 else []
        if self.nodes(ranks) > 1:
            found.append(self.nics_per_node * self.between.bandwidth)
        return min(found)

    def latencies(self, inside, outside):
        """Of so many messages in a row inside nodes and between them."""
        return inside * self.within.latency + (outside * self.between.latency if outside else 0)


def ring(cluster, size, ranks):
    nodes = cluster.nodes(ranks)
    return (cluster.latencies(2 * (ranks - nodes), 2 * (nodes - 1)) +
            2 * (ranks - 1) / ranks * size / cluster.bandwidth(ranks))


def tree(cluster, size, ranks):
    depth = math.ceil(math.log2(cluster.nodes(ranks)))
    return cluster.latencies(2 * (cluster.fullest_node(ranks) - 1), 2 * depth) + 2 * size / cluster.bandwidth(ranks)


ALGORITHMS = {"ring": ring, "tree": tree}


def all_reduce(cluster, size, ranks):
    if ranks == 1:
        return 0.0
    if cluster.algorithm == "best":
        return min(algorithm(cluster, size, ranks) for algorithm in ALGORITHMS.values())
    return ALGORITHMS[cluster.algorithm](cluster, size, ranks)


def memory(cluster, passes, size):
    return passes * size / cluster.memory_bandwidth


@dataclass(frozen=True)
class Workload:
    """What a rank does: `fixed` + `per_image` * batch seconds a step."""
    fixed: float
    per_image: float
    average_bytes: float         # weights and statistics
    gradient_bytes: float
    bucket_bytes: float = 1e6    # at least, of gradients that leave together; 0: all at once
    backward_share: float = 2 / 3
    overlaps: bool = True        # collectives go on beside the compute
    spread: float = 0.0          # relative deviation of a step's time

    def step_seconds(self, batch):
        return self.fixed + self.per_image * batch

    @property
    def buckets(self):
        return max(1, int(self.gradient_bytes // self.bucket_bytes)) if self.bucket_bytes else 1


@dataclass(frozen=True)
class Policy:
    """When ranks meet. `period` in steps: None of policies that never do; `epoch`'s is filled in by with_period."""
    text: str
    averages_gradients: bool = False
    period: float = None
    is_epoch: bool = False
    node_period: int = None
    is_delayed: bool = False

    def with_period(self, period):
        return replace(self, period=period)


@dataclass(frozen=True)
class Cost:
    """Seconds a step, beside the compute."""
    network: float = 0.0
    wait: float = 0.0


@functools.lru_cache(maxsize=None)
def largest_of(count):
    """(mean, deviation) of the largest of so many standard normal numbers: its density, summed."""
    if count == 1:
        return 0.0, 1.0
    width, reach = 0.002, 10
    mean = square = 0.0
    for at in range(-int(reach / width), int(reach / width) + 1):
        x = at * width
        below = 0.5 * math.erfc(-x / math.sqrt(2))
        weight = count * below**(count - 1) * math.exp(-x * x / 2) / math.sqrt(2 * math.pi) * width
        mean += x * weight
        square += x * x * weight
    return mean, math.sqrt(square - mean * mean)


def cost_of_gradients(work, cluster, ranks, step):
    count = work.buckets
    bucket = all_reduce(cluster, work.gradient_bytes / count, ranks)
    in_all = count * bucket
    hidden = (count - 1) / count * work.backward_share * step
    network = max(bucket, in_all - hidden) if work.overlaps else in_all
    network += memory(cluster, DIVIDE, work.gradient_bytes)
    return Cost(network, work.spread * step * largest_of(ranks)[0])


def cost_of_weights(policy, work, cluster, ranks, step):
    size, period = work.average_bytes, policy.period
    average = all_reduce(cluster, size, ranks)
    passes = NORM + DIVIDE
    if policy.is_delayed:
        average = max(0.0, average - step) if work.overlaps else average
        passes = LATE
    network = average + all_reduce(cluster, NORM_BYTES * ranks, ranks) + memory(cluster, passes, size)
    relative_wait = largest_of(ranks)[0] / math.sqrt(period)
    in_node = cluster.fullest_node(ranks)
    meetings = math.ceil(period / policy.node_period) - 1 if policy.node_period and in_node > 1 else 0
    if meetings > 0:
        network += meetings * (all_reduce(cluster, size, in_node) + memory(cluster, DIVIDE, size))
        mean, deviation = largest_of(in_node)
        between = largest_of(cluster.nodes(ranks))[0]
        relative_wait = mean / math.sqrt(policy.node_period) + deviation * between / math.sqrt(period)
    return Cost(network / period, work.spread * step * relative_wait)


def cost(policy, work, cluster, ranks, step):
    """Of a policy whose period is known, for a step of so many seconds."""
    if ranks == 1 or (policy.period is None and not policy.averages_gradients):
        return Cost()
    if policy.averages_gradients:
        return cost_of_gradients(work, cluster, ranks, step)
    return cost_of_weights(policy, work, cluster, ranks, step)


def network_share(policy, work, cluster, ranks, step):
    network = cost(policy, work, cluster, ranks, step).network
    return network / (step + network)


def smallest_period(policy, work, cluster, ranks, step, share):
    """The least K with which the network is at most that share of a step; a multiple of node:k. None where there is
    none: what nodes average is more than that, whatever K."""
    unit = policy.node_period or 1

    def is_hidden(multiple):
        return network_share(policy.with_period(multiple * unit), work, cluster, ranks, step) <= share

    above = 1
    while not is_hidden(above):
        above *= 2
        if above > MOST_STEPS:
            return None
    below = above // 2
    while above - below > 1:
        middle = (above + below) // 2
        above, below = (middle, below) if is_hidden(middle) else (above, middle)
    return above * unit
