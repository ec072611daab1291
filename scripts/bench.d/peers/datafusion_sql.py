"""DataFusion: the log into a table of events in memory, then grouped three times."""

import pyarrow as pa
from datafusion import SessionConfig, SessionContext

from task import STATUS, Task

task = Task()
context = SessionContext(SessionConfig().with_target_partitions(task.threads))
payload = pa.struct(
    [
        ("name", pa.string()),
        ("country", pa.string()),
        ("customer_id", pa.string()),
        ("sku", pa.string()),
        ("qty", pa.int64()),
        ("price", pa.decimal128(10, 2)),
    ]
)
schema = pa.schema(
    [("stream_id", pa.string()), ("type", pa.string()), ("version", pa.int64()), ("time", pa.timestamp("us")), ("data", payload)]
)
packed = "zst" if task.log.endswith(".zst") else None
extension = ".ndjson.zst" if packed else ".ndjson"
context.register_json("log", task.log, schema=schema, file_extension=extension, file_compression_type=packed)


def query(sql):
    return context.sql(sql).collect()


cases = " ".join(f"WHEN '{event}' THEN '{status}'" for event, status in STATUS.items())
query("""CREATE TABLE ev AS SELECT stream_id, type, version, time, data['name'] AS name, data['country'] AS country,
    data['customer_id'] AS customer_id, data['sku'] AS sku, data['qty'] AS qty, data['price'] AS price FROM log""")
query("""CREATE TABLE customer AS SELECT substr(stream_id, 10) AS customer_id,
    last_value(name ORDER BY version) FILTER (WHERE name IS NOT NULL) AS name,
    last_value(country ORDER BY version) FILTER (WHERE country IS NOT NULL) AS country
    FROM ev WHERE type IN ('CustomerRegistered', 'CustomerMoved') GROUP BY 1""")
query(f"""CREATE TABLE ord AS SELECT substr(stream_id, 7) AS order_id, max(customer_id) AS customer_id,
    last_value(CASE type {cases} END ORDER BY version) FILTER (WHERE type <> 'ItemAdded') AS status,
    CAST(coalesce(sum(qty * price), 0) AS DECIMAL(18,2)) AS total, coalesce(sum(qty), 0) AS items,
    min(time) FILTER (WHERE type = 'OrderPlaced') AS placed_at
    FROM ev WHERE stream_id LIKE 'order-%' GROUP BY 1""")
query("""CREATE TABLE sales AS SELECT sku, CAST(time AS DATE) AS day, sum(qty) AS sold,
    CAST(sum(qty * price) AS DECIMAL(18,2)) AS revenue FROM ev WHERE type = 'ItemAdded' GROUP BY 1, 2""")
if task.whole:
    query(f"""COPY (SELECT o.order_id, o.customer_id, c.name, c.country, o.status, o.items, o.total, o.placed_at
        FROM ord o JOIN customer c USING (customer_id) ORDER BY order_id)
        TO '{task.orders_file}' STORED AS PARQUET OPTIONS ('format.compression' 'zstd(3)')""")
    query(f"""COPY (SELECT sku, day, sold, revenue FROM sales ORDER BY sku, day)
        TO '{task.sales_file}' STORED AS PARQUET OPTIONS ('format.compression' 'zstd(3)')""")
task.done()
