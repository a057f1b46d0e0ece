//! THE table of options. Defaults, bounds, error messages, `check --print` and the test of
//! `sidecar.toml` are all read from here.
//!
//! An option's key is the path of its field in [`Config`](super::Config); its value is set through
//! that path, so a row needs no setter. Keys, meanings and defaults are an interface: people's
//! files depend on them.

use super::kind::{Kind, Unit};

/// The facts about one option.
pub struct Row {
    /// `section.name`, as in the file and for `--set`.
    pub key: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The default, written as on a command line.
    pub default: &'static str,
    /// What it does, in one sentence without its last full stop.
    pub meaning: &'static str,
}

impl Row {
    /// The section and the name in it.
    pub fn path(&self) -> (&'static str, &'static str) {
        self.key.split_once('.').unwrap_or(("", self.key))
    }

    /// The environment variable: `upstream.timeout_ms` is `SESSILE_UPSTREAM_TIMEOUT_MS`.
    pub fn env_name(&self) -> String {
        format!("SESSILE_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// This option's value in a table of sections.
    pub(super) fn find<'a>(&self, table: &'a toml::Table) -> Option<&'a toml::Value> {
        let (section, name) = self.path();
        table.get(section)?.get(name)
    }
}

/// The row of `key`, if there is such an option.
pub fn row(key: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.key == key)
}

/// The names of the sections, in the order of the manual.
pub fn sections() -> Vec<&'static str> {
    let mut names: Vec<_> = ROWS.iter().map(|row| row.path().0).collect();
    names.dedup();
    names
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Redis's own largest string.
const STRING_MAX: u64 = 512 * MIB;
const YEAR_S: u64 = 365 * 86_400;

const fn ms(min: u64, max: u64) -> Kind {
    Kind::Number(min, max, Unit::Milliseconds)
}

const fn seconds(min: u64, max: u64) -> Kind {
    Kind::Number(min, max, Unit::Seconds)
}

const fn bytes(min: u64, max: u64) -> Kind {
    Kind::Number(min, max, Unit::Bytes)
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Number(min, max, Unit::Count)
}

