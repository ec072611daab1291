"""The benchmark's command line: measures sections, keeps their results as JSON lines, and renders the page from them."""

import argparse
import json
import sys
import time
from pathlib import Path

import contestants
import machine
import page
from logs import Logs
from measure import Failed
from sections import SECTIONS, Bench

# Events of the shop in a gigabyte.
GIGABYTE_EVENTS = 3_700_000

FULL = {"events": 6_650_000, "rounds": 5, "sizes": "1,2,4,8,16", "streams": "1000000,2000000,5000000,10000000,20000000", "memory": "1GB"}
QUICK = {"events": 200_000, "rounds": 1, "sizes": "0.05,0.1,0.2", "streams": "50000,100000,200000", "memory": "200MB"}


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures foldline and its peers, side by side.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}, or page to render only [default: all]")
    parser.add_argument("--quick", action="store_true", help="a run of a minute on toy sizes; its page is not docs/benchmarks.md")
    parser.add_argument("--events", type=int, help=f"of the shop log [default: {FULL['events']}]")
    parser.add_argument("--rounds", type=int, help=f"[default: {FULL['rounds']}]")
    parser.add_argument("--threads", type=int, default=2, help="of each contestant [default: 2]")
    parser.add_argument("--sizes", help=f"of the logs of the section sizes, in GB [default: {FULL['sizes']}]")
    parser.add_argument("--streams", help=f"of the logs of the section memory [default: {FULL['streams']}]")
    parser.add_argument("--memory", help=f"budget of the section memory [default: {FULL['memory']}]")
    parser.add_argument("--peers", default="duckdb,clickhouse,polars,datafusion", help="[default: %(default)s]")
    parser.add_argument("--keep-logs", action="store_true", help="leave the logs in the work folder for the next time")
    parser.add_argument("--target", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.sizes = [float(size) for size in options.sizes.split(",")]
    options.streams = [int(count) for count in options.streams.split(",")]
    options.peers = options.peers.split(",")
    options.unit_events = GIGABYTE_EVENTS
    unknown = [name for name in options.sections if name not in [*SECTIONS, "page"]]
    if unknown:
        parser.error(f"no section is named {unknown[0]}; there are {', '.join(SECTIONS)}, page")
    return options


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    options = parse()
    work = options.target / "bench" / ("quick" if options.quick else "full")
    results = work / "results"
    results.mkdir(parents=True, exist_ok=True)
    binary = options.target / "release" / "foldline"
    logs = Logs(options.target / "release" / "examples" / "shop_log", work / "logs")
    scratch = contestants.emptied(work / "scratch")
    bench = Bench(options, logs, scratch, binary, say)
    head = {"machine": machine.describe(binary), "command": " ".join(["scripts/bench", *sys.argv[3:]]), "rounds": options.rounds}

    begun = time.perf_counter()
    for name in options.sections or SECTIONS:
        if name == "page":
            continue
        say(name)
        # A section that fails leaves its last results as they were.
        rows = [json.dumps(row) for row in SECTIONS[name](bench)]
        (results / f"{name}.jsonl").write_text("\n".join([json.dumps(head), *rows]) + "\n")
    if logs.seconds:
        say(f"{logs.seconds:.0f} s of {time.perf_counter() - begun:.0f} s went into writing logs")
    contestants.emptied(scratch).rmdir()
    if not options.keep_logs:
        contestants.emptied(work / "logs")

    to = work / "benchmarks.md" if options.quick else Path("docs/benchmarks.md")
    to.write_text(page.render(results))
    say(f"rendered {to}")


try:
    main()
except Failed as error:
    sys.exit(f"error: {error}")
