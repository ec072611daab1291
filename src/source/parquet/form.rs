//! Which columns of a Parquet file are read, and which of its texts stand for JSON.

use crate::project::{Payload, Source};

/// What a source makes of the rows of a Parquet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The columns that the envelope and `where` name, sorted; `None`: the record is the payload, so all.
    columns: Option<Vec<String>>,
    /// The columns that are the payload or the metadata: a text in them that is an object stands in the record as that.
    documents: Vec<String>,
}

impl Form {
    pub fn of(source: &Source) -> Form {
        let envelope = &source.envelope;
        let mut columns: Vec<&String> = envelope.paths.iter().filter_map(|path| path.first()).collect();
        let mut documents = Vec::new();
        let mut all = false;
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
        Form { columns: (!all).then(|| columns.into_iter().cloned().collect()), documents }
    }

    pub fn needs(&self, column: &str) -> bool {
        self.columns.as_ref().is_none_or(|columns| columns.iter().any(|name| name == column))
    }

    pub fn is_document(&self, column: &str) -> bool {
        self.documents.iter().any(|name| name == column)
    }

    /// As a manifest keeps it: two that are written alike make the same of a file.
    pub fn written(&self) -> String {
        serde_json::json!([self.columns, self.documents]).to_string()
    }
}
