//! SESS.CREATE: a new session. The hash first, the index second, the token only after both: a crash
//! in between leaves a hash that nobody can use, or an entry that heals; never a session that a
//! logout everywhere would miss.

use super::upkeep::{self, INDEX_SLACK_MS, text};
use super::{Call, Form, Kind, Missing, Order, Row};
use crate::error::Error;
use crate::plan::{Batch, Env, Step};
use crate::resp::write;
use crate::session::Timeouts;
use crate::session::keys::field;

pub static ROW: Row = Row {
    name: "SESS.CREATE",
    syntax: "[USER user] [IDLE s] [LIFE s] [FIELDS field value [field value ...]]",
    summary: "Creates a session and answers its token.",
    reply: "token",
    form: Form::Options {
        fixed: 0,
        allowed: &["USER", "IDLE", "LIFE", "FIELDS"],
    },
    writes: true,
    missing: Missing::Value,
    kind: Kind::Free {
        order: Order::Any,
        plan,
    },
};

fn plan(call: &Call, env: &Env<'_>) -> Result<Step, Error> {
    let options = &call.options;
    let default_ms = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX / 1000) * 1000;
    let idle_ms = options.idle_ms.unwrap_or(default_ms(env.session.idle_s));
    let life_ms = options.life_ms.unwrap_or(default_ms(env.session.life_s));
    let timeouts = Timeouts {
        idle_ms,
        deadline_ms: env.now_ms + life_ms,
    };
    let user = options.user.map(|at| call.args.get(at));
    let new = (env.new_token)()?;
    let token = new.token();
    let key = env.keys.session(&token.handle);
    let ttl_ms = timeouts.ttl_ms(env.now_ms);

    let hash = Batch::transaction(|tx| {
        let (created, idle) = (text(env.now_ms), text(idle_ms));
        let deadline = text(timeouts.deadline_ms);
        let mut args: Vec<&[u8]> = vec![b"HSET", &key];
        args.extend([field::SECRET, token.hash.as_bytes()]);
        args.extend([field::CREATED, &created, field::IDLE, &idle]);
        args.extend([field::DEADLINE, &deadline, field::VERSION, b"1"]);
        args.extend(user.into_iter().flat_map(|user| [field::USER, user]));
        tx.push_with(&args, call.args.from(options.fields));
        tx.push(&[b"PEXPIRE", &key, &text(ttl_ms)]);
    });
    let mut batches = vec![hash];
    batches.extend(upkeep::index(env, &token.handle, user, ttl_ms));
    // Nobody else comes by every shard of the index of all sessions, so each newcomer sweeps its own.
    let mut sweep = Batch::write();
    let long_expired = text(env.now_ms - INDEX_SLACK_MS);
    let shard = env.keys.all(&token.handle);
    sweep.push(&[b"ZREMRANGEBYSCORE", &shard, b"-inf", &long_expired]);
    batches.push(sweep);

    let trips = batches.len();
    Ok(Step::last(batches, move |_, mut replies| {
        for _ in 0..trips {
            replies.batch()?;
        }
        Ok(Step::reply(|out| write::bulk(out, new.text())))
    }))
}
