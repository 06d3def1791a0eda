"""tools/gpu_acceptance's own parts: reading GoogleTest, finding CUDA's libraries, reading and editing versions in ELF."""

import argparse
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

TOOLS = Path(__file__).resolve().parent.parent / "tools"
sys.path[:0] = [str(TOOLS), str(TOOLS / "acceptance"), str(TOOLS.parent / "tests" / "support")]
sys.dont_write_bytecode = True
import cases  # noqa: E402
import context  # noqa: E402
import cuda_libraries  # noqa: E402
import elf_file  # noqa: E402
import glibc_versions  # noqa: E402
import googletest  # noqa: E402
import gpu_tests  # noqa: E402
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
        found = googletest.cases(OUTPUT)
        self.assertEqual(found.passed, ["Backends/Pool.is_right/cuda_fp32"])
        self.assertEqual(found.failed, {"Backends/Pool.is_right/cuda_fp16": ["a.cpp:9: Failure"]})
        self.assertEqual(found.skipped, {"Backends/Pool.is_right/cuda_bf16": "one GPU is visible, two are needed"})
        self.assertEqual(found.running, "Backends/Pool.is_right/cuda_tf32")

    def test_counts_a_failure_once_though_the_summary_repeats_it(self):
        ended = OUTPUT + "[       OK ] Backends/Pool.is_right/cuda_tf32 (1 ms)\n" + SUMMARY
        found = googletest.cases(ended)
        self.assertEqual(list(found.failed), ["Backends/Pool.is_right/cuda_fp16"])
        self.assertEqual((len(found.passed), found.running), (2, None))

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
        self.assertEqual(sorted(program.name for program in gpu_tests.test_programs(listed.parent)),
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
  *) printf '[ RUN      ] Bad.cuda_1\\nsomething is wrong\\n'; kill -SEGV $$ ;;
esac
"""
FAKE_PYTHON = """#!/bin/sh
echo '{"images_per_second": 10, "peak_device_bytes": 16, "version": "PyTorch 0"}'
"""


FAKE_SMI = """#!/bin/sh
echo 'H100, 9.0, DRIVER, 80000 MiB, 700 W, 1980 MHz, 2619 MHz, Exclusive_Process'
"""
FAKE_BUILD = """#!/bin/sh
echo "building $*"
case "$*" in
  *gpu*) sleep 100 ;;
  *) mkdir -p "$CONVOY_BUILD/cuda"; cp "$(dirname "$0")/../fake_convoy" "$CONVOY_BUILD/cuda/convoy" ;;
