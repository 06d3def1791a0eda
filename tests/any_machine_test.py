"""The scripts of tools/ on machines that lack something: no root, no Linux, no room, old programs, spaces in names."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.dont_write_bytecode = True
import cases  # noqa: E402

SCRIPTS = ["build", "cuda_from_pypi", "fetch_cifar10", "fetch_fashion_mnist", "format", "launch", "quickstart", "test",
           "unpack_debian_package"]


class Machine(unittest.TestCase):
    """A folder with a space in its name, and programs of the test's own before those of the PATH."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp()) / "a b"
        self.addCleanup(shutil.rmtree, self.folder.parent)
        self.programs = self.folder / "bin"
        self.programs.mkdir(parents=True)
        self.variables = {"CONVOY_BUILD": str(self.folder / "build")}

    def program(self, name, text, folder=None):
        file = (folder or self.programs) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        return file

    def without_cuda(self):
        """Leaves this machine's own CUDA out."""
        folders = [folder for folder in os.environ["PATH"].split(":")
                   if not any(os.path.exists(f"{folder}/{name}") for name in ("nvcc", "nvidia-smi"))]
        if not any(os.path.exists(f"{folder}/bash") for folder in folders):
            self.skipTest("CUDA lies among the system's own programs")
        self.variables.update(PATH=":".join([str(self.programs), *folders]), CUDA_HOME="/nowhere")

    def run_bash(self, text, cwd=None):
        keep = {name: os.environ[name] for name in ("HOME", "LD_LIBRARY_PATH") if name in os.environ}
        path = f"{self.programs}:{os.environ['PATH']}"
        return subprocess.run([shutil.which("bash"), "-c", text], cwd=cwd or self.folder, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, env={**keep, "PATH": path, "LC_ALL": "C", **self.variables})

    def provide(self, text):
        return self.run_bash(f"set -euo pipefail; . '{ROOT}/tools/common.sh'; . '{ROOT}/tools/provide.sh'; tool=t; {text}")

    def assert_one_line(self, outcome, *parts, code=1):
        lines = (outcome.stdout + outcome.stderr).splitlines()
        self.assertEqual((outcome.returncode, len(lines)), (code, 1), lines)
        for part in parts:
            self.assertIn(part, lines[0])


class Scripts(Machine):
    def test_none_runs_on_another_system_and_each_says_where_it_would(self):
        self.program("uname", "echo Darwin")
        for script in SCRIPTS:
            with self.subTest(script):
                self.assert_one_line(self.run_bash(f"'{ROOT}/tools/{script}'"), "this is Darwin", "WSL", "docker run")

    def test_help_needs_neither_terminal_nor_locale(self):
        for script in SCRIPTS:
            with self.subTest(script):
                self.assertEqual(self.run_bash(f"'{ROOT}/tools/{script}' --help").returncode, 0)

    def test_a_build_folder_that_cannot_be_written_names_the_way_out(self):
        self.variables["CONVOY_BUILD"] = "/proc/build"
        self.assert_one_line(self.run_bash(f"'{ROOT}/tools/build' --no-sudo"), "/proc/build", "CONVOY_BUILD")

    def test_a_full_disk_is_told_before_the_build(self):
        self.program("df", "echo header; echo /dev/x 1 1 102400 1% /")
        self.assert_one_line(self.run_bash(f"'{ROOT}/tools/build' --no-sudo"), "100 MB left", "make room", "CONVOY_BUILD")

    def test_what_may_not_be_fetched_ends_with_a_line_for_an_administrator(self):
        self.variables["CONVOY_DEPS"] = "system"
        self.program("cmake", "echo cmake version 3.18.4")
        outcome = self.run_bash(f"'{ROOT}/tools/build' --no-sudo")
        self.assertEqual(outcome.returncode, 1)
        self.assertEqual(outcome.stderr, "tools/build: cmake 3.22 or later is needed; an administrator can install it: "
                                         "apt-get install cmake\n")

    def test_a_wish_that_nobody_knows_is_refused(self):
        self.variables["CONVOY_DEPS"] = "pip"
        self.assert_one_line(self.run_bash(f"'{ROOT}/tools/build'"), "CONVOY_DEPS=pip", "auto, system or fetch", code=2)


PYTHON_TOOLS = ["bench_peers", "gpu_acceptance", "plot", "plot_scaling", "profile", "python_packages.py", "report",
                "scaling_model", "table", "tensorboard"]


