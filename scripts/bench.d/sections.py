"""The sections of the benchmark. Each is a generator of rows: dictionaries that go to the section's results as they are.

In every section the contestants take turns, round by round, so that a busy minute of the machine hits all of them.
"""

import json
import os
import sys

import contestants
import measure
from compare import same_rows
from containers import CONTAINERS
from contestants import HERE, Foldline, Peer
from logs import warm
from measure import Failed


class Bench:
    """What the sections work with: options, logs, a scratch folder, the binary."""

    def __init__(self, options, logs, scratch, binary, say):
        self.options = options
        self.logs = logs
        self.scratch = scratch
        self.binary = binary
        self.say = say

    def foldline(self, **more):
        return Foldline(self.binary, self.scratch, **more)

    def peers(self, system=None):
        names = [name for name in contestants.PEERS if contestants.system_of(name) in self.options.peers]
        return [Peer(name, self.scratch) for name in names if system in (None, contestants.system_of(name))]

    def rounds(self):
        for number in range(1, self.options.rounds + 1):
            self.say(f"  round {number} of {self.options.rounds}")
            yield number

    def told(self, row):
        self.say(f"    {row['name']:16} {row['seconds']:8.2f} s {row['peak_bytes'] / 1e6:8.0f} MB")
        return row


def job(bench, log, threads, peers, stage="whole", **more):
    """All contestants on one log; whatever a peer publishes has to be what foldline published."""
    warm(log.path)
    foldline = bench.foldline()
    about = {"events": log.events, "bytes": log.bytes, "packed": log.packed, "threads": threads, **more}
    failed = set()
    for number in bench.rounds():
        for contestant in [foldline, *peers]:
            if contestant.name in failed:
                continue
            try:
                row = bench.told(contestant.measure(log.path, threads, stage))
                if stage == "whole" and contestant is not foldline and number == 1:
                    row["rows"] = same_rows(foldline.out, contestant.out)
            except Failed as error:
                # A peer that cannot do the job is a result; wrong rows, or foldline failing, are not.
                if contestant is foldline or "has other rows" in str(error):
                    raise
                bench.say(f"    {contestant.name} cannot do it: {str(error)[-300:]}")
                failed.add(contestant.name)
                row = {"name": contestant.name, "failed": str(error).strip().splitlines()[-1][:200]}
            yield {**row, "round": number, **about}


def whole(bench):
    """The whole job from NDJSON."""
    yield from job(bench, bench.logs.ndjson(bench.options.events), bench.options.threads, bench.peers())


def zstd(bench):
    """The whole job from one .ndjson.zst."""
    yield from job(bench, bench.logs.zstd(bench.options.events), bench.options.threads, bench.peers())


def parquet(bench):
    """The whole job from one Parquet file."""
    # DataFusion has no function that takes a JSON text apart.
    peers = [peer for peer in bench.peers() if peer.name != "datafusion_sql"]
    yield from job(bench, bench.logs.parquet(bench.options.events), bench.options.threads, peers)


def replay(bench):
    """From the log to grouped tables, nothing published."""
    yield from job(bench, bench.logs.ndjson(bench.options.events), bench.options.threads, bench.peers("duckdb"), stage="replay")


