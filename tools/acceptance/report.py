"""What tools/gpu_acceptance leaves: acceptance.json, acceptance.txt, and the machine's description in them."""

import json
import os
import platform
import shlex
import sys
import textwrap
import time
from pathlib import Path

WIDTH = 110


def write(context, rows, start):
    """Both files, whole at any moment; what is in them."""
    result = {
        "passed": all(row["verdict"] in ("passed", "skipped") for row in rows),
        "seconds": time.monotonic() - start,
        "command": shlex.join(["tools/gpu_acceptance", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "machine": machine(context),
        "parts": rows,
    }
    replace(context.out / "acceptance.json", json.dumps(result, indent=1) + "\n")
    replace(context.out / "acceptance.txt", page(result))
    return result


def replace(path, text):
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text)
    os.replace(temporary, path)


def line(row):
    """A part in a line."""
    return f"{row['verdict']:<11}{row['seconds']:6.1f} s  {row['name']:<14} {row['summary']}"


def machine(context):
    return {"gpus": context.gpus, "host": platform.node(), "processor": processor(),
            "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(), "system": system(),
            "libc": " ".join(platform.libc_ver()), "python": platform.python_version(),
            "library_path": context.environment().get("LD_LIBRARY_PATH", "")}


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
    lines.append("")
    for row in result["parts"]:
        lines += textwrap.wrap(line(row), WIDTH, subsequent_indent=" " * 36)
    for row in result["parts"]:
        if row["lines"]:
            lines += ["", f"{row['name']}:", *("  " + text for text in row["lines"])]
    lines = [text[:WIDTH].rstrip() for text in lines]
    if found["library_path"]:  # whole: for whoever runs one of the commands by hand
        lines += ["", f"LD_LIBRARY_PATH={found['library_path']}"]
    return "\n".join(lines) + "\n"
