//! The SESS.* commands: a table of facts, and for each command one file with its two pure functions.
//!
//! `plan` turns arguments (and the opened session, where there is a token) into batches of upstream
//! commands; `fold` turns their replies into the client's reply. Dispatch, arity errors, the checks of
//! field names and sizes, `SESS.HELP`, `COMMAND DOCS`, the README's table and the counters all follow
//! from the [`Row`]. Nothing here knows a socket, a clock or a lane.
//!
//! Adding a command: write its file, name it in [`TABLE`].

mod create;
mod destroy;
mod ending;
mod explain;
mod form;
mod get;
mod help;
mod incr;
mod info;
mod introspect;
mod list;
mod logout;
mod open;
pub mod plain;
mod pop;
mod revoke;
mod rotate;
mod set;
mod touch;
mod unset;
mod upkeep;

pub use form::{Form, Options};
pub use introspect::{Introspection, local_info};
pub use open::{Found, Need, Opened, batch as open_batch, read as read_open};
pub use plain::{Plain, plain};

use crate::error::{Error, quoted};
use crate::plan::{Env, Step};
use crate::resp::{Args, Protocol, Request, write};
use crate::session::Token;

/// Every SESS.* command, in the order in which help shows them.
/// SETIF, MAX (an option of CREATE), FIND, COUNT and THROTTLE have their place here when they come.
pub static TABLE: [&Row; 16] = [
    &create::ROW,
    &get::GET,
    &get::PEEK,
    &set::ROW,
    &unset::ROW,
    &pop::ROW,
    &incr::ROW,
    &touch::ROW,
    &rotate::ROW,
    &destroy::ROW,
    &info::ROW,
    &list::ROW,
    &logout::ROW,
    &revoke::ROW,
    &explain::ROW,
    &help::ROW,
];

/// The facts of one command.
pub struct Row {
    /// Its name, in upper case.
    pub name: &'static str,
    /// What is written behind the name.
    pub syntax: &'static str,
    /// One sentence: what it does.
    pub summary: &'static str,
    /// What it answers, in a word.
    pub reply: &'static str,
    /// How its arguments look; arity and the checks of names and sizes follow from it.
    pub form: Form,
    /// Whether it changes anything.
    pub writes: bool,
    /// What a session that does not exist looks like here.
    pub missing: Missing,
    /// What it needs to begin.
    pub kind: Kind,
}

/// The null a client gets for a session that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Where a single value is due.
    Value,
    /// Where an array or a map is due.
    Array,
}

/// What a command needs to begin, and its plan.
pub enum Kind {
    /// The first argument is a token, and its session is opened first.
    Token {
        /// What is read when it is opened.
        need: Need,
        /// Whether a secret within its grace after a rotation will do.
        access: Access,
        /// The plan.
        plan: fn(&Call, &Opened<'_>, &Env<'_>) -> Result<Step, Error>,
    },
    /// No session is opened.
    Free {
        /// What it must wait for.
        order: Order,
        /// The plan.
        plan: fn(&Call, &Env<'_>) -> Result<Step, Error>,
    },
    /// Another command is run against a pretended upstream, and what it sends is shown.
    Explain,
}

/// What a presented secret must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The current secret, or the previous one within its grace.
    Read,
    /// The current secret.
    Write,
}

/// What a command must wait for among the earlier ones of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing: it touches nothing that they know.
    Any,
    /// All of them, and later ones wait for it: it touches sessions that its arguments do not name.
    Alone,
}

/// A command with its arguments, checked against the row's form.
#[derive(Clone)]
pub struct Call {
    /// Its facts.
    pub row: &'static Row,
    /// What stood behind the name.
    pub args: Args,
    /// The options among them.
    pub options: Options,
}

impl Call {
    /// Checks arguments against the row.
    ///
    /// # Errors
    /// Origin client: wrong arity, an unknown option, a reserved name, something too big.
    pub fn new(row: &'static Row, args: Args, env: &Env<'_>) -> Result<Call, Error> {
        let options = form::check(row, &args, env)?;
        Ok(Call { row, args, options })
    }

    /// The token in the first argument, if it has the form of one.
    pub fn token(&self) -> Option<Token> {
        Token::parse(self.args.get(0))
    }

    /// The reply for a session that does not exist.
    pub fn missing(&self, protocol: Protocol) -> Step {
        Step::reply(|out| match self.row.missing {
            Missing::Value => write::null(out, protocol),
            Missing::Array => write::null_array(out, protocol),
        })
    }
}

/// The row of a SESS.* command, its name in any case.
pub fn find(name: &[u8]) -> Option<&'static Row> {
    TABLE
        .iter()
        .copied()
        .find(|row| row.name.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether a request is one of ours, known or not.
pub fn is_ours(name: &[u8]) -> bool {
    name.get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SESS."))
}

/// The error for a SESS.* name that no row has.
pub fn unknown(request: &Request<'_>) -> Error {
    Error::client(format!(
        "ERR unknown command {}, try SESS.HELP",
        quoted(request.arg(0))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        for (at, row) in TABLE.iter().enumerate() {
            assert!(row.name.starts_with("SESS."), "{}", row.name);
            assert_eq!(row.name, row.name.to_uppercase());
            assert!(TABLE[..at].iter().all(|other| other.name != row.name));
            assert!(row.summary.ends_with('.') && !row.reply.is_empty());
            assert!(std::ptr::eq(
                find(row.name.to_lowercase().as_bytes()).expect("found by name"),
                *row
            ));
        }
        assert!(is_ours(b"sess.nope") && !is_ours(b"GET") && !is_ours(b"sessile"));
    }
}
