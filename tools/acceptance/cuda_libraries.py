"""Finds CUDA's libraries: in a toolkit, in the system's folders, or in a Python's site-packages (nvidia/*/lib)."""

import glob
import os
import site
import sys
import sysconfig
from pathlib import Path

from elf_file import ElfFile

PREFIXES = ("libcudart.", "libcublas", "libcudnn", "libnccl")
SYSTEM = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/local/lib"]


def wanted(module):
    """Names of those that the CUDA module is linked with, such as libcudnn.so.9."""
    return [name for name in ElfFile(module).needed() if name.startswith(PREFIXES)]


def package_folders(packages):
    """The folders of NVIDIA's wheels below one site-packages."""
    return sorted(glob.glob(f"{packages}/nvidia/*/lib")) + sorted(glob.glob(f"{packages}/nvidia/*/lib64"))


def site_packages():
    found = [*sys.path, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages()]
    found += glob.glob(os.path.join(os.environ.get("VIRTUAL_ENV", "/nowhere"), "lib/python3*/site-packages"))
    found += glob.glob(os.path.join(os.environ.get("CONDA_PREFIX", "/nowhere"), "lib/python3*/site-packages"))
    return [path for path in dict.fromkeys(found) if path and os.path.isdir(os.path.join(path, "nvidia"))]


def places(more_packages=()):
    """Groups of folders whose libraries belong together, the likeliest first; `more_packages`: site-packages folders."""
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        if folder:
            yield [folder]
    toolkits = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    for toolkit in toolkits + ["/usr/local/cuda", *sorted(glob.glob("/usr/local/cuda-*"), reverse=True)]:
        if toolkit:
            yield [f"{toolkit}/lib64", f"{toolkit}/lib"]
    yield SYSTEM
    for packages in [*more_packages, *site_packages()]:
        yield package_folders(packages)


def find(names, groups):
    """(folders for LD_LIBRARY_PATH, names found nowhere). A group that holds all is taken alone; else those that hold
    most come first, so that cuDNN is the one that was installed beside its cuBLAS."""
    holds = []
    for folders in groups:
        existing = [folder for folder in folders if os.path.isdir(folder)]
        have = {name for name in names if any((Path(folder) / name).exists() for folder in existing)}
        if have:
            holds.append((existing, have))
    holds.sort(key=lambda group: -len(group[1]))  # stable: the likelier first among equals
    taken, missing = [], set(names)
    for folders, have in holds:
        if missing & have:
            # Whole wheels: cuDNN opens libraries that nothing here is linked with.
            taken += [folder for folder in folders if folder not in SYSTEM]
            missing -= have
    return list(dict.fromkeys(taken)), sorted(missing)
