//! What is done to the records of a file in their order, before they are the lines of the log: one may become several, or
//! wait for the next one.

mod canal;
mod sqlserver;
mod test_decoding;
mod wal2json_v1;

pub use canal::Canal;
pub use sqlserver::SqlServer;
pub use test_decoding::TestDecoding;
pub use wal2json_v1::Wal2jsonV1;

/// Rewrites the records of one file. What it makes is whole lines of NDJSON.
pub trait Rewrite: Send {
    /// Takes the next record and appends what is made of it. The error says what is wrong with the record; what was appended
    /// before it counts.
    fn record(&mut self, record: &str, out: &mut String) -> Result<(), String>;

    /// The file has ended. The error says what its last records lack.
    fn end(&mut self, out: &mut String) -> Result<(), String>;
}

#[cfg(test)]
fn rewritten(rewrite: &mut dyn Rewrite, records: &[&str]) -> Result<String, String> {
    let mut out = String::new();
    for record in records {
        rewrite.record(record, &mut out)?;
    }
    rewrite.end(&mut out)?;
    Ok(out)
}
