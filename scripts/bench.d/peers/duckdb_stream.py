"""DuckDB, without a table of events: the log is streamed into each GROUP BY, and so read three times."""

import duckdb  # noqa: F401  (loaded before the clock starts)

import duckdb_sql
from task import Task

task = Task()
connection = duckdb_sql.connect(task)
duckdb_sql.grouped(connection, duckdb_sql.events(task))
duckdb_sql.publish(connection, task)
task.done()
