//! One connection to the upstream, opened and introduced: a stream of bytes, whatever carries it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::memory;
use super::target::{Place, Target};
use crate::embedded::Embedded;
use crate::resp::scan::Scanner;
use crate::resp::{Protocol, value, write};

/// How long a dead peer may go unnoticed on an idle connection. Busy ones have deadlines.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Longest reply the handshake expects.
const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// A connection to upstream.
pub enum Link {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
    /// To the engine in this process.
    Memory(DuplexStream),
}

/// Why a connection could not be had.
pub enum Refused {
    /// Nobody there, not in time, or not let in: worth trying again.
    Unreachable(String),
    /// Upstream has no such database; its own words.
    NoDatabase(String),
}

/// What upstream said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Its version, such as `7.0.15`; empty if it did not say.
    pub version: String,
}

impl Server {
    /// Whether it knows the NX, XX, GT and LT of the EXPIRE family (Redis 7.0).
    pub fn has_expire_gt(&self) -> bool {
        let major = self.version.split('.').next().and_then(|n| n.parse().ok());
        major.is_some_and(|major: u32| major >= 7)
    }
}

/// Connects and introduces us: protocol, password, database.
///
/// AUTH is never sent together with anything behind it: some servers drop the error of a failing
/// AUTH in a pipeline, and the commands behind it would run unauthenticated.
pub async fn connect(
    target: &Target,
    embedded: &Embedded,
    protocol: Protocol,
    database: u32,
) -> Result<(Link, Server), Refused> {
    let mut link = open(target, embedded)
        .await
        .map_err(|error| Refused::Unreachable(error.to_string()))?;
    let unreachable = |error: io::Error| Refused::Unreachable(error.to_string());
    let hello = hello(target, protocol);
    let hello: Vec<&[u8]> = hello.iter().map(String::as_bytes).collect();
    let mut reply = ask(&mut link, &hello).await.map_err(unreachable)?;
    if reply.starts_with(b"-") {
        return Err(Refused::Unreachable(said(&reply)));
    }
    let version = value::hello_pairs(&reply)
        .into_iter()
        .find_map(|(name, value)| (name == "version").then_some(value))
        .unwrap_or_default();
    // Names us in CLIENT LIST. Managed servers may refuse it, which is no harm.
    ask(&mut link, &[b"CLIENT", b"SETNAME", b"sessile"])
        .await
        .map_err(unreachable)?;
    if database != 0 {
        let text = database.to_string();
        reply = ask(&mut link, &[b"SELECT", text.as_bytes()])
            .await
            .map_err(unreachable)?;
        // Anything else it may say here (-BUSY, -NOPERM, -LOADING) is about the moment.
        if reply.starts_with(b"-ERR DB index") || reply.starts_with(b"-ERR invalid DB index") {
            return Err(Refused::NoDatabase(said(&reply)));
        }
        if reply.starts_with(b"-") {
            return Err(Refused::Unreachable(said(&reply)));
        }
    }
    Ok((link, Server { version }))
}

fn hello(target: &Target, protocol: Protocol) -> Vec<String> {
    let mut words = vec!["HELLO".to_owned(), protocol.number().to_string()];
    if let Some(password) = &target.password {
        let user = target.username.as_deref().unwrap_or("default");
        words.extend(["AUTH".to_owned(), user.to_owned(), password.clone()]);
    }
    words
}

async fn open(target: &Target, embedded: &Embedded) -> io::Result<Link> {
    match &target.place {
        Place::Embedded => Ok(Link::Memory(memory::connect(embedded))),
        Place::Unix(path) => Ok(Link::Unix(UnixStream::connect(path).await?)),
        Place::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            // A lane writes once per turn of the event loop; Nagle would hold those writes back.
            stream.set_nodelay(true)?;
            let keepalive = TcpKeepalive::new()
                .with_time(KEEPALIVE)
                .with_interval(KEEPALIVE / 3);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            Ok(Link::Tcp(stream))
        }
    }
}

/// Sends one command and reads its reply.
async fn ask(link: &mut Link, args: &[&[u8]]) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    write::command(&mut request, args);
    link.write_all(&request).await?;
    let (mut reply, mut scanner, mut at) = (Vec::new(), Scanner::default(), 0);
    loop {
        if link.read_buf(&mut reply).await? == 0 {
            return Err(io::Error::other(
                "closed the connection during the handshake",
            ));
        }
        let (len, done) = scanner
            .advance(reply.get(at..).unwrap_or_default())
            .map_err(|_| io::Error::other("does not speak RESP"))?;
        at += len;
        if done {
            return Ok(reply);
        }
        if reply.len() > HANDSHAKE_BYTES_MAX {
            return Err(io::Error::other("sent too much during the handshake"));
        }
    }
}

/// The text of an error reply.
fn said(reply: &[u8]) -> String {
    let text = reply.strip_prefix(b"-").unwrap_or(reply).trim_ascii_end();
    String::from_utf8_lossy(text).into_owned()
}

impl Link {
    /// Writes what the system takes at once, if anything.
    pub fn try_write(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Link::Tcp(stream) => stream.try_write(bytes).ok(),
            Link::Unix(stream) => stream.try_write(bytes).ok(),
            Link::Memory(_) => None,
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Link::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Link::Memory(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Link::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Link::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Link::Memory(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
