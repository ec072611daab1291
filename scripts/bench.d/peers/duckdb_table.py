"""DuckDB, by way of a table of events: the log is read once, then grouped three times."""

import duckdb  # noqa: F401  (loaded before the clock starts)

import duckdb_sql
from task import Task

task = Task()
connection = duckdb_sql.connect(task)
connection.execute(f"CREATE TEMP TABLE ev AS SELECT * FROM {duckdb_sql.events(task)}")
duckdb_sql.grouped(connection, "ev")
duckdb_sql.publish(connection, task)
task.done()
