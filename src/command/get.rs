//! SESS.GET and SESS.PEEK: the fields of a session. Opening the session read them already, so there
//! is nothing more to ask; their bytes go into the reply as Redis sent them.

use super::upkeep;
use super::{Access, Call, Form, Kind, Missing, Need, Opened, Row};
use crate::error::Error;
use crate::plan::{Done, Env, Step};
use crate::resp::{Reply, write};
use crate::session::keys::field;

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

fn get(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let after = if upkeep::wants_touch(env, opened) {
        upkeep::touch(env, opened)
    } else {
        Vec::new()
    };
    Ok(Step::Done(Done {
        reply: fields(call, opened, env),
        after,
    }))
}

fn peek(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    Ok(Step::Done(Done {
        reply: fields(call, opened, env),
        after: Vec::new(),
    }))
}

/// The reply: a map of all fields but the reserved ones, or the named values.
fn fields(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Vec<u8> {
    let mut items = opened.fields;
    let mut out = Vec::with_capacity(items.bytes().len() + 16);
    if call.args.len() > 1 {
        write::array(&mut out, items.len());
        while let Some(raw) = items.next_raw() {
            if raw == b"$-1\r\n" {
                write::null(&mut out, env.protocol);
            } else {
                out.extend_from_slice(raw);
            }
        }
    } else {
        write::map(&mut out, env.protocol, opened.field_count);
        while let (Some(name), Some(value)) = (items.next_raw(), items.next_raw()) {
            if !Reply::view(name).bulk().is_none_or(field::is_reserved) {
                out.extend_from_slice(name);
                out.extend_from_slice(value);
            }
        }
    }
    out
}
