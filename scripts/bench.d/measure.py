"""One process, from its start to its end: time, processor time, peak memory."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

LAUNCH = Path(__file__).parent / "launch.py"


@dataclass
class Measured:
    """Seconds, and bytes of the process's largest resident set."""

    seconds: float
    processor_seconds: float
    peak_bytes: int
    stdout: str


class Failed(Exception):
    """A process that did not do what it was asked for; the message has the end of what it said."""


def run(command, folder, env=None):
    """Runs a command in a folder and waits for it."""
    command = list(map(str, command))
    with tempfile.NamedTemporaryFile("r") as result, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        launch = [sys.executable, "-I", "-S", LAUNCH, result.name, *command]
        subprocess.run(launch, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, **(env or {})})
        said = result.read()
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read().decode(errors="replace"), err.read().decode(errors="replace")
        exit_code = json.loads(said)["exit"] if said else "none"
        if exit_code != 0:
            raise Failed(f"exit {exit_code} of {' '.join(command)}\n{(stderr or stdout)[-2000:]}")
        measured = json.loads(said)
        return Measured(measured["seconds"], measured["processor_seconds"], measured["peak_bytes"], stdout)
