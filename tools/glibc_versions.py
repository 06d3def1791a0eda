#!/usr/bin/env python3
"""Checks that every program and library of a folder starts with an old glibc; exit 1 and a line each where not.

What counts: versions of glibc's and libgcc's symbols, and libraries that neither the folder, glibc nor CUDA has.

  tools/glibc_versions.py build/packed
  tools/glibc_versions.py --lower --glibc 2.31 FOLDER
"""

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from elf_file import ElfFile, is_elf  # noqa: E402

# What portable builds define in their executables (host/io/portable/), so that any glibc will do for it.
PROVIDED = {"arc4random", "arc4random_buf"}
NEWEST_LIBGCC = (11,)  # RHEL 9
ELSEWHERE = re.compile(r"lib(c|m|dl|rt|pthread|gcc_s)\.so\.|ld-linux|lib(cuda|cudart|cublas|cublasLt|cudnn|nccl)\.so\.")


def number(version):
    """(2, 34) of GLIBC_2.34, (11,) of GCC_11; beyond all where it is not a number."""
    if version == "GLIBC_ABI_DT_RELR":
        return (2, 36)
    text = version.split("_", 1)[1]
    return tuple(int(part) for part in text.split(".")) if re.fullmatch(r"[\d.]+", text) else (99,)


def is_too_new(version, newest_glibc):
    if version.version.startswith("GLIBC_"):
        return number(version.version) > newest_glibc
    return version.version.startswith("GCC_") and number(version.version)[:1] > NEWEST_LIBGCC


def lower(elf, newest_glibc):
    """Takes symbols that the executables provide out of their version, so that the loader does not ask glibc for it."""
    versions = elf.versions()
    for version in versions:
        if is_too_new(version, newest_glibc) and set(elf.symbols_of(version)) <= PROVIDED:
            old = [v for v in versions if v.library == version.library and v.version.startswith("GLIBC_2.")
                   and not is_too_new(v, newest_glibc)]
            if old:
                other = max(old, key=lambda v: number(v.version))
                elf.ask_for(version, other)
                print(f"{elf.path.name}: {', '.join(elf.symbols_of(version))} is asked for as of {other.version}, no "
                      f"longer of {version.version}")
    elf.save()


def complaints(elf, packed, newest_glibc):
    for version in elf.versions():
        if is_too_new(version, newest_glibc):
            yield f"needs {version.version} of {version.library} for {', '.join(elf.symbols_of(version))}"
    for library in elf.needed():
        if library not in packed and not ELSEWHERE.match(library):
            yield f"needs {library}, which is not packed"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--glibc", default="2.34", metavar="X.Y", help="the oldest that must do (%(default)s)")
    parser.add_argument("--lower", action="store_true", help="first edit files that need a newer one only for what the "
                        "executables here define themselves")
    args = parser.parse_args()
    newest = number("GLIBC_" + args.glibc)
    files = [path for path in sorted(args.folder.rglob("*")) if path.is_file() and not path.is_symlink() and is_elf(path)]
    packed = {path.name for path in args.folder.rglob("*.so*")}
    if not files:
        sys.exit(f"glibc_versions: {args.folder}: no program and no library there")
    bad = 0
    for path in files:
        elf = ElfFile(path)
        if args.lower:
            lower(elf, newest)
        for complaint in complaints(elf, packed, newest):
            bad += 1
            print(f"glibc_versions: {path.relative_to(args.folder)} {complaint}", file=sys.stderr)
    print(f"{len(files)} files would start with glibc {args.glibc}" if not bad else f"{bad} complaints")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
