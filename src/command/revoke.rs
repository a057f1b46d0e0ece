//! SESS.REVOKE: ends sessions by their public handles, from a list of devices or an alarm.

use super::ending::{Candidate, Ending, Verdict};
use super::{Call, Form, Kind, Missing, Order, Row, form};
use crate::error::Error;
use crate::plan::{Env, Step};
use crate::session::{Handle, Token};

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
    if call.args.from(0).any(|arg| Token::parse(arg).is_some()) {
        return Err(Error::client(
            "ERR SESS.REVOKE takes handles, the first 16 characters of a token; SESS.DESTROY takes tokens",
        ));
    }
    let handles = call.args.from(0).filter_map(Handle::parse);
    let ending = Ending {
        waiting: handles
            .map(|handle| Candidate {
                handle,
                proof: None,
            })
            .collect(),
        judge: Box::new(|_, _, _| Verdict::End),
        index_of: None,
        ended: 0,
    };
    Ok(ending.proceed(env))
}
