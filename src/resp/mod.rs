//! Bytes to requests and replies, and back. No IO, no clock, no knowledge of any command.

pub mod write;

pub use write::Protocol;