const fn opt(key: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Row {
    Row {
        key,
        kind,
        default,
        meaning,
    }
}

/// Every option, in the order of the manual. No bound exceeds 2^32, so that every number fits
/// a `usize` and a TOML integer anywhere.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    opt("listen.addresses", Kind::Addresses, "127.0.0.1:6380",
        "The addresses clients connect to"),
    opt("listen.password", Kind::Password, "",
        "The password clients must give with AUTH or HELLO, or empty for none"),
    opt("listen.unix_mode", Kind::Mode, "600",
        "The file mode of Unix sockets"),
    opt("listen.clients_max", count(1, 1_000_000), "10000",
        "The most clients connected at a time"),
    opt("listen.workers", count(1, 64), "1",
        "The number of threads that serve clients"),
    opt("listen.drain_ms", ms(0, 600_000), "5000",
        "The longest that a shutdown waits for requests under way, in milliseconds"),

    opt("upstream.url", Kind::Url, "embedded:",
        "The Redis in which sessions are kept"),
    opt("upstream.timeout_ms", ms(1, 600_000), "500",
        "The longest wait for the reply to one request, in milliseconds"),
    opt("upstream.connect_timeout_ms", ms(1, 600_000), "500",
        "The longest wait for a connection to Redis to be ready, in milliseconds"),
    opt("upstream.backoff_min_ms", ms(1, 600_000), "20",
        "The wait before the first attempt to connect again, in milliseconds"),
    opt("upstream.backoff_max_ms", ms(1, 600_000), "1000",
        "The longest wait between two attempts to connect again, in milliseconds"),
    opt("upstream.silent_ms", ms(1, 600_000), "3000",
        "The silence, in milliseconds, after which a connection that owes replies is given up and made anew"),
    opt("upstream.queue_bytes_max", bytes(KIB, 2 * GIB), "67108864",
        "The most bytes of unanswered requests on one connection to Redis"),

    opt("session.prefix", Kind::Prefix, "sessile:",
        "What the name of every key in Redis begins with"),
    opt("session.idle_s", seconds(1, 100 * YEAR_S), "1800",
        "The seconds without use after which a session ends, where the client gives no IDLE"),
    opt("session.life_s", seconds(1, 100 * YEAR_S), "43200",
        "The seconds after which a session ends however much it is used, where the client gives no LIFE"),
    opt("session.timeout_s_max", seconds(1, 100 * YEAR_S), "34560000",
        "The largest IDLE and LIFE that a client may give, in seconds"),
    opt("session.touch_every_s", Kind::SecondsOrAuto(86_400), "auto",
        "The seconds of idle timeout that may pass before a read writes the new deadline to Redis"),
    opt("session.rotate_grace_ms", ms(0, 600_000), "10000",
        "The milliseconds for which the previous token still reads after SESS.ROTATE without USER and GRACE"),

    opt("limits.request_bytes_max", bytes(KIB, STRING_MAX), "67108864",
        "The longest request, in bytes"),
    opt("limits.request_args_max", count(16, 16 * MIB), "1048576",
        "The most arguments in one request, the command's name included"),
    opt("limits.inline_bytes_max", bytes(64, MIB), "65536",
        "The longest request typed as a plain line of text, in bytes"),
    opt("limits.client_pipeline_max", count(1, MIB), "1024",
        "The most requests of one client that are started and not yet answered"),
    opt("limits.client_output_bytes_max", bytes(KIB, 2 * GIB), "268435456",
        "The most bytes of replies that wait for one client that does not read them"),
    opt("limits.field_name_bytes_max", bytes(1, 64 * KIB), "256",
        "The longest name of a session field, in bytes"),
    opt("limits.value_bytes_max", bytes(1, STRING_MAX), "1048576",
        "The longest value of a session field, in bytes"),
    opt("limits.fields_max", count(1, 64 * KIB), "256",
        "The most application fields in one session"),
    opt("limits.command_bytes_max", bytes(KIB, STRING_MAX), "4194304",
        "The longest SESS.* command, in bytes"),
    opt("limits.user_bytes_max", bytes(1, 4 * KIB), "256",
        "The longest name of a user, in bytes"),
    opt("limits.list_max", count(1, 100_000), "1000",
        "The most sessions in one reply to SESS.LIST"),

    opt("log.level", Kind::Word(&["error", "warn", "info", "debug", "trace"]), "info",
        "The least severe messages that are written"),
    opt("log.format", Kind::Word(&["text", "json"]), "text",
        "How messages are written: lines for people, or one JSON object per line"),
];

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn rows_and_fields_are_the_same_options() {
        let config = Config::default();
        // `None` is left out of a table; every other field is in it.
        let mut config = config;
        config.session.touch_every_s = Some(0);
        let table = toml::Table::try_from(&config).unwrap();
        let fields: usize = table
            .values()
            .map(|section| section.as_table().unwrap().len())
            .sum();
        assert_eq!(fields, ROWS.len());
        for row in ROWS {
            assert!(row.find(&table).is_some(), "{} has no field", row.key);
        }
    }

    #[test]
    fn defaults_are_those_promised() {
        let config = Config::default();
        assert_eq!(config.listen.addresses, ["127.0.0.1:6380"]);
        assert_eq!(config.listen.unix_mode, 0o600);
        assert_eq!(config.session.touch_every_s, None);
        assert_eq!(config.limits.client_output_bytes_max, 256 << 20);
        config.validate().unwrap();
    }

    #[test]
    fn every_word_is_a_variant() {
        for row in ROWS {
            let Kind::Word(words) = row.kind else {
                continue;
            };
            let (section, name) = row.path();
            for word in words {
                let mut table = toml::Table::try_from(Config::default()).unwrap();
                table[section][name] = (*word).into();
                table.try_into::<Config>().unwrap();
            }
        }
    }

    #[test]
    fn names_follow_from_the_key() {
        let row = row("upstream.timeout_ms").unwrap();
        assert_eq!(row.env_name(), "SESSILE_UPSTREAM_TIMEOUT_MS");
        assert_eq!(row.path(), ("upstream", "timeout_ms"));
        assert_eq!(
            sections(),
            ["listen", "upstream", "session", "limits", "log"]
        );
    }
}
