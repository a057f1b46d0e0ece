//! SESS.DESTROY: logout. Each token is verified first; its hash goes before its index entries.

use super::ending::{Candidate, Ending, Verdict};
use super::{Call, Form, Kind, Missing, Order, Row, form};
use crate::error::Error;
use crate::plan::{Env, Step};
use crate::session::{Standing, Token};

pub static ROW: Row = Row {
    name: "SESS.DESTROY",
    syntax: "token [token ...]",
    summary: "Ends sessions (logout) and answers how many there were.",
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
    let tokens = call.args.from(0).filter_map(Token::parse);
    let ending = Ending {
        waiting: tokens
            .map(|token| Candidate {
                handle: token.handle,
                proof: Some(token.hash),
            })
            .collect(),
        judge: Box::new(|candidate, record, now_ms| {
            let proof = candidate.proof.as_ref();
            match proof.map(|hash| record.standing(hash, now_ms)) {
                Some(Standing::Current) => Verdict::End,
                _ => Verdict::Spare,
            }
        }),
        index_of: None,
        ended: 0,
    };
    Ok(ending.proceed(env))
}
