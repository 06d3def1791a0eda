"""The parts of tools/gpu_acceptance, in the order in which they run. Each gives back a row() or raises."""

import json
import math
import os
import shutil
from collections import namedtuple

from context import BUILD, CACHE, ROOT, PartFailed, PartSkipped, how_it_ended, last_line, row
from gpu_tests import tests

# seconds: its share of what is left, beside those of the parts after it
Part = namedtuple("Part", "name function seconds")

NVIDIA_SMI = ["name", "compute_cap", "driver_version", "memory.total", "power.limit", "clocks.max.sm", "clocks.max.mem",
              "compute_mode"]
# The oldest driver of each CUDA (docs.nvidia.com/cuda/cuda-toolkit-release-notes, "minor version compatibility").
OLDEST_DRIVER = {"libcudart.so.13": 580, "libcudart.so.12": 525}


def query_gpus(context):
    """A dictionary per GPU, or none where there is no nvidia-smi."""
    if not shutil.which("nvidia-smi"):
        return []
    done = context.run("nvidia-smi", ["nvidia-smi", f"--query-gpu={','.join(NVIDIA_SMI)}", "--format=csv,noheader"])
    if done.code != 0:
        return []
    return [dict(zip(NVIDIA_SMI, map(str.strip, line.split(",")))) for line in done.output.splitlines() if "," in line]


def build(context):
    """As tools/build does, for the GPU that is here. The program first: most parts need nothing else."""
    kinds = sorted({gpu["compute_cap"].replace(".", "") for gpu in context.gpus})
    options = f"-DCMAKE_CUDA_ARCHITECTURES={';'.join(kinds)}" if kinds else ""
    environment = context.environment(CONVOY_CMAKE=options, CONVOY_BUILD=str(BUILD), CONVOY_CACHE=str(CACHE))
    seconds = 0
    for target, what in (("convoy", "the program"), ("gpu", "the tests")):
        done = context.run(f"build-{target}", [ROOT / "tools" / "build", "cuda", "--no-sudo", "--target", target],
                           environment)
        if done.code is None:
            raise PartFailed(f"{what}: {how_it_ended(done)}; running this again goes on where it stopped, and "
                             "--minutes gives it longer")
        if done.code != 0:
            raise PartFailed(f"{what}: {how_it_ended(done)}: {last_line(done.output)}")
        seconds += done.seconds
    return row(f"for compute capability {', '.join(kinds) or 'of every kind (no nvidia-smi)'}", seconds=seconds)


def ask_for_devices(context):
    """Of `convoy info --devices`: what it says of CUDA, whether that can be used, and its lines."""
    done = context.run("devices", [context.convoy, "info", "--devices"])
    if done.code != 0:
        return f"{how_it_ended(done)}: {last_line(done.output)}", False, []
    lines = [line.strip() for line in done.output.splitlines()[1:]]
    cuda = next((line for line in lines if line.startswith("cuda")), "cuda: not listed")
    text = cuda.removeprefix("cuda").strip()
    return text, not text.startswith(("no:", ":")), lines


def device(context):
    """Is there a GPU that can be used, and with which libraries? Those that the programs find by themselves come first."""
    text, is_usable, lines = ask_for_devices(context)
    if not is_usable:
        needed = context.wanted_libraries()
        too_old = old_driver(context.gpus, needed)
        if too_old:
            raise PartFailed(too_old)
        missing = context.find_libraries()
        text, is_usable, lines = ask_for_devices(context)
        if missing and not is_usable:
            raise PartFailed(f"not found: {', '.join(missing)}; load a CUDA module, or pip install what has them "
                             "(nvidia-cudnn-cu13, nvidia-nccl-cu13, ...)")
    return row(text, is_usable, devices=lines, library_folders=context.library_folders)


def old_driver(gpus, libraries):
    """A line where no library helps, as the driver is older than the CUDA that was built with; else nothing."""
    oldest = max((OLDEST_DRIVER.get(name, 0) for name in libraries), default=0)
    for gpu in gpus:
        major = gpu["driver_version"].split(".")[0]
        if major.isdigit() and int(major) < oldest:
            return (f"the driver is {gpu['driver_version']}, and this build's CUDA needs {oldest} or later: update the "
                    "driver, or build with a CUDA module that it knows")
    return ""