class Python(Machine):
    def test_that_is_too_old_is_said_in_a_line(self):
        for tool in PYTHON_TOOLS:
            with self.subTest(tool):
                text = f"import runpy, sys; sys.version_info = (3, 8, 18); runpy.run_path('{ROOT}/tools/{tool}', run_name='__main__')"
                outcome = self.run_bash(f"'{sys.executable}' -c \"{text}\"")
                self.assert_one_line(outcome, "is Python 3.8, and Convoy's tools need 3.9 or later")


@unittest.skipUnless(shutil.which("cmake"), "no cmake on the PATH")
class Embedding(Machine):
    def test_takes_networks_and_recipes_from_a_folder_with_a_space_in_the_order_of_their_names(self):
        for name in ("two.toml", "two-more.toml", "one.json"):
            (self.folder / name).write_text(f"text of {name}")
        lists = {"NETWORKS": ["one.json"], "RECIPES": ["two-more.toml", "two.toml"]}
        options = [f"-D{kind}=" + ";".join(str(self.folder / name) for name in names) for kind, names in lists.items()]
        written = self.folder / "embedded.cpp"
        subprocess.run(["cmake", f"-DOUTPUT={written}", *options, "-P", ROOT / "tools/cmake/embed.cmake"], check=True)
        found = re.findall(r'\{"([^"]*)", ""\s*R"embedded\((.*?)\)embedded"', written.read_text())
        self.assertEqual(found, [("one", "text of one.json"), ("two", "text of two.toml"),
                                 ("two-more", "text of two-more.toml")])


class CudaFromPypi(Machine):
    # Of which wheel (of CUDA 13) each header is that the CUDA part includes; where one is new, look into the wheels.
    WHEELS = {"cuda_runtime.h": "cuda-runtime", "cuda_runtime_api.h": "cuda-runtime", "cuda_bf16.h": "cuda-runtime",
              "cuda_fp16.h": "cuda-runtime", "cuda_profiler_api.h": "cuda-profiler-api", "cublasLt.h": "cublas",
              "cublas_v2.h": "cublas", "cudnn.h": "cudnn", "nccl.h": "nccl", "nvtx3/nvToolsExt.h": "nvtx",
              "nvtx3/nvToolsExtCudaRt.h": "nvtx"}

    def setUp(self):
        super().setUp()
        self.without_cuda()
        self.program("python3", "exit 1")  # nothing is fetched

    def test_has_every_header_that_is_included(self):
        pattern = re.compile(r"^#include <((?:cu|nv|nccl)[^>]*)>", re.MULTILINE)
        headers = {header for file in (ROOT / "cuda").rglob("*") if file.is_file()
                   for header in pattern.findall(file.read_text())}
        self.assertGreater(len(headers), 5)
        script = (ROOT / "tools" / "cuda_from_pypi").read_text()
        wheels = re.search(r"for name in (.*); do", script).group(1).split() + re.findall(r'"nvidia-(\w+)-cu\$major"', script)
        self.assertEqual({header for header in headers if self.WHEELS.get(header) not in wheels}, set())


    def test_takes_the_release_that_the_driver_says(self):
        said = {"| Driver Version: 570.1   CUDA Version: 12.8 |": 12, "| CUDA UMD Version: 13.4 |": 13, "": 13}
        for text, major in said.items():
            with self.subTest(text):
                self.program("nvidia-smi", f"echo '{text}'; exit {int(not text)}")
                outcome = self.run_bash(f"'{ROOT}/tools/cuda_from_pypi' '{self.folder}/to'")
                if major == 12:
                    self.assertIn("the driver knows CUDA 12, whose compiler is not on PyPI", outcome.stderr)
                else:
                    self.assertIn(f"installing nvidia-cudnn-cu{major} ", outcome.stderr)

    def test_an_nvcc_that_is_too_old_is_named(self):
        nvcc = self.program("nvcc", "echo Cuda compilation tools, release 11.8, V11.8.89")
        outcome = self.run_bash(f"'{ROOT}/tools/cuda_from_pypi' '{self.folder}/to'")
        self.assert_one_line(outcome, f"{nvcc} is of CUDA 11, at least 12 is needed")


