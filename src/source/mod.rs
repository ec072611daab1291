//! bytes -> chunks -> records -> events.

pub mod arrivals;
pub mod batch;
pub mod chain;
pub mod chunks;
pub mod contract;
pub mod decode;
pub mod exchange;
pub mod files;
pub mod ids;
pub mod index;
pub mod json;
pub mod passed;
pub mod sequence;
pub mod unpack;
pub mod upcast;

pub use batch::{Bad, BadKind, Batch, Block, Events, Origin, Route};
pub use decode::Decoder;
