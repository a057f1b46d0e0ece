//! Writing replies and commands as RESP bytes.
//!
//! Every function appends to a buffer and cannot fail. Aggregates are headers only: the caller
//! writes the promised number of elements behind them, so no tree is ever built.
//! The formats are those of <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

/// The protocol version a connection speaks, as `HELLO` sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RESP2, what every connection begins with.
    #[default]
    Resp2,
    /// RESP3, after `HELLO 3`.
    Resp3,
}

impl Protocol {
    /// The number `HELLO` and `CLIENT INFO` show: 2 or 3.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// `<prefix><number>\r\n`: what integers, lengths and counts have in common.
fn line(out: &mut Vec<u8>, prefix: u8, number: i64) {
    out.push(prefix);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A simple string. `text` must hold no line break.
pub fn simple(out: &mut Vec<u8>, text: &str) {
    out.push(b'+');
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// An error, its code first: `ERR no such thing`. Line breaks become spaces, since an error may
/// quote what a peer sent.
pub fn error(out: &mut Vec<u8>, text: &str) {
    out.push(b'-');
    out.extend(
        text.bytes()
            .map(|b| if b == b'\r' || b == b'\n' { b' ' } else { b }),
    );
    out.extend_from_slice(b"\r\n");
}

/// An integer.
pub fn integer(out: &mut Vec<u8>, value: i64) {
    line(out, b':', value);
}

/// A bulk string.
pub fn bulk(out: &mut Vec<u8>, data: &[u8]) {
    line(out, b'$', data.len() as i64);
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// An integer as a bulk string, as arguments and hash values are.
pub fn bulk_integer(out: &mut Vec<u8>, value: i64) {
    bulk(out, itoa::Buffer::new().format(value).as_bytes());
}

/// The header of an array of `len` elements.
pub fn array(out: &mut Vec<u8>, len: usize) {
    line(out, b'*', len as i64);
}

/// The header of a map of `len` pairs: a RESP3 map, or a RESP2 array of twice as many elements.
pub fn map(out: &mut Vec<u8>, protocol: Protocol, len: usize) {
    match protocol {
        Protocol::Resp2 => line(out, b'*', 2 * len as i64),
        Protocol::Resp3 => line(out, b'%', len as i64),
    }
}

/// The header of a set of `len` elements: a RESP3 set, or a RESP2 array.
pub fn set(out: &mut Vec<u8>, protocol: Protocol, len: usize) {
    match protocol {
        Protocol::Resp2 => line(out, b'*', len as i64),
        Protocol::Resp3 => line(out, b'~', len as i64),
    }
}

/// A null where a single value is due.
pub fn null(out: &mut Vec<u8>, protocol: Protocol) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"$-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// A null where an array is due.
pub fn null_array(out: &mut Vec<u8>, protocol: Protocol) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"*-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// A text for people, as `INFO` and `CLIENT LIST` give it: a verbatim string in RESP3, else a bulk.
pub fn text(out: &mut Vec<u8>, protocol: Protocol, text: &[u8]) {
    match protocol {
        Protocol::Resp2 => bulk(out, text),
        Protocol::Resp3 => {
            line(out, b'=', text.len() as i64 + 4);
            out.extend_from_slice(b"txt:");
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// A whole command: an array of bulk strings.
pub fn command(out: &mut Vec<u8>, args: &[&[u8]]) {
    array(out, args.len());
    for arg in args {
        bulk(out, arg);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("tests write text")
    }

    #[test]
    fn each_type_has_its_form() {
        assert_eq!(written(|o| simple(o, "OK")), "+OK\r\n");
        assert_eq!(written(|o| error(o, "ERR a\r\nb")), "-ERR a  b\r\n");
        assert_eq!(written(|o| integer(o, -7)), ":-7\r\n");
        assert_eq!(written(|o| bulk(o, b"a\r\nb")), "$4\r\na\r\nb\r\n");
        assert_eq!(written(|o| bulk_integer(o, 10)), "$2\r\n10\r\n");
        assert_eq!(
            written(|o| command(o, &[b"GET", b"k"])),
            "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
        );
    }

    #[test]
    fn aggregates_and_nulls_follow_the_protocol() {
        assert_eq!(written(|o| map(o, Protocol::Resp2, 2)), "*4\r\n");
        assert_eq!(written(|o| map(o, Protocol::Resp3, 2)), "%2\r\n");
        assert_eq!(written(|o| set(o, Protocol::Resp3, 2)), "~2\r\n");
        assert_eq!(written(|o| null(o, Protocol::Resp2)), "$-1\r\n");
        assert_eq!(written(|o| null_array(o, Protocol::Resp2)), "*-1\r\n");
        assert_eq!(written(|o| null_array(o, Protocol::Resp3)), "_\r\n");
    }
}