# What CMake says of CUDA, by the nvcc that the PATH has and the libraries that it is told of.
CMAKE = """case $1 in
  --version) echo cmake version 3.25.1; exit ;;
esac
preset=$2 folder=$4 root=$PWD
case "$(command -v nvcc) $*" in
  /*old*) said='CUDA: none, so the build is for CPUs (nvcc is of CUDA 11.8, 12.4 or later is needed)' ;;
  /*CuDNN_ROOT*) said='CUDA: 13.0.88, cuDNN 9' ;;
  /*) said='CUDA: none, so the build is for CPUs (no cuDNN 9.1 or later found; CuDNN_ROOT names its place)' ;;
  *) said='CUDA: none, so the build is for CPUs (no nvcc found)' ;;
esac
echo "-- $said"
echo "CMAKE_HOME_DIRECTORY:INTERNAL=$root" > "$folder/CMakeCache.txt"
touch "$folder/build.ninja"
"""


class Build(Machine):
    """tools/build in a checkout of scripts alone, with programs of the test's own."""

    def setUp(self):
        super().setUp()
        self.root = self.folder / "convoy"
        self.tools = self.root / "tools"
        self.tools.mkdir(parents=True)
        for name in ("build", "common.sh", "provide.sh"):
            shutil.copy(ROOT / "tools" / name, self.tools)
        self.build = self.folder / "build"
        self.program("cmake", CMAKE)
        self.program("ninja", "echo 1.11")
        self.program("c++", "")
        self.program("dpkg-query", 'for package; do echo "installed $package"; done')
        self.pypi("echo PyPI is asked >&2; echo -DCuDNN_ROOT=/there")
        self.without_cuda()

    def pypi(self, text):
        self.program("cuda_from_pypi", text, self.tools)

    def tools_build(self, arguments=""):
        return self.run_bash(f"'{self.tools}/build' --no-sudo {arguments}", cwd=self.root)

    def looks(self):
        """Whether it configured, and what it said of CUDA in the end."""
        outcome = self.tools_build()
        self.assertEqual(outcome.returncode, 0, outcome.stderr)
        lines = outcome.stdout.splitlines()
        return any("cmake --preset" in line for line in lines), lines[-1].partition("CUDA: ")[2]

    def test_an_nvcc_on_the_path_is_a_wish_for_cuda(self):
        self.program("nvcc", "")
        self.assertEqual(self.looks(), (True, "yes"))
        self.assertEqual(self.looks(), (False, "yes"))

    def test_an_nvcc_that_comes_later_is_found(self):
        self.assertEqual(self.looks(), (True, "no, because no nvcc found: load a CUDA module, or tools/build cuda gets what "
                                        "is missing from PyPI"))
        self.assertFalse(self.looks()[0])
        self.program("nvcc", "")
        self.assertEqual(self.looks(), (True, "yes"))

    def test_an_nvcc_that_is_too_old_is_looked_at_once(self):
        self.program("nvcc", "", self.folder / "old")
        path = self.variables["PATH"]
        self.variables["PATH"] = f"{self.folder}/old:{path}"
        self.assertTrue(self.looks()[0])
        self.assertEqual(self.looks()[0], False)
        self.program("nvcc", "", self.folder / "new")
        self.variables["PATH"] = f"{self.folder}/new:{path}"
        self.assertEqual(self.looks(), (True, "yes"))

    def test_what_pypi_could_not_bring_is_not_advised_again(self):
        self.program("nvcc", "")
        self.pypi("exit 1")
        expected = "no, because no cuDNN 9.1 or later found, and PyPI did not help: load a CUDA module; " \
                   f"tools/cuda_from_pypi {self.build}/cuda-from-pypi says what PyPI lacks"
        self.assertEqual(self.looks(), (True, expected))
        self.assertEqual(self.looks(), (False, expected))

    def test_without_room_for_cuda_the_build_for_cpus_goes_on(self):
        self.program("nvcc", "")
        self.program("df", "echo header; echo /dev/x 1 1 2048000 1% /")
        outcome = self.tools_build()
        self.assertEqual((outcome.returncode, outcome.stderr.count("\n")), (0, 1), outcome.stderr)
        self.assertIn("2000 MB left, CUDA from PyPI takes 6000", outcome.stderr)
        self.assertEqual(self.tools_build("cuda").returncode, 1)

    def test_where_cuda_is_asked_for_the_last_line_says_what_lacks(self):
        self.pypi("exit 1")
        outcome = self.tools_build("cuda")
        self.assertEqual((outcome.returncode, outcome.stderr), (1, "tools/build: no CUDA, no preset cuda: no nvcc found\n"))


