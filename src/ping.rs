//! `sessile ping`: asks a running sidecar whether it answers, for containers that hold no shell.
//!
//! Blocking and small on purpose: it must work when little else does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::config::{Address, Config};
use crate::resp::write;

/// How long to wait for a connection, and then for each piece of the reply.
const TIMEOUT: Duration = Duration::from_secs(1);
/// More than `+OK` and `+PONG` or any error take; what does not end by then is no reply.
const REPLY_BYTES_MAX: u64 = 4096;

/// Connects to the first of `listen.addresses`, gives the password if there is one, and expects
/// `PONG`.
///
/// # Errors
/// One line: the address, and what went wrong there.
pub fn ping(config: &Config) -> Result<(), String> {
    let text = config.listen.addresses.first().map_or("", String::as_str);
    let result = match Address::parse(text) {
        Some(Address::Tcp(host, port)) => connect(host, port).and_then(|s| exchange(s, config)),
        Some(Address::Unix(path)) => UnixStream::connect(path)
            .and_then(|stream| {
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                Ok(stream)
            })
            .and_then(|stream| exchange(stream, config)),
        None => Err(io::Error::other("no address to connect to")),
    };
    result.map_err(|error| match error.kind() {
        // What a timeout on a socket is called differs between systems; neither name says it.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("{text}: no answer within {} ms", TIMEOUT.as_millis())
        }
        _ => format!("{text}: {error}"),
    })
}

/// Tries every address of `host`, as `TcpStream::connect` does, but not for ever.
fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange(mut stream: impl Read + Write, config: &Config) -> io::Result<()> {
    let password = &config.listen.password;
    let mut request = Vec::new();
    if !password.is_empty() {
        write::command(&mut request, &[b"AUTH", password.expose().as_bytes()]);
    }
    write::command(&mut request, &[b"PING"]);
    stream.write_all(&request)?;

    let mut replies = BufReader::new(stream.take(REPLY_BYTES_MAX));
    if !password.is_empty() {
        expect(&mut replies, "+OK")?;
    }
    expect(&mut replies, "+PONG")
}

fn expect(replies: &mut impl BufRead, wanted: &str) -> io::Result<()> {
    let mut line = Vec::new();
    replies.read_until(b'\n', &mut line)?;
    let line = String::from_utf8_lossy(&line);
    match line.trim_end() {
        line if line == wanted => Ok(()),
        "" => Err(io::Error::other(
            "the connection was closed without a reply",
        )),
        // Debug keeps on one line, and harmless, whatever a stranger on that port sent.
        line => Err(io::Error::other(format!("answered {line:?}"))),
    }
}
