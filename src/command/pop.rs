//! SESS.POP: reads and removes fields in one step, so that two clients never get the same value: a
//! flash message, a one-time CSRF token.

use super::{Access, Call, Form, Kind, Missing, Need, Opened, Row, upkeep};
use crate::error::Error;
use crate::plan::{Batch, Env, Step};
use crate::resp::{Reply, write};

pub static ROW: Row = Row {
    name: "SESS.POP",
    syntax: "token field [field ...]",
    summary: "Reads and removes fields in one step.",
    reply: "array of values",
    form: Form::Names { min: 1 },
    writes: true,
    missing: Missing::Array,
    kind: Kind::Token {
        need: Need::Reserved,
        access: Access::Write,
        plan,
    },
};

fn plan(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let fill = |tx: &mut Batch| {
        tx.push_with(&[b"HMGET", &opened.key], call.args.from(1));
        tx.push_with(&[b"HDEL", &opened.key], call.args.from(1));
    };
    Ok(upkeep::act(
        env,
        call,
        opened,
        fill,
        |env, mut results, _| {
            let values = results.next().map(Reply::items);
            Step::reply(|out| {
                write::array(out, values.map_or(0, |values| values.len()));
                for value in values.into_iter().flatten() {
                    match value.bulk() {
                        Some(data) => write::bulk(out, data),
                        None => write::null(out, env.protocol),
                    }
                }
            })
        },
    ))
}
