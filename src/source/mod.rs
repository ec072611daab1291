//! bytes -> chunks -> records -> events.

pub mod batch;
pub mod chain;
pub mod chunks;
pub mod contract;
pub mod decode;
pub mod files;
pub mod ids;
pub mod json;
pub mod parquet;
pub mod passed;
pub mod sequence;
pub mod unpack;
pub mod upcast;

pub use batch::{Bad, BadKind, Batch, Block, Events, Origin, Route};
pub use decode::Decoder;
