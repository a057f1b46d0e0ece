//! What an address to listen on looks like. Parses text only: names are not resolved here.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

/// An address to listen on or to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// A host name or IP address (IPv6 without its brackets), and a port. Port 0 is any free one.
    Tcp(&'a str, u16),
    /// The absolute path of a Unix socket.
    Unix(&'a Path),
}

/// What fits, with its closing zero byte, into the address of a Unix socket on Linux.
const UNIX_PATH_BYTES_MAX: usize = 107;

impl<'a> Address<'a> {
    /// Parses `host:port`, `[ipv6]:port` or `unix:/path`; `None` for anything else.
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            let good = path.starts_with('/')
                && path.len() <= UNIX_PATH_BYTES_MAX
                && !path.contains(char::is_control);
            return good.then_some(Address::Unix(Path::new(path)));
        }
        let (host, port) = text.rsplit_once(':')?;
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return None; // `parse` would take a sign
        }
        let port = port.parse().ok()?;
        let host = match host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            Some(ipv6) => ipv6.parse::<Ipv6Addr>().is_ok().then_some(ipv6)?,
            None => is_host(host).then_some(host)?,
        };
        Some(Address::Tcp(host, port))
    }

    /// Whether only this machine can reach it: a Unix socket, `localhost`, 127.0.0.0/8 or `::1`.
    /// Any other name is taken to be reachable from elsewhere, whatever it resolves to.
    pub fn is_loopback(self) -> bool {
        match self {
            Address::Unix(_) => true,
            Address::Tcp(host, _) => match host.parse::<IpAddr>() {
                Ok(ip) => ip.to_canonical().is_loopback(),
                Err(_) => host.eq_ignore_ascii_case("localhost"),
            },
        }
    }
}

/// A host name or an IPv4 address. Colons are not among the characters: IPv6 goes in brackets.
fn is_host(host: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !host.is_empty() && host.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_spellings_are_addresses() {
        assert_eq!(
            Address::parse("127.0.0.1:6380"),
            Some(Address::Tcp("127.0.0.1", 6380))
        );
        assert_eq!(Address::parse("[::1]:0"), Some(Address::Tcp("::1", 0)));
        assert_eq!(
            Address::parse("unix:/run/s"),
            Some(Address::Unix(Path::new("/run/s")))
        );
    }

    #[test]
    fn all_else_is_refused() {
        let long = format!("unix:/{}", "x".repeat(107));
        for bad in [
            "",
            "6380",
            ":6380",
            "host",
            "host:",
            "host:65536",
            "host:+1",
            "host:-1",
            "::1:6380",
            "[::1]",
            "[host]:1",
            "a b:1",
            "*:1",
            "redis://h:1",
            "unix:",
            "unix:run/s",
            &long,
        ] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn loopback_is_decided_without_resolving() {
        let loopback = |text| Address::parse(text).unwrap().is_loopback();
        for near in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "LOCALHOST:1",
            "unix:/s",
        ] {
            assert!(loopback(near), "{near}");
        }
        for far in [
            "0.0.0.0:1",
            "10.0.0.1:1",
            "[::]:1",
            "localhost.example.com:1",
            "127.1:1",
        ] {
            assert!(!loopback(far), "{far}");
        }
        assert!(loopback("[::ffff:127.0.0.1]:1"));
    }
}