class Submit(Machine):
    """tools/submit with a build that tools/build has made for CPUs."""

    def setUp(self):
        super().setUp()
        self.root = self.folder / "convoy"
        for name in ("tools", "slurm"):
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("site.env", "__pycache__"))
        self.program("sbatch", "")
        build = self.root / "build"
        self.program("convoy", "", build)
        (build / "CMakeCache.txt").touch()
        (build / "configure.log").write_text("-- CUDA: none, so the build is for CPUs (no cuDNN found; CuDNN_ROOT names it)\n")
        self.variables = {}

    def submit(self, arguments="train"):
        return self.run_bash(f"tools/submit {arguments}", cwd=self.root)

    def test_refuses_a_build_for_cpus_where_the_job_would_want_gpus(self):
        refusal = self.submit()
        self.assert_one_line(refusal, "build/ is for CPUs only: no cuDNN found; ", "or CONVOY_DEVICE=cpu", code=2)
        self.assertFalse((self.root / "runs").exists())

    def test_takes_it_where_the_job_wants_none_or_has_them_elsewhere(self):
        self.assertEqual(self.submit("train -- --device cpu").returncode, 0)
        self.assertEqual(self.submit("train -- --device=cpu").returncode, 0)
        self.variables["CONVOY_CONTAINER"] = "convoy.sif"
        self.assertEqual(self.submit().returncode, 0)
        self.variables = {"CONVOY_DEVICE": "cpu"}
        self.assertEqual(self.submit().returncode, 0)
        self.variables = {}
        (self.root / "build" / "libconvoy_cuda.so").touch()
        self.assertEqual(self.submit().returncode, 0)

    def test_the_example_of_a_site_leaves_the_modules_to_those_of_the_build(self):
        build = self.root / "build"
        (build / "environment.sh").write_text("CONVOY_MODULES=${CONVOY_MODULES-cuda/13}\n")
        shutil.copy(ROOT / "slurm" / "site.env.example", self.root / "slurm" / "site.env")
        text = f". slurm/common.sh; load_site; . '{build}/environment.sh'; echo \"[$CONVOY_MODULES]\""
        self.assertEqual(self.run_bash(text, cwd=self.root).stdout, "[cuda/13]\n")


    def test_modules_are_found_where_lmod_s_own_variable_says_and_may_use_what_is_unset(self):
        lmod = self.folder / "lmod"
        (lmod / "init").mkdir(parents=True)
        (lmod / "init" / "bash").write_text('false; echo "$UNSET"; module() { false; echo "module $*"; }\n')
        self.variables.update(LMOD_PKG=str(lmod), CONVOY_MODULES="cuda/13 gcc")
        outcome = self.run_bash(". slurm/common.sh; unset -f module; load_modules; echo $-", cwd=self.root)
        if any(Path(f"/etc/profile.d/{name}.sh").exists() for name in ("modules", "lmod", "z00_lmod")):
            self.skipTest("this machine has modules of its own")
        self.assertEqual(outcome.stdout.splitlines()[-2], "module load cuda/13 gcc", outcome.stderr)
        self.assertLessEqual(set("eu"), set(outcome.stdout.splitlines()[-1]))


