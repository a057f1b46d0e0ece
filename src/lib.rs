//! Sessile: a session sidecar for Redis.

pub mod config;
pub mod embedded;
pub mod resp;
