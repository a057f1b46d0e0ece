//! SESS.INCR: an atomic counter in a field.

use super::{Access, Call, Form, Kind, Missing, Need, Opened, Row, upkeep};
use crate::error::Error;
use crate::plan::{Batch, Env, Step};
use crate::resp::Reply;

pub static ROW: Row = Row {
    name: "SESS.INCR",
    syntax: "token field [by]",
    summary: "Adds to the number in a field, 1 by default, and answers the sum.",
    reply: "integer",
    form: Form::Increment,
    writes: true,
    missing: Missing::Value,
    kind: Kind::Token {
        need: Need::Reserved,
        access: Access::Write,
        plan,
    },
};

fn plan(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let field = [call.args.get(1)].into_iter();
    upkeep::with_room_for(call, opened, env, field, add)
}

fn add(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let by = if call.args.len() > 2 {
        call.args.get(2)
    } else {
        b"1"
    };
    let fill = |tx: &mut Batch| tx.push(&[b"HINCRBY", &opened.key, call.args.get(1), by]);
    Ok(upkeep::act(env, call, opened, fill, |_, mut results, _| {
        Step::integer(results.next().and_then(Reply::integer).unwrap_or(0))
    }))
}
