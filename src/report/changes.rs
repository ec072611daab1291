//! What `diff` found: data, and its text for a person.

use serde::Serialize;

use super::{counted, differences, human_bytes};
use crate::model::compare::Difference;
use crate::printable::printable;

/// Today's definitions against a published generation.
#[derive(Debug, Clone, Serialize)]
pub struct Changes {
    pub project: String,
    /// The generation that today's definitions were compared with.
    pub generation: u64,
    /// Records and bytes (on disk) that the replay read.
    pub records: u64,
    pub bytes_read: u64,
    pub read_models: Vec<ModelChange>,
}

/// One read model.
#[derive(Debug, Clone, Serialize)]
pub struct ModelChange {
    pub name: String,
    pub status: ModelStatus,
    /// Under today's definitions; of one that is gone: when it was published.
    pub rows: Option<u64>,
    /// `fresh` is what today's definitions give.
    pub difference: Option<Difference>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelStatus {
    Same,
    Changed,
    /// Not published at this target yet.
    New,
    /// Published, and not in the project any more.
    Gone,
}

impl Changes {
    pub fn is_none(&self) -> bool {
        self.read_models.iter().all(|m| m.status == ModelStatus::Same)
    }
}

/// What `diff` found, read model by read model.
pub fn changes(found: &Changes) -> String {
    let read = format!("{}, {}", counted(found.records, "record"), human_bytes(found.bytes_read));
    let mut out =
        format!("{}: today's definitions against generation {}, on its log ({read})\n", printable(&found.project), found.generation);
    for model in &found.read_models {
        let rows = model.rows.map_or(String::new(), |rows| format!(", {}", counted(rows, "row")));
        let status = match model.status {
            ModelStatus::Same => "no change",
            ModelStatus::Changed => "CHANGES",
            ModelStatus::New => "not published yet",
            ModelStatus::Gone => "not in the project any more",
        };
        out.push_str(&format!("  read model {}: {status}{rows}\n", printable(&model.name)));
        out.push_str(&model.difference.as_ref().map_or(String::new(), differences));
    }
    out
}
