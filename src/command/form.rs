//! The forms that arguments take, and the checks that follow from them: arity, options, field names,
//! sizes. They are made before a session is opened, so that a mistake is told whether or not the
//! session exists.

use super::Row;
use crate::error::{Error, quoted};
use crate::plan::Env;
use crate::resp::{Args, integer};
use crate::session::keys::field;

/// How the arguments behind a command's name look.
pub enum Form {
    /// From `min` to `max` arguments without further rules.
    Count {
        /// At least so many.
        min: usize,
        /// At most so many.
        max: usize,
    },
    /// One argument, then field names, at least `min` of them.
    Names {
        /// At least so many names.
        min: usize,
    },
    /// One argument, then pairs of a field and a value.
    Pairs,
    /// One argument, a field, and perhaps a whole number.
    Increment,
    /// `fixed` arguments, then options by name; `FIELDS` ends them.
    Options {
        /// How many arguments stand before the options.
        fixed: usize,
        /// Their names.
        allowed: &'static [&'static str],
    },
}

/// Longest list a command without other bounds takes.
pub const ANY: usize = usize::MAX;

/// Options found, and where the fields begin.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Index of the argument behind `USER`.
    pub user: Option<usize>,
    /// `IDLE`, ms.
    pub idle_ms: Option<i64>,
    /// `LIFE`, ms.
    pub life_ms: Option<i64>,
    /// `GRACE`, ms.
    pub grace_ms: Option<i64>,
    /// Index of the argument behind `EXCEPT`.
    pub except: Option<usize>,
    /// Index of the first argument behind `FIELDS`; the number of arguments where there is none.
    pub fields: usize,
}

/// Checks `args` against the row's form and the limits.
pub fn check(row: &Row, args: &Args, env: &Env<'_>) -> Result<Options, Error> {
    let limits = env.limits;
    if args.bytes_len() > limits.command_bytes_max {
        return Err(Error::too_big(
            "bytes of one command",
            args.bytes_len(),
            limits.command_bytes_max,
            "limits.command_bytes_max",
        ));
    }
    let mut options = Options {
        fields: args.len(),
        ..Options::default()
    };
    match row.form {
        Form::Count { min, max } if !(min..=max).contains(&args.len()) => return Err(arity(row)),
        Form::Count { .. } => {}
        Form::Names { min } => {
            if args.len() <= min {
                return Err(arity(row));
            }
            names(args.from(1), env)?;
        }
        Form::Pairs => {
            if args.len() < 3 || args.len().is_multiple_of(2) {
                return Err(arity(row));
            }
            pairs(args, 1, env)?;
        }
        Form::Increment => {
            if !(2..=3).contains(&args.len()) {
                return Err(arity(row));
            }
            names([args.get(1)].into_iter(), env)?;
            if args.len() == 3 && integer(args.get(2)).is_none() {
                return Err(Error::client("ERR value is not an integer or out of range"));
            }
        }
        Form::Options { fixed, allowed } => {
            if args.len() < fixed {
                return Err(arity(row));
            }
            read_options(row, args, fixed, allowed, env, &mut options)?;
            if options.user.is_some() && options.grace_ms.is_some_and(|grace_ms| grace_ms > 0) {
                return Err(Error::client(
                    "ERR GRACE must be 0 with USER: who knew the token before a login must not \
                     read the session after it",
                ));
            }
        }
    }
    Ok(options)
}

fn read_options(
    row: &Row,
    args: &Args,
    fixed: usize,
    allowed: &[&str],
    env: &Env<'_>,
    options: &mut Options,
) -> Result<(), Error> {
    let mut at = fixed;
    let mut seen: Vec<&str> = Vec::new();
    while at < args.len() {
        let word = args.get(at);
        let name = allowed
            .iter()
            .find(|name| name.as_bytes().eq_ignore_ascii_case(word))
            .ok_or_else(|| unknown_option(row, word, allowed))?;
        if seen.contains(name) {
            return Err(Error::client(format!("ERR option {name} is given twice")));
        }
        seen.push(name);
        at += 1;
        if at >= args.len() {
            return Err(arity(row));
        }
        match *name {
            "USER" => {
                user(args.get(at), env)?;
                options.user = Some(at);
            }
            "EXCEPT" => options.except = Some(at),
            "IDLE" => options.idle_ms = Some(seconds("IDLE", args.get(at), env)?),
            "LIFE" => options.life_ms = Some(seconds("LIFE", args.get(at), env)?),
            "GRACE" => options.grace_ms = Some(grace(args.get(at), env)?),
            // FIELDS ends the options, so that data can never be read as one.
            _ => {
                options.fields = at;
                return if row.writes {
                    pairs(args, at, env).and_then(|()| even(row, args.len() - at))
                } else {
                    names(args.from(at), env)
                };
            }
        }
        at += 1;
    }
    Ok(())
}

