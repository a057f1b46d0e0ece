//! What is counted. One row per counter: its name and what it means; storage and the `# Sessile`
//! section of `INFO` follow from the rows.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that all workers add to.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less, for gauges.
    pub fn sub(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($name:ident: $meaning:literal,)*) => {
        /// All counters of the process.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $meaning] pub $name: Counter,)*
        }

        impl Metrics {
            /// Name and value of each, in the order of the rows.
            pub fn values(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name.get()),)*].into_iter()
            }
        }
    };
}

counters! {
    connected_clients: "Clients connected now.",
    total_connections: "Clients that ever connected.",
    rejected_connections: "Clients turned away at listen.clients_max.",
    session_commands: "SESS.* commands started.",
    plain_commands: "Plain commands passed on.",
    client_errors: "Errors that clients made: arity, options, sizes, names.",
    protocol_errors: "Connections closed for broken framing.",
    unread_clients: "Clients closed because they did not read their replies.",
    sessions_missing: "Tokens for which there was no session.",
    superseded_secrets: "Tokens used after their session was rotated away from them.",
    index_troubles: "Writes whose index could not follow; a later use of the session tries again.",
    upstream_connects: "Connections made to upstream.",
    upstream_losses: "Connections to upstream lost.",
    upstream_timeouts: "Commands that upstream did not answer in time.",
    upstream_retries: "Reads asked again after a lost connection.",
    upstream_down: "Commands that failed with SESSDOWN.",
    lanes_up: "Lanes connected now.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_a_counter() {
        let metrics = Metrics::default();
        metrics.plain_commands.add();
        assert!(metrics.values().any(|row| row == ("plain_commands", 1)));
        assert_eq!(metrics.values().map(|row| row.1).sum::<u64>(), 1);
    }
}
