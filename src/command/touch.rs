//! SESS.TOUCH: slides the deadline now, and may change the timeouts. Index score first, TTL second.

use super::upkeep::{self, STATE, Subject, text};
use super::{Access, Call, Form, Kind, Missing, Need, Opened, Row};
use crate::error::Error;
use crate::plan::{Batch, Env, Step};
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
    let (idle, life) = (call.options.idle_ms, call.options.life_ms);
    let timeouts = Timeouts {
        idle_ms: idle.unwrap_or(before.idle_ms),
        deadline_ms: life.map_or(before.deadline_ms, |life_ms| env.now_ms + life_ms),
    };
    let ttl_ms = timeouts.ttl_ms(env.now_ms);
    let mut batches = upkeep::index(env, &opened.handle, opened.record.user, ttl_ms);
    let moved = batches.len();
    batches.push(Batch::transaction(|tx| {
        // Only what was asked for: another TOUCH may be changing the other timeout.
        let mut set = |name: &[u8], value: i64| {
            tx.push(&[b"HSET", &opened.key, name, &text(value)]);
        };
        if idle.is_some() {
            set(field::IDLE, timeouts.idle_ms);
        }
        if life.is_some() {
            set(field::DEADLINE, timeouts.deadline_ms);
        }
        tx.push(&[b"PEXPIRE", &opened.key, &text(ttl_ms)]);
        tx.push_with(&[b"HMGET", &opened.key], STATE.into_iter());
    }));
    let (subject, missing) = (Subject::of(opened), call.missing(env.protocol));
    let key = opened.key.clone();
    Ok(Step::last(batches, move |env, mut replies| {
        let trouble = upkeep::index_trouble(&mut replies, moved);
        match upkeep::state(replies.batch()?.last()) {
            None => Ok(upkeep::unlink(key, missing)),
            Some(now) if now == timeouts => Ok(Step::integer(ttl_ms).warn(trouble)),
            Some(now) => {
                let done = Step::integer(now.ttl_ms(env.now_ms)).warn(trouble);
                Ok(subject.touch(env, now, done))
            }
        }
    }))
}
