//! Sockets to accept from: TCP and Unix, made at start, gone at the end.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::umask;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::config::{Address, Listen};

/// Clients that may wait to be accepted; the system bounds it further (`net.core.somaxconn`).
const BACKLOG: i32 = 1024;

/// How long a client that vanished without a word may hold its place; as Redis has it by default.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// A socket that clients connect to.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// Unix, with its path.
    Unix(UnixListener, String),
}

/// An accepted connection on its way to a worker.
pub enum Stream {
    /// TCP: the socket, the client's address, ours.
    Tcp(std::net::TcpStream, SocketAddr, SocketAddr),
    /// Unix: the socket, our path.
    Unix(std::os::unix::net::UnixStream, String),
}

/// Makes all listeners.
///
/// # Errors
/// One line with the address and the reason.
pub fn bind_all(config: &Listen) -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    for text in &config.addresses {
        let fail = |error: io::Error| format!("cannot listen on {text}: {error}");
        match Address::parse(text) {
            Some(Address::Tcp(host, port)) => {
                let addresses = std::net::ToSocketAddrs::to_socket_addrs(&(host, port));
                for address in addresses.map_err(fail)? {
                    listeners.push(bind_tcp(address).map_err(fail)?);
                }
            }
            Some(Address::Unix(path)) => {
                listeners.push(bind_unix(path, config.unix_mode).map_err(fail)?);
            }
            None => return Err(fail(io::Error::other("host:port or unix:/path is allowed"))),
        }
    }
    Ok(listeners)
}

fn bind_tcp(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(Listener::Tcp(TcpListener::from_std(socket.into())?))
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    // A socket that a dead process left behind is in the way; one that answers is in use.
    let is_socket = std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    // The mode must hold from the first moment on, so it is the umask's work, not chmod's.
    let before = umask(Mode::from_raw_mode(!mode & 0o777));
    let listener = UnixListener::bind(path);
    umask(before);
    Ok(Listener::Unix(listener?, path.display().to_string()))
}

/// Takes the Unix sockets out of the file system.
pub fn remove_sockets(config: &Listen) {
    for text in &config.addresses {
        if let Some(Address::Unix(path)) = Address::parse(text) {
            // Somebody may have removed it; then there is nothing to do.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Listener {
    /// Waits for a client.
    pub async fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Replies are written once per wake-up; Nagle would hold them back.
                stream.set_nodelay(true)?;
                let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
                SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                let ours = stream.local_addr()?;
                Ok(Stream::Tcp(stream.into_std()?, peer, ours))
            }
            Listener::Unix(listener, path) => {
                let (stream, _) = listener.accept().await?;
                Ok(Stream::Unix(stream.into_std()?, path.clone()))
            }
        }
    }

    /// Where it listens, as it may stand in `listen.addresses`.
    pub fn address(&self) -> String {
        match self {
            Listener::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| "tcp".into(), |address| address.to_string()),
            Listener::Unix(_, path) => format!("unix:{path}"),
        }
    }
}

impl Stream {
    /// Tells the client why it is not served, and closes.
    pub fn turn_away(self, why: &str) {
        let line = format!("-{why}\r\n");
        // It may be gone already, which is what we want of it.
        let _ = match self {
            Stream::Tcp(mut stream, ..) => stream.write_all(line.as_bytes()),
            Stream::Unix(mut stream, _) => stream.write_all(line.as_bytes()),
        };
    }
}
