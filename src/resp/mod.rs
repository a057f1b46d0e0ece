//! Bytes to requests and replies, and back. No IO, no clock, no knowledge of any command.
//!
//! ```text
//!   client  -> request (inline)        what is asked: arguments as ranges of the client's bytes
//!   upstream -> scan                   where a reply ends, so that it can be passed on untouched
//!               reply                  a view on a reply we asked for ourselves
//!               value                  the same as a tree, where speed is no matter
//!   write                              replies and commands as bytes
//! ```

mod inline;
pub mod reply;
pub mod request;
pub mod scan;
pub mod value;
pub mod write;

pub use reply::{Items, Reply};
pub use request::{Args, Request};
pub use write::Protocol;

/// A whole number in the form Redis takes and gives: an optional `-`, digits, no leading zero, no
/// plus sign, no space. `None` for anything else or beyond 64 bits.
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    digits.iter().try_fold(0i64, |value, &digit| {
        let digit = i64::from(digit.checked_sub(b'0').filter(|d| *d <= 9)?);
        let value = value.checked_mul(10)?;
        if negative {
            value.checked_sub(digit)
        } else {
            value.checked_add(digit)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn only_canonical_integers() {
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer(b"0"), Some(0));
        for text in [
            &b""[..],
            b"-",
            b"-0",
            b"01",
            b"+1",
            b"1 ",
            b"9223372036854775808",
        ] {
            assert_eq!(integer(text), None);
        }
    }
}
