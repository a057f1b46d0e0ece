//! The rules that concern a whole [`Config`]: each option by its row, then options against
//! each other.

use toml::{Table, Value};

use super::kind::Kind;
use super::load::Error;
use super::options::{ROWS, row};
use super::{Address, Config};

impl Config {
    /// Checks every rule. What [`load`](fn@super::load) returns has passed; a `Config` made by hand
    /// has not.
    ///
    /// # Errors
    /// The first rule broken: the option, its value, and what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        self.problem().map_or(Ok(()), |(_, text)| Err(Error(text)))
    }

    /// The first option that breaks a rule, and the message about it.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        let values = match values(self) {
            Ok(values) => values,
            Err(error) => return Some(("", error.0)),
        };
        let (key, reason) = broken_bound(&values).or_else(|| self.broken_rule())?;
        let shown = row(key)
            .map(|row| row.kind.show(row.find(&values)))
            .unwrap_or_default();
        Some((key, format!("{key} = {shown}: {reason}")))
    }

    /// Rules that take more than one option.
    fn broken_rule(&self) -> Option<(&'static str, String)> {
        let Config {
            listen,
            upstream,
            session,
            ..
        } = self;
        let open = |text: &&String| !Address::parse(text).is_some_and(Address::is_loopback);
        if let Some(address) = listen.addresses.iter().find(open)
            && listen.password.is_empty()
        {
            let reason = format!(
                "{address} can be reached from other machines, which needs listen.password; \
                 without one, 127.0.0.0/8, ::1, localhost and unix: are allowed"
            );
            return Some(("listen.addresses", reason));
        }
        if upstream.backoff_min_ms > upstream.backoff_max_ms {
            let max = upstream.backoff_max_ms;
            let reason = format!("at most upstream.backoff_max_ms, which is {max}, is allowed");
            return Some(("upstream.backoff_min_ms", reason));
        }
        let max = session.timeout_s_max;
        for (key, value) in [
            ("session.idle_s", session.idle_s),
            ("session.life_s", session.life_s),
        ] {
            if value > max {
                let reason = format!("at most session.timeout_s_max, which is {max}, is allowed");
                return Some((key, reason));
            }
        }
        None
    }
}

/// The options as a table of sections, as [`Kind::show`] takes them; the password is not in it.
///
/// # Errors
/// A number beyond what TOML can hold, which no row allows.
pub(super) fn values(config: &Config) -> Result<Table, Error> {
    Table::try_from(config).map_err(|error| Error(format!("a number is out of bounds: {error}")))
}

/// The first option beyond what its own row allows.
fn broken_bound(values: &Table) -> Option<(&'static str, String)> {
    ROWS.iter().find_map(|row| {
        let value = match (row.kind, row.find(values)?) {
            // In the struct a mode is a number; its kind reads octal text.
            (Kind::Mode, Value::Integer(mode)) => Value::String(format!("{mode:o}")),
            (_, value) => value.clone(),
        };
        row.kind.read(&value).err().map(|reason| (row.key, reason))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn a_config_made_by_hand_keeps_the_bounds() {
        assert_eq!(
            broken(|c| c.listen.workers = 65),
            "listen.workers = 65: a whole number from 1 to 64 is allowed"
        );
        assert!(broken(|c| c.listen.unix_mode = 0o1777).contains("listen.unix_mode = \"1777\""));
        assert!(broken(|c| c.listen.addresses.clear()).contains("listen.addresses = []"));
        assert!(broken(|c| c.session.idle_s = u64::MAX).contains("out of bounds"));
    }

    #[test]
    fn other_machines_need_a_password() {
        let open = |c: &mut Config| c.listen.addresses.push("0.0.0.0:6380".into());
        assert!(broken(open).contains("0.0.0.0:6380 can be reached from other machines"));
        let mut config = Config::default();
        open(&mut config);
        config.listen.password = "secret".into();
        config.validate().unwrap();
    }

    #[test]
    fn pairs_fit_together() {
        assert_eq!(
            broken(|c| c.upstream.backoff_min_ms = 1001),
            "upstream.backoff_min_ms = 1001: at most upstream.backoff_max_ms, which is 1000, is allowed"
        );
        assert!(broken(|c| c.session.timeout_s_max = 1799).starts_with("session.idle_s = 1800: "));
        assert!(broken(|c| c.session.life_s = 34560001).starts_with("session.life_s = 34560001: "));
    }
}
