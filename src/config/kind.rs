//! What values an option takes: reading them, naming what is allowed, showing them.
//!
//! A value arrives as TOML from the file, or as text from a flag or the environment; both are
//! [`Value`]s here, and every kind also takes text, so that `"500"` and `500` are the same number.

use toml::Value;

use super::{address::Address, redact::redacted_url};

/// What is shown in the place of a password.
pub const HIDDEN: &str = "<hidden>";

/// What a number counts.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the words say it")]
pub enum Unit {
    Milliseconds,
    Seconds,
    Bytes,
    Count,
}

/// What values an option takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number from the first to the second bound, both included.
    Number(u64, u64, Unit),
    /// `auto`, or whole seconds from 0 to the bound.
    SecondsOrAuto(u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// The permission bits of a file, in octal digits.
    Mode,
    /// Addresses to listen on: a list, or text with commas.
    Addresses,
    /// The first part of key names.
    Prefix,
    /// Any text, never shown.
    Password,
    /// Where Redis is; shown without its password.
    Url,
}

impl Kind {
    /// What is allowed, to stand before "is allowed".
    pub fn allowed(self) -> String {
        match self {
            Kind::Number(min, max, unit) => {
                let unit = match unit {
                    Unit::Milliseconds => " (milliseconds)",
                    Unit::Seconds => " (seconds)",
                    Unit::Bytes => " (bytes)",
                    Unit::Count => "",
                };
                format!("a whole number from {min} to {max}{unit}")
            }
            Kind::SecondsOrAuto(max) => {
                format!("\"auto\" or a whole number from 0 to {max} (seconds)")
            }
            Kind::Word(words) => format!("one of \"{}\"", words.join("\", \"")),
            Kind::Mode => "an octal file mode in quotes from \"000\" to \"777\"".into(),
            Kind::Addresses => {
                "a list of at least one \"host:port\", \"[ipv6]:port\" or \"unix:/path\"".into()
            }
            Kind::Prefix => {
                "text of 1 to 64 bytes without braces, spaces and control characters".into()
            }
            Kind::Password => "any text".into(),
            Kind::Url => "\"embedded:\", \"redis://...\" or \"unix://...\"".into(),
        }
    }

    /// Reads `value`. `None` stands for `auto`: a field that is left out.
    ///
    /// # Errors
    /// What is wrong or allowed, to stand behind `key = value: `.
    pub fn read(self, value: &Value) -> Result<Option<Value>, String> {
        let read = match self {
            Kind::Number(min, max, _) => number(value, min, max),
            Kind::SecondsOrAuto(_) if value.as_str() == Some("auto") => return Ok(None),
            Kind::SecondsOrAuto(max) => number(value, 0, max),
            Kind::Word(words) => checked(value, |text| words.contains(&text)),
            Kind::Mode => mode(value),
            Kind::Addresses => addresses(value),
            Kind::Prefix => checked(value, is_prefix),
            Kind::Password => checked(value, |_| true),
            Kind::Url => checked(value, |text| {
                text == "embedded:" || text.starts_with("redis://") || text.starts_with("unix://")
            }),
        };
        match read {
            Some(value) => Ok(Some(value)),
            None if matches!(self, Kind::Url) && is_tls(value) => Err(format!(
                "TLS to the upstream is not there yet; {} is allowed",
                self.allowed()
            )),
            None => Err(format!("{} is allowed", self.allowed())),
        }
    }

    /// A value as [`Kind::read`] returned it, in the way the file would spell it.
    pub fn show(self, value: Option<&Value>) -> String {
        match (self, value) {
            (_, None) => quoted("auto"),
            (Kind::Mode, Some(Value::Integer(mode))) => quoted(&format!("{mode:03o}")),
            (_, Some(value)) => self.show_given(value),
        }
    }

