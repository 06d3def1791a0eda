"""What the parts of tools/gpu_acceptance share: where things lie, how a command is run, and what a part gives back."""

import os
import signal
import subprocess
import threading
import time
from collections import namedtuple
from pathlib import Path

import cuda_libraries

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("CONVOY_BUILD") or ROOT / "build").absolute()  # as tools/common.sh has it
CACHE = Path(os.environ.get("CONVOY_CACHE") or BUILD).absolute()
Done = namedtuple("Done", "code output seconds")  # code None: stopped at the limit

KILL_SECONDS = 10  # a process that hangs in the driver survives SIGKILL, and nobody waits for it longer


class PartFailed(Exception):
    """Ends a part; the text is its row."""


class PartSkipped(Exception):
    """Ends a part that does not apply here."""


class Context:
    def __init__(self, args, deadline):
        self.args = args
        self.out = args.out
        self.logs = args.out / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.is_packed = (ROOT / "convoy").exists()
        self.build = ROOT if self.is_packed else BUILD / "cuda"
        self.convoy = self.build / "convoy"
        self.deadline = deadline
        self.limit = deadline  # of the part that runs
        self.gpus = []  # what nvidia-smi says of each
        self.library_folders = []
        self.output = ""  # of the command that ended last
        self.lock = threading.Lock()  # of the next two
        self.processes = set()  # that run
        self.is_stopped = False

    def find_libraries(self):
        """Sets where the programs find CUDA's libraries; names those that are nowhere."""
        from_pypi = CACHE / "cuda-from-pypi"
        packages = [*self.args.site_packages, from_pypi / "packages"]
        for environment in (from_pypi, Path(self.args.python).parent.parent):
            packages += environment.glob("lib/python3*/site-packages")
        self.library_folders, missing = cuda_libraries.find(self.wanted_libraries(), cuda_libraries.places(packages))
        return missing

    def wanted_libraries(self):
        module = self.build / "libconvoy_cuda.so"
        if not module.exists():
            raise PartFailed(f"{module} is missing: a build without CUDA")
        return cuda_libraries.wanted(module)

    def environment(self, own_libraries=True, **more):
        environment = dict(os.environ, OMP_WAIT_POLICY="passive", **more)
        if own_libraries and self.library_folders:
            before = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
            environment["LD_LIBRARY_PATH"] = ":".join(dict.fromkeys(self.library_folders + before))
        return environment

    def run(self, name, line, environment=None):
        """Runs a command to its end or the part's limit; all that it prints goes to logs/NAME.log too."""
        line = [str(word) for word in line]
        log = self.logs / f"{name}.log"
        start = time.monotonic()
        with log.open("w") as file:
            file.write("$ " + " ".join(line) + "\n")
            file.flush()
            process = self.start(line, file, environment or self.environment())
            try:
                code = process.wait(max(1.0, self.limit - start))
            except subprocess.TimeoutExpired:
                code = None
            finally:
                is_over = end(process)
                with self.lock:
                    self.processes.discard(process)
        output = log.read_text(errors="replace").split("\n", 1)[1]
        if not is_over:
            output += (f"\nprocess {process.pid} has outlived SIGKILL by {KILL_SECONDS} s: it hangs in the kernel or a "
                       "driver\n")
        self.output = output
        return Done(code, output, time.monotonic() - start)

    def start(self, line, file, environment):
        with self.lock:  # either stop() sees the process or it is not started
            if self.is_stopped:
                raise PartFailed("stopped")
            try:
                process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                                           env=environment, cwd=self.out, start_new_session=True)
            except OSError as error:
                raise PartFailed(f"{line[0]}: {error.strerror}") from error
            self.processes.add(process)
            return process

    def stop(self):
        """Kills what runs; nothing is started from then on."""
        with self.lock:
            self.is_stopped = True
            for process in self.processes:
                if process.poll() is None:
                    kill(process)

    def must_run(self, name, line, environment=None):
        done = self.run(name, line, environment)
        if done.code != 0:
            raise PartFailed(f"{how_it_ended(done)}: {last_line(done.output)}")
        return done


def kill(process):
    """The process and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def end(process):
    """Kills it where it still runs; whether it is over then."""
    if process.poll() is None:
        kill(process)
        try:
            process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            return False
    return True


def how_it_ended(done):
    if done.code is None:
        return f"stopped at its limit after {done.seconds:.0f} s"
    return f"exit {done.code}" if done.code >= 0 else signal.Signals(-done.code).name


def last_line(output):
    return (tail(output, 1) or ["no output"])[0].strip()


def tail(output, count):
    """The last lines that are not empty."""
    return [line.rstrip() for line in output.splitlines() if line.strip()][-count:]


def row(summary, is_good=True, lines=(), **figures):
    """What a part gives back: a line for the table, more lines for the page, and figures for the JSON."""
    return {"verdict": "passed" if is_good else "failed", "summary": summary, "lines": list(lines), "figures": figures}
