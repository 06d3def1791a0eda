"""tools/gpu_acceptance's own parts: reading GoogleTest, finding CUDA's libraries, reading and editing versions in ELF."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent / "tools"
sys.path[:0] = [str(TOOLS), str(TOOLS / "acceptance"), str(TOOLS.parent / "tests" / "support")]
sys.dont_write_bytecode = True
import cases  # noqa: E402
import cuda_libraries  # noqa: E402
import elf_file  # noqa: E402
import glibc_versions  # noqa: E402
import googletest  # noqa: E402
import parts  # noqa: E402

OUTPUT = """\
[==========] Running 4 tests from 1 test suite.
[ RUN      ] Backends/Pool.is_right/cuda_fp32
[       OK ] Backends/Pool.is_right/cuda_fp32 (3 ms)
[ RUN      ] Backends/Pool.is_right/cuda_bf16
a.cpp:7: Skipped
one GPU is visible, two are needed
[  SKIPPED ] Backends/Pool.is_right/cuda_bf16 (0 ms)
[ RUN      ] Backends/Pool.is_right/cuda_fp16
a.cpp:9: Failure
[  FAILED  ] Backends/Pool.is_right/cuda_fp16, where GetParam() = 16-byte object (1 ms)
[ RUN      ] Backends/Pool.is_right/cuda_tf32
"""
SUMMARY = "[  FAILED  ] 1 test, listed below:\n[  FAILED  ] Backends/Pool.is_right/cuda_fp16\n"


class GoogleTestOutput(unittest.TestCase):
    def test_names_every_case_and_the_one_that_it_died_in(self):
        passed, failed, skipped = googletest.cases(OUTPUT)
        self.assertEqual(passed, ["Backends/Pool.is_right/cuda_fp32"])
        self.assertEqual(failed, ["Backends/Pool.is_right/cuda_fp16", "Backends/Pool.is_right/cuda_tf32"])
        self.assertEqual(skipped, {"Backends/Pool.is_right/cuda_bf16": "one GPU is visible, two are needed"})

    def test_counts_a_failure_once_though_the_summary_repeats_it(self):
        ended = OUTPUT + "[       OK ] Backends/Pool.is_right/cuda_tf32 (1 ms)\n" + SUMMARY
        passed, failed, _ = googletest.cases(ended)
        self.assertEqual(failed, ["Backends/Pool.is_right/cuda_fp16"])
        self.assertEqual(len(passed), 2)

    def test_lists_full_names_by_suite(self):
        listing = ("Running main() from gtest_main.cc\nBackends/Pool.\n  is_right/cuda_fp32  # GetParam() = 16-byte\n"
                   "  is_right/cuda_bf16  # GetParam() = 16-byte\nLoss.\n  on_cuda\n")
        self.assertEqual(googletest.suites(listing), {
            "Backends/Pool": ["Backends/Pool.is_right/cuda_fp32", "Backends/Pool.is_right/cuda_bf16"],
            "Loss": ["Loss.on_cuda"]})


class CudaLibraries(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def group(self, *files):
        folders = []
        for file in files:
            path = self.folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            folders.append(str(path.parent))
        return folders

    def test_takes_wheels_whole_and_before_a_toolkit_that_lacks_some(self):
        names = ["libcudart.so.13", "libcudnn.so.9", "libnccl.so.2"]
        toolkit = self.group("toolkit/libcudart.so.13")
        wheels = self.group("cu13/libcudart.so.13", "cudnn/libcudnn.so.9", "nccl/libnccl.so.2", "nvrtc/libnvrtc.so.13")
        self.assertEqual(cuda_libraries.find(names, [toolkit, wheels]), (wheels, []))

    def test_adds_what_one_place_lacks_from_another_and_names_what_is_nowhere(self):
        toolkit = self.group("toolkit/libcudart.so.13", "toolkit/libcublas.so.13")
        wheels = self.group("cudnn/libcudnn.so.9")
        names = ["libcudart.so.13", "libcublas.so.13", "libcudnn.so.9", "libnccl.so.2"]
        self.assertEqual(cuda_libraries.find(names, [toolkit, wheels]), (toolkit[:1] + wheels, ["libnccl.so.2"]))


@unittest.skipUnless(shutil.which("gcc") or shutil.which("cc"), "no C compiler")
class GlibcVersions(unittest.TestCase):
    """A library that asks for marks@GLIBC_2.99 of a library made here, which stands for glibc."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.compiler = shutil.which("gcc") or shutil.which("cc")

    def compile(self, name, code, *options):
        source = self.folder / f"{name}.c"
        source.write_text(code)
        subprocess.run([self.compiler, str(source), "-o", str(self.folder / name), *options], check=True)
        return self.folder / name

    def library_asking_for(self, symbol):
        """Of libc.so.6's stand-in: `old` in version GLIBC_2.2.5, `symbol` in GLIBC_2.99."""
        versions = self.folder / "map"
        versions.write_text(f"GLIBC_2.2.5 {{ global: old; local: *; }};\nGLIBC_2.99 {{ global: {symbol}; }} GLIBC_2.2.5;\n")
        glibc = self.compile("libnew.so.1", f"int old(void) {{ return 1; }} int {symbol}(void) {{ return 2; }}",
                             "-shared", "-fPIC", f"-Wl,--version-script={versions},-soname,libc.so.77")
        return self.compile("libuser.so", f"int old(void); int {symbol}(void); int user(void) {{ return old() + {symbol}(); }}",
                            "-shared", "-fPIC", str(glibc))

    def check(self, *options):
        (self.folder / "libnew.so.1").unlink(missing_ok=True)
        return subprocess.run([sys.executable, str(TOOLS / "glibc_versions.py"), *options, str(self.folder)],
                              capture_output=True, text=True)

    def test_a_symbol_of_a_newer_glibc_is_named(self):
        self.library_asking_for("marks")
        outcome = self.check()
        self.assertEqual(outcome.returncode, 1)
        self.assertIn("libuser.so needs GLIBC_2.99 of libc.so.77 for marks", outcome.stderr)
        self.assertEqual(self.check("--lower").returncode, 1, "nobody here provides it")

    def test_what_executables_provide_is_asked_for_in_an_old_version(self):
        user = self.library_asking_for("arc4random")
        self.assertEqual(self.check().returncode, 1)
        lowered = self.check("--lower")
        self.assertEqual(lowered.returncode, 0, lowered.stderr)
        names = {version.version for version in elf_file.ElfFile(user).versions() if version.library == "libc.so.77"}
        self.assertEqual(names, {"GLIBC_2.2.5"})

    def test_a_lowered_library_runs_where_glibc_lacks_that_version(self):
        self.library_asking_for("arc4random")
        program = self.compile("program", "int arc4random(void) { return 40; } int user(void);"
                               "int main(void) { return user(); }", "-Wl,--export-dynamic", str(self.folder / "libuser.so"),
                               "-Wl,--allow-shlib-undefined", f"-Wl,-rpath,{self.folder}")
        self.check("--lower")
        self.compile("libc.so.77", "int old(void) { return 2; }", "-shared", "-fPIC",
                     f"-Wl,--version-script={self.old_map()}")
        environment = dict(os.environ, LD_BIND_NOW="1", LD_LIBRARY_PATH=str(self.folder))
        self.assertEqual(subprocess.run([str(program)], env=environment).returncode, 42)

    def old_map(self):
        path = self.folder / "old.map"
        path.write_text("GLIBC_2.2.5 { global: old; local: *; };\n")
        return path

    def test_a_library_that_is_not_packed_is_named(self):
        self.compile("libother.so", "int other(void) { return 1; }", "-shared", "-fPIC", "-Wl,-soname,libother.so")
        self.compile("libuser.so", "int other(void); int user(void) { return other(); }", "-shared", "-fPIC",
                     str(self.folder / "libother.so"))
        self.assertEqual(self.check().returncode, 0)
        (self.folder / "libother.so").unlink()
        self.assertIn("libuser.so needs libother.so, which is not packed", self.check().stderr)

    def test_versions_are_compared_as_numbers(self):
        self.assertGreater(glibc_versions.number("GLIBC_2.34"), glibc_versions.number("GLIBC_2.4"))
        self.assertGreater(glibc_versions.number("GLIBC_ABI_DT_RELR"), glibc_versions.number("GLIBC_2.34"))
        self.assertGreater(glibc_versions.number("GLIBC_PRIVATE"), glibc_versions.number("GLIBC_2.99"))


