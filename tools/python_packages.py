#!/usr/bin/env python3
"""Packages from PyPI in a virtual environment of the build folder: what Convoy's tools need beyond Python itself.

  tools/python_packages.py FOLDER PACKAGE...     installs them into the environment FOLDER, which is made if need be

Nothing is installed anywhere else. Python's venv module is enough: where ensurepip or pip is missing (Debian without
python3-venv), pip comes as Debian's wheel. Index, proxy and certificates are the user's: pip.conf, PIP_INDEX_URL,
https_proxy.
"""

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import oldest_python  # noqa: E402, F401

ROOT = Path(__file__).resolve().parent.parent
DEBIAN_PACKAGE = "python3-pip-whl"
SYSTEM_WHEELS = Path("/usr/share/python-wheels")  # where it lies once it is installed


class PackagesError(Exception):
    """What kept the packages away, in a line."""


def cache():
    """Where what is fetched lies: $CONVOY_CACHE, else the build folder."""
    return Path(os.environ.get("CONVOY_CACHE") or ROOT / "build")


def python_of(folder):
    return folder / "bin" / "python"


# Exit code 0 where the distribution is there in at least the version.
CHECK = """
import importlib.metadata, sys
name, least = sys.argv[1:]
try:
    version = importlib.metadata.version(name)
except importlib.metadata.PackageNotFoundError:
    sys.exit(1)
sys.exit(tuple(map(int, version.split(".")[:2])) < tuple(map(int, least.split("."))))
"""


def has(python, package, least="0.0"):
    """Whether that interpreter starts and has the package, in the version `least` (major.minor) or later."""
    try:
        return subprocess.run([str(python), "-c", CHECK, package, least], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def use(package, least, say):
    """Comes back where this interpreter has the package; else runs the whole script again in an environment that has
    it, installed on first use. Raises PackagesError where that cannot be made."""
    if has(sys.executable, package, least):
        return
    folder = cache() / "python"
    python = python_of(folder)
    if not has(python, package, least):
        say(f"installing {package} from PyPI into {shown(folder)}, once")
        install(folder, [f"{package}>={least}"])
    if not has(python, package, least):
        raise PackagesError(f"{shown(folder)} lacks {package} {least}, though pip has installed it; remove that folder")
    if Path(sys.prefix) == folder.absolute():  # it is that environment's Python already
        importlib.invalidate_caches()
        return
    sys.stdout.flush()
    os.execv(python, [str(python), *sys.argv])


def shown(path):
    """As the user would type it: from the current folder, where it lies below that."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def install(folder, packages):
    """Into the environment `folder`; raises PackagesError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = open(f"{folder}.lock", "w")
    except OSError as error:
        raise PackagesError(
            f"{folder} cannot be written ({error.strerror}); set CONVOY_CACHE to a folder that can") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two tools started side by side make one environment
        if not has(python_of(folder), "pip"):
            make(folder)
        outcome = subprocess.run([str(python_of(folder)), "-m", "pip", "install", "--quiet",
                                  "--disable-pip-version-check", *packages], stdout=sys.stderr)
    if outcome.returncode != 0:
        raise PackagesError(f"pip could not install {', '.join(packages)}: the message is above")


def make(folder):
    """An environment with pip."""
    try:
        import venv
    except ImportError as error:
        raise PackagesError(
            "this Python has no module venv; load another Python, or apt-get install python3-venv") from error
    if (folder / "pyvenv.cfg").exists():  # its Python has gone; any other folder is not ours to empty
        shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, symlinks=True, with_pip=False)
        if importlib.util.find_spec("ensurepip"):
            if subprocess.run([str(python_of(folder)), "-m", "ensurepip", "--default-pip"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
                return
        with tempfile.TemporaryDirectory() as scratch:
            wheel = pip_wheel(Path(scratch))
            # A wheel is a zip file, which Python can run from.
            subprocess.run([str(python_of(folder)), f"{wheel}/pip", "install", "--quiet", "--no-index", str(wheel)],
                           check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PackagesError(f"{folder} cannot be made: {error}") from error


def pip_wheel(folder):
    """pip's wheel for this Python: Debian's, where it lies here; by the pip that is here; else Debian's, fetched."""
    for wheel in sorted(SYSTEM_WHEELS.glob("pip-*.whl")):
        return wheel
    by_pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "pip"]
    if importlib.util.find_spec("pip") and subprocess.run(by_pip, stdout=sys.stderr).returncode == 0:
        return next(folder.glob("pip-*.whl"))
    unpacking = subprocess.run([str(ROOT / "tools" / "unpack_debian_package"), DEBIAN_PACKAGE, str(folder)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if unpacking.returncode != 0:
        raise PackagesError("this Python has no pip; apt-get install python3-venv, or load another Python "
                            f"({unpacking.stderr.strip().removeprefix('tools/unpack_debian_package: ')})")
    return next(folder.glob("usr/share/python-wheels/pip-*.whl"))


def main():
    if len(sys.argv) < 3 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if sys.argv[1:2] in (["-h"], ["--help"]) else 2
    try:
        install(Path(sys.argv[1]).absolute(), sys.argv[2:])
    except PackagesError as error:
        print(f"tools/python_packages.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
