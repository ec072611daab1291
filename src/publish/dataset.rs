//! A dataset folder: `<target>/gen-<n>-<id>/country=DE/<model>.gen-<n>-<id>.parquet`, reached through the
//! link `<target>/current`. File names carry the generation, so that a reader who mixes two notices.

use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, StringArray};
use arrow::record_batch::RecordBatch;

use super::Staged;
use super::parquet::ParquetFile;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::model::ModelRows;
use crate::state::manifest::DataFile;

/// What Hive and its readers take for NULL.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Characters of a partition's value; a longer one is hardly meant as a folder's name.
const VALUE_CHARS_MAX: usize = 200;

/// Bytes of a file's name that every file system takes.
const NAME_BYTES_MAX: usize = 255;

/// Writes rows into a new folder, one file for each combination of the partition columns' values (which
/// come first in each batch, as text, and order the rows).
pub(super) fn stage(dir: &Path, rows: ModelRows, model: &str, partition_by: &[String], file_name: &str) -> Result<Staged> {
    let depth = partition_by.len();
    let schema = rows.schema();
    let stored: Vec<usize> = (depth..schema.fields().len()).collect();
    let stored_schema = std::sync::Arc::new(schema.project(&stored).map_err(arrow)?);
    let mut dataset = Dataset { dir, file_name, files: Vec::new(), open: None };
    if depth == 0 {
        dataset.open = Some((PathBuf::new(), ParquetFile::create(&dir.join(file_name), stored_schema.clone(), &[])?));
    }
    for batch in rows {
        let batch = batch?;
        let values: Vec<&StringArray> = batch.columns()[..depth].iter().filter_map(|c| c.as_string_opt::<i32>()).collect();
        if values.len() != depth {
            return Err(Error::internal("the partition columns are not text"));
        }
        let data = batch.project(&stored).map_err(arrow)?;
        let mut start = 0;
        while start < batch.num_rows() {
            let end = (start + 1..batch.num_rows()).find(|row| differ(&values, start, *row)).unwrap_or(batch.num_rows());
            if depth > 0 {
                dataset.enter(folder(partition_by, &values, start)?, &stored_schema)?;
            }
            dataset.write(&data.slice(start, end - start))?;
            start = end;
        }
    }
    dataset.close()?;
    dataset.finish(model)
}

struct Dataset<'a> {
    dir: &'a Path,
    file_name: &'a str,
    files: Vec<DataFile>,
    /// The partition's folder and its file.
    open: Option<(PathBuf, ParquetFile)>,
}

impl Dataset<'_> {
    fn enter(&mut self, folder: PathBuf, schema: &arrow::datatypes::SchemaRef) -> Result<()> {
        if self.open.as_ref().is_some_and(|(open, _)| *open == folder) {
            return Ok(());
        }
        self.close()?;
        files::create_dir_all(&self.dir.join(&folder))?;
        let file = ParquetFile::create(&self.dir.join(&folder).join(self.file_name), schema.clone(), &[])?;
        self.open = Some((folder, file));
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.open {
            Some((_, file)) => file.write(batch),
            None => Err(Error::internal("rows of no partition")),
        }
    }

    fn close(&mut self) -> Result<()> {
        if let Some((folder, file)) = self.open.take() {
            let (rows, bytes, hash) = file.finish()?;
            let path = folder.join(self.file_name).to_string_lossy().into_owned();
            self.files.push(DataFile { path, rows, bytes, hash });
        }
        Ok(())
    }

    /// Folders are made durable from the bottom up. The hash is over partitions and contents, not over the
    /// files' names: the same rows have the same hash in every generation.
    fn finish(mut self, model: &str) -> Result<Staged> {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut hasher = blake3::Hasher::new();
        let mut folders = vec![self.dir.to_path_buf()];
        for file in &self.files {
            let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
            hasher.update(folder.to_string_lossy().as_bytes()).update(b"\0").update(file.hash.as_bytes()).update(b"\n");
            folders.extend(folder.ancestors().filter(|f| !f.as_os_str().is_empty()).map(|f| self.dir.join(f)));
        }
        folders.sort_by_key(|f| (std::cmp::Reverse(f.components().count()), f.clone()));
        folders.dedup();
        folders.iter().try_for_each(|f| files::sync_dir(f))?;
        Ok(Staged {
            model: model.to_string(),
            rows: self.files.iter().map(|f| f.rows).sum(),
            bytes: self.files.iter().map(|f| f.bytes).sum(),
            hash: hasher.finalize().to_hex().to_string(),
            files: self.files,
        })
    }
}

