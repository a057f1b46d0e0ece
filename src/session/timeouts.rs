//! Idle and absolute timeouts, and when a touch is worth its write. Milliseconds everywhere.

/// By how much a TTL may exceed the full one before that is more than clocks being a little apart.
const LATE_MS: i64 = 1_000;

/// The two timeouts every session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long it lives without being used, ms.
    pub idle_ms: i64,
    /// When it ends whatever happens, epoch ms.
    pub deadline_ms: i64,
}

impl Timeouts {
    /// The TTL a session used right now deserves: min(idle, what is left of its life), ms.
    /// Zero or less: its life is over.
    pub fn ttl_ms(&self, now_ms: i64) -> i64 {
        self.idle_ms.min(self.deadline_ms.saturating_sub(now_ms))
    }

    /// Whether a session whose TTL has shrunk to `ttl_ms` should get its full TTL back.
    ///
    /// `touch_every_ms` = 0 asks for it each time. A session near its absolute deadline has nothing
    /// to gain: its full TTL shrinks as fast as the one it has. A TTL that is longer than the full one
    /// is put right: a session never expires late.
    pub fn wants_touch(&self, ttl_ms: i64, now_ms: i64, touch_every_ms: i64) -> bool {
        let gain = self.ttl_ms(now_ms).saturating_sub(ttl_ms);
        touch_every_ms == 0 || gain > touch_every_ms || gain < -LATE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Timeouts = Timeouts {
        idle_ms: 1_000,
        deadline_ms: 10_000,
    };

    #[test]
    fn the_nearer_timeout_decides() {
        assert_eq!(SESSION.ttl_ms(0), 1_000);
        assert_eq!(SESSION.ttl_ms(9_400), 600);
        assert!(SESSION.ttl_ms(10_000) <= 0);
    }

    #[test]
    fn touches_are_coalesced() {
        assert!(!SESSION.wants_touch(950, 0, 100));
        assert!(SESSION.wants_touch(899, 0, 100));
        assert!(!SESSION.wants_touch(600, 9_400, 100), "nothing to gain");
        assert!(SESSION.wants_touch(1_000, 0, 0), "0 = each time");
        assert!(!SESSION.wants_touch(1_900, 0, 100), "clocks are apart");
        assert!(SESSION.wants_touch(2_001, 0, 100), "never late");
    }
}
