//! SESS.GET and SESS.PEEK: the fields of a session. Opening the session read them already, so there
//! is nothing more to ask; their bytes go into the reply as Redis sent them.

use super::open::Fields;
use super::upkeep::{self, Subject};
use super::{Access, Call, Form, Kind, Missing, Need, Opened, Row};
use crate::error::Error;
use crate::plan::{Done, Env, Step};
use crate::resp::write;

pub static GET: Row = Row {
    name: "SESS.GET",
    syntax: "token [field ...]",
    summary: "Reads all fields as a map, or the named ones as an array, and slides the idle timeout.",
    reply: "map, or array of values",
    form: Form::Names { min: 0 },
    writes: false,
    missing: Missing::Array,
    kind: Kind::Token {
        need: Need::Fields,
        access: Access::Read,
        plan: get,
    },
};

pub static PEEK: Row = Row {
    name: "SESS.PEEK",
    syntax: "token [field ...]",
    summary: "Reads as SESS.GET does without sliding the idle timeout.",
    reply: "map, or array of values",
    form: Form::Names { min: 0 },
    writes: false,
    missing: Missing::Array,
    kind: Kind::Token {
        need: Need::Fields,
        access: Access::Read,
        plan: peek,
    },
};

fn get(_call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let after = upkeep::wants_touch(env, opened).then(|| {
        let timeouts = opened.record.timeouts();
        let nothing = Step::Done(Done::default());
        Box::new(Subject::of(opened).touch(env, timeouts, nothing))
    });
    Ok(Step::Done(Done {
        reply: fields(opened, env),
        after,
        warning: None,
    }))
}

fn peek(_call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    Ok(Step::Done(Done {
        reply: fields(opened, env),
        ..Done::default()
    }))
}

/// The reply: a map of all fields but the reserved ones, or the named values.
fn fields(opened: &Opened<'_>, env: &Env<'_>) -> Vec<u8> {
    match &opened.fields {
        Fields::All { pieces, count } => {
            let len: usize = pieces.iter().map(|piece| piece.len()).sum();
            let mut out = Vec::with_capacity(len + 16);
            write::map(&mut out, env.protocol, *count);
            pieces.iter().for_each(|piece| out.extend_from_slice(piece));
            out
        }
        Fields::Named { values, .. } => {
            let mut values = *values;
            let mut out = Vec::with_capacity(values.bytes().len() + 16);
            write::array(&mut out, values.len());
            while let Some(raw) = values.next_raw() {
                if raw == b"$-1\r\n" {
                    write::null(&mut out, env.protocol);
                } else {
                    out.extend_from_slice(raw);
                }
            }
            out
        }
    }
}
