//! A blocking RESP client that shows replies as they are on the wire.

use super::Address;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// One reply, every type of both protocols kept apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`
    Simple(String),
    /// `-ERR ...`
    Error(String),
    /// `:1`
    Int(i64),
    /// `$3\r\nabc`
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    /// `*2 ...`
    Array(Vec<Value>),
    /// `%1 ...`
    Map(Vec<(Value, Value)>),
    /// `~1 ...`
    Set(Vec<Value>),
    /// `>2 ...`
    Push(Vec<Value>),
    /// `,1.5`, as text
    Double(String),
    /// `#t`
    Bool(bool),
    /// `(123`
    BigNumber(String),
    /// `=15\r\ntxt:...`, the format left out
    Verbatim(Vec<u8>),
}

impl Value {
    /// Any of the three nulls.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::NullBulk | Value::NullArray | Value::Null)
    }

    /// Whether this is an error whose text begins with `prefix`.
    pub fn is_error(&self, prefix: &str) -> bool {
        matches!(self, Value::Error(text) if text.starts_with(prefix))
    }

    /// The text of a string of any kind, or of an error.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Value::Simple(s) | Value::Error(s) | Value::Double(s) | Value::BigNumber(s) => {
                s.clone()
            }
            Value::Bulk(b) | Value::Verbatim(b) => String::from_utf8_lossy(b).into_owned(),
            other => panic!("not a text: {other}"),
        }
    }

    /// An integer, also one in a bulk string.
    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Value::Int(n) => *n,
            Value::Bulk(b) => String::from_utf8_lossy(b).parse().expect("a number"),
            other => panic!("not an integer: {other}"),
        }
    }

    /// The elements of an array, set or push.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => items,
            other => panic!("not an array: {other}"),
        }
    }

    /// The pairs of a map, or of the flat array that RESP2 has for one.
    #[track_caller]
    pub fn pairs(&self) -> Vec<(String, Value)> {
        match self {
            Value::Map(pairs) => pairs.iter().map(|(k, v)| (k.text(), v.clone())).collect(),
            Value::Array(items) => {
                assert!(
                    items.len().is_multiple_of(2),
                    "an odd number of elements: {self}"
                );
                items
                    .chunks(2)
                    .map(|pair| (pair[0].text(), pair[1].clone()))
                    .collect()
            }
            other => panic!("not a map: {other}"),
        }
    }

    /// What a map has under `key`.
    #[track_caller]
    pub fn get(&self, key: &str) -> Value {
        let found = self.pairs().into_iter().find(|(k, _)| k == key);
        found.unwrap_or_else(|| panic!("no {key} in {self}")).1
    }
}

/// Shows what is on the wire in one line: `*-1`, `:2`, `"text"`, `["a", "1"]`, `{"a": "1"}`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let list = |f: &mut fmt::Formatter, open: &str, items: &[Value], close: &str| {
            let items: Vec<_> = items.iter().map(Value::to_string).collect();
            write!(f, "{open}{}{close}", items.join(", "))
        };
        match self {
            Value::Simple(s) => write!(f, "+{s}"),
            Value::Error(s) => write!(f, "-{s}"),
            Value::Int(n) => write!(f, ":{n}"),
            Value::Bulk(b) => write!(f, "\"{}\"", b.escape_ascii()),
            Value::NullBulk => write!(f, "$-1"),
            Value::NullArray => write!(f, "*-1"),
            Value::Null => write!(f, "_"),
            Value::Array(items) => list(f, "[", items, "]"),
            Value::Set(items) => list(f, "~[", items, "]"),
            Value::Push(items) => list(f, ">[", items, "]"),
            Value::Map(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}: {v}")).collect();
                write!(f, "{{{}}}", pairs.join(", "))
            }
            Value::Double(s) => write!(f, ",{s}"),
            Value::Bool(b) => write!(f, "#{b}"),
            Value::BigNumber(s) => write!(f, "({s}"),
            Value::Verbatim(b) => write!(f, "=\"{}\"", b.escape_ascii()),
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connection. Nothing waits for longer than ten seconds, so no test hangs for ever.
pub struct Client {
    stream: Stream,
    /// Received and not yet consumed.
    buffer: Vec<u8>,
}

const PATIENCE: Duration = Duration::from_secs(10);

impl Client {
    /// Connects, or says why not.
    pub fn try_connect(address: &Address) -> std::io::Result<Client> {
        let stream = match address {
            Address::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Stream::Unix(stream)
            }
        };
        Ok(Client {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Connects; panics if that fails.
    #[track_caller]
    pub fn connect(address: &Address) -> Client {
        Client::try_connect(address).unwrap_or_else(|e| panic!("connecting to {address}: {e}"))
    }

    /// Sends `HELLO n` and takes its reply.
    #[track_caller]
    pub fn hello(mut self, protocol: u8) -> Client {
        let reply = self.cmd(&["HELLO", &protocol.to_string()]);
        assert!(
            !matches!(reply, Value::Error(_)),
            "HELLO {protocol}: {reply}"
        );
        self
    }

    /// Sends one command and returns its reply.
    #[track_caller]
    pub fn cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.send(args);
        self.reply()
    }

    /// Sends one command and returns its reply; an error where the connection fails.
    pub fn try_cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> std::io::Result<Value> {
        self.try_raw(&encode(args))?;
        self.try_reply()
    }

    /// Sends one command, words separated by blanks.
    #[track_caller]
    pub fn line(&mut self, words: &str) -> Value {
        self.cmd(&words.split_ascii_whitespace().collect::<Vec<_>>())
    }

    /// Sends one command without waiting for its reply.
    #[track_caller]
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.raw(&encode(args));
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.try_raw(bytes).expect("sending");
    }

