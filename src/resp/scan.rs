//! Finding where a reply ends, and nothing else.
//!
//! A reply is passed on as the bytes it came in. To know where it ends no tree is needed, not even a
//! stack: one counter of elements still to come, to which each aggregate adds its own.
//!
//! ```text
//!   *2 \r\n  $3 \r\n abc \r\n  *1 \r\n  :7 \r\n
//!   1-1+2=2  2-1=1             1-1+1=1  1-1=0   -> the end
//! ```

/// Upstream sent something that is no RESP. Its connection cannot be used any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotResp;

/// Finds the end of one reply in bytes that arrive in pieces.
///
/// Invariant: both fields are 0 between replies; `bulk_left` counts the bytes, CRLF included, of a
/// bulk string whose header has been passed.
#[derive(Debug, Default)]
pub struct Scanner {
    elements: u64,
    bulk_left: usize,
}

impl Scanner {
    /// Passes over as much of `buf` as belongs to the current reply, which begins (or goes on) at
    /// `buf[0]`. Answers how many bytes that is, and whether the reply ends there. Bytes not passed
    /// over must be brought again, with more behind.
    pub fn advance(&mut self, buf: &[u8]) -> Result<(usize, bool), NotResp> {
        if self.elements == 0 && self.bulk_left == 0 {
            self.elements = 1;
        }
        let mut at = self.bulk_left.min(buf.len());
        self.bulk_left -= at;
        while self.elements > 0 && self.bulk_left == 0 {
            let rest = buf.get(at..).unwrap_or_default();
            if let Some(len) = short_bulk(rest) {
                self.elements -= 1;
                at += len;
            } else if let Some(len) = self.header(rest)? {
                at += len + self.bulk_left;
            } else {
                return Ok((at, false));
            }
            // A bulk string may reach beyond what is here.
            self.bulk_left = at.saturating_sub(buf.len());
            at -= self.bulk_left;
        }
        Ok((at, self.elements == 0 && self.bulk_left == 0))
    }

    /// Passes over one header line; answers its length, or `None` if it is not all there yet.
    fn header(&mut self, buf: &[u8]) -> Result<Option<usize>, NotResp> {
        let Some(&kind) = buf.first() else {
            return Ok(None);
        };
        match kind {
            b'$' | b'!' | b'=' => {
                let Some((len, next)) = length(buf)? else {
                    return Ok(None);
                };
                self.elements -= 1;
                if let Some(len) = len {
                    self.bulk_left = len.checked_add(2).ok_or(NotResp)?;
                }
                Ok(Some(next))
            }
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let Some((count, next)) = length(buf)? else {
                    return Ok(None);
                };
                let count = count.unwrap_or(0) as u64;
                let children = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                let more = count.checked_mul(children).ok_or(NotResp)?;
                // An attribute stands before the element it describes and is none itself.
                let itself = u64::from(kind != b'|');
                self.elements = (self.elements - itself).checked_add(more).ok_or(NotResp)?;
                Ok(Some(next))
            }
            b'+' | b'-' | b':' | b',' | b'(' | b'#' | b'_' => {
                let Some(end) = memchr::memchr(b'\n', buf) else {
                    return Ok(None);
                };
                self.elements -= 1;
                Ok(Some(end + 1))
            }
            _ => Err(NotResp),
        }
    }
}

/// The whole length of a bulk string of less than 100 bytes, which most elements are.
pub(super) fn short_bulk(buf: &[u8]) -> Option<usize> {
    match *buf {
        [b'$', a @ b'0'..=b'9', b'\r', b'\n', ..] => Some(6 + usize::from(a - b'0')),
        [b'$', a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Some(7 + usize::from(a - b'0') * 10 + usize::from(b - b'0'))
        }
        _ => None,
    }
}

/// Longest length or count that is believed: far above what Redis can send, far below where sums of
/// lengths would overflow.
const LENGTH_MAX: usize = 1 << 40;

/// Reads the number of a header line; answers it (`None` for -1) and the line's length.
fn length(buf: &[u8]) -> Result<Option<(Option<usize>, usize)>, NotResp> {
    let mut value: usize = 0;
    for (at, &byte) in buf.iter().enumerate().skip(1) {
        match byte {
            b'0'..=b'9' => {
                value = value
                    .checked_mul(10)
                    .and_then(|value| value.checked_add(usize::from(byte - b'0')))
                    .filter(|value| *value <= LENGTH_MAX)
                    .ok_or(NotResp)?;
            }
            b'\r' if at > 1 => {
                return match buf.get(at + 1) {
                    Some(b'\n') => Ok(Some((Some(value), at + 2))),
                    Some(_) => Err(NotResp),
                    None => Ok(None),
                };
            }
            b'-' if at == 1 => {
                return match buf.get(..5) {
                    Some([_, b'-', b'1', b'\r', b'\n']) => Ok(Some((None, 5))),
                    Some(_) => Err(NotResp),
                    None => Ok(None),
                };
            }
            _ => return Err(NotResp),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the first reply in `input` ends, fed `step` bytes at a time.
    fn end(input: &[u8], step: usize) -> Result<Option<usize>, NotResp> {
        let (mut scanner, mut passed) = (Scanner::default(), 0);
        for have in (1..=input.len()).filter(|n| n % step == 0 || *n == input.len()) {
            let (len, done) = scanner.advance(&input[passed..have])?;
            passed += len;
            if done {
                return Ok(Some(passed));
            }
        }
        Ok(None)
    }

    #[test]
    fn every_type_ends_where_it_ends_however_it_is_cut() {
        let replies: [&[u8]; 16] = [
            b"+OK\r\n",
            b"-ERR no\r\n",
            b":-1\r\n",
            b"$-1\r\n",
            b"$0\r\n\r\n",
            b"$5\r\na\r\nbc\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*2\r\n$3\r\nabc\r\n*1\r\n:7\r\n",
            b"%1\r\n+a\r\n*2\r\n:1\r\n_\r\n",
            b"~1\r\n#t\r\n",
            b",1.5\r\n",
            b"(123456789012345678901\r\n",
            b"=7\r\ntxt:abc\r\n",
            b"|1\r\n+ttl\r\n:3\r\n*1\r\n$1\r\nx\r\n",
            b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
        ];
        for reply in replies {
            let mut input = reply.to_vec();
            input.extend_from_slice(b"+NEXT\r\n");
            for step in 1..=input.len() {
                let text = String::from_utf8_lossy(reply);
                assert_eq!(end(&input, step), Ok(Some(reply.len())), "{text} by {step}");
            }
        }
    }

    #[test]
    fn ten_thousand_nested_arrays_need_no_stack() {
        let mut input = b"*1\r\n".repeat(10_000);
        input.extend_from_slice(b":1\r\n");
        assert_eq!(end(&input, 1000), Ok(Some(input.len())));
    }

    #[test]
    fn what_is_no_resp_is_refused() {
        for input in [
            &b"HTTP/1.1"[..],
            b"$abc\r\n",
            b"$-2\r\n\r\n",
            b"$99999999999999999999999\r\n",
            b"*1\rx",
        ] {
            assert_eq!(end(input, 3), Err(NotResp));
        }
    }
}