def selftest(precision):
    def function(context):
        line = [context.convoy, "selftest", "--device", "cuda", "--precision", precision]
        done = context.run(f"selftest-{precision}", line + (["--model", "seed"] if context.args.small else []))
        misses = [text.strip() for text in done.output.splitlines() if "  MISS  " in text]
        if done.code == 0 or misses:
            return row(last_line(done.output), done.code == 0, misses[:6], misses=misses)
        raise PartFailed(f"{how_it_ended(done)}: {last_line(done.output)}")

    return function


def case(context):
    """The network that is timed: name, batch, timed steps."""
    return ("seed", 64, 3) if context.args.small else ("airbench94", 2000, 20)


def layers(context):
    network, batch, steps = case(context)
    done = context.must_run("layers", [context.convoy, "bench", "--layers", "--device", "cuda", "--model", network,
                                       "--batch", batch, "--precision", "bf16", "--steps", steps])
    lines = done.output.splitlines()
    step = next((line for line in lines if "images/s" in line), "")
    return row(step, bool(step), lines, table=lines)


def training(context):
    """To the end, and as good as a working step gets there."""
    run = context.out / "run"
    shutil.rmtree(run, ignore_errors=True)
    args = context.args
    line = [context.convoy, "train", "--device", "cuda", "--precision", "bf16", "--out", run]
    if args.small:
        line += ["--recipe", "seed-baseline", "--data", args.data or "synthetic:640", "--steps", 6]
    else:
        line += ["--recipe", "airbench94", "--data", args.data or "synthetic:50000"]
    done = context.must_run("training", line)
    summary = json.loads((run / "summary.json").read_text())
    figures = {name: summary.get(name) for name in ("state", "test_accuracy", "train_loss", "steps", "epochs", "seconds",
                                                    "train_seconds", "images_per_second", "peak_device_bytes")}
    accuracy, loss = (figures[name] if figures[name] is not None else math.nan for name in ("test_accuracy", "train_loss"))
    text = (f"{figures['state']} after {figures['steps']} steps, {figures['train_seconds'] or done.seconds:.1f} s of "
            f"training; loss {loss:.3f}, test accuracy {accuracy:.4f}, on {args.data or 'synthetic images'}")
    if args.small:
        return row(text, math.isfinite(loss), **figures)
    is_good = figures["state"] == "done" and math.isfinite(loss) and accuracy >= args.least_accuracy
    return row(text if is_good else f"{text}; at least {args.least_accuracy} expected", is_good, **figures)


def last_json(output):
    found = [text for text in output.splitlines() if text.startswith("{")]
    return json.loads(found[-1]) if found else None


def pytorch(context):
    """The same step beside PyTorch's: eager, channels-last, bf16 by autocast."""
    network, batch, steps = case(context)
    ours = last_json(context.must_run("step", [
        context.convoy, "bench", "--step", "--json", "--device", "cuda", "--model", network, "--batch", batch,
        "--precision", "bf16", "--steps", steps]).output)
    speed = f"Convoy {ours['images_per_second']:,.0f} images/s"
    done = context.run("torch_step", [
        context.args.python, ROOT / "tools" / "peers" / "torch_step.py", "--network",
        ROOT / "host" / "nn" / "zoo" / f"{network}.json", "--batch", batch, "--precision", "bf16", "--threads",
        len(os.sched_getaffinity(0)), "--steps", steps, "--device", "cuda"], context.environment(own_libraries=False))
    theirs = last_json(done.output)
    if theirs is None:
        raise PartFailed(f"{speed}; PyTorch: {how_it_ended(done)}: {last_line(done.output)}")
    if "unavailable" in theirs:
        raise PartSkipped(f"{speed}; {theirs['unavailable']}")
    ratio = ours["images_per_second"] / theirs["images_per_second"]
    memory = ours["peak_device_bytes"] / max(1, theirs["peak_device_bytes"])
    return row(f"{network}, batch {batch}, bf16: {speed}, {theirs['version']} {theirs['images_per_second']:,.0f}: "
               f"{ratio:.2f} times as fast, with {memory:.2f} of the device memory", convoy=ours, pytorch=theirs,
               speed_ratio=ratio, memory_ratio=memory)


# What says most comes first, and what takes all the time that it gets, last.
PARTS = [
    Part("build", build, 180),
    Part("device", device, 15),
    Part("selftest bf16", selftest("bf16"), 25),
    Part("layers", layers, 25),
    Part("training", training, 40),
    Part("pytorch", pytorch, 60),
    *(Part(f"selftest {precision}", selftest(precision), 25) for precision in ("fp32", "tf32", "fp16")),
    Part("tests", tests, 90),
]
