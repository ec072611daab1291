//! How many updates of state a second one core makes: events that are decoded and routed already, folded into one
//! aggregate. What is measured is the fold and all that its expressions cost, also the part that is computed by
//! column.
//!
//! `cargo bench --no-default-features --bench fold`

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use foldline::fold::{PARTITIONS, Partition, Routed, compute, route};
use foldline::project::{Project, load_text};
use foldline::source::Decoder;
use foldline::source::chunks::Chunk;
use foldline::source::sequence::Verdicts;

const EVENTS: usize = 1 << 16;
const STREAMS: usize = 1 << 12;

/// A project with one aggregate: `state` and the rules of `ItemAdded`.
fn project(state: &str, rule: &str) -> Project {
    let text = format!(
        "[project]\nname = \"bench\"\n[source.shop]\nfiles = [\"x.ndjson\"]\n\
         [event.ItemAdded]\nsku = \"VARCHAR NOT NULL\"\nqty = \"INTEGER NOT NULL\"\nprice = \"DECIMAL(10,2) NOT NULL\"\n\
         kind = \"VARCHAR\"\nweight = \"DOUBLE\"\n\
         [aggregate.order]\nsource = \"shop\"\nstream = \"order-{{order_id}}\"\n[aggregate.order.state]\n{state}\n\
         [aggregate.order.on.ItemAdded]\n{rule}\n\
         [read_model.orders]\naggregate = \"order\"\n[[read_model.orders.to]]\nparquet = \"orders.parquet\"\n"
    );
    match load_text(&text, Path::new("foldline.toml"), Path::new("/"), &BTreeMap::new(), &|_| None) {
        Ok(project) => project,
        Err(errors) => panic!("{errors:?}"),
    }
}

/// The same events for every project: streams in a scattered order.
fn events() -> Vec<u8> {
    let mut log = String::new();
    for i in 0..EVENTS {
        let order = i.wrapping_mul(2_654_435_761) % STREAMS;
        let (qty, cents, sku) = (1 + i % 9, 100 + i % 50_000, i.wrapping_mul(40_503) % 64);
        let kind = if i % 3 == 0 { "in" } else { "out" };
        log.push_str(&format!(
            "{{\"stream_id\":\"order-{order}\",\"type\":\"ItemAdded\",\"position\":{i},\"time\":\"2026-01-01T00:00:00Z\",\
             \"data\":{{\"sku\":\"sku-{sku}\",\"qty\":{qty},\"price\":\"{}.{:02}\",\"kind\":\"{kind}\",\"weight\":1.5}}}}\n",
            cents / 100,
            cents % 100
        ));
    }
    log.into_bytes()
}

struct Ready {
    project: Project,
    routed: Arc<Routed>,
    verdicts: Verdicts,
}

fn ready(state: &str, rule: &str) -> Ready {
    let project = project(state, rule);
    let chunk = Chunk { ordinal: 0, segment: 0, starts_file: true, bytes: events(), pending: 0, packed: 0 };
    let batch = Decoder::new(&project, 0).decode(&chunk).expect("the rules fit");
    let routed = Arc::new(route(batch, &project, &[true]));
    assert!(routed.batch.bad.is_empty(), "{:?}", routed.batch.bad.first());
    Ready { verdicts: Verdicts::new(routed.batch.events.len()), routed, project }
}

impl Ready {
    fn partitions(&self) -> Vec<Partition> {
        let mut partitions = (0..PARTITIONS).map(|_| Partition::new(&self.project.aggregates[0])).collect::<Vec<_>>();
        self.fold(&mut partitions);
        partitions
    }

    fn fold(&self, partitions: &mut [Partition]) {
        black_box(compute(&self.routed.batch));
        for (number, partition) in partitions.iter_mut().enumerate() {
            partition.fold(&self.project.aggregates[0], 0, number, &self.routed, &self.verdicts, &[]);
        }
    }
}

fn updates(c: &mut Criterion) {
    let mut group = c.benchmark_group("updates");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let cases = [
        ("total = total + qty * price", "total = \"DECIMAL(18,2) DEFAULT 0\"", "set.total = \"total + data.qty * data.price\""),
        ("count = count + 1", "count = \"BIGINT DEFAULT 0\"", "set.count = \"count + 1\""),
        ("last = event.time, sku", "last = \"TIMESTAMP\"\nsku = \"VARCHAR\"", "set.last = \"event.time\"\nset.sku = \"data.sku\""),
        ("weight = weight + weight (DOUBLE)", "weight = \"DOUBLE DEFAULT 0\"", "set.weight = \"weight + data.weight\""),
        (
            "by a condition on the row",
            "total = \"DECIMAL(18,2) DEFAULT 0\"\nstatus = \"VARCHAR DEFAULT 'new'\"",
            "when = \"status <> 'shipped'\"\nset.total = \"total + data.qty * data.price\"",
        ),
        (
            "CASE over event and row",
            "total = \"DECIMAL(18,2) DEFAULT 0\"",
            "set.total = \"CASE WHEN data.kind = 'in' THEN total + data.price ELSE total - data.price END\"",
        ),
        (
            "map_put(lines, sku, coalesce(lines[sku], 0) + qty)",
            "lines = \"MAP(VARCHAR, INTEGER) DEFAULT MAP {}\"",
            "set.lines = \"map_put(lines, data.sku, coalesce(lines[data.sku], 0) + data.qty)\"",
        ),
    ];
    for (name, state, rule) in cases {
        let ready = ready(state, rule);
        // The rows are there already: what is measured is updates, not the making of rows.
        let mut partitions = ready.partitions();
        group.bench_function(name, |b| b.iter_batched(|| (), |()| ready.fold(&mut partitions), BatchSize::SmallInput));
    }
    group.finish();
}

criterion_group!(benches, updates);
criterion_main!(benches);
