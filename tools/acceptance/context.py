"""What the parts of tools/gpu_acceptance share: where things lie, how a command is run, and what a part gives back."""

import os
import signal
import subprocess
import time
from collections import namedtuple
from pathlib import Path

import cuda_libraries

ROOT = Path(__file__).resolve().parent.parent.parent
Done = namedtuple("Done", "code output seconds")  # code None: stopped at the limit


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
        self.build = ROOT if self.is_packed else ROOT / "build" / "cuda"
        self.convoy = self.build / "convoy"
        self.deadline = deadline
        self.limit = deadline  # of the part that runs
        self.library_folders = []

    def find_libraries(self):
        """Sets where the programs find CUDA's libraries; names those that are nowhere."""
        module = self.build / "libconvoy_cuda.so"
        if not module.exists():
            raise PartFailed(f"{module} is missing: a build without CUDA")
        names = cuda_libraries.wanted(module)
        from_pypi = ROOT / "build" / "cuda-from-pypi"
        packages = [*self.args.site_packages, from_pypi / "packages"]
        for environment in (from_pypi, Path(self.args.python).parent.parent):
            packages += environment.glob("lib/python3*/site-packages")
        self.library_folders, missing = cuda_libraries.find(names, cuda_libraries.places(packages))
        return missing

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
            try:
                process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                                           env=environment or self.environment(), cwd=self.out, start_new_session=True)
            except OSError as error:
                raise PartFailed(f"{line[0]}: {error.strerror}") from error
            try:
                code = process.wait(max(1.0, self.limit - start))
            except subprocess.TimeoutExpired:
                code = None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        output = log.read_text(errors="replace").split("\n", 1)[1]
        return Done(code, output, time.monotonic() - start)

    def must_run(self, name, line, environment=None):
        done = self.run(name, line, environment)
        if done.code != 0:
            raise PartFailed(f"{how_it_ended(done)}: {last_line(done.output)}")
        return done


def how_it_ended(done):
    if done.code is None:
        return f"stopped at its limit after {done.seconds:.0f} s"
    return f"exit {done.code}" if done.code >= 0 else signal.Signals(-done.code).name


def last_line(output):
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def row(summary, is_good=True, lines=(), **figures):
    """What a part gives back: a line for the table, more lines for the page, and figures for the JSON."""
    return {"verdict": "passed" if is_good else "failed", "summary": summary, "lines": list(lines), "figures": figures}
