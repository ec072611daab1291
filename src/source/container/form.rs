//! How a source wants the records of its files: which columns are read, which of its texts stand for JSON, how rows of text are
//! written, which quirks of files there are.

use crate::project::quirks::FileQuirk;
use crate::project::{CsvForm, Format, Payload, Source};

/// How rows of text are written, as the project says; see [`CsvForm`].
pub type Rows = CsvForm;

/// What a source makes of the records of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The columns that the envelope and `where` name, sorted; `None`: all.
    columns: Option<Vec<String>>,
    /// The columns that are the payload or the metadata: a text in them that is an object stands in the record as that.
    documents: Vec<String>,
    format: Option<Format>,
    rows: Rows,
    records: Option<Vec<String>>,
    quirks: Vec<FileQuirk>,
}

impl Form {
    pub fn of(source: &Source) -> Form {
        let envelope = &source.envelope;
        let mut columns: Vec<&String> = envelope.paths.iter().filter_map(|path| path.first()).collect();
        let mut documents = Vec::new();
        // what quirks look at nobody knows
        let mut all = source.quirks != Default::default();
        for payload in [Some(&envelope.data), envelope.metadata.as_ref()].into_iter().flatten() {
            match payload {
                Payload::Record => all = true,
                Payload::Path(path) => {
                    columns.extend(path.first());
                    if let [column] = &path[..] {
                        documents.push(column.clone());
                    }
                }
                // its names are among the envelope's
                Payload::Expr(_) => {}
            }
        }
        columns.sort();
        columns.dedup();
        documents.sort();
        documents.dedup();
        Form {
            columns: (!all).then(|| columns.into_iter().cloned().collect()),
            documents,
            format: source.format,
            rows: source.csv.clone(),
            records: source.records.clone(),
            quirks: source.quirks.of_files.clone(),
        }
    }

    pub fn needs(&self, column: &str) -> bool {
        self.columns.as_ref().is_none_or(|columns| columns.iter().any(|name| name == column))
    }

    pub fn is_document(&self, column: &str) -> bool {
        self.documents.iter().any(|name| name == column)
    }

    /// What the project says that the files are.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Where a document has its records.
    pub fn records(&self) -> Option<&[String]> {
        self.records.as_deref()
    }

    pub fn quirks(&self) -> &[FileQuirk] {
        &self.quirks
    }

    /// As a manifest keeps it of a Parquet file: two that are written alike make the same of a file.
    pub fn written(&self) -> String {
        serde_json::json!([self.columns, self.documents]).to_string()
    }

    /// As a manifest keeps it of files in other containers.
    pub fn written_of(&self, container: &str) -> String {
        let quirks: Vec<&str> = self.quirks.iter().map(|quirk| quirk.name()).collect();
        let rows = &self.rows;
        let rows = serde_json::json!([rows.header, rows.columns, rows.delimiter, rows.quote, rows.null]);
        serde_json::json!([container, self.columns, self.documents, rows, self.records, quirks]).to_string()
    }
}
