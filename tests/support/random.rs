//! Repeatable chance: every random test runs from a seed that it prints when it fails.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator (SplitMix64): good enough to choose commands, and the same on every machine.
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// Seeded from `SESSILE_SEED`, else from the clock.
    pub fn new() -> Random {
        let seed = match std::env::var("SESSILE_SEED") {
            Ok(text) => text.parse().expect("SESSILE_SEED is an unsigned integer"),
            Err(_) => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_nanos() as u64,
        };
        Random { seed, state: seed }
    }

    /// A generator of its own for another thread, derived from this one. It prints no seed: the
    /// one to repeat is that of its parent.
    pub fn fork(&mut self) -> Random {
        Random {
            seed: self.seed,
            state: self.next(),
        }
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Bytes of any value, among them line ends and zeros.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len)
            .map(|_| match self.below(8) {
                0 => b'\r',
                1 => b'\n',
                2 => 0,
                _ => self.next() as u8,
            })
            .collect()
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat this run: SESSILE_SEED={}", self.seed);
        }
    }
}
