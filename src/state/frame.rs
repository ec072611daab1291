//! The neutral table that stages hand to each other: snapshots, sequencer state, event tables, emitted rows.

use crate::sql::{Column, Type};

/// Named columns, all of one length.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    pub names: Vec<String>,
    pub columns: Vec<Column>,
}

impl Frame {
    /// A frame without rows.
    pub fn empty(columns: &[(String, Type)]) -> Frame {
        Frame {
            names: columns.iter().map(|(name, _)| name.clone()).collect(),
            columns: columns.iter().map(|(_, ty)| Column::new(ty.clone())).collect(),
        }
    }

    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.names.iter().position(|n| n == name).map(|i| &self.columns[i])
    }

    /// Names and types, as [`crate::state::parquet::read`] wants them.
    pub fn schema(&self) -> Vec<(String, Type)> {
        self.names.iter().cloned().zip(self.columns.iter().map(|c| c.ty.clone())).collect()
    }
}
