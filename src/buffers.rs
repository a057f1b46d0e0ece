//! Output buffers that the clients of a worker take in turns, so that a busy client need not grow one
//! for each burst of replies and an idle client holds none.

use std::cell::RefCell;

/// How many unused buffers are kept.
const BUFFERS_MAX: usize = 64;

/// Capacity of a fresh buffer.
const FRESH_BYTES: usize = 1024;

/// Largest capacity that is kept: a client that once read a long list must not leave its size behind.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A worker's unused buffers; the one used last is given out first, while it is still in the cache.
#[derive(Debug, Default)]
pub struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    /// An empty buffer with some capacity.
    pub fn take(&self) -> Vec<u8> {
        let kept = self.0.borrow_mut().pop();
        kept.unwrap_or_else(|| Vec::with_capacity(FRESH_BYTES))
    }

    /// Takes a buffer back; what is in it is forgotten.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.borrow_mut();
        if (1..=KEPT_BYTES_MAX).contains(&buffer.capacity()) && kept.len() < BUFFERS_MAX {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_go_round_but_large_ones_do_not() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer.extend_from_slice(&[1; 3000]);
        let capacity = buffer.capacity();
        buffers.give(buffer);
        let buffer = buffers.take();
        assert!(buffer.is_empty() && buffer.capacity() == capacity);
        buffers.give(Vec::with_capacity(KEPT_BYTES_MAX + 1));
        assert_eq!(buffers.take().capacity(), FRESH_BYTES);
    }
}
