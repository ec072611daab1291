"""The logs that are measured: written once by `examples/shop_log`, kept in the work folder, the same bytes every time."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import measure

# A part of a log that grows beyond one file.
PART_EVENTS = 4_000_000


@dataclass
class Log:
    path: Path
    events: int
    """Bytes of NDJSON, however it is packed."""
    bytes: int
    """Bytes on disk."""
    packed: int


class Logs:
    """Writes logs on demand. `seconds` is the time that this has cost."""

    def __init__(self, shop_log, folder):
        self.shop_log = shop_log
        self.folder = folder
        self.seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def _write(self, path, make):
        """A log has its name only when it is whole."""
        if path.exists():
            return
        begun = time.perf_counter()
        staging = path.with_name(f"new-{path.name}")
        make(staging)
        os.replace(staging, path)
        self.seconds += time.perf_counter() - begun

    def ndjson(self, events, kind=None):
        """`kind`: an option of shop_log, such as `skew`."""
        path = self.folder / f"{kind or 'shop'}-{events}.ndjson"
        options = [f"--{kind}"] if kind else []
        self._write(path, lambda to: measure.run([self.shop_log, "--events", str(events), *options, "--out", to], self.folder))
        size = path.stat().st_size
        return Log(path, events, size, size)

    def zstd(self, events):
        plain = self.ndjson(events)
        path = self.folder / f"shop-{events}.ndjson.zst"
        make = [self.shop_log, "--events", str(events), "--zstd-level", "3", "--out"]
        self._write(path, lambda to: measure.run([*make, to], self.folder))
        return Log(path, events, plain.bytes, path.stat().st_size)

    def parquet(self, events):
        """The same records as rows; `data` and `metadata` are JSON text, as exporters write them."""
        plain = self.ndjson(events)
        path = self.folder / f"shop-{events}.parquet"

        def make(to):
            import duckdb

            columns = "stream_id:'VARCHAR', type:'VARCHAR', version:'BIGINT', position:'BIGINT', time:'TIMESTAMP', id:'VARCHAR', data:'JSON', metadata:'JSON'"
            duckdb.execute(
                f"COPY (SELECT * REPLACE (data::VARCHAR AS data, metadata::VARCHAR AS metadata)"
                f" FROM read_json('{plain.path}', format='newline_delimited', columns={{{columns}}}))"
                f" TO '{to}' (FORMAT parquet, COMPRESSION zstd)"
            )

        self._write(path, make)
        return Log(path, events, plain.bytes, path.stat().st_size)

    def container(self, events, name):
        """The same records in another container or compression: its file's ending. `data` and `metadata` are JSON text in rows."""
        plain = self.ndjson(events)
        path = self.folder / f"shop-{events}.{name}"

        def make(to):
            import containers

            containers.write(plain.path, to, name)

        self._write(path, make)
        return Log(path, events, plain.bytes, path.stat().st_size)

    def parts(self, counts, name="part"):
        """One log in several files with so many events each, in a folder of its own."""
        folder = self.folder / f"{name}-{'-'.join(map(str, counts))}"
        names = [f"{name}-{i + 1}.ndjson" for i in range(len(counts))]

        def make(to):
            to.mkdir()
            files = ",".join(f"{to / name}={count}" for name, count in zip(names, counts))
            measure.run([self.shop_log, "--events", str(sum(counts)), "--files", files], self.folder)

        self._write(folder, make)
        return [folder / name for name in names]


def warm(path):
    """Reads a file once, so that everybody finds it in the system's cache."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass
