"""What a measurement was made on, and with."""

import datetime
import importlib.metadata
import os
import platform
import subprocess

PEERS = ["chdb", "datafusion", "duckdb", "polars", "pyarrow"]


def _first(path, key):
    try:
        with open(path) as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")
    except OSError:
        return ""


def _output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def describe(foldline):
    """The machine and all versions, as JSON."""
    memory_kb = _first("/proc/meminfo", "MemTotal").split(" ")[0]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": int(memory_kb) * 1024 if memory_kb.isdigit() else None,
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "foldline": _output(foldline, "--version").removeprefix("foldline ").strip(),
        "commit": _output("git", "rev-parse", "--short=12", "HEAD"),
        "rustc": " ".join(_output("rustc", "--version").split(" ")[1:2]),
        "python": platform.python_version(),
        **{peer: importlib.metadata.version(peer) for peer in PEERS},
    }
