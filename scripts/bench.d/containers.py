"""A log of NDJSON in other containers, written by others' tools; and how DuckDB reads each, where it can.

    python containers.py LOG CONTAINER THREADS    reads it in DuckDB: every field of every record
"""

import gzip
import json
import shutil
import sys
import time

FIELDS = ["stream_id", "type", "version", "position", "time", "id", "data", "metadata"]
COLUMNS = "stream_id:'VARCHAR', type:'VARCHAR', version:'BIGINT', position:'BIGINT', time:'TIMESTAMP', id:'VARCHAR', data:'JSON', metadata:'JSON'"

# What can be read, in the order of the page: the file's ending, and by what DuckDB reads it.
CONTAINERS = {
    "ndjson": f"read_json('{{path}}', format='newline_delimited', columns={{{{{COLUMNS}}}}})",
    "ndjson.gz": f"read_json('{{path}}', format='newline_delimited', columns={{{{{COLUMNS}}}}})",
    "ndjson.zst": f"read_json('{{path}}', format='newline_delimited', columns={{{{{COLUMNS}}}}})",
    "ndjson.lz4": None,
    "json": f"read_json('{{path}}', format='array', columns={{{{{COLUMNS}}}}})",
    "csv": f"read_csv('{{path}}', header=true, auto_detect=false, quote='\"', escape='\"', columns={{{{{COLUMNS}}}}})",
    "parquet": "read_parquet('{path}')",
    "avro": None,
}


def rows(log):
    with open(log) as file:
        for line in file:
            row = json.loads(line)
            yield [json.dumps(row[field]) if field in ("data", "metadata") and row.get(field) is not None else row.get(field) for field in FIELDS]


def write(log, to, name):
    """The bytes are not those of foldline's own writers, so that nobody reads what he wrote himself."""
    if name == "ndjson.gz":
        with open(log, "rb") as source, gzip.open(to, "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target, 1 << 20)
    elif name == "ndjson.lz4":
        import lz4.frame

        with open(log, "rb") as source, lz4.frame.open(to, "wb", content_checksum=True) as target:
            shutil.copyfileobj(source, target, 1 << 20)
    elif name == "json":
        with open(log) as source, open(to, "w") as target:
            target.write("[")
            for number, line in enumerate(source):
                target.write((",\n" if number else "\n") + line.rstrip("\n"))
            target.write("\n]\n")
    elif name == "csv":
        import csv

        with open(to, "w", newline="") as target:
            writer = csv.writer(target, lineterminator="\n")
            writer.writerow(FIELDS)
            writer.writerows(rows(log))
    elif name == "avro":
        import fastavro

        kinds = {"version": "long", "position": "long"}
        fields = [{"name": field, "type": ["null", kinds.get(field, "string")]} for field in FIELDS]
        with open(to, "wb") as target:
            records = (dict(zip(FIELDS, row)) for row in rows(log))
            fastavro.writer(target, {"type": "record", "name": "event", "fields": fields}, records, codec="deflate")
    else:
        raise ValueError(name)


def main():
    import duckdb

    path, name, threads = sys.argv[1:4]
    connection = duckdb.connect()
    connection.execute(f"SET threads={threads}")
    read = ", ".join(f"max(length({field}::VARCHAR))" if field in ("data", "metadata") else f"max({field})" for field in FIELDS)
    begun = time.perf_counter()
    connection.execute(f"SELECT count(*), {read} FROM {CONTAINERS[name].format(path=path)}").fetchall()
    print(json.dumps({"seconds": time.perf_counter() - begun}), flush=True)


if __name__ == "__main__":
    main()
