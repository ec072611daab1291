"""What every peer is asked for: its arguments, and how it says how long it took.

    python PEER.py LOG OUT THREADS STAGE

LOG     a log: *.ndjson, *.ndjson.zst or *.parquet (there `data` is JSON text)
OUT     an empty folder for order_summary.parquet and sales.parquet
STAGE   `whole`: to the two sorted, zstd-compressed files; `replay`: only to grouped tables

The last line on stdout is a JSON object: seconds of work, without the start of Python and the loading of modules.
"""

import json
import sys
import time

ORDER_COLUMNS = ["order_id", "customer_id", "name", "country", "status", "items", "total", "placed_at"]
SALES_COLUMNS = ["sku", "day", "sold", "revenue"]

# The status that an event gives an order; ItemAdded leaves it.
STATUS = {"OrderPlaced": "placed", "OrderPaid": "paid", "OrderShipped": "shipped", "OrderCancelled": "cancelled"}


class Task:
    def __init__(self):
        self.log, self.out, threads, self.stage = sys.argv[1:5]
        self.threads = int(threads)
        self.whole = self.stage == "whole"
        self.parquet = self.log.endswith(".parquet")
        self.orders_file = f"{self.out}/order_summary.parquet"
        self.sales_file = f"{self.out}/sales.parquet"
        self.begun = time.perf_counter()

    def done(self):
        print(json.dumps({"seconds": time.perf_counter() - self.begun}), flush=True)