    /// A value as it was given, on one line, good or not, with passwords hidden.
    pub fn show_given(self, value: &Value) -> String {
        match (self, value) {
            (Kind::Password, Value::String(text)) if text.is_empty() => quoted(""),
            (Kind::Password, _) => quoted(HIDDEN),
            (Kind::Url, Value::String(text)) => quoted(&redacted_url(text)),
            // A list or a table may hold a URL with a password anywhere.
            (Kind::Url, Value::Array(_)) => "a list".into(),
            (_, Value::String(text)) => quoted(text),
            (_, Value::Array(items)) => {
                let items: Vec<_> = items.iter().map(|item| self.show_given(item)).collect();
                format!("[{}]", items.join(", "))
            }
            (_, Value::Table(_)) => "a table".into(),
            (_, value) => value.to_string(),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn number(value: &Value, min: u64, max: u64) -> Option<Value> {
    let number = match value {
        Value::Integer(number) => u64::try_from(*number).ok()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    let number = (min..=max).contains(&number).then_some(number)?;
    i64::try_from(number).ok().map(Value::Integer)
}

fn checked(value: &Value, allowed: impl Fn(&str) -> bool) -> Option<Value> {
    value.as_str().is_some_and(allowed).then(|| value.clone())
}

/// Only text is octal: a bare 600 in the file would be decimal to every other reader of TOML.
/// A number is what [`Config`](super::Config) holds, and comes back from there.
fn mode(value: &Value) -> Option<Value> {
    let text = value.as_str()?;
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mode = i64::from_str_radix(text, 8).ok()?;
    (digits && mode <= 0o777).then_some(Value::Integer(mode))
}

fn addresses(value: &Value) -> Option<Value> {
    let items: Vec<Value> = match value {
        Value::String(text) => text.split(',').map(|item| item.trim().into()).collect(),
        Value::Array(items) => items.clone(),
        _ => return None,
    };
    let well_formed = |item: &Value| item.as_str().and_then(Address::parse).is_some();
    (!items.is_empty() && items.iter().all(well_formed)).then_some(Value::Array(items))
}

/// Braces would move the hash tag that keeps a session in one cluster slot.
fn is_prefix(text: &str) -> bool {
    let bad = |c: char| c == '{' || c == '}' || c.is_whitespace() || c.is_control();
    !text.is_empty() && text.len() <= 64 && !text.contains(bad)
}

fn is_tls(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|url| url.starts_with("rediss://"))
}

#[cfg(test)]
mod tests {
    use super::super::options::row;
    use super::*;

    fn read(key: &str, value: impl Into<Value>) -> Result<String, String> {
        let kind = row(key).unwrap().kind;
        kind.read(&value.into())
            .map(|value| kind.show(value.as_ref()))
    }

    #[test]
    fn numbers_are_read_within_bounds() {
        assert_eq!(read("listen.workers", 64).unwrap(), "64");
        assert_eq!(read("listen.workers", "64").unwrap(), "64");
        for bad in ["0", "65", "-1", "", "1.5", "99999999999999999999"] {
            let error = read("listen.workers", bad).unwrap_err();
            assert_eq!(error, "a whole number from 1 to 64 is allowed");
        }
        assert!(read("listen.workers", -1).is_err());
        assert!(read("listen.workers", 1.0).is_err());
        assert!(read("listen.workers", true).is_err());
    }

    #[test]
    fn auto_is_a_word_beside_numbers() {
        assert_eq!(read("session.touch_every_s", "auto").unwrap(), "\"auto\"");
        assert_eq!(read("session.touch_every_s", 0).unwrap(), "0");
        assert!(read("session.touch_every_s", "never").is_err());
    }

    #[test]
    fn modes_are_octal_text() {
        assert_eq!(read("listen.unix_mode", "660").unwrap(), "\"660\"");
        assert_eq!(read("listen.unix_mode", "0660").unwrap(), "\"660\"");
        for bad in ["", "888", "1777", "+77", "rw"] {
            assert!(read("listen.unix_mode", bad).is_err(), "{bad}");
        }
        assert!(read("listen.unix_mode", 600).is_err());
    }

    #[test]
    fn lists_come_from_text_and_arrays() {
        let two = "[\"localhost:1\", \"unix:/run/s\"]";
        assert_eq!(
            read("listen.addresses", "localhost:1, unix:/run/s").unwrap(),
            two
        );
        assert!(read("listen.addresses", "").is_err());
        assert!(read("listen.addresses", Value::Array(vec![])).is_err());
        assert!(read("listen.addresses", vec![1]).is_err());
    }

    #[test]
    fn prefixes_keep_the_hash_tag_whole() {
        assert!(read("session.prefix", "shop:").is_ok());
        for bad in ["", "a{b", "a}b", "a b", "a\tb", &"x".repeat(65)] {
            assert!(read("session.prefix", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn urls_are_checked_for_their_scheme() {
        for good in ["embedded:", "redis://h:1", "unix:///run/redis.sock"] {
            assert!(read("upstream.url", good).is_ok(), "{good}");
        }
        for bad in ["", "embedded:x", "h:1", "http://h", "rediss://h"] {
            assert!(read("upstream.url", bad).is_err(), "{bad}");
        }
        let tls = read("upstream.url", "rediss://h").unwrap_err();
        assert!(
            tls.starts_with("TLS to the upstream is not there yet"),
            "{tls}"
        );
    }
}