class Provide(Machine):
    def test_a_program_comes_from_the_path_where_it_is_new_enough_else_from_pypi_s_folder(self):
        theirs = self.program("cmake", "echo cmake version 3.25.1")
        ours = self.program("cmake", "echo cmake version 4.1", self.folder / "build" / "pypi" / "bin")
        self.assertEqual(self.provide("find_program cmake 3.22").stdout, f"{theirs}\n")
        self.program("cmake", "echo cmake version 3.9.6")
        self.assertEqual(self.provide("find_program cmake 3.22").stdout, f"{ours}\n")
        self.assertEqual(self.provide("find_program cmake 5.0").returncode, 1)

    def test_an_mpicc_of_conda_s_warns(self):
        conda = self.program("mpicc", "", self.folder / "conda" / "bin")
        self.assertEqual(self.provide(f"warn_of_conda '{conda}'").stdout, "")
        (self.folder / "conda" / "conda-meta").mkdir()
        self.assertIn("conda's", self.provide(f"warn_of_conda '{conda}'").stdout)

    def test_without_root_a_machine_whose_apt_has_no_lists_says_so_in_one_line(self):
        self.program("dpkg-query", "exit 1")
        self.program("apt-get", 'for package; do :; done; echo "E: Unable to locate package $package" >&2; exit 100')
        self.program("id", "echo 1000")
        outcome = self.provide("use_sudo=no; install_packages libpng-dev libjpeg-dev")
        self.assert_one_line(outcome, "t: going on without libpng-dev libjpeg-dev: no root here", code=0)

    def test_a_package_that_dpkg_only_knows_of_is_missing(self):
        self.program("dpkg-query", "printf '%s\\n' 'installed here' 'config-files removed' 'not-installed named'; exit 1")
        outcome = self.provide("missing_packages here removed named strange")
        self.assertEqual(outcome.stdout.split(), ["removed", "named", "strange"], outcome.stderr)

    def test_debian_s_open_mpi_is_installed_unless_the_path_has_another_mpi(self):
        self.program("dpkg-query", "exit 1")
        missing = "missing_packages libopenmpi-dev openmpi-bin"
        wrapper = self.program("mpicc", "")
        self.assertEqual(self.provide(missing).stdout, "")
        self.program("realpath", f'[ "$1" != {str(wrapper)!r} ] || echo /usr/bin/opal_wrapper')
        self.assertEqual(self.provide(missing).stdout, "libopenmpi-dev\nopenmpi-bin\n")

    def test_modules_and_paths_of_the_build_are_written_down_for_jobs(self):
        build = self.folder / "build"
        build.mkdir()
        (build / "CMakeCache.txt").write_text(
            "MPI_C_COMPILER:FILEPATH=/opt/it's my}/bin/mpicc\nMPIEXEC_EXECUTABLE:FILEPATH=/opt/my mpi/bin/mpirun\n"
            "CONVOY_NVCC:FILEPATH=CONVOY_NVCC-NOTFOUND\nCuDNN_LIBRARY:FILEPATH=/opt/cudnn/lib/libcudnn.so\n")
        self.variables["LOADEDMODULES"] = "gcc/13:openmpi/5.0"
        self.assertEqual(self.provide('record "$build"').returncode, 0)
        show = f". '{build}/environment.sh'; printf '[%s]' \"$CONVOY_MODULES\" \"$CONVOY_MPICC\" \"$CONVOY_MPIRUN\" " \
               '"$CONVOY_NVCC" "$CONVOY_CUDNN"'
        self.assertEqual(self.run_bash(show).stdout, "[gcc/13 openmpi/5.0][/opt/it's my}/bin/mpicc][/opt/my mpi/bin/mpirun]"
                                                     "[][/opt/cudnn/lib/libcudnn.so]")
        self.variables["CONVOY_MODULES"] = "mine"
        self.assertTrue(self.run_bash(show).stdout.startswith("[mine]"))

    def test_ranks_of_pypi_s_mpi_are_started_by_its_own_mpirun(self):
        build = self.folder / "build"
        pypi = build / "pypi"
        self.program("mpirun", "echo pypi \"$@\"", pypi / "bin")
        self.program("mpirun", "echo path \"$@\"")
        self.program("convoy", "", build)
        (build / "CMakeCache.txt").write_text(f"MPIEXEC_EXECUTABLE:FILEPATH=/usr/bin/mpiexec\n"
                                              f"MPI_mpi_LIBRARY:FILEPATH={pypi}/lib/libmpi.so.40\n")
        self.assertEqual(self.provide('record "$build"').returncode, 0)
        outcome = self.run_bash(f"'{ROOT}/tools/launch' 2 train")
        self.assertTrue(outcome.stdout.splitlines()[-1].startswith("pypi -n 2"), outcome.stdout)
        outcome = self.run_bash(f"CONVOY='{ROOT}/slurm/rank' '{ROOT}/tools/launch' 2 train")
        self.assertTrue(outcome.stdout.splitlines()[-1].startswith("pypi -n 2"), outcome.stdout)


