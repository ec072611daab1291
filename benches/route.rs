//! How many events a second one core brings to the partitions and keys of two aggregates: one within streams, one across.
//!
//! `cargo bench --no-default-features --bench route`

mod common;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use foldline::fold::route;

const EVENTS: usize = 4096;

fn router(c: &mut Criterion) {
    let project = common::shop();
    let chunk = common::chunk(common::log(EVENTS, 1024));
    let mut group = c.benchmark_group("router");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, active) in [("by stream", [true, false]), ("by a key across streams", [false, true]), ("both", [true, true])] {
        group.bench_function(name, |b| {
            b.iter_batched(|| common::decoded(&project, &chunk), |batch| route(batch, &project, &active), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, router);
criterion_main!(benches);
