"""Who is measured: each gets a log and an empty folder, in a process of its own."""

import json
import os
import shutil
import sys
from pathlib import Path

import measure

HERE = Path(__file__).parent

# Name: who it is, and what it does. The first word of the name is the system; the best of its forms counts.
PEERS = {
    "duckdb_table": "DuckDB: `read_json` with declared STRUCT columns into a temp table, then three GROUP BYs",
    "duckdb_stream": "DuckDB: `read_json` with declared STRUCT columns streamed into each of three GROUP BYs",
    "duckdb_once": "DuckDB: `read_json` with declared STRUCT columns streamed once into GROUPING SETS",
    "clickhouse": "ClickHouse (chdb): JSONEachRow with declared columns into a table in memory, then three GROUP BYs",
    "polars_lazy": "Polars: `scan_ndjson` with a schema, three group_by in one streaming collect_all",
    "datafusion_sql": "DataFusion: JSON with a schema into a table in memory, then three GROUP BYs",
}
SYSTEMS = {"foldline": "foldline", "duckdb": "DuckDB", "clickhouse": "ClickHouse", "polars": "Polars", "datafusion": "DataFusion"}


def system_of(name):
    return name.split("_")[0]


def emptied(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def row(name, measured, seconds, **more):
    return {
        "name": name,
        "seconds": seconds,
        "processor_seconds": measured.processor_seconds,
        "peak_bytes": measured.peak_bytes,
        **more,
    }


class Peer:
    """A script of `peers/`. Its seconds are those of its work, without the start of Python."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder / name
        self.out = self.folder

    def measure(self, log, threads, stage="whole"):
        emptied(self.folder)
        script = HERE / "peers" / f"{self.name}.py"
        measured = measure.run([sys.executable, script, log, self.folder, str(threads), stage], self.folder)
        seconds = json.loads(measured.stdout.splitlines()[-1])["seconds"]
        return row(self.name, measured, seconds, process_seconds=measured.seconds)


class Foldline:
    """The release build on `foldline.toml`. Its seconds are those of the whole process."""

    name = "foldline"

    def __init__(self, binary, folder, project="foldline.toml", memory=None):
        self.binary = binary
        self.folder = folder / "foldline"
        self.out = self.folder / "out"
        self.project = project
        self.memory = ["--memory", memory] if memory else []

    def fresh(self):
        """An empty project folder."""
        shutil.copy(HERE / self.project, emptied(self.folder) / "foldline.toml")

    def command(self, verb, log, threads):
        command = [self.binary, verb, "--json", "--threads", str(threads), *self.memory]
        return measure.run(command, self.folder, {"LOG": os.fspath(log), "FOLDLINE_COLOR": "never"})

    def inspect(self, log, threads):
        """Audits the log: reads all of it and folds nothing."""
        self.fresh()
        measured = self.command("inspect", log, threads)
        return row(self.name, measured, measured.seconds)

    def run(self, verb, log, threads):
        """Runs a verb on what the folder holds."""
        measured = self.command(verb, log, threads)
        report = json.loads(measured.stdout)
        stages = report["stages"]
        replay = stages["scan"] + stages["fold"] + stages["snapshot"]
        return row(self.name, measured, measured.seconds, stages=stages, replay_seconds=replay)

    def measure(self, log, threads, stage="whole"):
        self.fresh()
        measured = self.run("rebuild", log, threads)
        if stage == "replay":
            measured["seconds"] = measured["replay_seconds"]
        return measured
