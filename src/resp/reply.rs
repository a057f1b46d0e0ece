//! A reply of upstream as a view on its bytes: nothing is copied, nothing is allocated.
//!
//! For replies that are complete and that we asked for ourselves on a RESP2 lane, so these are the
//! RESP2 types. The view never fails on a byte it does not expect: what is no reply reads as
//! [`Reply::Null`], and the command that asked treats it as nothing there.

use super::scan::{Scanner, short_bulk};

/// One reply of a RESP2 connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A simple string, such as `OK`.
    Simple(&'a [u8]),
    /// An error with its code.
    Error(&'a [u8]),
    /// An integer.
    Integer(i64),
    /// A bulk string.
    Bulk(&'a [u8]),
    /// The null bulk string or the null array.
    Null,
    /// An array.
    Array(Items<'a>),
}

/// Replies one behind the other: the elements of an array, or what a lane collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Items<'a> {
    left: usize,
    bytes: &'a [u8],
}

impl<'a> Items<'a> {
    /// `count` replies that lie in `bytes`, which may hold more behind them.
    pub fn new(count: usize, bytes: &'a [u8]) -> Self {
        Items { left: count, bytes }
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The bytes of what is left, and of whatever lies behind.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of the next element, as they came.
    pub fn next_raw(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let len = match short_bulk(self.bytes) {
            Some(len) => len.min(self.bytes.len()),
            None => match Scanner::default().advance(self.bytes) {
                Ok((len, true)) => len,
                _ => self.bytes.len(),
            },
        };
        let (raw, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Some(raw)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Reply<'a>;

    fn next(&mut self) -> Option<Reply<'a>> {
        self.next_raw().map(Reply::view)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Items<'_> {}

impl<'a> Reply<'a> {
    /// The reply whose bytes are `raw`.
    pub fn view(raw: &'a [u8]) -> Reply<'a> {
        if short_bulk(raw) == Some(raw.len()) {
            let header = if raw.get(2) == Some(&b'\r') { 4 } else { 5 };
            return Reply::Bulk(raw.get(header..raw.len() - 2).unwrap_or_default());
        }
        let Some(end) = memchr::memchr(b'\r', raw) else {
            return Reply::Null;
        };
        let line = raw.get(1..end).unwrap_or_default();
        let rest = raw.get(end + 2..).unwrap_or_default();
        match raw.first() {
            Some(b'+') => Reply::Simple(line),
            Some(b'-') => Reply::Error(line),
            Some(b':') => super::integer(line).map_or(Reply::Null, Reply::Integer),
            Some(b'$') if line != b"-1" => {
                Reply::Bulk(rest.get(..rest.len().saturating_sub(2)).unwrap_or_default())
            }
            Some(b'*') => match super::integer(line).and_then(|n| usize::try_from(n).ok()) {
                Some(count) => Reply::Array(Items::new(count, rest)),
                None => Reply::Null,
            },
            _ => Reply::Null,
        }
    }

    /// The bytes of a bulk string, else `None`.
    pub fn bulk(self) -> Option<&'a [u8]> {
        match self {
            Reply::Bulk(data) => Some(data),
            _ => None,
        }
    }

    /// An integer reply, or a bulk string that holds one, else `None`.
    pub fn integer(self) -> Option<i64> {
        match self {
            Reply::Integer(value) => Some(value),
            Reply::Bulk(data) => super::integer(data),
            _ => None,
        }
    }

    /// The elements of an array; none for anything else.
    pub fn items(self) -> Items<'a> {
        match self {
            Reply::Array(items) => items,
            _ => Items::new(0, b""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_arrays_are_walked_without_copies() {
        let raw = b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n:2\r\n";
        let mut items = Reply::view(raw).items();
        assert_eq!(items.next(), Some(Reply::Bulk(b"a")));
        let inner: Vec<_> = items
            .next()
            .map(Reply::items)
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(inner, [Reply::Integer(1), Reply::Null]);
        assert_eq!(items.next(), Some(Reply::Integer(2)));
        assert_eq!(items.next(), None);
    }

    #[test]
    fn broken_bytes_read_as_null() {
        for raw in [&b""[..], b"$", b":x\r\n", b"?\r\n", b"*-1\r\n"] {
            assert_eq!(Reply::view(raw), Reply::Null);
        }
        assert_eq!(Items::new(2, b"*9\r\n").count(), 2);
    }
}
