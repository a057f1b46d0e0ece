//! SESS.ROTATE: a new secret for the same session, after a login or a change of privilege.
//!
//! One field in one key changes, so a rotation is atomic on Cluster too and no index moves, unless
//! the session changes its user.

use super::upkeep::{self, text};
use super::{Access, Call, Form, Kind, Missing, Need, Opened, Row};
use crate::error::Error;
use crate::plan::{Batch, Env, Step};
use crate::resp::{Reply, write};
use crate::session::keys::field;

pub static ROW: Row = Row {
    name: "SESS.ROTATE",
    syntax: "token [USER user] [GRACE ms] [FIELDS field value [field value ...]]",
    summary: "Gives the session a new secret, after a login or a change of privilege.",
    reply: "new token",
    form: Form::Options {
        fixed: 1,
        allowed: &["USER", "GRACE", "FIELDS"],
    },
    writes: true,
    missing: Missing::Value,
    kind: Kind::Token {
        need: Need::Reserved,
        access: Access::Write,
        plan,
    },
};

/// What a rotation changes beside the fields, and what the loser of a race between two rotations
/// puts back.
const CHANGED: [&[u8]; 4] = [field::SECRET, field::PREVIOUS, field::GRACE, field::USER];

fn plan(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let fields = call.args.from(call.options.fields).step_by(2);
    upkeep::with_room_for(call, opened, env, fields, rotate)
}

fn rotate(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let new = (env.new_token)()?.for_handle(opened.handle);
    let hash = new.token().hash;
    let user = call.options.user.map(|at| call.args.get(at));
    // A login must shut out whoever knew the id before it (session fixation), so no grace then.
    let grace_ms = call.options.grace_ms.unwrap_or(match user {
        Some(_) => 0,
        None => i64::try_from(env.session.rotate_grace_ms).unwrap_or(0),
    });
    let ttl_ms = opened.record.timeouts().ttl_ms(env.now_ms);

    let mut batches = upkeep::index(env, &opened.handle, opened.record.user, ttl_ms);
    let before = batches.len();
    batches.push(Batch::transaction(|tx| {
        tx.push_with(&[b"HMGET", &opened.key], CHANGED.into_iter());
        let grace_until = text(env.now_ms + grace_ms);
        let mut args: Vec<&[u8]> = vec![b"HSET", &opened.key, field::SECRET, hash.as_bytes()];
        args.extend([field::PREVIOUS, opened.record.secret()]);
        args.extend([field::GRACE, &grace_until]);
        args.extend(user.into_iter().flat_map(|user| [field::USER, user]));
        tx.push_with(&args, call.args.from(call.options.fields));
        tx.push(&[b"HINCRBY", &opened.key, field::VERSION, b"1"]);
        tx.push(&[b"PEXPIRE", &opened.key, &text(ttl_ms)]);
    }));
    // The new user's index after the hash, as on creation: the new token is not out yet.
    if let Some(user) = user.filter(|user| Some(*user) != opened.record.user) {
        batches.extend(upkeep::index(env, &opened.handle, Some(user), ttl_ms));
        if let Some(old) = opened.record.user {
            let mut batch = Batch::write();
            batch.push(&[b"ZREM", &env.keys.user(old), opened.handle.as_bytes()]);
            batches.push(batch);
        }
    }
    let after = batches.len() - before - 1;
    let (key, missing) = (opened.key.clone(), call.missing(env.protocol));
    let verified = opened.record.secret().to_vec();
    Ok(Step::last(batches, move |_, mut replies| {
        for _ in 0..before {
            replies.batch()?;
        }
        let mut seen = replies.batch()?.next().map(Reply::items);
        let seen: Vec<_> = seen.iter_mut().flatten().map(Reply::bulk).collect();
        match seen.first().copied().flatten() {
            None => return Ok(upkeep::unlink(key, missing)),
            Some(secret) if secret != verified => return Ok(give_back(key, &seen, missing)),
            Some(_) => {}
        }
        for _ in 0..after {
            replies.batch()?;
        }
        Ok(Step::reply(|out| write::bulk(out, new.text())))
    }))
}

/// Another rotation of the same token came first, and its new token is out: it must stay good. This
/// one, whose token was no longer current, gives the fields back and answers that there is no
/// session for it.
fn give_back(key: Vec<u8>, seen: &[Option<&[u8]>], missing: Step) -> Step {
    let mut batch = Batch::write();
    let pairs = CHANGED.iter().zip(seen);
    let pairs: Vec<&[u8]> = pairs
        .filter_map(|(name, value)| value.map(|value| [*name, value]))
        .flatten()
        .collect();
    batch.push_with(&[b"HSET", &key], pairs.into_iter());
    Step::last(vec![batch], move |_, mut replies| {
        replies.batch()?;
        Ok(missing)
    })
}
