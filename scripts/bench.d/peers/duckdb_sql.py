"""The job in DuckDB's SQL, shared by its forms."""

from task import STATUS

PAYLOAD = "STRUCT(name VARCHAR, country VARCHAR, customer_id VARCHAR, sku VARCHAR, qty INTEGER, price DECIMAL(10,2))"


def connect(task):
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads={task.threads}")
    connection.execute("SET preserve_insertion_order=false")
    return connection


def events(task):
    """The log as a table expression with the columns that the job needs; `data` is a STRUCT."""
    if task.parquet:
        fields = [field.split(" ", 1) for field in PAYLOAD[len("STRUCT(") : -1].split(", ")]
        payload = "{" + ", ".join(f'"{name}": "{kind}"' for name, kind in fields) + "}"
        return (
            f"(SELECT stream_id, type, version, time::TIMESTAMP AS time, json_transform(data, '{payload}') AS data"
            f" FROM read_parquet('{task.log}'))"
        )
    return (
        f"read_json('{task.log}', format='newline_delimited', columns={{stream_id:'VARCHAR', type:'VARCHAR',"
        f" version:'BIGINT', time:'TIMESTAMP', data:'{PAYLOAD}'}})"
    )


def grouped(connection, events):
    """Makes the tables customer, ord and sales of the events."""
    status = " ".join(f"WHEN '{event}' THEN '{status}'" for event, status in STATUS.items())
    connection.execute(f"""
        CREATE TEMP TABLE customer AS SELECT stream_id[10:] AS customer_id,
            arg_max(data.name, version) FILTER (data.name IS NOT NULL) AS name,
            arg_max(data.country, version) FILTER (data.country IS NOT NULL) AS country
        FROM {events} WHERE type IN ('CustomerRegistered', 'CustomerMoved') GROUP BY 1""")
    connection.execute(f"""
        CREATE TEMP TABLE ord AS SELECT stream_id[7:] AS order_id, max(data.customer_id) AS customer_id,
            arg_max(CASE type {status} END, version) FILTER (type <> 'ItemAdded') AS status,
            coalesce(sum(data.qty * data.price), 0)::DECIMAL(18,2) AS total, coalesce(sum(data.qty), 0)::BIGINT AS items,
            min(time) FILTER (type = 'OrderPlaced') AS placed_at
        FROM {events} WHERE stream_id LIKE 'order-%' GROUP BY 1""")
    connection.execute(f"""
        CREATE TEMP TABLE sales AS SELECT data.sku AS sku, time::DATE AS day, sum(data.qty)::BIGINT AS sold,
            sum(data.qty * data.price)::DECIMAL(18,2) AS revenue
        FROM {events} WHERE type = 'ItemAdded' GROUP BY 1, 2""")


def publish(connection, task):
    if not task.whole:
        return
    connection.execute(f"""
        COPY (SELECT o.order_id, o.customer_id, c.name, c.country, o.status, o.items, o.total, o.placed_at
              FROM ord o JOIN customer c USING (customer_id) ORDER BY order_id)
        TO '{task.orders_file}' (FORMAT parquet, COMPRESSION zstd)""")
    connection.execute(f"""
        COPY (SELECT sku, day, sold, revenue FROM sales ORDER BY sku, day)
        TO '{task.sales_file}' (FORMAT parquet, COMPRESSION zstd)""")