esac
"""


@unittest.skipUnless(shutil.which("gcc") or shutil.which("cc"), "no C compiler")
class WholeRun(unittest.TestCase):
    """A packed folder whose programs are scripts."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copytree(TOOLS, self.folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
        self.script("convoy", FAKE_CONVOY.replace("ACCURACY", "0.93"))
        self.script("tests/gpu_tests", FAKE_TESTS)
        self.script("python", FAKE_PYTHON)
        self.library("libconvoy_cuda.so")

    def script(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def library(self, name, *options):
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        compiler = shutil.which("gcc") or shutil.which("cc")
        subprocess.run([compiler, "-shared", "-x", "c", "/dev/null", "-x", "none", "-o", self.folder / name, *options],
                       check=True)

    def command(self, *options):
        return [sys.executable, self.folder / "tools" / "gpu_acceptance", "--python", self.folder / "python", *options]

    def environment(self, **more):
        return dict(os.environ, PATH=f"{self.folder}/bin:{os.environ['PATH']}", **more)

    def run_with(self, *options, out="acceptance", **environment):
        done = subprocess.run(self.command(*options), capture_output=True, text=True, cwd=self.folder,
                              env=self.environment(**environment))
        self.read(out)
        return done.returncode

    def read(self, out="acceptance"):
        self.result = json.loads((self.folder / out / "acceptance.json").read_text())
        self.page = (self.folder / out / "acceptance.txt").read_text()
        self.rows = {row["name"]: row for row in self.result["parts"]}

    def verdicts(self):
        return {name: row["verdict"] for name, row in self.rows.items()}

    def test_a_part_that_fails_crashes_or_hangs_is_a_row_and_the_others_run(self):
        self.assertEqual(self.run_with("--minutes", "0.3"), 1)
        self.assertEqual(self.verdicts(), {
            "device": "passed", "selftest bf16": "failed", "layers": "passed", "training": "passed", "pytorch": "passed",
            "selftest fp32": "passed", "selftest tf32": "failed", "selftest fp16": "failed", "tests": "failed"})
        self.assertEqual(list(self.rows)[-1], "tests", "they take what time is left")
        figures = self.rows["tests"]["figures"]
        self.assertEqual(figures["passed"], ["Good.cuda_1"])
        self.assertEqual(figures["failed"], ["Bad.cuda_1", "Bad: SIGSEGV, 1 cases not run"])
        self.assertEqual(figures["failure_texts"]["Bad.cuda_1"], ["something is wrong"])
        self.assertIn("failed  Bad.cuda_1\n            something is wrong\n", self.page)
        self.assertIn("SIGSEGV", self.rows["selftest tf32"]["summary"])
        self.assertIn("conv1 (output)", self.page)
        self.assertIn("stopped at its limit", self.rows["selftest fp16"]["summary"])
        self.assertEqual(self.rows["selftest fp16"]["figures"]["log_tail"], ["so far so good"])
        self.assertIn("\nselftest fp16:\n  so far so good\n", self.page)
        self.assertEqual(self.rows["pytorch"]["figures"]["speed_ratio"], 3)
        self.assertEqual(self.rows["pytorch"]["figures"]["memory_ratio"], 0.5)
        self.assertIn("NOT ALL PARTS PASSED", self.page)

    def test_the_training_must_reach_its_accuracy(self):
        self.script("convoy", FAKE_CONVOY.replace("ACCURACY", "0.84"))
        self.assertEqual(self.run_with("--only", "training"), 1)
        self.assertIn("at least 0.85 expected", self.page)
        self.assertEqual(self.run_with("--only", "training", "--least-accuracy", "0.8"), 0)
        self.script("convoy", FAKE_CONVOY.replace("ACCURACY", "null"))
        self.assertEqual(self.run_with("--only", "training"), 1)

    def stopped(self, *options):
        """Ends it by SIGTERM when its program has told the number of a process that it started."""
        told = self.folder / "told"
        child = 'sleep 100 & echo $! > "$0.new"; mv "$0.new" "$(dirname "$0")/TOLD"; wait'
        self.script("convoy", f"#!/bin/sh\n{child.replace('TOLD', 'told')}\n")
        self.script("tests/gpu_tests", "#!/bin/sh\ncase $* in *list*) printf 'A.\\n  cuda\\n' ;; *) "
                    f"{child.replace('TOLD', '../told')} ;; esac\n")
        process = subprocess.Popen(self.command(*options), stdout=subprocess.DEVNULL, env=self.environment())
        end = time.monotonic() + 60
        while not told.exists() and time.monotonic() < end:
            time.sleep(0.05)
        process.terminate()
        self.assertEqual(process.wait(30), 143)
        self.assertFalse(is_running(int(told.read_text())))
        self.read()

    def test_a_signal_ends_what_it_started_and_leaves_a_report_with_what_was_not_run(self):
        self.stopped("--only", "layers", "training")
        self.assertEqual(self.verdicts(), {"layers": "not run", "training": "not run"})
        self.assertIn("under way", self.rows["layers"]["summary"])
        self.assertIn("NOT ALL PARTS PASSED", self.page)

    def test_a_signal_ends_the_tests_too(self):
        self.stopped("--only", "tests")
        self.assertEqual(self.verdicts(), {"tests": "not run"})

    def test_suites_that_had_no_time_are_not_run_rather_than_failed_and_the_largest_come_first(self):
        self.script("bin/nvidia-smi", FAKE_SMI)  # whose GPU takes one process at a time
        self.script("tests/gpu_tests", """#!/bin/sh
case "$*" in
  *--gtest_list_tests*) printf 'Small.\\n  cuda_1\\nLarge.\\n  cuda_1\\n  cuda_2\\nLast.\\n  cuda_1\\n' ;;
  *Large*) printf '[ RUN      ] Large.cuda_1\\n[       OK ] Large.cuda_1 (1 ms)\\n[ RUN      ] Large.cuda_2\\n'; sleep 100 ;;
esac
""")
        self.assertEqual(self.run_with("--only", "tests", "--minutes", "0.04"), 1)
        self.assertEqual(self.verdicts(), {"tests": "unfinished"})
        self.assertEqual(self.rows["tests"]["summary"], "1 passed, 0 failed, 0 skipped, 3 not run: no time")
        self.assertIn("stopped Large.cuda_2 after", self.page)

    def test_a_program_that_lists_no_cases_is_a_failure_and_the_others_run(self):
        build = self.folder / "build" / "cuda"
        (self.folder / "convoy").unlink()
        build.parent.mkdir()
        (self.folder / "tests").rename(self.folder / "programs")
        self.script("programs/broken", "#!/bin/sh\necho no libcudnn.so.9\nexit 127\n")
        (self.folder / "programs" / "gpu_tests").rename(self.folder / "programs" / "right")
        (self.folder / "programs" / "gpu_programs.txt").write_text("broken\nabsent\nright\n")
        build.mkdir()
        (self.folder / "programs").rename(build / "tests")
        self.assertEqual(self.run_with("--only", "tests", out="build/acceptance"), 1)
        failed = self.rows["tests"]["figures"]["failure_texts"]
        self.assertEqual(failed["broken: lists no cases: exit 127: no libcudnn.so.9"], ["no libcudnn.so.9"])
        self.assertTrue(any(name.startswith("absent: lists no cases") for name in failed), failed)
        self.assertEqual(self.rows["tests"]["figures"]["passed"], ["Good.cuda_1"])

    def test_a_build_makes_the_program_first_and_says_that_it_can_go_on_with_the_tests(self):
        (self.folder / "convoy").rename(self.folder / "fake_convoy")
        self.script("tools/build", FAKE_BUILD)
        (self.folder / "elsewhere").mkdir()
        self.run_with("--only", "build", "layers", "--minutes", "0.05", out="elsewhere/acceptance",
                      CONVOY_BUILD="elsewhere")
        self.assertEqual(self.verdicts(), {"build": "failed", "layers": "passed"})
        self.assertIn("the tests: stopped at its limit", self.rows["build"]["summary"])
        self.assertIn("running this again goes on where it stopped", self.rows["build"]["summary"])

    def needs(self, name):
        """Lets the CUDA module need a library that lies in wheels/."""
        self.library(f"wheels/nvidia/x/lib/{name}", f"-Wl,-soname,{name}")
        self.library("libconvoy_cuda.so", "-Wl,--no-as-needed", self.folder / "wheels" / "nvidia" / "x" / "lib" / name)

    def test_libraries_are_looked_for_only_where_the_program_does_not_find_them(self):
        self.needs("libnccl.so.77")
        wheels = str(self.folder / "wheels")
        self.assertEqual(self.run_with("--only", "device", "--site-packages", wheels), 0)
        self.assertEqual(self.rows["device"]["figures"]["library_folders"], [])
        self.script("convoy", "#!/bin/sh\necho devices\ncase $LD_LIBRARY_PATH in *wheels*) echo '  cuda (GPU 0: x)' ;; "
                    "*) echo '  cuda no: libnccl.so.77 not found' ;; esac\n")
        self.assertEqual(self.run_with("--only", "device", "--site-packages", wheels), 0)
        self.assertRegex(self.page, rf"\nLD_LIBRARY_PATH={re.escape(wheels)}/nvidia/x/lib")
        self.assertEqual(self.run_with("--only", "device"), 1)
        self.assertIn("not found: libnccl.so.77", self.rows["device"]["summary"])

    def test_a_driver_that_is_too_old_is_said_before_anyone_is_sent_to_pip(self):
        self.needs("libcudart.so.13")
        self.script("bin/nvidia-smi", FAKE_SMI.replace("DRIVER", "550.54.15"))
        self.script("convoy", "#!/bin/sh\necho devices\necho '  cuda no: no GPU'\n")
        self.assertEqual(self.run_with("--only", "device"), 1)
        self.assertIn("the driver is 550.54.15, and this build's CUDA needs 580", self.rows["device"]["summary"])
        self.assertNotIn("pip", self.rows["device"]["summary"])


def is_running(number):
    """A process that ended and that nobody asked after does not run."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Ending(unittest.TestCase):
    def test_a_process_that_hangs_in_the_driver_is_not_waited_for_without_end(self):
        process = mock.Mock(pid=1)
        process.poll.return_value = None
        process.wait.side_effect = subprocess.TimeoutExpired("convoy", context.KILL_SECONDS)
        with mock.patch.object(context.os, "killpg"):
            self.assertFalse(context.end(process))
        process.wait.assert_called_once_with(context.KILL_SECONDS)


class Time(unittest.TestCase):
    def test_what_a_part_leaves_is_handed_on(self):
        run_part = runpy.run_path(str(TOOLS / "gpu_acceptance"))["run_part"]
        limits = []
        quick = parts.Part("quick", lambda given: limits.append(given.limit) or {"verdict": "passed"}, 300)
        last = parts.Part("last", quick.function, 100)
        made = argparse.Namespace(deadline=time.monotonic() + 400, limit=0, output="")
        run_part(quick, [last], made)
        run_part(last, [], made)
        self.assertAlmostEqual(limits[0] - limits[1], -100, delta=1)
        self.assertEqual(limits[1], made.deadline)


if __name__ == "__main__":
    cases.main()
