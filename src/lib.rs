//! Sessile: a session sidecar for Redis.

pub mod buffers;
pub mod command;
pub mod config;
pub mod embedded;
pub mod engine;
pub mod error;
mod explain;
pub mod logging;
pub mod metrics;
pub mod outbox;
pub mod ping;
pub mod plan;
pub mod resp;
pub mod server;
pub mod session;
pub mod upstream;
