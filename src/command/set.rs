//! SESS.SET: writes fields of a session that exists, all or none, and answers the new version.

use super::{Access, Call, Form, Kind, Missing, Need, Opened, Row, upkeep};
use crate::error::Error;
use crate::plan::{Batch, Env, Step};

pub static ROW: Row = Row {
    name: "SESS.SET",
    syntax: "token field value [field value ...]",
    summary: "Writes fields of a session that exists and answers its new version.",
    reply: "version",
    form: Form::Pairs,
    writes: true,
    missing: Missing::Value,
    kind: Kind::Token {
        need: Need::Reserved,
        access: Access::Write,
        plan,
    },
};

fn plan(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let fields = call.args.from(1).step_by(2);
    upkeep::with_room_for(call, opened, env, fields, write)
}

fn write(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let fill = |tx: &mut Batch| tx.push_with(&[b"HSET", &opened.key], call.args.from(1));
    Ok(upkeep::act(env, call, opened, fill, |_, _, version| {
        Step::integer(version)
    }))
}
