"""docs/benchmarks.md, rendered from the sections' results alone."""

import json
from statistics import median

import contestants
from contestants import SYSTEMS, system_of


def load(results):
    """By section: its head and its rows."""
    sections = {}
    for path in results.glob("*.jsonl"):
        head, *rows = [json.loads(line) for line in path.read_text().splitlines()]
        sections[path.stem] = (head, rows)
    return sections


def table(header, rows):
    """Markdown; the first column is text, the others numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def seconds(value):
    return f"{value:.2f}"


def megabytes(value):
    return f"{value / 1e6:,.0f}"


def ratio(value):
    return f"{value:.2f}"


def size(value):
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.1f} MB"


def medians(rows, *keys):
    """Groups rows by their name and `keys`, in the order in which they first come; medians of what is measured."""
    groups = {}
    for row in rows:
        groups.setdefault((row["name"], *[row.get(key) for key in keys]), []).append(row)
    result = {}
    for group, members in groups.items():
        measured = [row for row in members if "failed" not in row]
        if measured:
            columns = ("seconds", "processor_seconds", "peak_bytes")
            result[group] = {**measured[0], **{column: median(row[column] for row in measured) for column in columns}}
    return result


def best(results, system):
    """The fastest form of a system."""
    return min((row for (name, *_), row in results.items() if system_of(name) == system), key=lambda row: row["seconds"], default=None)


def job(rows):
    """A line for each contestant; how often foldline's time, and its memory, goes into theirs."""
    results = medians(rows)
    ours = results.get(("foldline",))
    if not ours:
        return "no results\n"
    counted = {id(best(results, system)) for system in SYSTEMS}
    lines = []
    for (name,), row in sorted(results.items(), key=lambda item: item[1]["seconds"]):
        label = f"**{name}**" if id(row) in counted else name
        lines.append(
            [
                label,
                seconds(row["seconds"]),
                ratio(row["seconds"] / ours["seconds"]),
                f"{row['events'] / row['seconds'] / 1e6:.2f}",
                seconds(row["processor_seconds"]),
                megabytes(row["peak_bytes"]),
                ratio(row["peak_bytes"] / ours["peak_bytes"]),
            ]
        )
    text = table(["", "seconds", "to foldline's", "M events/s", "processor s", "peak MB", "to foldline's"], lines)
    for row in rows:
        if "failed" in row:
            text += f"\n{row['name']} could not do it: `{row['failed']}`\n"
    return text


def about(rows):
    row = rows[0]
    packed = "" if row["packed"] == row["bytes"] else f", {size(row['packed'])} on disk"
    return f"{row['events']:,} events, {size(row['bytes'])} of NDJSON{packed}, {row['threads']} threads each.\n\n"


def whole(rows):
    return about(rows) + job(rows)


def replay(rows):
    ours = medians(rows).get(("foldline",))
    per_stage = {}
    for row in rows:
        if row["name"] == "foldline":
            for stage, value in row["stages"].items():
                per_stage.setdefault(stage, []).append(value)
    stages = ", ".join(f"{stage.replace('_', ' ')} {median(values):.2f} s" for stage, values in per_stage.items())
    rate = f"foldline's stages: {stages}. The replay goes at {ours['bytes'] / ours['seconds'] / 1e6:,.0f} MB/s.\n" if ours else ""
    note = (
        "Only the way from the log to the folded state: of foldline the stages scan, fold and snapshot of its report (the\n"
        "snapshot lies on disk afterwards), of DuckDB the log into grouped tables. Processor time and memory are those of the\n"
        "whole process.\n\n"
    )
    return about(rows) + note + job(rows) + "\n" + rate


KINDS = {
    "skew": "One stream has a fifth of the events",
    "wide": "Payloads of 2 KB",
    "unhandled": "Four fifths of the events are of 200 types that nobody handles",
}


