//! Error replies of the embedded engine, in Redis's own words.
//!
//! Knows texts only: nothing of stores, connections or commands.

use std::borrow::Cow;

/// The text of an error reply, its code first, as Redis words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault(pub Cow<'static, str>);

/// What a command function returns: `Ok` once its reply is written, or the error to write instead.
pub(super) type Outcome = Result<(), Fault>;

/// A key holds another type than the command works on.
pub(super) const WRONG_TYPE: Fault =
    fixed("WRONGTYPE Operation against a key holding the wrong kind of value");
/// Options that make no sense.
pub(super) const SYNTAX: Fault = fixed("ERR syntax error");
/// Not a 64-bit integer.
pub(super) const NOT_INTEGER: Fault = fixed("ERR value is not an integer or out of range");
/// Not a double.
pub(super) const NOT_FLOAT: Fault = fixed("ERR value is not a valid float");
/// A score range with an end that is no double.
pub(super) const NOT_RANGE: Fault = fixed("ERR min or max is not a float");
/// A count below zero, or no number at all.
pub(super) const NOT_POSITIVE: Fault = fixed("ERR value is out of range, must be positive");
/// INCR and its kin would leave 64 bits.
pub(super) const OVERFLOW: Fault = fixed("ERR increment or decrement would overflow");

/// A fault whose text never changes.
pub(super) const fn fixed(text: &'static str) -> Fault {
    Fault(Cow::Borrowed(text))
}

/// A fault that quotes something.
pub(super) fn worded(text: String) -> Fault {
    Fault(Cow::Owned(text))
}

/// Too few or too many arguments for `command`.
pub(super) fn arity(command: &str) -> Fault {
    worded(format!(
        "ERR wrong number of arguments for '{command}' command"
    ))
}

/// An expiry that is not positive or leaves 64 bits.
pub(super) fn expire_time(command: &str) -> Fault {
    worded(format!("ERR invalid expire time in '{command}' command"))
}

/// A command that no row of the table names. Redis quotes the first 128 bytes of name and arguments.
pub(super) fn unknown_command(args: &[&[u8]]) -> Fault {
    let mut quoted = Vec::new();
    for arg in args.iter().skip(1) {
        if quoted.len() >= 128 {
            break;
        }
        let room = 128 - quoted.len();
        quoted.push(b'\'');
        quoted.extend_from_slice(shown(arg, room));
        quoted.extend_from_slice(b"' ");
    }
    let name = args.first().map_or(&b""[..], |name| shown(name, 128));
    worded(format!(
        "ERR unknown command '{}', with args beginning with: {}",
        String::from_utf8_lossy(name),
        String::from_utf8_lossy(&quoted)
    ))
}

/// A subcommand that its container does not have.
pub(super) fn unknown_subcommand(container: &str, subcommand: &[u8]) -> Fault {
    worded(format!(
        "ERR unknown subcommand '{}'. Try {} HELP.",
        String::from_utf8_lossy(shown(subcommand, 128)),
        container.to_ascii_uppercase()
    ))
}

/// An argument as an error text quotes it.
pub(super) fn quoted(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(shown(text, usize::MAX))
}

/// What C's `%.<max>s` shows of a string: it ends at `max` bytes or at the first NUL.
fn shown(text: &[u8], max: usize) -> &[u8] {
    let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
    &text[..end.min(max)]
}
