//! SESS.REVOKE: ends sessions by their public handles, from a list of devices or an alarm.

use super::destroy::end_all;
use super::{Call, Form, Kind, Missing, Order, Row, form, upkeep};
use crate::error::Error;
use crate::plan::{Env, Step};
use crate::session::Handle;

pub static ROW: Row = Row {
    name: "SESS.REVOKE",
    syntax: "handle [handle ...]",
    summary: "Ends sessions by their public handles and answers how many there were.",
    reply: "count",
    form: Form::Count {
        min: 1,
        max: form::ANY,
    },
    writes: true,
    missing: Missing::Value,
    kind: Kind::Free {
        order: Order::Alone,
        plan,
    },
};

fn plan(call: &Call, env: &Env<'_>) -> Result<Step, Error> {
    let handles: Vec<Handle> = call.args.from(0).filter_map(Handle::parse).collect();
    let batches = handles
        .iter()
        .map(|handle| upkeep::peek(env, handle))
        .collect();
    Ok(Step::first(batches, move |env, mut replies| {
        let mut ends = Vec::new();
        for handle in &handles {
            if let Some(record) = upkeep::peeked(&mut replies, env)? {
                ends.push((*handle, record.user.map(<[u8]>::to_vec)));
            }
        }
        Ok(end_all(env, &ends, 0))
    }))
}
