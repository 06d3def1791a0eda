"""From what nsys recorded to the time of each layer and phase, exposed communication, and gaps."""

from collections import defaultdict, namedtuple

STEP = "step"  # the range that convoy opens around each step
COLLECTIVE = "all-reduce"  # and around each exchange of gradients
UNKNOWN = "unknown"

Layer = namedtuple("Layer", "phase layer kernels milliseconds")  # of one step
OfDevice = namedtuple("OfDevice", "kernels transfers ranges calls")
Summary = namedtuple("Summary", "steps step compute communication exposed gaps")  # milliseconds of one step


# With --deterministic an exchange is two kernels of NCCL's and Convoy's own between them, on their stream.
def is_collective(kernel):
    return kernel.name.startswith(("nccl", "void nccl")) or "sum_in_order_kernel" in kernel.name


def of_devices(trace):
    """A trace for each GPU that the process used, by its number; ranges and calls are the whole process's."""
    numbers = sorted({kernel.device for kernel in trace.kernels})
    return {number: OfDevice([kernel for kernel in trace.kernels if kernel.device == number],
                             [one[:2] for one in trace.transfers if one.device == number], trace.ranges, trace.calls)
            for number in numbers}


def union(intervals):
    """Disjoint intervals that cover the same."""
    merged = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged


def length(intervals):
    return sum(end - start for start, end in union(intervals))


def paths_of(graph, collectives):
    """The paths of a graph's kernels in order, without its collectives: so many kernels, as many in each exchange. None
    where they do not come out even. What else an exchange captured, its mark before and its division after, stays."""
    exchanges = sum(one["path"].split("/")[-1] == COLLECTIVE for one in graph["ranges"])
    in_each, left = divmod(collectives, exchanges) if exchanges else (0, collectives)
    if left:
        return None
    paths = []
    for one in graph["ranges"]:
        count = one["kernels"] - (in_each if one["path"].split("/")[-1] == COLLECTIVE else 0)
        if count < 0:
            return None
        paths += count * [one["path"]]
    return paths


def paths_in_graphs(kernels, graphs):
    """By kernel: the path of the range in which it was captured. A launch's kernels follow each other as they were
    captured; collectives, which run beside them, are left out on both sides. Second: launches that fit no graph."""
    launches = defaultdict(list)
    for kernel in kernels:
        if kernel.node is not None:
            launches[kernel.correlation].append(kernel)
    found, strangers = {}, 0
    for launch in launches.values():
        own = sorted(kernel for kernel in launch if not is_collective(kernel))
        candidates = (paths_of(graph, len(launch) - len(own)) for graph in graphs)
        paths = next((one for one in candidates if one is not None and len(one) == len(own)), None)
        if paths is None:
            strangers += 1
            continue
        found.update(zip(own, paths))
    return found, strangers


def paths_in_ranges(kernels, ranges, calls):
    """By kernel that was launched by itself: the ranges that were open at its launch."""
    found = {}
    by_thread = defaultdict(list)
    for one in ranges:
        by_thread[one.thread].append(one)
    launched = [(calls[kernel.correlation], kernel) for kernel in kernels
                if kernel.node is None and kernel.correlation in calls and not is_collective(kernel)]
    for thread, theirs in by_thread.items():
        open_ranges, coming = [], iter(sorted(theirs, key=lambda one: (one.start, -one.end)))
        following = next(coming, None)
        for call, kernel in sorted((pair for pair in launched if pair[0].thread == thread), key=lambda pair: pair[0]):
            while following is not None and following.start <= call.start:
                open_ranges.append(following)
                following = next(coming, None)
            open_ranges = [one for one in open_ranges if one.end >= call.start]
            found[kernel] = "/".join(one.name for one in open_ranges)
    return found


def label(path):
    """(phase, layer) of a path of ranges."""
    names = [name for name in path.split("/") if name != STEP] or [UNKNOWN]
    return names[0] or UNKNOWN, "/".join(names[1:])


def steps_of(trace):
    """Each thread that drives a GPU opens ranges of its own."""
    threads = [one.thread for one in trace.ranges if one.name == STEP]
    if threads:
        return max(1, round(len(threads) / len(set(threads))))
    return len({kernel.correlation for kernel in trace.kernels if kernel.node is not None}) or 1


def layers(trace, graphs):
    """Of one GPU: rows in the order of a step, and how many graph launches fit no graph of the table."""
    paths = paths_in_ranges(trace.kernels, trace.ranges, trace.calls)
    in_graphs, strangers = paths_in_graphs(trace.kernels, graphs)
    paths.update(in_graphs)
    sums = {}  # insertion keeps the order of first appearance
    for kernel in trace.kernels:
        key = ("collectives", "") if is_collective(kernel) else label(paths.get(kernel, UNKNOWN))
        count, nanoseconds = sums.get(key, (0, 0))
        sums[key] = (count + 1, nanoseconds + kernel.end - kernel.start)
    steps = steps_of(trace)
    rows = [Layer(*key, count / steps, nanoseconds / 1e6 / steps) for key, (count, nanoseconds) in sums.items()]
    return rows, strangers


def summary(trace):
    communication = [(kernel.start, kernel.end) for kernel in trace.kernels if is_collective(kernel)]
    compute = [(kernel.start, kernel.end) for kernel in trace.kernels if not is_collective(kernel)] + trace.transfers
    everything = compute + communication
    steps = steps_of(trace)
    window = max(end for _, end in everything) - min(start for start, _ in everything)
    busy = length(everything)
    nanoseconds = (window, length(compute), length(communication), busy - length(compute), window - busy)
    return Summary(steps, *(value / 1e6 / steps for value in nanoseconds))