def logs(bench):
    """Other shapes of logs: one stream with a fifth of the events, wide payloads, many events that nobody handles."""
    for kind, events in (("skew", bench.options.events), ("wide", bench.options.events // 8), ("unhandled", bench.options.events)):
        bench.say(f"  {kind}")
        yield from job(bench, bench.logs.ndjson(events, kind), bench.options.threads, bench.peers("duckdb"), kind=kind)


def threads(bench):
    """One thread against several."""
    for count in sorted({1, bench.options.threads}):
        bench.say(f"  threads: {count}")
        log = bench.logs.ndjson(bench.options.events)
        yield from job(bench, log, count, bench.peers("duckdb"))
        bench.say("  inspect")
        for number in bench.rounds():
            row = bench.told(bench.foldline().inspect(log.path, count))
            yield {**row, "what": "inspect", "round": number, "events": log.events, "bytes": log.bytes, "packed": log.packed, "threads": count}


def containers(bench):
    """An audit of the same log in each container, and DuckDB reading every field of it."""
    events = bench.options.events // 8
    for name, duckdb in CONTAINERS.items():
        bench.say(f"  {name}")
        logs = bench.logs
        log = {"ndjson": logs.ndjson, "ndjson.zst": logs.zstd, "parquet": logs.parquet}.get(name, lambda n: logs.container(n, name))(events)
        warm(log.path)
        about = {"container": name, "events": log.events, "bytes": log.bytes, "packed": log.packed, "threads": bench.options.threads}
        for number in bench.rounds():
            yield {**bench.told(bench.foldline().inspect(log.path, bench.options.threads)), "round": number, **about}
            if duckdb and "duckdb" in bench.options.peers:
                measured = measure.run([sys.executable, HERE / "containers.py", log.path, name, bench.options.threads], bench.scratch)
                seconds = json.loads(measured.stdout.splitlines()[-1])["seconds"]
                yield {**bench.told(contestants.row("duckdb", measured, seconds)), "round": number, **about}


def sizes(bench):
    """The same log, more and more of it: its parts are of one size, and each size takes the first ones."""
    unit = min(bench.options.sizes)
    counts = [int(bench.options.unit_events * unit)] * round(max(bench.options.sizes) / unit)
    parts = bench.logs.parts(counts)
    foldline = bench.foldline()
    for number in bench.rounds():
        for size in sorted(bench.options.sizes):
            used = parts[: round(size / unit)]
            folder = contestants.emptied(bench.scratch / "sizes")
            for part in used:
                os.symlink(part, folder / part.name)
            row = bench.told(foldline.measure(folder / "*.ndjson", bench.options.threads))
            events, size_bytes = sum(counts[: len(used)]), sum(part.stat().st_size for part in used)
            yield {**row, "round": number, "events": events, "bytes": size_bytes, "threads": bench.options.threads}


def incremental(bench):
    """A rebuild, a run after 1 % new events, and a run with nothing new."""
    fresh = bench.options.events // 100
    first, more = bench.logs.parts([bench.options.events - fresh, fresh])
    foldline = bench.foldline()
    for number in bench.rounds():
        folder = contestants.emptied(bench.scratch / "grown")
        pattern = folder / "*.ndjson"
        os.symlink(first, folder / first.name)
        foldline.fresh()
        foldline.run("run", pattern, bench.options.threads)
        os.symlink(more, folder / more.name)
        after = foldline.run("run", pattern, bench.options.threads)
        nothing = foldline.run("run", pattern, bench.options.threads)
        foldline.fresh()
        rebuild = foldline.run("rebuild", pattern, bench.options.threads)
        for what, row in (("rebuild", rebuild), ("run after 1 % new events", after), ("run with nothing new", nothing)):
            yield {**bench.told(row), "what": what, "round": number, "events": bench.options.events, "threads": bench.options.threads}


def memory(bench):
    """Peak memory over the log's size with a state that does not grow, and over the number of streams."""
    budget = bench.options.memory
    unit = min(bench.options.sizes)
    parts = bench.logs.parts([int(bench.options.unit_events * unit)] * round(max(bench.options.sizes) / unit))
    flat = bench.foldline(project="flat.toml", memory=budget)
    for size in sorted(bench.options.sizes):
        used = parts[: round(size / unit)]
        folder = contestants.emptied(bench.scratch / "sizes")
        for part in used:
            os.symlink(part, folder / part.name)
        row = bench.told(flat.measure(folder / "*.ndjson", bench.options.threads))
        yield {**row, "what": "log", "bytes": sum(part.stat().st_size for part in used), "budget": budget, "threads": bench.options.threads}
    for streams in bench.options.streams:
        log = bench.logs.ndjson(streams, "brief")
        row = bench.told(bench.foldline(memory=budget).measure(log.path, bench.options.threads))
        yield {**row, "what": "streams", "events": streams, "bytes": log.bytes, "budget": budget, "threads": bench.options.threads}
        os.remove(log.path)


SECTIONS = {function.__name__: function for function in (whole, zstd, parquet, replay, logs, containers, threads, sizes, incremental, memory)}