class Programs(unittest.TestCase):
    def test_of_a_build_are_all_whose_cases_ctest_runs_on_a_gpu(self):
        listed = Path.cwd() / "tests" / "CTestTestfile.cmake"
        if not listed.exists():
            self.skipTest("ctest runs this in a build folder")
        of_ctest = re.findall(r"add_test\(\W*gpu_(\w+)\W.*on_gpu\.sh", listed.read_text())
        self.assertIn("nccl_windows", of_ctest, "the label alone makes it one")
        self.assertEqual(sorted(program.name for program in parts.test_programs(listed.parent)),
                         sorted(f"test_{name}" for name in of_ctest))


FAKE_CONVOY = """#!/bin/sh
case "$*" in
  info*) echo "devices (--device):"; echo "  cuda             (GPU 0: none such)" ;;
  selftest*bf16*) echo "  9.0e-01    5.0e-03  MISS  conv1 (output)"; echo "3 comparisons, 1 beyond what is allowed"; exit 1 ;;
  selftest*fp16*) echo "so far so good"; sleep 100 ;;
  selftest*tf32*) kill -SEGV $$ ;;
  selftest*) echo "3 comparisons, 0 beyond what is allowed" ;;
  *--layers*) echo "airbench94, batch 2000: 9 images/s" ;;
  *--step*) echo '{"images_per_second": 30, "peak_device_bytes": 8}' ;;
  train*) while [ "$1" != --out ]; do shift; done; mkdir -p "$2"
    echo '{"state": "done", "steps": 3, "train_loss": 0.5, "test_accuracy": ACCURACY}' > "$2/summary.json" ;;
esac
"""
FAKE_TESTS = """#!/bin/sh
case "$*" in
  *--gtest_list_tests*) printf 'Good.\\n  cuda_1\\nBad.\\n  cuda_1\\n  cuda_2\\n' ;;
  *Good*) printf '[ RUN      ] Good.cuda_1\\n[       OK ] Good.cuda_1 (1 ms)\\n' ;;
  *) printf '[ RUN      ] Bad.cuda_1\\n'; kill -SEGV $$ ;;
esac
"""
FAKE_PYTHON = """#!/bin/sh
echo '{"images_per_second": 10, "peak_device_bytes": 16, "version": "PyTorch 0"}'
"""


