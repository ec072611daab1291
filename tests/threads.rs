//! Any number of threads gives the same bytes.

mod common;

use common::{Project, shop_log};

#[test]
fn one_two_and_eight_threads_give_the_same_bytes() {
    let results = ["1", "2", "8"].map(|threads| {
        let project = Project::shop();
        project.foldline(&["run", "--threads", threads]).exits(0);
        (threads, project.parquet())
    });
    for (threads, parquet) in &results[1..] {
        for (name, bytes) in parquet {
            assert!(*bytes == results[0].1[name], "{name} with --threads {threads} differs from --threads 1");
        }
    }
}

#[test]
fn one_large_file_gives_the_same_bytes_as_many_compressed_ones() {
    let many = Project::shop();
    many.foldline(&["run", "--threads", "2"]).exits(0);
    let one = Project::shop_without_logs();
    one.write("events/all.ndjson", shop_log());
    one.foldline(&["run", "--threads", "3"]).exits(0);
    assert!(many.parquet() == one.parquet());
}