fn even(row: &Row, count: usize) -> Result<(), Error> {
    count
        .is_multiple_of(2)
        .then_some(())
        .ok_or_else(|| arity(row))
}

/// The name of a user: not empty, and not longer than allowed.
pub fn user(name: &[u8], env: &Env<'_>) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::client("ERR the user must not be empty"));
    }
    let max = env.limits.user_bytes_max;
    if name.len() > max {
        return Err(Error::too_big(
            "bytes of the user's name",
            name.len(),
            max,
            "limits.user_bytes_max",
        ));
    }
    Ok(())
}

fn names<'a>(names: impl ExactSizeIterator<Item = &'a [u8]>, env: &Env<'_>) -> Result<(), Error> {
    let limits = env.limits;
    if names.len() > limits.fields_max {
        return Err(too_many_fields(names.len(), limits.fields_max));
    }
    for name in names {
        if field::is_reserved(name) {
            return Err(Error::client(format!(
                "ERR field {}: names that begin with @ are reserved",
                quoted(name)
            )));
        }
        if name.len() > limits.field_name_bytes_max {
            return Err(Error::too_big(
                "bytes of a field's name",
                name.len(),
                limits.field_name_bytes_max,
                "limits.field_name_bytes_max",
            ));
        }
    }
    Ok(())
}

fn pairs(args: &Args, from: usize, env: &Env<'_>) -> Result<(), Error> {
    let count = args.len().saturating_sub(from);
    let max = env.limits.fields_max;
    if count / 2 > max {
        return Err(too_many_fields(count / 2, max));
    }
    for at in (from..args.len()).step_by(2) {
        names([args.get(at)].into_iter(), env)?;
        let value = args.get(at + 1).len();
        if value > env.limits.value_bytes_max {
            return Err(Error::too_big(
                "bytes of a field's value",
                value,
                env.limits.value_bytes_max,
                "limits.value_bytes_max",
            ));
        }
    }
    Ok(())
}

/// The error for more fields than a session may have.
pub fn too_many_fields(is: usize, max: usize) -> Error {
    Error::too_big("fields", is, max, "limits.fields_max")
}

fn seconds(option: &str, text: &[u8], env: &Env<'_>) -> Result<i64, Error> {
    let max = i64::try_from(env.session.timeout_s_max).unwrap_or(i64::MAX / 1000);
    number(option, text, "seconds", 1, max, "session.timeout_s_max").map(|s| s * 1000)
}

/// A grace longer than an hour is no grace: two secrets would be good for one session.
const GRACE_MS_MAX: i64 = 3_600_000;

fn grace(text: &[u8], _env: &Env<'_>) -> Result<i64, Error> {
    number("GRACE", text, "milliseconds", 0, GRACE_MS_MAX, "one hour")
}

fn number(
    option: &str,
    text: &[u8],
    unit: &str,
    min: i64,
    max: i64,
    bound: &str,
) -> Result<i64, Error> {
    integer(text)
        .filter(|value| (min..=max).contains(value))
        .ok_or_else(|| {
            Error::client(format!(
                "ERR {option} {}: a whole number of {unit} from {min} to {max} is allowed ({bound})",
                quoted(text)
            ))
        })
}

fn unknown_option(row: &Row, word: &[u8], allowed: &[&str]) -> Error {
    Error::client(format!(
        "ERR unknown option {} of {}: {} {} allowed; syntax: {} {}",
        quoted(word),
        row.name,
        allowed.join(", "),
        if allowed.len() == 1 { "is" } else { "are" },
        row.name,
        row.syntax
    ))
}

/// The error for a wrong number of arguments, with the syntax line.
pub fn arity(row: &Row) -> Error {
    Error::client(format!(
        "ERR wrong number of arguments for '{}' command, syntax: {} {}",
        row.name.to_lowercase(),
        row.name,
        row.syntax
    ))
}
