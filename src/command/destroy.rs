//! SESS.DESTROY: logout. Each token is verified first; its hash goes before its index entries.

use super::upkeep;
use super::{Call, Form, Kind, Missing, Order, Row, form};
use crate::error::Error;
use crate::plan::{Env, Step};
use crate::session::{Handle, Standing, Token};

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
    let tokens: Vec<Token> = call.args.from(0).filter_map(Token::parse).collect();
    let batches = tokens
        .iter()
        .map(|token| upkeep::peek(env, &token.handle))
        .collect();
    Ok(Step::first(batches, move |env, mut replies| {
        let mut ends = Vec::new();
        for token in &tokens {
            if let Some(record) = upkeep::peeked(&mut replies, env)?
                && record.standing(&token.hash, env.now_ms) == Standing::Current
            {
                ends.push((token.handle, record.user.map(<[u8]>::to_vec)));
            }
        }
        Ok(end_all(env, &ends, 0))
    }))
}

/// Ends these sessions and answers how many there were, `ended_before` among them.
pub fn end_all(env: &Env<'_>, ends: &[(Handle, Option<Vec<u8>>)], ended_before: i64) -> Step {
    if ends.is_empty() {
        return Step::integer(ended_before);
    }
    let users: Vec<bool> = ends.iter().map(|(_, user)| user.is_some()).collect();
    let batches = ends
        .iter()
        .flat_map(|(handle, user)| upkeep::end(env, handle, user.as_deref()))
        .collect();
    Step::last(batches, move |_, mut replies| {
        let count = upkeep::ended(&mut replies, &users)?;
        Ok(Step::integer(ended_before + count))
    })
}
