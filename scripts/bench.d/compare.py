"""Whether two contestants published the same rows, told by DuckDB, whatever their order and exact types."""

import duckdb

import measure

TABLES = {
    "order_summary": "order_id::VARCHAR, customer_id::VARCHAR, name::VARCHAR, country::VARCHAR, status::VARCHAR, items::BIGINT,"
    " total::DECIMAL(18,2), placed_at::TIMESTAMP",
    "sales": "sku::VARCHAR, day::DATE, sold::BIGINT, revenue::DECIMAL(18,2)",
}


def same_rows(ours, theirs):
    """Fails with the first rows that differ. Gives the number of rows of each table."""
    counts = {}
    for table, columns in TABLES.items():
        left = f"SELECT {columns} FROM '{ours / table}.parquet'"
        right = f"SELECT {columns} FROM '{theirs / table}.parquet'"
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        differing = f"(({left}) EXCEPT ALL ({right})) UNION ALL (({right}) EXCEPT ALL ({left}))"
        rows = connection.execute(f"FROM ({differing}) LIMIT 6").fetchall()
        if rows:
            shown = "\n".join(map(str, rows))
            raise measure.Failed(f"{theirs} has other rows in {table} than {ours}:\n{shown}")
        counts[table] = connection.execute(f"SELECT count(*) FROM ({left})").fetchone()[0]
    return counts
