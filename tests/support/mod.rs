//! What the integration tests share: real processes, a client of our own, and waiting without sleeping.
//!
//! The client is not the `redis` crate, since these tests check the bytes that a client library
//! would hide: which of the three nulls came, in which order, and whether the connection lives.

// Each test binary compiles this module for itself and uses a part of it.
#![allow(dead_code, unused_imports)]
// A test that cannot go on may panic; that is how it fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod process;
mod random;
mod relay;
mod transcript;

pub use client::{Client, Value, encode};
pub use process::{Address, Ended, Redis, Sessile, run_command, run_to_exit};
pub use random::Random;
pub use relay::Relay;
pub use transcript::{Transcript, matches};

use std::time::{Duration, Instant};

/// How long anything may take that should happen at once. Generous: tests share a busy machine.
pub const SOON: Duration = Duration::from_secs(10);

/// Waits until `condition` holds; panics with `what` if it does not within `deadline`.
#[track_caller]
pub fn until(what: &str, deadline: Duration, condition: impl FnMut() -> bool) {
    assert!(
        holds_within(deadline, condition),
        "{what}: not within {deadline:?}"
    );
}

/// Whether `condition` comes to hold within `deadline`. Asks every few milliseconds.
pub fn holds_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The handle of a token: its first 16 characters.
pub fn handle(token: &str) -> &str {
    &token[..16]
}

/// The secret of a token: what follows the handle. It must never be seen upstream.
pub fn secret(token: &str) -> &str {
    &token[16..]
}

/// A well-formed token with the handle of `token` and another secret.
pub fn forged(token: &str) -> String {
    let other = if token.ends_with('A') { "B" } else { "A" };
    format!("{}{}{other}", handle(token), &secret(token)[..31])
}
