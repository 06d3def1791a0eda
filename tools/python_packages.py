#!/usr/bin/env python3
"""Packages from PyPI in a virtual environment of the build folder: what Convoy's tools need beyond Python itself.

  tools/python_packages.py FOLDER PACKAGE...     installs them into the environment FOLDER, which is made if need be

Nothing is installed anywhere else. Python's venv module is enough: where ensurepip or pip is missing (Debian without
python3-venv), pip comes as a wheel. Index, proxy and certificates are the user's: pip.conf, PIP_INDEX_URL, https_proxy.
"""

import fcntl
import hashlib
import html.parser
import importlib.util
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


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
    """pip's newest wheel for this Python: by the pip that is here, else from the index."""
    by_pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "pip"]
    if importlib.util.find_spec("pip") and subprocess.run(by_pip, stdout=sys.stderr).returncode == 0:
        return next(folder.glob("pip-*.whl"))
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    page = Links()
    page.feed(fetch(index).decode())
    address, checksum = newest_wheel(page.links, sys.version_info[:2])
    content = fetch(urllib.parse.urljoin(index, address))
    if checksum and hashlib.sha256(content).hexdigest() != checksum:
        raise PackagesError(f"{address}: not what {index} says it is (SHA-256)")
    wheel = folder / Path(urllib.parse.urlparse(address).path).name
    wheel.write_bytes(content)
    return wheel


class Links(html.parser.HTMLParser):
    """(address, the Pythons it is for) of each file of an index's page, withdrawn ones left out (PEP 503, PEP 592)."""

    def __init__(self):
        super().__init__()
        self.links = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "a" and attributes.get("href") and "data-yanked" not in attributes:
            self.links.append((attributes["href"], attributes.get("data-requires-python") or ""))


def newest_wheel(links, python):
    """(address, SHA-256 or none) of the highest version of pip that runs on this (major, minor) of Python."""
    found = []
    for address, pythons in links:
        version = re.search(r"(?:^|/)pip-(\d+(?:\.\d+)*)-(?:py2\.)?py3-none-any\.whl", address)
        least = re.search(r">=\s*(\d+)\.(\d+)", pythons)
        if version and (not least or (int(least[1]), int(least[2])) <= python):
            number = tuple(map(int, version[1].split(".")))
            plain, _, fragment = address.partition("#")
            found.append((number, plain, fragment[7:] if fragment.startswith("sha256=") else None))
    if not found:
        raise PackagesError(f"no pip for Python {python[0]}.{python[1]} in the package index")
    return max(found)[1:]


def fetch(address):
    certificates = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    try:
        with urllib.request.urlopen(address, timeout=60, context=ssl.create_default_context(cafile=certificates)) as reply:
            return reply.read()
    except OSError as error:
        raise PackagesError(f"{address} cannot be fetched ({error}); apt-get install python3-venv does without") from error


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
