//! What the benches have in common: a small shop, and a chunk of its log.
//!
//! Each bench is a program of its own and uses a part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use foldline::fold::{PARTITIONS, Partition, Routed, compute, route};
use foldline::project::{Project, load_text};
use foldline::source::chunks::Chunk;
use foldline::source::sequence::Verdicts;
use foldline::source::{Batch, Decoder};

/// Orders within their streams, and sales by a key that spans streams.
const SHOP: &str = r#"
[project]
name = "bench"
[source.shop]
files = ["x.ndjson"]
[event.OrderPlaced]
customer_id = "VARCHAR NOT NULL"
[event.ItemAdded]
sku   = "VARCHAR NOT NULL"
qty   = "INTEGER NOT NULL"
price = "DECIMAL(10,2) NOT NULL"
[aggregate.order]
source = "shop"
stream = "order-{order_id}"
[aggregate.order.state]
customer_id = "VARCHAR"
total       = "DECIMAL(18,2) DEFAULT 0"
items       = "BIGINT DEFAULT 0"
placed_at   = "TIMESTAMP"
[aggregate.order.on.OrderPlaced]
take          = ["customer_id"]
set.placed_at = "event.time"
[aggregate.order.on.ItemAdded]
set.total = "total + data.qty * data.price"
set.items = "items + data.qty"
[aggregate.sku_sales]
source = "shop"
key    = { sku = "data.sku", day = "event.time::DATE" }
[aggregate.sku_sales.state]
sold    = "BIGINT DEFAULT 0"
revenue = "DECIMAL(18,2) DEFAULT 0"
[aggregate.sku_sales.on.ItemAdded]
set.sold    = "sold + data.qty"
set.revenue = "revenue + data.qty * data.price"
[read_model.orders]
aggregate = "order"
[[read_model.orders.to]]
parquet = "orders.parquet"
"#;

pub fn shop() -> Project {
    match load_text(SHOP, Path::new("foldline.toml"), Path::new("/"), &BTreeMap::new(), &|_| None) {
        Ok(project) => project,
        Err(errors) => panic!("{errors:?}"),
    }
}

/// A log of so many events over so many orders, in a scattered order; a third of them is of a type that nobody handles.
pub fn log(events: usize, orders: usize) -> Vec<u8> {
    let mut versions = vec![0u32; orders];
    let mut log = String::with_capacity(events * 270);
    for i in 0..events {
        let order = i.wrapping_mul(2_654_435_761) % orders;
        versions[order] += 1;
        let (version, qty, cents) = (versions[order], 1 + i % 9, 100 + i % 50_000);
        let (sku, second) = (i.wrapping_mul(40_503) % 5000, i % 86_400);
        let (event_type, data) = match (version, i % 3) {
            (1, _) => ("OrderPlaced", format!("{{\"customer_id\":\"{}\",\"currency\":\"EUR\"}}", i % 977)),
            (_, 0) => ("ParcelScanned", format!("{{\"depot\":\"depot {}\",\"note\":\"on its way\"}}", i % 31)),
            _ => ("ItemAdded", format!("{{\"sku\":\"SKU-{sku:05}\",\"qty\":{qty},\"price\":{}.{:02}}}", cents / 100, cents % 100)),
        };
        log.push_str(&format!(
            "{{\"stream_id\":\"order-{order}\",\"type\":\"{event_type}\",\"version\":{version},\"position\":{i},\
             \"time\":\"2026-01-{:02}T{:02}:{:02}:{:02}.{:03}Z\",\"id\":\"018cc252-39fc-771c-8186-{i:012x}\",\"data\":{data},\
             \"metadata\":{{\"correlation_id\":\"{:016x}\",\"channel\":\"mobile\"}}}}\n",
            1 + i % 28,
            second / 3600,
            second / 60 % 60,
            second % 60,
            i % 1000,
            i.wrapping_mul(0x9e37_79b9)
        ));
    }
    log.into_bytes()
}

pub fn chunk(bytes: Vec<u8>) -> Chunk {
    Chunk { ordinal: 0, segment: 0, starts_file: true, bytes, pending: 0, packed: 0 }
}

pub fn decoded(project: &Project, chunk: &Chunk) -> Batch {
    let batch = Decoder::new(project, 0).decode(chunk).expect("the rules fit");
    assert!(batch.bad.is_empty(), "{:?}", batch.bad.first());
    batch
}

/// The orders of a log, folded.
pub fn folded(project: &Project, log: Vec<u8>) -> Vec<Partition> {
    let routed: Arc<Routed> = Arc::new(route(decoded(project, &chunk(log)), project, &[true, true]));
    let verdicts = Verdicts::new(routed.batch.events.len());
    compute(&routed.batch);
    let mut partitions: Vec<Partition> = (0..PARTITIONS).map(|_| Partition::new(&project.aggregates[0])).collect();
    for (number, partition) in partitions.iter_mut().enumerate() {
        partition.fold(&project.aggregates[0], 0, number, &routed, &verdicts, &[]);
    }
    partitions
}
