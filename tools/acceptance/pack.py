"""Makes the folder that runs on another machine: `cmake --install` of the preset `package`, its size checked."""

import os
import shutil
import subprocess
import sys

from context import ROOT

LIMIT = 60e6  # bytes
BUILD = ROOT / "build" / "package"


def run(*line):
    line = [str(word) for word in line]
    print("gpu_acceptance: " + " ".join(line), flush=True)
    if subprocess.call(line, cwd=ROOT) != 0:
        sys.exit(f"gpu_acceptance: {line[0]} failed: the message is above")


def cmake_architectures(text):
    """Code for each of them, and PTX of the newest: 80-real;90-real;90-virtual."""
    numbers = sorted(int(number) for number in text.replace(",", ";").split(";") if number)
    return ";".join([f"{number}-real" for number in numbers] + [f"{numbers[-1]}-virtual"])


def size_of(folder):
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def pack(folder, architectures):
    if not (ROOT / "CMakeLists.txt").exists():
        sys.exit("gpu_acceptance: --pack needs the sources; this folder is packed already")
    if folder.exists() and any(folder.iterdir()) and not (folder / "convoy").exists():
        sys.exit(f"gpu_acceptance: {folder} holds something else; name another folder")
    run("cmake", "--preset", "package", f"-DCMAKE_CUDA_ARCHITECTURES={cmake_architectures(architectures)}")
    jobs = os.environ.get("JOBS")
    run("cmake", "--build", BUILD, "--target", "parts", *(["-j", jobs] if jobs else []))
    shutil.rmtree(folder, ignore_errors=True)
    run("cmake", "--install", BUILD, "--prefix", folder, "--strip")
    size = size_of(folder)
    print(f"gpu_acceptance: {folder}: {size / 1e6:.1f} MB; take it to a machine with a GPU and run "
          f"{folder.name}/tools/gpu_acceptance there", flush=True)
    if size > LIMIT:
        largest = sorted(folder.rglob("*"), key=lambda path: -path.lstat().st_size)[:5]
        sys.exit(f"gpu_acceptance: more than {LIMIT / 1e6:.0f} MB; the largest: {', '.join(p.name for p in largest)}")
