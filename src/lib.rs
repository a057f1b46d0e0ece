//! Sessile: a session sidecar for Redis.

pub mod command;
pub mod config;
pub mod embedded;
pub mod error;
pub mod logging;
pub mod ping;
pub mod plan;
pub mod resp;
pub mod server;
pub mod session;
