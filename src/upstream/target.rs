//! Where the upstream is and who we are to it: the URL, read by the `redis` crate.

use std::path::PathBuf;

use redis::{ConnectionAddr, IntoConnectionInfo};

use crate::config::redacted_url;

/// How to reach an upstream.
#[derive(Clone)]
pub struct Target {
    /// Where it is.
    pub place: Place,
    /// User for `AUTH`; `None` is Redis's `default`.
    pub username: Option<String>,
    /// Password for `AUTH`.
    pub password: Option<String>,
    /// The database of the sessions, and of plain commands until their client selects another.
    pub database: u32,
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process.
    Embedded,
    /// Host (a name is resolved again at each connect) and port.
    Tcp(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Target {
    /// Reads `embedded:`, `redis://[user[:password]@]host[:port][/db]` or `unix:///path?db=n`.
    ///
    /// # Errors
    /// One line that names the URL, its password hidden.
    pub fn parse(url: &str) -> Result<Target, String> {
        let refuse = |why: &str| format!("upstream.url = \"{}\": {why}", redacted_url(url));
        if url == "embedded:" {
            return Ok(Target {
                place: Place::Embedded,
                username: None,
                password: None,
                database: 0,
            });
        }
        let info = url.into_connection_info().map_err(|_| {
            refuse(
                "not a URL of the form redis://[user[:password]@]host[:port][/db] \
                 or unix:///path?db=n",
            )
        })?;
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Place::Tcp(host.clone(), *port),
            ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
            _ => return Err(refuse("TLS to the upstream is not there yet")),
        };
        let settings = info.redis_settings();
        Ok(Target {
            place,
            username: settings.username().map(str::to_owned),
            password: settings.password().map(str::to_owned),
            database: u32::try_from(settings.db())
                .map_err(|_| refuse("the database must be a number from 0"))?,
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Embedded => write!(f, "the embedded upstream"),
            Place::Tcp(host, port) => write!(f, "{host}:{port}"),
            Place::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_all_forms_are_read() {
        let target = Target::parse("redis://ann:p%40w@db.local:7001/2").expect("valid");
        assert_eq!(target.place, Place::Tcp("db.local".into(), 7001));
        assert_eq!(target.username.as_deref(), Some("ann"));
        assert_eq!(target.password.as_deref(), Some("p@w"));
        assert_eq!(target.database, 2);
        let target = Target::parse("unix:///run/redis.sock?db=3").expect("valid");
        assert_eq!(target.place, Place::Unix("/run/redis.sock".into()));
        assert_eq!(target.database, 3);
        assert!(Target::parse("redis://:pw@h").is_ok_and(|t| t.username.is_none()));
    }

    #[test]
    fn a_bad_url_is_named_without_its_password() {
        let error = Target::parse("redis://u:secret@host:port")
            .err()
            .expect("refused");
        assert!(
            error.contains("upstream.url") && !error.contains("secret"),
            "{error}"
        );
    }
}
