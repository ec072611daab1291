"""DuckDB, reading the log once and keeping no events: one GROUP BY with GROUPING SETS, its rows told apart afterwards."""

import duckdb  # noqa: F401  (loaded before the clock starts)

import duckdb_sql
from task import STATUS, Task

task = Task()
connection = duckdb_sql.connect(task)
status = " ".join(f"WHEN '{event}' THEN '{status}'" for event, status in STATUS.items())
connection.execute(f"""
    CREATE TEMP TABLE grouped AS SELECT grouping(stream_id) AS by_day, stream_id, sku, day,
        arg_max(data.name, version) FILTER (data.name IS NOT NULL) AS name,
        arg_max(data.country, version) FILTER (data.country IS NOT NULL) AS country,
        max(data.customer_id) AS customer_id,
        arg_max(CASE type {status} END, version) FILTER (type LIKE 'Order%') AS status,
        coalesce(sum(data.qty * data.price) FILTER (type = 'ItemAdded'), 0)::DECIMAL(18,2) AS total,
        coalesce(sum(data.qty) FILTER (type = 'ItemAdded'), 0)::BIGINT AS items,
        min(time) FILTER (type = 'OrderPlaced') AS placed_at
    FROM (SELECT *, CASE type WHEN 'ItemAdded' THEN data.sku END AS sku,
              CASE type WHEN 'ItemAdded' THEN time::DATE END AS day
          FROM {duckdb_sql.events(task)}
          WHERE type IN ('CustomerRegistered', 'CustomerMoved') OR stream_id LIKE 'order-%')
    GROUP BY GROUPING SETS ((stream_id), (sku, day))""")
connection.execute("""CREATE TEMP VIEW customer AS SELECT stream_id[10:] AS customer_id, name, country
    FROM grouped WHERE by_day = 0 AND stream_id LIKE 'customer-%'""")
connection.execute("""CREATE TEMP VIEW ord AS SELECT stream_id[7:] AS order_id, customer_id, status, total, items, placed_at
    FROM grouped WHERE by_day = 0 AND stream_id LIKE 'order-%'""")
connection.execute("""CREATE TEMP VIEW sales AS SELECT sku, day, items AS sold, total AS revenue
    FROM grouped WHERE by_day = 1 AND sku IS NOT NULL""")
duckdb_sql.publish(connection, task)
task.done()
