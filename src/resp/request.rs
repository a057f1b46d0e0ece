//! Bytes from a client to requests.
//!
//! The decoder is resumable: it remembers how far it got, so a request that arrives in many pieces
//! is looked at once, not once a piece. It owns the limits of what a client may announce; it knows
//! no command. The error texts are Redis's own, because clients match on them.

use std::ops::Range;

use super::inline;
use super::write;

/// Longest line that may announce a count or a length: `*<20 digits>\r\n` and some air.
const NUMBER_LINE_BYTES_MAX: usize = 32;

/// What a client that has not authenticated yet may send, as Redis bounds it.
const UNAUTHENTICATED: (usize, usize) = (10, 16 * 1024);

/// What one request may announce.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Bytes of the whole request.
    pub bytes_max: usize,
    /// Arguments, the command's name included.
    pub args_max: usize,
    /// Bytes of an inline request's line.
    pub inline_bytes_max: usize,
}

impl RequestLimits {
    /// The same limits, tightened for a client that has not shown the password yet.
    pub fn unauthenticated(self) -> Self {
        RequestLimits {
            bytes_max: self.bytes_max.min(UNAUTHENTICATED.0 * UNAUTHENTICATED.1),
            args_max: self.args_max.min(UNAUTHENTICATED.0),
            inline_bytes_max: self.inline_bytes_max.min(UNAUTHENTICATED.1),
        }
    }
}

/// The client broke the framing. It is told this text, then its connection closes: nothing after
/// the break can be trusted to begin where it seems to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError(pub String);

/// One request: its bytes as an array of bulk strings, and where its arguments lie in them.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The request as it can be sent upstream.
    pub bytes: &'a [u8],
    ranges: &'a [Range<usize>],
}

impl<'a> Request<'a> {
    /// How many arguments there are, the command's name included. 0: nothing was asked.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether the client sent an empty line or an empty array, which Redis ignores.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The argument at `index`, or an empty one where there is none.
    pub fn arg(&self, index: usize) -> &'a [u8] {
        self.ranges
            .get(index)
            .and_then(|range| self.bytes.get(range.clone()))
            .unwrap_or_default()
    }

    /// All arguments behind the command's name, as a list that outlives the client's buffer.
    pub fn to_args(self) -> Args {
        Args {
            bytes: self.bytes.into(),
            ranges: self.ranges.get(1..).unwrap_or_default().into(),
        }
    }
}

/// The arguments of a request, its command's name left out, owned.
#[derive(Clone, Debug)]
pub struct Args {
    bytes: Box<[u8]>,
    ranges: Box<[Range<usize>]>,
}

impl Args {
    /// Arguments made by hand: for `SESS.EXPLAIN` and tests.
    pub fn new<'a>(list: impl IntoIterator<Item = &'a [u8]>) -> Args {
        let mut bytes = Vec::new();
        let ranges = list
            .into_iter()
            .map(|arg| {
                bytes.extend_from_slice(arg);
                bytes.len() - arg.len()..bytes.len()
            })
            .collect();
        Args {
            bytes: bytes.into(),
            ranges,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The argument at `index`, or an empty one where there is none.
    pub fn get(&self, index: usize) -> &[u8] {
        self.ranges
            .get(index)
            .and_then(|range| self.bytes.get(range.clone()))
            .unwrap_or_default()
    }

    /// The arguments from `index` on.
    pub fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        let ranges = self.ranges.get(index..).unwrap_or_default();
        ranges
            .iter()
            .map(|range| self.bytes.get(range.clone()).unwrap_or_default())
    }

    /// Bytes of all arguments together.
    pub fn bytes_len(&self) -> usize {
        self.ranges.iter().map(ExactSizeIterator::len).sum()
    }
}

/// Finds requests in what a client has sent so far.
///
/// Invariant: `at` is the offset, in the buffer the next call will bring, of the first byte not yet
/// looked at; it is 0 between requests.
#[derive(Debug, Default)]
pub struct Decoder {
    at: usize,
    args_left: usize,
    bulk_len: Option<usize>,
    ranges: Vec<Range<usize>>,
    /// An inline request, rewritten as an array of bulk strings; empty for any other.
    rewritten: Vec<u8>,
    done: bool,
}

