"""The parts of tools/gpu_acceptance, in the order in which they run. Each gives back a row() or raises."""

import json
import math
import os
import re
import shutil
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import googletest
from context import ROOT, PartFailed, PartSkipped, how_it_ended, last_line, row

# seconds: its share of the eight minutes; where some parts do not run, the others get theirs
Part = namedtuple("Part", "name function seconds")

NVIDIA_SMI = ["name", "compute_cap", "driver_version", "memory.total", "power.limit", "clocks.max.sm", "clocks.max.mem"]


def query_gpus(context):
    """A dictionary per GPU, or none where there is no nvidia-smi."""
    if not shutil.which("nvidia-smi"):
        return []
    done = context.run("nvidia-smi", ["nvidia-smi", f"--query-gpu={','.join(NVIDIA_SMI)}", "--format=csv,noheader"])
    if done.code != 0:
        return []
    return [dict(zip(NVIDIA_SMI, map(str.strip, line.split(",")))) for line in done.output.splitlines() if "," in line]


def build(context):
    """As tools/build does, for the GPU that is here."""
    kinds = sorted({gpu["compute_cap"].replace(".", "") for gpu in query_gpus(context)})
    options = f"-DCMAKE_CUDA_ARCHITECTURES={';'.join(kinds)}" if kinds else ""
    done = context.must_run("build", [ROOT / "tools" / "build", "cuda", "--no-sudo", "--target", "gpu"],
                            context.environment(CONVOY_CMAKE=options))
    return row(f"for compute capability {', '.join(kinds) or 'of every kind (no nvidia-smi)'}", seconds=done.seconds)


def test_programs(folder):
    """Those with cases for CUDA: the packed one, or as many as tests/CMakeLists.txt has written into a file."""
    packed, built = folder / "gpu_tests", folder / "gpu_programs.txt"
    if packed.exists():
        return [packed]
    return [folder / name for name in built.read_text().split()] if built.exists() else []


def device(context):
    """Is there a GPU that can be used, and with which libraries?"""
    missing = context.find_libraries()
    done = context.run("devices", [context.convoy, "info", "--devices"])
    if missing:
        raise PartFailed(f"not found: {', '.join(missing)}; load a CUDA module, or pip install what has them "
                         "(nvidia-cudnn-cu13, nvidia-nccl-cu13, ...)")
    if done.code != 0:
        raise PartFailed(f"{how_it_ended(done)}: {last_line(done.output)}")
    lines = [line.strip() for line in done.output.splitlines()[1:]]
    cuda = next((line for line in lines if line.startswith("cuda")), "cuda: not listed")
    text = cuda.removeprefix("cuda").strip()
    return row(text, not text.startswith(("no:", ":")), devices=lines, library_folders=context.library_folders)


def tests(context):
    """All cases for CUDA, with --small every eighth; each suite in a process of its own, so that one that crashes, or
    leaves the GPU in an error, takes no other along."""
    folder = context.build / "tests"
    runs = []
    for program in test_programs(folder):
        listing = context.must_run(f"{program.name}-list", [program, "--gtest_list_tests", "--gtest_filter=*cuda*"])
        for suite, names in googletest.suites(listing.output).items():
            runs.append((program, suite, names[::8] if context.args.small else names))
    if not runs:
        raise PartFailed(f"no test for CUDA in {folder}")

    def run(suite_run):
        program, suite, names = suite_run
        return context.run(re.sub(r"\W+", "_", f"{program.name}-{suite}"), [program, f"--gtest_filter={':'.join(names)}"])

    # They share the GPU; plans are made on the CPU, so a few beside each other.
    with ThreadPoolExecutor(max(1, min(4, len(os.sched_getaffinity(0)) // 2))) as pool:
        outcomes = list(pool.map(run, runs))
    passed, failed, skipped = [], [], {}
    for (_, suite, names), done in zip(runs, outcomes):
        ok, bad, left_out = googletest.cases(done.output)
        passed += ok
        failed += bad
        skipped.update(left_out)
        if done.code != 0:
            not_run = len(names) - len(ok) - len(bad) - len(left_out)
            failed += [f"{suite}: {how_it_ended(done)}, {not_run} cases not run"] if not_run or not bad else []
    lines = [f"failed  {name}" for name in failed[:12]]
    lines += [f"skipped {reason}" for reason in sorted(set(skipped.values()))[:4]]
    return row(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped", bool(passed) and not failed,
               lines, passed=passed, failed=failed, skipped=skipped)


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


PARTS = [
    Part("build", build, 180),
    Part("device", device, 15),
    Part("tests", tests, 90),
    *(Part(f"selftest {precision}", selftest(precision), 25) for precision in ("fp32", "tf32", "bf16", "fp16")),
    Part("layers", layers, 25),
    Part("training", training, 40),
    Part("pytorch", pytorch, 30),
]
