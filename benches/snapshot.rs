//! How many rows of state a second are written as a snapshot: out of the fold's tables into a Parquet file that is synced,
//! as a run does.
//!
//! `cargo bench --no-default-features --bench snapshot`

mod common;

use arrow::array::ArrayRef;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use foldline::fold::{Partition, stored_schema};
use foldline::state::arrow::to_arrow;
use foldline::state::parquet;

const EVENTS: usize = 1 << 18;
const ORDERS: usize = 1 << 16;

fn write(c: &mut Criterion) {
    let project = common::shop();
    let partitions = common::folded(&project, common::log(EVENTS, ORDERS));
    let schema = stored_schema(&project.aggregates[0]);
    let folder = tempfile::tempdir().expect("a folder");
    let mut group = c.benchmark_group("snapshot");
    group.sample_size(20);
    group.throughput(Throughput::Elements(partitions.iter().map(|p| p.table.len() as u64).sum()));
    group.bench_function("rows as Arrow", |b| b.iter(|| partitions.iter().map(arrays).collect::<Vec<_>>()));
    let mut number = 0;
    let mut path = || {
        number += 1;
        folder.path().join(format!("{number}.parquet"))
    };
    group.bench_function("rows as Parquet", |b| {
        b.iter_batched(
            &mut path,
            |path| {
                let group = |_| Ok(partitions.iter().map(arrays).collect());
                parquet::write_groups(&path, &schema, 1, group).expect("it is written")
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn arrays(partition: &Partition) -> Vec<ArrayRef> {
    let columns = partition.table.columns(&partition.table.slots());
    columns.iter().map(|column| to_arrow(column).expect("Arrow has its type")).collect()
}

criterion_group!(benches, write);
criterion_main!(benches);
