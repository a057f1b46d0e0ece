//! SESS.TOUCH: slides the deadline now, and may change the timeouts. Index score first, TTL second.

use super::upkeep::{self, text};
use super::{Access, Call, Form, Kind, Missing, Need, Opened, Row};
use crate::error::Error;
use crate::plan::{Batch, Env, Step};
use crate::resp::Reply;
use crate::session::Timeouts;
use crate::session::keys::field;

pub static ROW: Row = Row {
    name: "SESS.TOUCH",
    syntax: "token [IDLE s] [LIFE s]",
    summary: "Slides the idle timeout now; IDLE changes it, LIFE restarts the absolute one.",
    reply: "ms left",
    form: Form::Options {
        fixed: 1,
        allowed: &["IDLE", "LIFE"],
    },
    writes: true,
    missing: Missing::Value,
    kind: Kind::Token {
        need: Need::Reserved,
        access: Access::Write,
        plan,
    },
};

fn plan(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let before = opened.record.timeouts();
    let life = call.options.life_ms;
    let timeouts = Timeouts {
        idle_ms: call.options.idle_ms.unwrap_or(before.idle_ms),
        deadline_ms: life.map_or(before.deadline_ms, |life_ms| env.now_ms + life_ms),
    };
    let ttl_ms = timeouts.ttl_ms(env.now_ms);
    let mut batches = upkeep::index(env, &opened.handle, opened.record.user, ttl_ms);
    let moved = batches.len();
    batches.push(Batch::transaction(|tx| {
        tx.push(&[b"HGET", &opened.key, field::SECRET]);
        if timeouts != before {
            let (idle, deadline) = (text(timeouts.idle_ms), text(timeouts.deadline_ms));
            let changed: [&[u8]; 4] = [field::IDLE, &idle, field::DEADLINE, &deadline];
            tx.push_with(&[b"HSET", &opened.key], changed.into_iter());
        }
        tx.push(&[b"PEXPIRE", &opened.key, &text(ttl_ms)]);
    }));
    let (key, missing) = (opened.key.clone(), call.missing(env.protocol));
    Ok(Step::last(batches, move |_, mut replies| {
        for _ in 0..moved {
            replies.batch()?;
        }
        match replies.batch()?.next().and_then(Reply::bulk) {
            Some(_) => Ok(Step::integer(ttl_ms)),
            None => Ok(upkeep::unlink(key, missing)),
        }
    }))
}
