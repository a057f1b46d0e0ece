//! Flags over environment over file over defaults, into one [`Config`].
//!
//! Everything here is a function of its arguments, but that the file is read. Every error is one
//! line that says where, which option, what was wrong and what is allowed.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::options::{ROWS, Row, row, sections};
use super::{Config, file, nearest::nearest};

/// What is wrong with the configuration, as one line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub(super) String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`: the file to read.
    pub file: Option<PathBuf>,
    /// Options set by flags; of two for one option the later counts.
    pub settings: Vec<Setting>,
}

/// One option set by a flag.
#[derive(Clone)]
pub struct Setting {
    /// The flag, for messages: `--workers`.
    pub flag: &'static str,
    /// The option: `listen.workers`.
    pub key: String,
    /// Its value; the items of a list are separated by commas.
    pub value: String,
}

impl fmt::Debug for Setting {
    /// Without the value, which may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.flag, self.key)
    }
}

/// The variable that stands for `--config`.
const FILE_VARIABLE: &str = "SESSILE_CONFIG";

/// Variables with our prefix that are not ours: those of tests, and those that Kubernetes puts into
/// every container beside a Service named `sessile`.
fn is_foreign(name: &str) -> bool {
    ["SESSILE_TEST_", "SESSILE_SERVICE_", "SESSILE_PORT_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || name == "SESSILE_PORT"
}

/// The file that [`load`] reads: `--config`, else `SESSILE_CONFIG` if not empty, else `cwd_file`
/// if it exists, else none.
pub fn chosen_file(
    args: &Overrides,
    env: impl Iterator<Item = (String, String)>,
    cwd_file: Option<&Path>,
) -> Option<PathBuf> {
    let mut env = env.filter(|(name, value)| name == FILE_VARIABLE && !value.is_empty());
    args.file
        .clone()
        .or_else(|| env.next().map(|(_, value)| value.into()))
        .or_else(|| cwd_file.filter(|path| path.exists()).map(Path::to_owned))
}

/// Loads and validates the configuration. A flag counts more than the environment, that more than
/// the file (see [`chosen_file`]), that more than the defaults.
///
/// Of `env`, variables that begin with `SESSILE_` concern us, but for those of tests and Kubernetes.
///
/// # Errors
/// The first thing found wrong: in the file, in the environment, in the flags, then in what they
/// make together.
pub fn load(
    args: &Overrides,
    env: impl Iterator<Item = (String, String)>,
    cwd_file: Option<&Path>,
) -> Result<Config, Error> {
    let env: Vec<_> = env
        .filter(|(name, _)| name.starts_with("SESSILE_"))
        .collect();
    let mut layers = Layers::of_defaults()?;
    if let Some(path) = chosen_file(args, env.iter().cloned(), cwd_file) {
        layers.add_file(&path)?;
    }
    layers.add_environment(&env)?;
    for setting in &args.settings {
        let Some(row) = row(&setting.key) else {
            return Err(Error(format!(
                "{}: {}",
                setting.flag,
                unknown_option(&setting.key)
            )));
        };
        layers.set(
            row,
            &Value::String(setting.value.clone()),
            setting.flag.to_owned(),
        )?;
    }
    layers.finish()
}

/// What an empty file means.
pub(super) fn from_defaults() -> Result<Config, Error> {
    Layers::of_defaults()?.finish()
}

/// The options set so far, and where each was set last.
struct Layers {
    table: Table,
    places: HashMap<&'static str, String>,
}

impl Layers {
    fn of_defaults() -> Result<Self, Error> {
        let mut layers = Layers {
            table: Table::new(),
            places: HashMap::new(),
        };
        for row in ROWS {
            layers.set(row, &Value::from(row.default), "default".into())?;
        }
        Ok(layers)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error(format!("{name}: cannot be read: {error}")))?;
        let entries = file::entries(&text)
            .map_err(|(line, what)| Error(format!("{name}:{line}: no valid TOML: {what}")))?;
        for entry in entries {
            let place = format!("{name}:{}", entry.line);
            match row(&entry.key) {
                Some(row) => self.set(row, &entry.value, place)?,
                None if is_empty_section(&entry) => {}
                None => return Err(Error(format!("{place}: {}", unknown_entry(&entry)))),
            }
        }
        Ok(())
    }

    fn add_environment(&mut self, env: &[(String, String)]) -> Result<(), Error> {
        for (name, value) in env {
            if name == FILE_VARIABLE || is_foreign(name) {
                continue;
            }
            let Some(row) = ROWS.iter().find(|row| row.env_name() == *name) else {
                let best = nearest(name, ROWS.iter().map(Row::env_name));
                return Err(Error(format!(
                    "{name}: unknown variable (did you mean {best}?)"
                )));
            };
            self.set(row, &Value::String(value.clone()), name.clone())?;
        }
        Ok(())
    }

    fn set(&mut self, row: &Row, value: &Value, place: String) -> Result<(), Error> {
        let read = row.kind.read(value).map_err(|reason| {
            let given = row.kind.show_given(value);
            Error(format!("{place}: {} = {given}: {reason}", row.key))
        })?;
        let (section, name) = row.path();
        let section = self
            .table
            .entry(section)
            .or_insert_with(|| Table::new().into());
        if let Value::Table(section) = section {
            match read {
                Some(value) => section.insert(name.to_owned(), value),
                None => section.remove(name),
            };
        }
        self.places.insert(row.key, place);
        Ok(())
    }

    /// The only place where TOML becomes a [`Config`].
    fn finish(self) -> Result<Config, Error> {
        let config: Config = self
            .table
            .try_into()
            .map_err(|error| Error(format!("options and their table differ: {error}")))?;
        config.problem().map_or(Ok(config), |(key, text)| {
            let place = self.places.get(key).map_or("default", String::as_str);
            Err(Error(format!("{place}: {text}")))
        })
    }
}

fn is_empty_section(entry: &file::Entry) -> bool {
    entry.value.is_table() && sections().contains(&entry.key.as_str())
}

fn unknown_entry(entry: &file::Entry) -> String {
    let (section, name) = entry.key.split_once('.').unwrap_or((&entry.key, ""));
    if sections().contains(&section) && name.is_empty() {
        return format!("{section} is a section, written [{section}]");
    }
    if sections().contains(&section) || (name.is_empty() && !entry.value.is_table()) {
        return unknown_option(&entry.key);
    }
    let best = nearest(section, sections().into_iter().map(String::from));
    let all = sections().join(", ");
    format!("unknown section [{section}] (did you mean [{best}]?); the sections are {all}")
}

/// Names the nearest option, and all of the section when that one is right.
fn unknown_option(key: &str) -> String {
    let section = key.split_once('.').map_or("", |(section, _)| section);
    let of_section: Vec<_> = ROWS.iter().filter(|row| row.path().0 == section).collect();
    if of_section.is_empty() {
        // A name without its section is compared with names without theirs.
        let best = ROWS.iter().find(|row| row.path().1 == key).map_or_else(
            || nearest(key, ROWS.iter().map(|row| row.key.into())),
            |r| r.key.into(),
        );
        return format!("unknown option {key} (did you mean {best}?)");
    }
    let best = nearest(key, of_section.iter().map(|row| row.key.into()));
    let names: Vec<_> = of_section.iter().map(|row| row.path().1).collect();
    let names = names.join(", ");
    format!("unknown option {key} (did you mean {best}?); [{section}] has {names}")
}
