"""Polars: one lazy plan for both tables, so that the log is read once; the streaming engine where it is faster."""

import os
import sys

os.environ["POLARS_MAX_THREADS"] = sys.argv[3]

import polars as pl

from task import ORDER_COLUMNS, SALES_COLUMNS, STATUS, Task

task = Task()
payload = pl.Struct(
    {"name": pl.String, "country": pl.String, "customer_id": pl.String, "sku": pl.String, "qty": pl.Int64, "price": pl.Float64}
)
schema = {"stream_id": pl.String, "type": pl.String, "version": pl.Int64, "time": pl.String, "data": payload}
if task.parquet:
    log = pl.scan_parquet(task.log).select("stream_id", "type", "version", "time", data=pl.col("data").str.json_decode(payload))
    moment = pl.col("time").dt.replace_time_zone(None).cast(pl.Datetime("us"))
else:
    log = pl.scan_ndjson(task.log, schema=schema)
    moment = pl.col("time").str.strptime(pl.Datetime("us"), "%Y-%m-%dT%H:%M:%S%.fZ", strict=True)

data = pl.col("data").struct
# Polars reads no decimals from JSON: cents are whole numbers, so that nothing is rounded.
cents = (data.field("price") * 100).round().cast(pl.Int64) * data.field("qty")
events = log.select(
    "stream_id",
    "type",
    "version",
    time=moment,
    name=data.field("name"),
    country=data.field("country"),
    customer_id=data.field("customer_id"),
    sku=data.field("sku"),
    qty=data.field("qty"),
    cents=cents,
)


def money(column):
    return (pl.col(column).cast(pl.Decimal(20, 2)) / 100).cast(pl.Decimal(18, 2)).alias(column)


def latest(column):
    there = pl.col(column).is_not_null()
    return pl.col(column).filter(there).sort_by(pl.col("version").filter(there)).last()


customers = (
    events.filter(pl.col("type").is_in(["CustomerRegistered", "CustomerMoved"]))
    .group_by(customer_id=pl.col("stream_id").str.slice(9))
    .agg(latest("name"), latest("country"))
)
orders = (
    events.filter(pl.col("stream_id").str.starts_with("order-"))
    .with_columns(status=pl.col("type").replace_strict(STATUS, default=None, return_dtype=pl.String))
    .group_by(order_id=pl.col("stream_id").str.slice(6))
    .agg(
        pl.col("customer_id").max(),
        latest("status"),
        pl.col("qty").sum().alias("items"),
        pl.col("cents").sum().alias("total"),
        pl.col("time").filter(pl.col("type") == "OrderPlaced").min().alias("placed_at"),
    )
    .with_columns(money("total"))
)
sales = (
    events.filter(pl.col("type") == "ItemAdded")
    .group_by("sku", day=pl.col("time").dt.date())
    .agg(pl.col("qty").sum().alias("sold"), pl.col("cents").sum().alias("revenue"))
    .with_columns(money("revenue"))
)
customers, orders, sales = pl.collect_all([customers, orders, sales], engine="streaming")
if task.whole:
    summary = orders.join(customers, on="customer_id").select(ORDER_COLUMNS).sort("order_id")
    summary.write_parquet(task.orders_file, compression="zstd")
    sales.select(SALES_COLUMNS).sort("sku", "day").write_parquet(task.sales_file, compression="zstd")
task.done()
