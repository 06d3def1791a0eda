"""What the peers of tools/bench_peers share: arguments, synthetic data, timing, and the line of JSON they print."""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

try:
    import numpy as np
except ImportError as missing:
    print(json.dumps({"unavailable": f"numpy is not installed ({missing})"}))
    sys.exit(0)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def arguments(description):
    """The parser of what every peer takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--network", required=True, metavar="FILE", help="a network file (host/nn/zoo/NAME.json)")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps", type=int, default=8, help="timed steps, after two that are not")
    parser.add_argument("--mode", default="", help="which of the peer's ways of stepping")
    return parser


def batch(count, extent, classes):
    """Random images, float32 NHWC and normalised, and labels int64."""
    generator = np.random.default_rng(0)
    images = generator.standard_normal((count, extent.height, extent.width, extent.channels), dtype=np.float32)
    return images, generator.integers(0, classes, count)


def peak_host_bytes():
    """The most memory that this process held (VmHWM), or 0 where the system does not say."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def report(batch_size, seconds, **more):
    """Prints the result; `seconds` holds one duration a step."""
    median = statistics.median(seconds)
    print(json.dumps({"images_per_second": batch_size / median, "peak_host_bytes": peak_host_bytes(), **more}))


def unavailable(reason):
    """The row of a peer, or of a precision, that this machine does not have."""
    print(json.dumps({"unavailable": reason}))
    sys.exit(0)


def time_steps(step, count, warm_up=2):
    """Durations of `count` calls, each ended by the synchronisation that `step` does itself."""
    for _ in range(warm_up):
        step()
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return seconds