    /// Sends bytes as they are; the peer may have closed.
    pub fn try_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(s) => s.write_all(bytes),
            Stream::Unix(s) => s.write_all(bytes),
        }
    }

    /// As much of `bytes` as fits into the socket within `patience`; how many that were.
    pub fn write_within(&mut self, bytes: &[u8], patience: Duration) -> usize {
        let Stream::Tcp(stream) = &mut self.stream else {
            panic!("TCP only")
        };
        stream.set_write_timeout(Some(patience)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match stream.write(&bytes[sent..]) {
                Ok(0) | Err(_) => break,
                Ok(n) => sent += n,
            }
        }
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        sent
    }

    /// The next reply.
    #[track_caller]
    pub fn reply(&mut self) -> Value {
        self.try_reply().expect("a reply")
    }

    /// The next reply; an error where the connection ends, fails or stays silent.
    pub fn try_reply(&mut self) -> std::io::Result<Value> {
        loop {
            if let Some((value, used)) = parse(&self.buffer) {
                self.buffer.drain(..used);
                return Ok(value);
            }
            self.fill()?;
        }
    }

    /// Asserts that the next bytes are exactly `expected`.
    #[track_caller]
    pub fn expect_bytes(&mut self, expected: &[u8]) {
        let got = self.read_exactly(expected.len());
        assert_eq!(
            got.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    }

    /// The next `count` bytes.
    #[track_caller]
    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            if let Err(e) = self.fill() {
                panic!(
                    "{e}, having read {:?}",
                    self.buffer.escape_ascii().to_string()
                );
            }
        }
        self.buffer.drain(..count).collect()
    }

    /// Reads the next `count` bytes and keeps none of them.
    #[track_caller]
    pub fn skip(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            if self.buffer.is_empty() {
                self.fill()
                    .unwrap_or_else(|e| panic!("{e}, {left} of {count} bytes missing"));
            }
            let taken = left.min(self.buffer.len());
            self.buffer.drain(..taken);
            left -= taken;
        }
    }

    /// The bytes of the next reply as they came.
    #[track_caller]
    pub fn reply_bytes(&mut self) -> Vec<u8> {
        loop {
            if let Some((_, used)) = parse(&self.buffer) {
                return self.buffer.drain(..used).collect();
            }
            self.fill().expect("a reply");
        }
    }

    /// Everything until the peer closes. Panics if it does not.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(()) => {}
                // Data of ours that nobody read turns the close into a reset.
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                    ) =>
                {
                    return std::mem::take(&mut self.buffer);
                }
                Err(e) => panic!("the peer does not close: {e}"),
            }
        }
    }

    /// Asserts that the connection still serves.
    #[track_caller]
    pub fn assert_lives(&mut self) {
        assert_eq!(
            self.cmd(&["PING", "alive?"]),
            Value::Bulk(b"alive?".to_vec())
        );
    }

    /// Says that nothing more will be sent, and still reads.
    pub fn close_sending(&mut self) {
        match &self.stream {
            Stream::Tcp(s) => s.shutdown(std::net::Shutdown::Write).unwrap(),
            Stream::Unix(s) => s.shutdown(std::net::Shutdown::Write).unwrap(),
        }
    }

    fn fill(&mut self) -> std::io::Result<()> {
        let mut chunk = [0; 64 * 1024];
        let count = match &mut self.stream {
            Stream::Tcp(s) => s.read(&mut chunk)?,
            Stream::Unix(s) => s.read(&mut chunk)?,
        };
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(())
    }
}

/// A command as the array of bulk strings that clients send.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The first reply in `bytes` and its length; `None` while it is incomplete.
fn parse(bytes: &[u8]) -> Option<(Value, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = std::str::from_utf8(&bytes[1..end]).expect("a header in ASCII");
    let mut used = end + 2;
    let number = || {
        line.parse::<i64>()
            .unwrap_or_else(|_| panic!("a number, not {line:?}"))
    };
    let text = || line.to_string();

    let value = match bytes[0] {
        b'+' => Value::Simple(text()),
        b'-' => Value::Error(text()),
        b':' => Value::Int(number()),
        b',' => Value::Double(text()),
        b'(' => Value::BigNumber(text()),
        b'#' => Value::Bool(line == "t"),
        b'_' => Value::Null,
        b'$' if number() < 0 => Value::NullBulk,
        b'*' if number() < 0 => Value::NullArray,
        kind @ (b'$' | b'=' | b'!') => {
            let len = number() as usize;
            let data = bytes.get(used..used + len)?.to_vec();
            assert_eq!(
                bytes.get(used + len..used + len + 2)?,
                b"\r\n",
                "a string's end"
            );
            used += len + 2;
            match kind {
                b'$' => Value::Bulk(data),
                b'=' => Value::Verbatim(data[4..].to_vec()),
                _ => Value::Error(String::from_utf8_lossy(&data).into_owned()),
            }
        }
        kind @ (b'*' | b'~' | b'>' | b'%') => {
            let count = number() as usize * if kind == b'%' { 2 } else { 1 };
            let mut items = Vec::new();
            for _ in 0..count {
                let (item, len) = parse(&bytes[used..])?;
                used += len;
                items.push(item);
            }
            match kind {
                b'*' => Value::Array(items),
                b'~' => Value::Set(items),
                b'>' => Value::Push(items),
                _ => Value::Map(
                    items
                        .chunks(2)
                        .map(|p| (p[0].clone(), p[1].clone()))
                        .collect(),
                ),
            }
        }
        other => panic!("no reply begins with {:?}: {line:?}", other as char),
    };
    Some((value, used))
}