impl Decoder {
    /// Looks for the end of the request that begins at `buf[0]`.
    ///
    /// `Ok(Some(n))`: it is `n` bytes long and can be read with [`Decoder::request`] until the next
    /// call. `Ok(None)`: more bytes are needed; call again with the same bytes and more behind.
    pub fn decode(
        &mut self,
        buf: &[u8],
        limits: &RequestLimits,
    ) -> Result<Option<usize>, ProtocolError> {
        if self.done {
            self.reset();
        }
        if self.at == 0 {
            match buf.first() {
                None => return Ok(None),
                Some(b'*') => {
                    let Some((count, next)) = number_line(buf, 0, Announced::Args)? else {
                        return Ok(None);
                    };
                    if count > limits.args_max as i64 {
                        return Err(ProtocolError(format!(
                            "invalid multibulk length: at most {} arguments are allowed \
                             (limits.request_args_max, 10 before AUTH)",
                            limits.args_max
                        )));
                    }
                    self.at = next;
                    self.args_left = usize::try_from(count).unwrap_or(0);
                }
                Some(_) => return self.decode_inline(buf, limits),
            }
        }
        self.decode_args(buf, limits)
    }

    fn decode_args(
        &mut self,
        buf: &[u8],
        limits: &RequestLimits,
    ) -> Result<Option<usize>, ProtocolError> {
        while self.args_left > 0 {
            let len = match self.bulk_len {
                Some(len) => len,
                None => {
                    let Some((len, next)) = number_line(buf, self.at, Announced::Bulk)? else {
                        return Ok(None);
                    };
                    let len = usize::try_from(len).unwrap_or(usize::MAX);
                    if len > limits.bytes_max.saturating_sub(next) {
                        return Err(ProtocolError(format!(
                            "invalid bulk length: a request of at most {} bytes is allowed \
                             (limits.request_bytes_max, less before AUTH)",
                            limits.bytes_max
                        )));
                    }
                    self.at = next;
                    self.bulk_len = Some(len);
                    len
                }
            };
            let end = self.at + len;
            match buf.get(end..end + 2) {
                None => return Ok(None),
                Some(b"\r\n") => {}
                Some(_) => return Err(ProtocolError("expected CRLF behind a bulk string".into())),
            }
            self.ranges.push(self.at..end);
            self.bulk_len = None;
            self.at = end + 2;
            self.args_left -= 1;
        }
        self.done = true;
        Ok(Some(self.at))
    }

    fn decode_inline(
        &mut self,
        buf: &[u8],
        limits: &RequestLimits,
    ) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = memchr::memchr(b'\n', buf) else {
            if buf.len() > limits.inline_bytes_max {
                return Err(ProtocolError("too big inline request".into()));
            }
            return Ok(None);
        };
        if end > limits.inline_bytes_max {
            return Err(ProtocolError("too big inline request".into()));
        }
        let line = buf.get(..end).unwrap_or_default();
        let words = inline::split(line.strip_suffix(b"\r").unwrap_or(line))
            .ok_or_else(|| ProtocolError("unbalanced quotes in request".into()))?;
        write::array(&mut self.rewritten, words.len());
        for word in &words {
            write::bulk(&mut self.rewritten, word);
            let end = self.rewritten.len() - 2;
            self.ranges.push(end - word.len()..end);
        }
        self.done = true;
        Ok(Some(end + 1))
    }

    /// The request found by the last call of [`Decoder::decode`], which returned `len` for `buf`.
    pub fn request<'a>(&'a self, buf: &'a [u8], len: usize) -> Request<'a> {
        let bytes = if self.rewritten.is_empty() {
            buf.get(..len).unwrap_or_default()
        } else {
            &self.rewritten
        };
        Request {
            bytes,
            ranges: &self.ranges,
        }
    }

    /// Forgets what an earlier request needed, so that an idle client holds no memory.
    pub fn release(&mut self) {
        if self.done || self.at == 0 {
            *self = Decoder::default();
        }
    }

    fn reset(&mut self) {
        self.at = 0;
        self.args_left = 0;
        self.bulk_len = None;
        self.ranges.clear();
        self.rewritten.clear();
        self.done = false;
    }
}

/// Which number is expected: it decides the first byte and the words of the error.
#[derive(Clone, Copy)]
enum Announced {
    Args,
    Bulk,
}