fn differ(values: &[&StringArray], a: usize, b: usize) -> bool {
    values.iter().any(|v| v.is_null(a) != v.is_null(b) || (v.is_valid(a) && v.value(a) != v.value(b)))
}

/// The folders of a row's partition: `country=DE/month=2026-01`.
fn folder(names: &[String], values: &[&StringArray], row: usize) -> Result<PathBuf> {
    let mut path = PathBuf::new();
    for (name, values) in names.iter().zip(values) {
        let value = values.is_valid(row).then(|| values.value(row));
        path.push(segment(name, value)?);
    }
    Ok(path)
}

/// One folder's name. Everything but letters, digits, `_`, `-` and `.` of ASCII is percent-encoded, so no
/// value can leave its folder, and no two values that a file system might mix up share one.
fn segment(name: &str, value: Option<&str>) -> Result<String> {
    let encoded = match value {
        None => NULL_PARTITION.to_string(),
        // The text itself, not NULL: readers take these words for it before they decode them.
        Some(value) if value == NULL_PARTITION || value.eq_ignore_ascii_case("null") => {
            let (first, rest) = value.split_at(1);
            first.bytes().map(|byte| format!("%{byte:02X}")).chain([rest.to_string()]).collect()
        }
        Some(value) => encode(value),
    };
    let segment = format!("{}={encoded}", encode(name));
    if value.is_some_and(|v| v.chars().count() > VALUE_CHARS_MAX) || segment.len() > NAME_BYTES_MAX {
        let start: String = value.unwrap_or_default().chars().take(40).collect();
        return Err(Error::new(
            Kind::BadData,
            format!("a value of the partition column `{name}` is too long for a folder's name: {start:?}…"),
        )
        .with_help(format!("partition by values of at most {VALUE_CHARS_MAX} characters")));
    }
    Ok(segment)
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let only_dots = text.bytes().all(|b| b == b'.');
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && !only_dots) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn arrow(e: arrow::error::ArrowError) -> Error {
    Error::internal(format!("the rows of a dataset cannot be cut into partitions: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_value_cannot_leave_its_folder() {
        for (value, folder) in [
            ("DE", "c=DE"),
            ("../../etc", "c=..%2F..%2Fetc"),
            ("..", "c=%2E%2E"),
            ("a/b", "c=a%2Fb"),
            ("a%2Fb", "c=a%252Fb"),
            ("a\0b", "c=a%00b"),
            ("", "c="),
            ("é", "c=%C3%A9"),
            (NULL_PARTITION, "c=%5F_HIVE_DEFAULT_PARTITION__"),
            ("NULL", "c=%4EULL"),
            ("null", "c=%6Eull"),
        ] {
            assert_eq!(segment("c", Some(value)).ok().as_deref(), Some(folder));
        }
        assert_eq!(segment("c", None).ok().as_deref(), Some("c=__HIVE_DEFAULT_PARTITION__"));
        assert_eq!(segment("c/..", Some("x")).ok().as_deref(), Some("c%2F..=x"));
    }

    #[test]
    fn a_partition_value_that_is_too_long_is_refused() {
        assert!(segment("c", Some(&"x".repeat(200))).is_ok());
        assert!(segment("c", Some(&"x".repeat(201))).is_err());
        assert!(segment("c", Some(&"é".repeat(100))).is_err());
    }
}
