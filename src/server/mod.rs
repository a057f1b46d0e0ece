//! The listeners and their clients.

use crate::config::Config;

/// Serves until told to stop.
///
/// # Errors
/// One line: what could not be started, and why.
pub fn run(config: Config) -> Result<(), String> {
    tracing::debug!(?config, "configuration");
    Err("this build has no server".into())
}