/// Reads `*<n>\r\n` or `$<n>\r\n` at `at`; answers the number and where the next byte lies.
///
/// Digits only, no leading zero, as Redis takes them: what is spliced upstream must be read there
/// as it was read here. A negative count of arguments is an empty request.
fn number_line(
    buf: &[u8],
    at: usize,
    what: Announced,
) -> Result<Option<(i64, usize)>, ProtocolError> {
    let (first, invalid, too_long) = match what {
        Announced::Args => (
            b'*',
            "invalid multibulk length",
            "too big mbulk count string",
        ),
        Announced::Bulk => (b'$', "invalid bulk length", "too big bulk count string"),
    };
    let Some(line) = buf.get(at..) else {
        return Ok(None);
    };
    match line.first() {
        None => return Ok(None),
        Some(&byte) if byte != first => {
            return Err(ProtocolError(format!(
                "expected '{}', got '{}'",
                char::from(first),
                byte.escape_ascii()
            )));
        }
        Some(_) => {}
    }
    let window = &line[..line.len().min(NUMBER_LINE_BYTES_MAX)];
    let Some(end) = window.iter().position(|&byte| byte == b'\r') else {
        return if line.len() >= NUMBER_LINE_BYTES_MAX {
            Err(ProtocolError(too_long.into()))
        } else {
            Ok(None)
        };
    };
    match line.get(end + 1) {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(ProtocolError(invalid.into())),
    }
    let digits = &line[1..end];
    let number = super::integer(digits).ok_or_else(|| ProtocolError(invalid.into()))?;
    if number < 0 && matches!(what, Announced::Bulk) {
        return Err(ProtocolError(invalid.into()));
    }
    Ok(Some((number, at + end + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits {
        bytes_max: 4096,
        args_max: 64,
        inline_bytes_max: 64,
    };

    /// Decodes everything in `input`, fed `step` bytes at a time.
    fn decode_all(input: &[u8], step: usize) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        let (mut decoder, mut buf, mut requests) = (Decoder::default(), Vec::new(), Vec::new());
        for piece in input.chunks(step) {
            buf.extend_from_slice(piece);
            while let Some(len) = decoder.decode(&buf, &LIMITS)? {
                let request = decoder.request(&buf, len);
                if !request.is_empty() {
                    requests.push(
                        (0..request.len())
                            .map(|i| request.arg(i).to_vec())
                            .collect(),
                    );
                }
                buf.drain(..len);
            }
        }
        Ok(requests)
    }

    fn error(input: &[u8]) -> String {
        decode_all(input, 7).expect_err("must be refused").0
    }

    #[test]
    fn any_cut_gives_the_same_requests() {
        let input =
            b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING \"a b\"\r\n*0\r\n\r\n*-1\r\n*1\r\n$0\r\n\r\n";
        let whole = decode_all(input, input.len()).expect("well formed");
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[1], [b"PING".to_vec(), b"a b".to_vec()]);
        for step in 1..input.len() {
            assert_eq!(decode_all(input, step).expect("well formed"), whole);
        }
    }

    #[test]
    fn inline_requests_are_rewritten_for_upstream() {
        let mut decoder = Decoder::default();
        let len = decoder.decode(b"set k v\n", &LIMITS).expect("valid");
        assert_eq!(len, Some(8));
        assert_eq!(
            decoder.request(b"set k v\n", 8).bytes,
            b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1\r\nv\r\n"
        );
    }

    #[test]
    fn broken_framing_is_named_as_redis_names_it() {
        assert_eq!(error(b"*1\r\n*1\r\n*1\r\n"), "expected '$', got '*'");
        assert_eq!(error(b"*x\r\n"), "invalid multibulk length");
        assert_eq!(error(b"*01\r\n"), "invalid multibulk length");
        assert!(error(b"*65\r\n").starts_with("invalid multibulk length"));
        assert_eq!(error(b"*1\r\n$-1\r\n"), "invalid bulk length");
        assert!(error(b"*1\r\n$999999\r\n").starts_with("invalid bulk length"));
        assert_eq!(
            error(&[b'*'; 1][..].repeat(40)),
            "too big mbulk count string"
        );
        assert_eq!(
            error(b"*1\r\n$1\r\nabc"),
            "expected CRLF behind a bulk string"
        );
        assert_eq!(error(&b"x".repeat(100)), "too big inline request");
        assert_eq!(error(b"get \"k\r\n"), "unbalanced quotes in request");
    }

    #[test]
    fn an_unauthenticated_client_may_send_little() {
        let limits = RequestLimits {
            bytes_max: 1 << 30,
            args_max: 1 << 20,
            inline_bytes_max: 1 << 16,
        }
        .unauthenticated();
        assert!(Decoder::default().decode(b"*11\r\n", &limits).is_err());
        assert!(
            Decoder::default()
                .decode(b"*1\r\n$999999\r\n", &limits)
                .is_err()
        );
    }
}