def logs(rows):
    parts = []
    for kind, title in KINDS.items():
        chosen = [row for row in rows if row["kind"] == kind]
        if chosen:
            parts.append(f"**{title}** (`shop_log --{kind}`): {about(chosen)}{job(chosen)}")
    return "\n".join(parts)


def threads(rows):
    inspected = medians([row for row in rows if row.get("what") == "inspect"], "threads")
    rows = [row for row in rows if "what" not in row]
    results = medians(rows, "threads")
    counts = sorted({count for _, count in results})
    lines = []
    for name in dict.fromkeys(name for name, _ in results):
        times = [results[name, count]["seconds"] for count in counts if (name, count) in results]
        if len(times) == len(counts):
            lines.append([name, *map(seconds, times), ratio(times[0] / times[-1])])
    text = about(rows[:1]).replace("1 threads each", "the whole job")
    text += table(["", *[f"{count} thread{'s' if count > 1 else ''}: s" for count in counts], "speed-up"], lines)
    scans = []
    for count in counts:
        chosen = [row for row in rows if row["name"] == "foldline" and row["threads"] == count]
        if chosen:
            stages = {stage: median(row["stages"][stage] for row in chosen) for stage in ("scan", "fold", "snapshot", "read_models")}
            rate = chosen[0]["bytes"] / stages["scan"] / 1e6
            scans.append([count, *[seconds(value) for value in stages.values()], f"{rate:,.0f}"])
    text += "\nfoldline's stages:\n\n" + table(["threads", "scan s", "fold s", "snapshot s", "read models s", "scan MB/s"], scans)
    audits = [[count, seconds(row["seconds"]), f"{row['bytes'] / row['seconds'] / 1e6:,.0f}"] for (_, count), row in inspected.items()]
    return text + "\n`foldline inspect`, which reads all of the log and folds nothing:\n\n" + table(["threads", "seconds", "MB/s"], audits)


def sizes(rows):
    results = medians(rows, "bytes")
    rates = [row["events"] / row["seconds"] for row in results.values()]
    lines = []
    for row, rate in zip(results.values(), rates):
        columns = [seconds(row["seconds"]), f"{rate / 1e6:.2f}", f"{rate / rates[0]:.2f}", megabytes(row["peak_bytes"])]
        lines.append([size(row["bytes"]), f"{row['events']:,}", *columns])
    spread = (max(rates) - min(rates)) / max(rates) * 100
    text = table(["log", "events", "seconds", "M events/s", "to the first", "peak MB"], lines)
    return text + f"\nThe slowest rate is {spread:.0f} % below the fastest one.\n"


def incremental(rows):
    results = medians(rows, "what")
    rebuild = results["foldline", "rebuild"]["seconds"]
    lines = []
    for (_, what), row in results.items():
        lines.append([what, seconds(row["seconds"]), f"{row['seconds'] / rebuild * 100:.0f} %", megabytes(row["peak_bytes"])])
    return f"{rows[0]['events']:,} events.\n\n" + table(["", "seconds", "of the rebuild", "peak MB"], lines)


def containers(rows):
    results = medians(rows, "container")
    lines = []
    for name in dict.fromkeys(row["container"] for row in rows):
        ours, theirs = results.get(("foldline", name)), results.get(("duckdb", name))
        if not ours:
            continue
        columns = [f"{row['bytes'] / row['seconds'] / 1e6:,.0f}" if row else "–" for row in (ours, theirs)]
        columns.append(ratio(theirs["seconds"] / ours["seconds"]) if theirs else "–")
        lines.append([f"`.{name}`", size(ours["packed"]), seconds(ours["seconds"]), *columns])
    text = f"{rows[0]['events']:,} events, {size(rows[0]['bytes'])} of NDJSON in each container, {rows[0]['threads']} threads. `foldline inspect` reads the log as every "
    text += "run does: it checks, hashes and decodes each record; DuckDB reads every field. MB/s are those of the NDJSON.\n\n"
    return text + table(["container", "on disk", "seconds", "MB/s", "DuckDB MB/s", "DuckDB's time to foldline's"], lines)


