//! How many bytes of a log a second one core reads: the JSON scanner alone, and the decoder, which makes events of records.
//!
//! `cargo bench --no-default-features --bench scan`

mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use foldline::source::Decoder;
use foldline::source::json::{self, Paths};

const EVENTS: usize = 4096;

fn scanner(c: &mut Criterion) {
    let log = common::log(EVENTS, 1024);
    let text = std::str::from_utf8(&log).expect("it is text");
    let path = |name: &str| vec![name.to_string()];
    let names = ["stream_id", "type", "version", "position", "time", "id", "data", "metadata"].map(path);
    let paths = Paths::new(&names);
    let mut group = c.benchmark_group("scanner");
    group.throughput(Throughput::Bytes(log.len() as u64));
    group.bench_function("is it JSON", |b| b.iter(|| text.lines().filter(|line| json::check(line).is_ok()).count()));
    let mut found = Vec::new();
    group.bench_function("the envelope's fields", |b| {
        b.iter(|| {
            for line in text.lines() {
                json::scan(black_box(line), &paths, &mut found).expect("it is JSON");
            }
            found.len()
        });
    });
    group.finish();
}

fn decoder(c: &mut Criterion) {
    let project = common::shop();
    let chunk = common::chunk(common::log(EVENTS, 1024));
    let decoder = Decoder::new(&project, 0);
    let mut group = c.benchmark_group("decoder");
    group.throughput(Throughput::Bytes(chunk.bytes.len() as u64));
    group.bench_function("events and their payloads", |b| b.iter(|| decoder.decode(black_box(&chunk)).expect("the rules fit")));
    group.finish();
}

criterion_group!(benches, scanner, decoder);
criterion_main!(benches);