class Quickstart(Machine):
    """A checkout of the scripts alone, whose build and training say what they were asked for."""

    def setUp(self):
        super().setUp()
        self.root = self.folder / "my convoy"
        self.tools = self.root / "tools"
        self.tools.mkdir(parents=True)
        for name in ("common.sh", "quickstart", "fetch_fashion_mnist"):
            shutil.copy(ROOT / "tools" / name, self.tools)
        self.program("build", 'echo "build with ${JOBS:-no} jobs: $*"', self.tools)
        self.variables = {"CONVOY_BUILD": str(self.folder / "build")}
        self.program("convoy", 'if [ "$1" = data ]; then echo "$2"; else printf "convoy"; printf " [%s]" "$@"; echo; fi',
                     self.folder / "build")
        self.program("nproc", "echo 64")
        for name in ("bash", "sh", "env", "dirname", "basename", "uname", "awk", "ls", "realpath", "mkdir", "touch"):
            (self.programs / name).symlink_to(shutil.which(name))
        self.variables["PATH"] = str(self.programs)  # and no sbatch of this machine's

    def quickstart(self, arguments=""):
        # As on a machine that has neither Debian's data nor a network.
        text = (self.tools / "quickstart").read_text()
        (self.tools / "quickstart").write_text(text.replace("/usr/share/datasets/fashion-mnist", f"'{self.folder}/debian'"))
        return self.run_bash(f"'{self.tools}/quickstart' {arguments}", cwd=self.root)

    def fetched(self):
        self.program("fetch_fashion_mnist", 'mkdir -p "$2" && touch "$2/t10k-labels-idx1-ubyte"', self.tools)

    def test_where_jobs_are_submitted_it_builds_gently_and_does_not_train(self):
        self.fetched()
        self.program("sbatch", "echo submitted")
        lines = self.quickstart("--epochs 2").stdout.splitlines()
        jobs = int(lines[0].split()[2])
        self.assertTrue(1 <= jobs <= 4, lines[0])
        self.assertFalse([line for line in lines if line.startswith(("convoy", "submitted"))])
        data = str(self.folder / "build" / "fashion-mnist").replace(" ", "\\ ")
        self.assertTrue(lines[-1].rstrip().endswith(f"tools/submit train -- --data {data} --recipe fashion --epochs 2"))

    def test_inside_a_job_it_trains(self):
        self.fetched()
        self.program("sbatch", "")
        self.variables["SLURM_JOB_ID"] = "7"
        lines = self.quickstart().stdout.splitlines()
        self.assertEqual(lines[0].split()[2], "no")
        self.assertEqual(lines[-1], f"convoy [train] [--data] [{self.folder}/build/fashion-mnist] [--recipe] [fashion]")

    def test_data_are_looked_for_in_one_order(self):
        def data():
            return self.quickstart().stdout.splitlines()[-1].split("] [")[2].rstrip("]")

        self.program("fetch_fashion_mnist", "exit 1", self.tools)
        self.assertEqual(data(), "synthetic")
        self.fetched()
        self.assertEqual(data(), f"{self.folder}/build/fashion-mnist")
        (self.folder / "debian").mkdir()
        (self.folder / "debian" / "file").touch()
        self.assertEqual(data(), f"{self.folder}/debian")
        (self.root / "data").mkdir()
        self.assertEqual(data(), f"{self.folder}/debian", "an empty folder holds no data")
        (self.root / "data" / "file").touch()
        self.assertEqual(data(), "data")
        self.variables["CONVOY_DATA"] = "/mine"
        self.assertEqual(data(), "/mine")
        self.assertTrue(self.quickstart("--data /other").stdout.splitlines()[-1].startswith("convoy [train] [--data] [/other]"))

    def test_synthetic_pictures_are_called_so_loudly(self):
        self.program("fetch_fashion_mnist", "exit 1", self.tools)
        self.assertIn("SYNTHETIC", self.quickstart().stdout)


class FashionMnist(Machine):
    FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

    def fetch(self):
        return self.run_bash(f"'{ROOT}/tools/fetch_fashion_mnist' --into '{self.folder}/data'")

    def test_debian_s_package_is_unpacked_not_installed(self):
        self.program("apt-get", 'case "$*" in *update*|*install*) exit 1 ;; *download*) touch dataset-fashion-mnist_1.deb ;; esac')
        self.program("dpkg-deb", f'[ "$1" = -x ] && mkdir -p "$3/usr" && for f in {" ".join(self.FILES)}; do '
                                 'echo "$f" | gzip > "$3/usr/$f.gz"; done')
        self.assertEqual(self.fetch().returncode, 0)
        self.assertEqual(sorted(os.listdir(self.folder / "data")), sorted(self.FILES))
        self.assertEqual((self.folder / "data" / self.FILES[0]).read_text(), self.FILES[0] + "\n")
        self.program("apt-get", "exit 1")
        self.assertEqual(self.fetch().returncode, 0, "what is there is taken")

    def test_a_download_that_is_not_what_was_published_is_refused(self):
        self.program("apt-get", "echo 'E: Unable to locate package' >&2; exit 100")
        self.program("curl", 'while [ "$1" != --output ]; do shift; done; echo page of a portal > "$2"')
        outcome = self.fetch()
        self.assertEqual(outcome.returncode, 1)
        self.assertIn("MD5 8d4fb7e6c68d591d4c3dfef9ec88bf0d expected", outcome.stderr)
        self.assertEqual(os.listdir(self.folder / "data"), [], "nothing half done")


