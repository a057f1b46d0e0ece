//! Sessile: a session sidecar for Redis.

pub mod config;
pub mod logging;
pub mod ping;
pub mod resp;
pub mod server;
