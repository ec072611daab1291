"""ClickHouse in its embedded form, chdb: the log into a table of events in memory, then grouped three times."""

from chdb.session import Session

from task import STATUS, Task

task = Task()
session = Session()
for setting in (
    f"max_threads = {task.threads}",
    f"max_insert_threads = {task.threads}",
    "input_format_json_defaults_for_missing_elements_in_named_tuple = 1",
    "date_time_input_format = 'best_effort'",
    "output_format_parquet_compression_method = 'zstd'",
    "output_format_parquet_string_as_string = 1",
    "join_use_nulls = 0",
):
    session.query(f"SET {setting}")

fields = {"name": "String", "country": "String", "customer_id": "String", "sku": "String", "qty": "Int32", "price": "Decimal(10,2)"}
if task.parquet:
    payload = ", ".join(f"{name} {kind}" for name, kind in fields.items())
    source = f"""(SELECT stream_id, type, version, time, JSONExtract(assumeNotNull(data), 'Tuple({payload})') AS data
        FROM file('{task.log}', Parquet, 'stream_id String, type LowCardinality(String), version UInt32, time DateTime64(3, \\'UTC\\'), data String'))"""
else:
    payload = ", ".join(f"{name} {kind}" for name, kind in fields.items())
    source = f"""file('{task.log}', JSONEachRow, 'stream_id String, type LowCardinality(String), version UInt32,
        time DateTime64(3, \\'UTC\\'), data Tuple({payload})')"""
cases = ", ".join(f"type = '{event}', '{status}'" for event, status in STATUS.items())

session.query(f"CREATE TABLE ev ENGINE = Memory AS SELECT stream_id, type, version, time, data FROM {source}")
session.query("""CREATE TABLE customer ENGINE = Memory AS SELECT substring(stream_id, 10) AS customer_id,
    argMaxIf(data.name, version, data.name <> '') AS name, argMaxIf(data.country, version, data.country <> '') AS country
    FROM ev WHERE type IN ('CustomerRegistered', 'CustomerMoved') GROUP BY customer_id""")
session.query(f"""CREATE TABLE ord ENGINE = Memory AS SELECT substring(stream_id, 7) AS order_id,
    max(data.customer_id) AS customer_id, argMaxIf(multiIf({cases}, ''), version, type <> 'ItemAdded') AS status,
    CAST(sum(data.qty * data.price) AS Decimal(18,2)) AS total, CAST(sum(data.qty) AS Int64) AS items,
    minIf(time, type = 'OrderPlaced') AS placed_at
    FROM ev WHERE startsWith(stream_id, 'order-') GROUP BY order_id""")
session.query("""CREATE TABLE sales ENGINE = Memory AS SELECT data.sku AS sku, toDate32(time) AS day,
    CAST(sum(data.qty) AS Int64) AS sold, CAST(sum(data.qty * data.price) AS Decimal(18,2)) AS revenue
    FROM ev WHERE type = 'ItemAdded' GROUP BY sku, day""")
if task.whole:
    session.query(f"""INSERT INTO FUNCTION file('{task.orders_file}', Parquet)
        SELECT order_id, customer_id, name, country, status, items, total, placed_at
        FROM ord AS o INNER JOIN customer AS c USING (customer_id) ORDER BY order_id""")
    session.query(f"INSERT INTO FUNCTION file('{task.sales_file}', Parquet) SELECT sku, day, sold, revenue FROM sales ORDER BY sku, day")
task.done()
