//! Errors and where they come from. The origin decides what the client reads, which counter moves
//! and whether the connection lives: only broken framing closes one.

use std::borrow::Cow;

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The client asked for something that is not allowed or does not exist.
    Client,
    /// The client broke the framing: it is told, then its connection closes.
    Wire,
    /// The upstream could not be reached, did not answer in time, or answered an error.
    Upstream,
    /// This program is wrong. Please report it.
    Internal,
}

/// An error with its origin and the text that the client reads, its code first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Who is to blame.
    pub origin: Origin,
    /// `CODE what was wrong, where, and what is allowed`.
    pub text: Cow<'static, str>,
}

/// Longest piece of an argument that an error text repeats: shorter than a token's handle, so that a
/// token in the wrong place is never in an error that somebody's framework logs.
const QUOTED_BYTES_MAX: usize = 15;

/// An argument as an error text may repeat it.
pub fn quoted(argument: &[u8]) -> String {
    match argument.get(..QUOTED_BYTES_MAX) {
        Some(start) if argument.len() > QUOTED_BYTES_MAX => {
            format!("'{}...'", start.escape_ascii())
        }
        _ => format!("'{}'", argument.escape_ascii()),
    }
}

impl Error {
    /// The client asked for something that cannot be. `text` begins with a code, mostly `ERR`.
    pub fn client(text: impl Into<Cow<'static, str>>) -> Error {
        Error {
            origin: Origin::Client,
            text: text.into(),
        }
    }

    /// Something is larger than a named setting allows.
    pub fn too_big(what: &str, is: usize, max: usize, setting: &str) -> Error {
        Error::client(format!(
            "TOOBIG {what}: {is} given, at most {max} allowed ({setting})"
        ))
    }

    /// The framing is broken; `what` says how.
    pub fn wire(what: &str) -> Error {
        Error {
            origin: Origin::Wire,
            text: format!("ERR Protocol error: {what}").into(),
        }
    }

    /// The upstream cannot be reached or did not answer, and the command had no effect.
    pub fn down(why: &str) -> Error {
        Error {
            origin: Origin::Upstream,
            text: format!("SESSDOWN {why}").into(),
        }
    }

    /// A write was sent and no reply came: nobody knows whether it was done.
    pub fn outcome_unknown(why: &str) -> Error {
        Error {
            origin: Origin::Upstream,
            text: format!("SESSDOWN {why}; the write was sent, its outcome unknown").into(),
        }
    }

    /// The upstream answered an error, which the client gets as it is.
    pub fn upstream(reply: &[u8]) -> Error {
        Error {
            origin: Origin::Upstream,
            text: String::from_utf8_lossy(reply).into_owned().into(),
        }
    }

    /// Something that cannot happen did.
    pub fn internal(what: &str) -> Error {
        Error {
            origin: Origin::Internal,
            text: format!("ERR internal error in sessile, please report it: {what}").into(),
        }
    }
}
