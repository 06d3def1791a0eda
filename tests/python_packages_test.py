"""tools/python_packages.py: an environment with pip even where this Python has none, and nothing of anyone else's lost."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "support")]
sys.dont_write_bytecode = True
import cases  # noqa: E402
import python_packages  # noqa: E402

# In the place of pip: installs itself where it is told to, and writes down what it was called with.
PIP = """
import pathlib, sys, sysconfig
package = pathlib.Path(sysconfig.get_paths()["purelib"]) / "pip"
package.mkdir(parents=True, exist_ok=True)
(package / "__init__.py").touch()
source = pathlib.Path(__file__)
text = __loader__.get_source("__main__") if not source.exists() else source.read_text()
(package / "__main__.py").write_text(text)
with open(pathlib.Path(sys.prefix) / "calls", "a") as calls:
    print(*sys.argv[1:], file=calls)
"""


real_find_spec = python_packages.importlib.util.find_spec


def no_pip_here(name, *rest):
    return None if name in ("pip", "ensurepip") else real_find_spec(name, *rest)


# In the place of apt-get: fetches the package that lies beside it.
APT_GET = """#!/bin/sh
[ "$1" = download ] && cp "$(dirname "$0")"/*.deb .
"""


@unittest.skipUnless(shutil.which("dpkg-deb"), "no dpkg-deb here")
class WithoutPip(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.name = "pip-23.1-py3-none-any.whl"
        package = self.folder / "package"
        wheels = package / "usr/share/python-wheels"
        wheels.mkdir(parents=True)
        with zipfile.ZipFile(wheels / self.name, "w") as archive:
            archive.writestr("pip/__init__.py", "")
            archive.writestr("pip/__main__.py", PIP)
        (package / "DEBIAN").mkdir()
        (package / "DEBIAN" / "control").write_text(
            "Package: python3-pip-whl\nVersion: 23.1\nArchitecture: all\nMaintainer: none <none@none>\nDescription: none\n")
        self.programs = self.folder / "bin"
        self.programs.mkdir()
        subprocess.run(["dpkg-deb", "--build", str(package), str(self.programs)], check=True, stdout=subprocess.DEVNULL)
        self.put_apt_get(APT_GET)

    def put_apt_get(self, text):
        (self.programs / "apt-get").write_text(text)
        (self.programs / "apt-get").chmod(0o755)

    def install(self, *packages):
        with mock.patch.dict(os.environ, {"PATH": f"{self.programs}:{os.environ['PATH']}"}), \
             mock.patch.object(python_packages, "SYSTEM_WHEELS", self.folder / "none"), \
             mock.patch.object(python_packages.importlib.util, "find_spec", no_pip_here):
            python_packages.install(self.folder / "made", list(packages))

    def test_pip_comes_from_debian_without_root(self):
        self.install("some", "thing>=2")
        first, second = (self.folder / "made" / "calls").read_text().splitlines()
        self.assertTrue(first.startswith("install --quiet --no-index ") and first.endswith(self.name), first)
        self.assertEqual(second, "install --quiet --disable-pip-version-check some thing>=2")

    def test_packages_out_of_reach_are_a_line_that_says_what_to_do(self):
        self.put_apt_get("#!/bin/sh\necho E: no list >&2\nexit 100\n")
        with self.assertRaisesRegex(python_packages.PackagesError, "no pip; .* python3-venv.*python3-pip-whl cannot be fetched: E: no"):
            self.install("some")


class Environment(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def test_a_folder_that_is_no_environment_is_not_emptied(self):
        (self.folder / "mine.txt").write_text("kept")
        with mock.patch.object(python_packages, "pip_wheel", side_effect=python_packages.PackagesError("none")), \
             mock.patch.object(python_packages.importlib.util, "find_spec", no_pip_here):
            with self.assertRaises(python_packages.PackagesError):
                python_packages.make(self.folder)
        self.assertEqual((self.folder / "mine.txt").read_text(), "kept")

    def test_an_environment_whose_python_has_gone_is_made_anew(self):
        for name in ("pyvenv.cfg", "left"):
            (self.folder / name).touch()
        with mock.patch.object(python_packages, "pip_wheel", side_effect=python_packages.PackagesError("none")), \
             mock.patch.object(python_packages.importlib.util, "find_spec", no_pip_here):
            with self.assertRaises(python_packages.PackagesError):
                python_packages.make(self.folder)
        self.assertFalse((self.folder / "left").exists())
        self.assertTrue(os.access(python_packages.python_of(self.folder), os.X_OK))

    def test_a_package_counts_only_in_the_version_asked_for(self):
        package = self.folder / "thing-3.10.2.dist-info"
        package.mkdir()
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 3.10.2\n")
        with mock.patch.dict(os.environ, {"PYTHONPATH": str(self.folder)}):
            found = {least: python_packages.has(sys.executable, "thing", least) for least in ("3.9", "3.10", "3.11", "4.0")}
        self.assertEqual(found, {"3.9": True, "3.10": True, "3.11": False, "4.0": False})
        self.assertFalse(python_packages.has(sys.executable, "thing"))
        self.assertFalse(python_packages.has(self.folder / "nothing", "pip"))

    def test_a_build_folder_that_cannot_be_written_is_a_line_that_names_the_way_out(self):
        (self.folder / "file").touch()
        with self.assertRaisesRegex(python_packages.PackagesError, "set CONVOY_CACHE"):
            python_packages.install(self.folder / "file" / "python", ["some"])

    def use(self, there, prefix):
        """Where this Python, that of the environment, and that after an installation have the package as `there` says:
        (what was installed, what was run in the place of this process)."""
        with mock.patch.dict(os.environ, {"CONVOY_CACHE": str(self.folder)}), \
             mock.patch.object(python_packages, "has", side_effect=there), \
             mock.patch.object(python_packages, "install") as install, \
             mock.patch.object(python_packages.os, "execv") as execv, \
             mock.patch.object(sys, "prefix", str(prefix)), mock.patch.object(sys, "argv", ["tools/plot", "runs/a"]):
            python_packages.use("thing", "1.2", lambda _: None)
        return [call.args for call in install.mock_calls], [call.args for call in execv.mock_calls]

    def test_a_script_is_run_anew_where_its_package_is_and_only_then(self):
        folder, elsewhere = self.folder / "python", "/usr"
        python = python_packages.python_of(folder)
        anew = [(python, [str(python), "tools/plot", "runs/a"])]
        self.assertEqual(self.use([True], elsewhere), ([], []))
        self.assertEqual(self.use([False, True, True], elsewhere), ([], anew))
        self.assertEqual(self.use([False, False, True], elsewhere), ([(folder, ["thing>=1.2"])], anew))
        self.assertEqual(self.use([False, False, True], folder), ([(folder, ["thing>=1.2"])], []))
        with self.assertRaisesRegex(python_packages.PackagesError, "remove that folder"):
            self.use([False, False, False], elsewhere)

    def test_what_is_fetched_lies_under_convoy_cache(self):
        with mock.patch.dict(os.environ, {"CONVOY_CACHE": str(self.folder)}):
            self.assertEqual(python_packages.cache(), self.folder)
        with mock.patch.dict(os.environ, {"CONVOY_CACHE": ""}):
            self.assertEqual(python_packages.cache(), ROOT / "build")

    def test_help_is_given(self):
        done = subprocess.run([sys.executable, str(ROOT / "tools" / "python_packages.py"), "--help"], capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("FOLDER PACKAGE", done.stdout)


if __name__ == "__main__":
    cases.main()
