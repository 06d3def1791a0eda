"""The page and the machine's description of tools/gpu_acceptance."""

import os
import platform
import textwrap
import time
from pathlib import Path

from parts import query_gpus

WIDTH = 110


def line(row):
    """A part in a line."""
    return f"{row['verdict']:<8}{row['seconds']:6.1f} s  {row['name']:<14} {row['summary']}"


def machine(context):
    context.limit = time.monotonic() + 10
    return {"gpus": query_gpus(context), "host": platform.node(), "processor": processor(),
            "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(), "system": system(),
            "libc": " ".join(platform.libc_ver()), "python": platform.python_version(),
            "library_folders": context.library_folders}


def processor():
    try:
        for text in Path("/proc/cpuinfo").read_text().splitlines():
            if text.startswith("model name"):
                return text.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def system():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, AttributeError, KeyError):
        return platform.system()


def page(result):
    """What fits on one page: machine, a line per part, and what a part has to say beyond it."""
    found = result["machine"]
    lines = [f"Convoy on a GPU: {'all parts passed' if result['passed'] else 'NOT ALL PARTS PASSED'}, "
             f"{result['date']}, {result['seconds']:.0f} s", f"$ {result['command']}", ""]
    for gpu in found["gpus"]:
        lines.append(f"{gpu['name']}, compute capability {gpu['compute_cap']}, {gpu['memory.total']}, at most "
                     f"{gpu['power.limit']} and {gpu['clocks.max.sm']}; driver {gpu['driver_version']}")
    if not found["gpus"]:
        lines.append("no nvidia-smi here")
    lines.append(f"{found['processor']}, {found['cores']} cores; {found['system']}, {found['libc']}, Python "
                 f"{found['python']}")
    if found["library_folders"]:
        lines.append(f"CUDA's libraries from {', '.join(found['library_folders'][:3])}"
                     f"{' ...' if len(found['library_folders']) > 3 else ''}")
    lines.append("")
    for row in result["parts"]:
        lines += textwrap.wrap(line(row), WIDTH, subsequent_indent=" " * 33)
    for row in result["parts"]:
        if row["lines"]:
            lines += ["", f"{row['name']}:", *("  " + text for text in row["lines"])]
    return "\n".join(text[:WIDTH].rstrip() for text in lines) + "\n"