def memory(rows):
    budget = rows[0]["budget"]
    text = f"With `--memory {budget}`. Over the size of the log, where the state does not grow (`scripts/bench.d/flat.toml`):\n\n"
    of_logs = [[size(row["bytes"]), seconds(row["seconds"]), megabytes(row["peak_bytes"])] for row in rows if row["what"] == "log"]
    text += table(["log", "seconds", "peak MB"], of_logs)
    text += "\nOver the number of streams, each with one event (`shop_log --brief`):\n\n"
    columns = [
        [f"{row['events']:,}", size(row["bytes"]), seconds(row["seconds"]), megabytes(row["peak_bytes"])]
        for row in rows
        if row["what"] == "streams"
    ]
    return text + table(["streams", "log", "seconds", "peak MB"], columns)


TITLES = {
    "whole": ("The whole job, from NDJSON", whole),
    "zstd": ("The whole job, from .ndjson.zst", whole),
    "parquet": ("The whole job, from Parquet", whole),
    "replay": ("Replay alone", replay),
    "logs": ("Other logs", logs),
    "containers": ("Containers", containers),
    "threads": ("One thread and several", threads),
    "sizes": ("Linear in the size of the log", sizes),
    "incremental": ("After 1 % of new events", incremental),
    "memory": ("Memory", memory),
}

INTRODUCTION = """\
# Benchmarks

Made by `scripts/bench`, from its own results; nothing here is written by hand. `scripts/bench --quick` shows in a minute
how it goes, `scripts/bench` takes about an hour.

The job: fold a shop's event log (`examples/shop_log`) into orders, customers and sales by product and day, and publish
orders joined with their customers, and sales, as two sorted, zstd-compressed Parquet files. Everybody reads the same
log and publishes the same rows: they are compared as multisets, and a difference fails the benchmark.

- Contestants take turns, each time in a fresh process with the same number of threads; figures are medians over the rounds.
  Logs lie in the system's file cache.
- Of the peers the time of the work counts, without the start of Python and the loading of modules; of foldline the time of
  the process, in which it also checks that each record is JSON, finds holes and duplicates in streams, hashes what it
  read, keeps a snapshot from which the next run goes on, and syncs all that it wrote to the disk.
- Peak memory is the largest resident set of the process, with Python where there is one.
- Of the forms of one system the best one counts; it is in **bold**.
"""


def machine(head):
    about = head["machine"]
    memory = f", {about['memory_bytes'] / 2**30:.0f} GiB of memory" if about.get("memory_bytes") else ""
    versions = ", ".join(f"{name} {about[name]}" for name in ("chdb", "datafusion", "duckdb", "polars", "pyarrow", "python"))
    return (
        f"{about['processor']}, {about['cores']} cores{memory}, {about['system']}; "
        f"foldline {about['foldline']} ({about['commit']}, rustc {about['rustc']}); {versions}"
    )


def render(results):
    sections = load(results)
    # What all sections have in common is said once.
    machines = list(dict.fromkeys(machine(head) for head, _ in sections.values()))
    text = INTRODUCTION + "\n## Set-up\n\n"
    text += "".join(f"{number}. {line}\n" for number, line in enumerate(machines, 1))
    text += "\n## Contestants\n\n"
    text += "".join(f"- `{name}`: {what}\n" for name, what in contestants.PEERS.items())
    for name, (title, render_section) in TITLES.items():
        if name not in sections:
            continue
        head, rows = sections[name]
        on = "" if len(machines) == 1 else f", set-up {machines.index(machine(head)) + 1}"
        rounds = "once" if name == "memory" or head["rounds"] == 1 else f"median of {head['rounds']} rounds"
        text += f"\n## {title}\n\n{render_section(rows)}\n{rounds.capitalize()}, {head['machine']['date']}{on}: `{head['command']}`\n"
    return text