@unittest.skipUnless(shutil.which("gcc") or shutil.which("cc"), "no C compiler")
class WholeRun(unittest.TestCase):
    """A packed folder whose programs are scripts."""

    def run_with(self, accuracy, *options):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        shutil.copytree(TOOLS, folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "tests").mkdir()
        for name, text in (("convoy", FAKE_CONVOY.replace("ACCURACY", str(accuracy))), ("tests/gpu_tests", FAKE_TESTS),
                           ("python", FAKE_PYTHON)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        compiler = shutil.which("gcc") or shutil.which("cc")
        subprocess.run([compiler, "-shared", "-x", "c", "/dev/null", "-o", folder / "libconvoy_cuda.so"], check=True)
        done = subprocess.run([sys.executable, folder / "tools" / "gpu_acceptance", "--python", folder / "python",
                               *options], capture_output=True, text=True)
        result = json.loads((folder / "acceptance" / "acceptance.json").read_text())
        self.page = (folder / "acceptance" / "acceptance.txt").read_text()
        self.rows = {row["name"]: row for row in result["parts"]}
        return done.returncode

    def test_a_part_that_fails_crashes_or_hangs_is_a_row_and_the_others_run(self):
        self.assertEqual(self.run_with(0.93, "--minutes", "2"), 1)
        verdicts = {name: row["verdict"] for name, row in self.rows.items()}
        self.assertEqual(verdicts, {"device": "passed", "tests": "failed", "selftest fp32": "passed",
                                    "selftest tf32": "failed", "selftest bf16": "failed", "selftest fp16": "failed",
                                    "layers": "passed", "training": "passed", "pytorch": "passed"})
        self.assertEqual(self.rows["tests"]["figures"]["passed"], ["Good.cuda_1"])
        self.assertEqual(self.rows["tests"]["figures"]["failed"], ["Bad.cuda_1", "Bad: SIGSEGV, 1 cases not run"])
        self.assertIn("SIGSEGV", self.rows["selftest tf32"]["summary"])
        self.assertIn("conv1 (output)", self.page)
        self.assertIn("stopped at its limit", self.rows["selftest fp16"]["summary"])
        self.assertEqual(self.rows["pytorch"]["figures"]["speed_ratio"], 3)
        self.assertEqual(self.rows["pytorch"]["figures"]["memory_ratio"], 0.5)
        self.assertIn("NOT ALL PARTS PASSED", self.page)

    def test_the_training_must_reach_its_accuracy(self):
        self.assertEqual(self.run_with(0.84, "--only", "training"), 1)
        self.assertIn("at least 0.85 expected", self.page)
        self.assertEqual(self.run_with(0.84, "--only", "training", "--least-accuracy", "0.8"), 0)
        self.assertEqual(self.run_with("null", "--only", "training"), 1)


if __name__ == "__main__":
    cases.main()
