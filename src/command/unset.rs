//! SESS.UNSET: removes fields and answers how many there were.

use super::{Access, Call, Form, Kind, Missing, Need, Opened, Row, upkeep};
use crate::error::Error;
use crate::plan::{Batch, Env, Step};
use crate::resp::Reply;

pub static ROW: Row = Row {
    name: "SESS.UNSET",
    syntax: "token field [field ...]",
    summary: "Removes fields and answers how many there were.",
    reply: "count",
    form: Form::Names { min: 1 },
    writes: true,
    missing: Missing::Value,
    kind: Kind::Token {
        need: Need::Reserved,
        access: Access::Write,
        plan,
    },
};

fn plan(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let fill = |tx: &mut Batch| tx.push_with(&[b"HDEL", &opened.key], call.args.from(1));
    Ok(upkeep::act(env, call, opened, fill, |_, mut results, _| {
        Step::integer(results.next().and_then(Reply::integer).unwrap_or(0))
    }))
}
