//! What is done to the records of a file in their order, before they are the lines of the log: one may become several, or
//! wait for the next one.

mod canal;
mod file_name;
mod sqlserver;
mod test_decoding;
mod wal2json_v1;

use crate::project::quirks::FileQuirk;

pub use canal::Canal;
pub use file_name::FileName;
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

/// What the quirks of files do to the records of a file of this name, in their order.
pub fn rewrites(quirks: &[FileQuirk], file: &str) -> Vec<Box<dyn Rewrite>> {
    let rewrite = |quirk: &FileQuirk| -> Box<dyn Rewrite> {
        match quirk {
            FileQuirk::Canal => Box::new(Canal),
            FileQuirk::FileName => Box::new(FileName::new(file)),
            FileQuirk::SqlServer => Box::new(SqlServer::default()),
            FileQuirk::TestDecoding => Box::new(TestDecoding::default()),
            FileQuirk::Wal2jsonV1 => Box::new(Wal2jsonV1),
        }
    };
    quirks.iter().map(rewrite).collect()
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
