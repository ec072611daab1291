//! What lasts: the lock, snapshots as Parquet files, and the manifests that commit them.

pub mod arrow;
mod encoding;
pub mod frame;
pub mod manifest;
pub mod parquet;
pub mod store;

pub use frame::Frame;
pub use manifest::Manifest;
pub use parquet::FileInfo;
pub use store::Store;
