//! bytes -> chunks -> records -> events.

pub mod arrivals;
pub mod batch;
pub mod chain;
pub mod chunks;
pub mod container;
pub mod contract;
pub mod decode;
mod envelope;
pub mod exchange;
pub mod files;
pub mod ids;
pub mod index;
pub mod json;
mod learned;
pub mod level;
pub mod passed;
mod payload;
pub mod quirks;
pub mod sequence;
pub mod shape;
mod simd;
pub mod unpack;
pub mod upcast;
mod written;

pub use batch::{Bad, BadKind, Batch, Block, Events, Origin, Route};
pub use decode::Decoder;
