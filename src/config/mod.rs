//! The configuration: plain structs with public fields, and the road that leads to them.
//!
//! * this file: the structs everybody reads
//! * [`options`]: THE table, one row per option: meaning, bounds, default
//! * [`kind`]: what values an option takes, and how they are read and shown
//! * [`load`](fn@load): flags over environment over file over defaults, errors with their place
//! * [`validate`](Config::validate): the rules that concern more than one option
//!
//! To add an option, add a field here and a row in [`options`], and describe it in `sidecar.toml`;
//! a test fails until all three agree. The defaults come from the rows.
//!
//! This module knows nothing about sockets, Redis or sessions, and reads nothing but the one file.

mod address;
mod file;
pub mod kind;
mod load;
mod nearest;
pub mod options;
mod redact;
mod validate;

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

pub use address::Address;
pub use load::{Error, Overrides, Setting, chosen_file, load};
pub use redact::redacted_url;

use kind::HIDDEN;
use options::ROWS;

/// Every setting of one sidecar, one field per section of `sidecar.toml`.
///
/// `Config::default()` is what an empty file means. What each option means, its unit and its bounds
/// is said once, in [`options::ROWS`]; the comments on the fields below are only reminders.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients connect.
    pub listen: Listen,
    /// The Redis behind the sidecar.
    pub upstream: Upstream,
    /// How sessions are named and how long they live.
    pub session: Session,
    /// How much one client may ask for.
    pub limits: Limits,
    /// What is written to stderr.
    pub log: Log,
}

/// Where clients connect.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// `host:port` or `unix:/path`, at least one; [`Address::parse`] takes each.
    pub addresses: Vec<String>,
    /// What clients must give in `AUTH`; empty for none.
    pub password: Password,
    /// File mode of Unix sockets.
    pub unix_mode: u32,
    /// Most clients at a time.
    pub clients_max: usize,
    /// Threads that serve clients.
    pub workers: usize,
    /// Longest wait for running requests at shutdown, in ms.
    pub drain_ms: u64,
}

/// The Redis behind the sidecar.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// `embedded:`, `redis://...` or `unix://...`. May hold a password: show it only through
    /// [`redacted_url`].
    pub url: String,
    /// Longest wait for the reply to one request, in ms.
    pub timeout_ms: u64,
    /// Longest wait for a new connection, in ms.
    pub connect_timeout_ms: u64,
    /// First wait before connecting again, in ms.
    pub backoff_min_ms: u64,
    /// Longest wait before connecting again, in ms.
    pub backoff_max_ms: u64,
    /// A lane that owes replies and has sent no byte for so long is given up, in ms.
    pub silent_ms: u64,
    /// Most bytes of requests not yet answered, per lane.
    pub queue_bytes_max: usize,
}

/// How sessions are named and how long they live.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// What every key in Redis begins with.
    pub prefix: String,
    /// Idle timeout of a session created without `IDLE`, in s.
    pub idle_s: u64,
    /// Absolute lifetime of a session created without `LIFE`, in s.
    pub life_s: u64,
    /// Largest `IDLE` and `LIFE` a client may give, in s.
    pub timeout_s_max: u64,
    /// How much of the idle timeout may pass unrecorded, in s; `None` is `auto`.
    /// [`Session::touch_every_ms`] applies it.
    pub touch_every_s: Option<u64>,
    /// How long the previous secret still reads after `SESS.ROTATE`, in ms.
    pub rotate_grace_ms: u64,
}

/// How much one client may ask for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Longest request of any kind, in bytes.
    pub request_bytes_max: usize,
    /// Most arguments in one request, its name included.
    pub request_args_max: usize,
    /// Longest request given as a plain line of text, in bytes.
    pub inline_bytes_max: usize,
    /// Most requests of one client that are started and not yet answered.
    pub client_pipeline_max: usize,
    /// Most bytes of replies waiting for one client; beyond, it is closed.
    pub client_output_bytes_max: usize,
    /// Longest name of a session field, in bytes.
    pub field_name_bytes_max: usize,
    /// Longest value of a session field, in bytes.
    pub value_bytes_max: usize,
    /// Most application fields in one session.
    pub fields_max: usize,
    /// Longest `SESS.*` command, in bytes.
    pub command_bytes_max: usize,
    /// Longest user name, in bytes.
    pub user_bytes_max: usize,
    /// Most sessions in one `SESS.LIST` reply.
    pub list_max: usize,
}

/// What is written to stderr.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The least severe messages that are written.
    pub level: Level,
    /// How a message is written.
    pub format: Format,
}

/// Severity of a log message, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How a log message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A line for people.
    Text,
    /// A JSON object per line, for machines.
    Json,
}

/// A password. Neither `Debug` nor serialising it shows more than whether there is one.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// The password itself. Compare it in constant time, and never print it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn shown(&self) -> &'static str {
        if self.is_empty() { "" } else { HIDDEN }
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Password(text.to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

impl Serialize for Password {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

impl fmt::Debug for Upstream {
    /// As derived, but for the password in `url`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = toml::Table::try_from(self).map_err(|_| fmt::Error)?;
        shown.insert("url".into(), redacted_url(&self.url).into());
        write!(f, "Upstream ")?;
        f.debug_map().entries(shown.iter()).finish()
    }
}

impl Session {
    /// How far the TTL of a session with idle timeout `idle_ms` may shrink before a touch is sent,
    /// in ms: `auto` is a tenth of the idle timeout and at most a minute; 0 is each time. Never more
    /// than half of the idle timeout, or a session in use would run out.
    pub fn touch_every_ms(&self, idle_ms: u64) -> u64 {
        let every_ms = match self.touch_every_s {
            Some(seconds) => seconds.saturating_mul(1000),
            None => (idle_ms / 10).min(60_000),
        };
        every_ms.min(idle_ms / 2)
    }
}

impl Default for Config {
    #[allow(
        clippy::expect_used,
        reason = "rows and fields are both constant; `options::tests` holds them together"
    )]
    fn default() -> Self {
        load::from_defaults().expect("every field has a row, and every row an allowed default")
    }
}

impl Config {
    /// Every option in the order of the manual, as `key = value` would set it, passwords hidden.
    pub fn shown(&self) -> Vec<String> {
        let values = validate::values(self);
        ROWS.iter()
            .map(|row| {
                let value = values.as_ref().ok().and_then(|table| row.find(table));
                format!("{} = {}", row.key, row.kind.show(value))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_passwords() {
        let mut config = Config::default();
        config.listen.password = "hunter2".into();
        config.upstream.url = "redis://app:hunter2@cache:6379".into();
        let text = format!("{config:?} {:?}", config.shown());
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("redis://app:<hidden>@cache:6379"), "{text}");
    }

    #[test]
    fn touch_every_follows_the_idle_timeout_unless_given() {
        let mut session = Config::default().session;
        assert_eq!(session.touch_every_ms(1_800_000), 60_000);
        assert_eq!(session.touch_every_ms(5_000), 500);
        session.touch_every_s = Some(0);
        assert_eq!(session.touch_every_ms(1_800_000), 0);
        session.touch_every_s = Some(7);
        assert_eq!(session.touch_every_ms(1_800_000), 7_000);
        assert_eq!(
            session.touch_every_ms(5_000),
            2_500,
            "half of the idle timeout"
        );
    }
}
