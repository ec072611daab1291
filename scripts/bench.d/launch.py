"""Runs a command and writes what it took to a file, as JSON.

A process of its own, as small as Python can be: Linux counts into a child's peak memory what its parent had when it
started it, and the benchmark itself has a DuckDB loaded.

    python -I -S launch.py FILE COMMAND...
"""

import os
import sys
import time

into, *command = sys.argv[1:]
begun = time.perf_counter()
child = os.posix_spawnp(command[0], command, os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - begun
# Linux counts in KiB, macOS in bytes.
peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
with open(into, "w") as file:
    file.write(
        f'{{"seconds": {seconds}, "processor_seconds": {usage.ru_utime + usage.ru_stime}, "peak_bytes": {peak_bytes}, '
        f'"exit": {os.waitstatus_to_exitcode(status)}}}'
    )