@unittest.skipUnless(shutil.which("cmake"), "cmake is not on the PATH")
class LoadTorch(unittest.TestCase):
    def run_bare(self, *options):  # -S: without the packages of the site
        return subprocess.run([sys.executable, "-I", "-S", str(ROOT / "tools" / "load_torch.py"), *options],
                              capture_output=True, text=True)

    def test_helps_without_its_packages_and_else_names_the_one_that_is_missing(self):
        self.assertIn("--from-torch", self.run_bare("--help").stdout)
        done = self.run_bare("weights.safetensors")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"\Aload_torch: .* has no numpy: pip install torch numpy safetensors.*\n\Z")


class PinnedReleases(Machine):
    """tools/cmake/fetch.cmake by itself."""

    def setUp(self):
        super().setUp()
        self.mirror = self.folder / "mirror"
        self.mirror.mkdir()
        release = self.folder / "thing-release" / "include"
        release.mkdir(parents=True)
        (release / "thing.h").touch()
        subprocess.run(["tar", "-czf", self.mirror / "thing-1.2.tar.gz", "-C", self.folder, "thing-release"], check=True)
        (self.mirror / "single-7.h").write_text("// all of it\n")
        self.pins = {"thing": "1.2 {} http://127.0.0.1:9/v1.2.tar.gz", "single": "7 {} http://127.0.0.1:9/abc/one.h"}

    def checksum(self, name):
        return hashlib.sha256((self.mirror / name).read_bytes()).hexdigest()

    def fetch(self, name, checksum, mirror):
        pins = self.folder / "pins.txt"
        pins.write_text(f"{name} {self.pins[name].format(checksum)}\n")
        script = self.folder / "fetch.cmake"
        script.write_text(f'include("{ROOT}/tools/cmake/fetch.cmake")\nconvoy_fetch({name} result)\n'
                          "get_property(failure GLOBAL PROPERTY CONVOY_FETCH_FAILURE)\n"
                          'message(NOTICE "${result}|${failure}")\n')
        done = subprocess.run(["cmake", f"-DCONVOY_CACHE={self.folder}/cache", f"-DCONVOY_DEPS_PINS={pins}",
                               f"-DCONVOY_DEPS_MIRROR={mirror}", "-P", str(script)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr.splitlines()[-1].split("|")

    def test_come_from_the_mirror_and_are_kept(self):
        right = self.checksum("thing-1.2.tar.gz")
        for mirror in (f"file://{self.mirror}", "file:///nowhere"):  # the second time from what was kept
            folder, failure = self.fetch("thing", right, mirror)
            self.assertTrue((Path(folder) / "include" / "thing.h").exists(), (folder, failure))

    def test_a_header_lies_under_the_name_by_which_it_is_included(self):
        folder, _ = self.fetch("single", self.checksum("single-7.h"), f"file://{self.mirror}")
        self.assertEqual((Path(folder) / "include" / "one.h").read_text(), "// all of it\n")

    def test_of_another_checksum_are_refused_and_not_kept(self):
        folder, failure = self.fetch("thing", "0" * 64, f"file://{self.mirror}")
        self.assertEqual(folder, "")
        self.assertIn(f"SHA-256 {'0' * 64} expected, found {self.checksum('thing-1.2.tar.gz')}: refused", failure)
        self.assertEqual(list(self.folder.glob("cache/fetched/*/*.tar.gz")), [])

    def test_every_pin_names_a_checksum_and_an_address_of_its_version(self):
        for line in (ROOT / "tools" / "cmake" / "pins.txt").read_text().splitlines():
            name, version, checksum, address = line.split()
            self.assertRegex(checksum, r"^[0-9a-f]{64}$", name)
            self.assertTrue(address.startswith("https://") and version in address, line)


if __name__ == "__main__":
    cases.main()
