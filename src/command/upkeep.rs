//! What every write has in common: keeping TTL and indexes together, noticing a session that is gone.
//!
//! The order matters. An index entry must never end before its session does, or a logout everywhere
//! would miss it: a new session's hash comes first (its token is not out yet), the index second; a
//! touch moves the index first, the TTL second.

use super::form::too_many_fields;
use super::{Call, Opened};
use crate::error::Error;
use crate::plan::{Batch, Env, Replies, Step};
use crate::resp::Reply;
use crate::session::keys::field;
use crate::session::{Handle, Record};

/// How long after its score an index entry is kept before it counts as long expired: beyond any
/// drift between a TTL as Redis counts it and a score as some sidecar's clock wrote it.
pub const INDEX_SLACK_MS: i64 = 3_600_000;

/// Enters a session into the indexes, or moves its score there: one batch a key.
pub fn index(env: &Env<'_>, handle: &Handle, user: Option<&[u8]>, ttl_ms: i64) -> Vec<Batch> {
    let mut batches = Vec::with_capacity(2);
    batches.extend(user.map(|user| index_user(env, handle, user, ttl_ms)));
    let mut batch = Batch::write();
    let expires = text(env.now_ms + ttl_ms);
    batch.push(&[b"ZADD", &env.keys.all(handle), &expires, handle.as_bytes()]);
    batches.push(batch);
    batches
}

/// The part of [`index`] that is the user's.
pub fn index_user(env: &Env<'_>, handle: &Handle, user: &[u8], ttl_ms: i64) -> Batch {
    let key = env.keys.user(user);
    let expires = text(env.now_ms + ttl_ms);
    let mut batch = Batch::write();
    batch.push(&[b"ZADD", &key, &expires, handle.as_bytes()]);
    expire_not_before(env, &mut batch, &key, ttl_ms);
    batch
}

/// Keeps an index as long as its longest member. Two sidecars may do this at once with different
/// members, so it must never shorten: NX sets the first deadline, GT only moves it away.
fn expire_not_before(env: &Env<'_>, batch: &mut Batch, key: &[u8], ttl_ms: i64) {
    if env.expire_gt {
        let at = text(env.now_ms + ttl_ms + INDEX_SLACK_MS);
        batch.push(&[b"PEXPIREAT", key, &at, b"NX"]);
        batch.push(&[b"PEXPIREAT", key, &at, b"GT"]);
    } else {
        // Redis 6.2 has no GT. The longest life there can be is never too short.
        let longest_ms = i64::try_from(env.session.timeout_s_max).unwrap_or(i64::MAX / 1000) * 1000;
        batch.push(&[
            b"PEXPIREAT",
            key,
            &text(env.now_ms + longest_ms + INDEX_SLACK_MS),
        ]);
    }
}

/// Takes sessions out of the world: their hashes first, the index entries second.
pub fn end(env: &Env<'_>, handle: &Handle, user: Option<&[u8]>) -> Vec<Batch> {
    let one = |args: &[&[u8]]| {
        let mut batch = Batch::write();
        batch.push(args);
        batch
    };
    let mut batches = vec![one(&[b"UNLINK", &env.keys.session(handle)])];
    if let Some(user) = user {
        batches.push(one(&[b"ZREM", &env.keys.user(user), handle.as_bytes()]));
    }
    batches.push(one(&[b"ZREM", &env.keys.all(handle), handle.as_bytes()]));
    batches
}

/// Counts the hashes that `sessions` times [`end`] took away; `users` tells which had a user.
pub fn ended(replies: &mut Replies<'_>, users: &[bool]) -> Result<i64, Error> {
    let mut count = 0;
    for &has_user in users {
        count += replies
            .batch()?
            .next()
            .and_then(Reply::integer)
            .unwrap_or(0);
        for _ in 0..1 + usize::from(has_user) {
            replies.batch()?;
        }
    }
    Ok(count)
}

/// A session's reserved fields, to be read without its token: for lists and logouts.
pub fn peek(env: &Env<'_>, handle: &Handle) -> Batch {
    let key = env.keys.session(handle);
    let mut batch = Batch::read();
    batch.push_with(&[b"HMGET", &key], field::ALL.into_iter());
    batch
}

/// The record in the reply to [`peek`], if it is a live session.
pub fn peeked<'a>(replies: &mut Replies<'a>, env: &Env<'_>) -> Result<Option<Record<'a>>, Error> {
    let mut record = Record::default();
    let values = replies.batch()?.next().map(Reply::items);
    for (name, value) in field::ALL.iter().zip(values.into_iter().flatten()) {
        if let Some(value) = value.bulk() {
            record.take(name, value);
        }
    }
    Ok(record.is_live(env.now_ms).then_some(record))
}

/// Whether the session's TTL has shrunk enough to be written again.
pub fn wants_touch(env: &Env<'_>, opened: &Opened<'_>) -> bool {
    let timeouts = opened.record.timeouts();
    let idle_ms = u64::try_from(timeouts.idle_ms).unwrap_or(0);
    let every_ms = i64::try_from(env.session.touch_every_ms(idle_ms)).unwrap_or(i64::MAX);
    timeouts.wants_touch(opened.ttl_ms, env.now_ms, every_ms)
}

/// Gives an opened session its full TTL back.
pub fn touch(env: &Env<'_>, opened: &Opened<'_>) -> Vec<Batch> {
    let ttl_ms = opened.record.timeouts().ttl_ms(env.now_ms);
    let mut batches = index(env, &opened.handle, opened.record.user, ttl_ms);
    let mut batch = Batch::write();
    batch.push(&[b"PEXPIRE", &opened.key, &text(ttl_ms)]);
    batches.push(batch);
    batches
}

/// One write on an opened session, as one transaction in its slot:
///
/// ```text
///   MULTI
///   HGET key @s          is it still there? (it may have been destroyed since it was opened)
///   ...                  what `fill` adds
///   HINCRBY key @v 1
///   PEXPIRE key ttl      a hash that a lost race re-created must not live for ever
///   EXEC
/// ```
///
/// `reply` makes the reply of what `fill`'s commands answered and the new version.
pub fn act(
    env: &Env<'_>,
    call: &Call,
    opened: &Opened<'_>,
    fill: impl FnOnce(&mut Batch),
    reply: impl FnOnce(&Env<'_>, crate::resp::Items<'_>, i64) -> Step + 'static,
) -> Step {
    let slides = wants_touch(env, opened);
    let (mut batches, ttl_ms) = if slides {
        let ttl_ms = opened.record.timeouts().ttl_ms(env.now_ms);
        (
            index(env, &opened.handle, opened.record.user, ttl_ms),
            ttl_ms,
        )
    } else {
        (Vec::new(), opened.ttl_ms)
    };
    let moved = batches.len();
    batches.push(Batch::transaction(|tx| {
        tx.push(&[b"HGET", &opened.key, field::SECRET]);
        fill(tx);
        tx.push(&[b"HINCRBY", &opened.key, field::VERSION, b"1"]);
        tx.push(&[b"PEXPIRE", &opened.key, &text(ttl_ms)]);
    }));
    let (key, missing) = (opened.key.clone(), call.missing(env.protocol));
    Step::last(batches, move |env, mut replies| {
        for _ in 0..moved {
            replies.batch()?;
        }
        let mut results = replies.batch()?;
        if results.next().and_then(Reply::bulk).is_none() {
            return Ok(unlink(key, missing));
        }
        // The last two results are the version and the answer of PEXPIRE.
        let own = results.len().saturating_sub(2);
        let version = results.clone().nth(own).and_then(Reply::integer);
        let results = crate::resp::Items::new(own, results.bytes());
        Ok(reply(env, results, version.unwrap_or(0)))
    })
}

/// Goes on with `act` if the session has room for these fields. Only where the limit is near does it
/// matter which of them are there already; then, and only then, that is asked first.
pub fn with_room_for<'a>(
    call: &Call,
    opened: &Opened<'_>,
    env: &Env<'_>,
    fields: impl ExactSizeIterator<Item = &'a [u8]>,
    act: fn(&Call, &Opened<'_>, &Env<'_>) -> Result<Step, Error>,
) -> Result<Step, Error> {
    let (count, new) = (opened.fields.count(), fields.len());
    if count + new <= env.limits.fields_max {
        return act(call, opened, env);
    }
    let mut batch = Batch::read();
    for field in fields {
        batch.push(&[b"HEXISTS", &opened.key, field]);
    }
    let (call, kept) = (call.clone(), opened.keep());
    Ok(Step::first(vec![batch], move |env, mut replies| {
        let there = replies.batch()?.filter(|reply| *reply == Reply::Integer(1));
        let after = count + new - there.count();
        if after > env.limits.fields_max {
            return Err(too_many_fields(after, env.limits.fields_max));
        }
        act(&call, &kept.opened(), env)
    }))
}

/// The session was destroyed between opening and writing, and the write made a hash again. Nobody
/// sees it, for it has no secret; it goes away before the client hears that there is no session.
pub fn unlink(key: Vec<u8>, missing: Step) -> Step {
    let mut batch = Batch::write();
    batch.push(&[b"UNLINK", &key]);
    Step::last(vec![batch], move |_, mut replies| {
        replies.batch()?;
        Ok(missing)
    })
}

/// A number as an argument.
pub fn text(value: i64) -> Vec<u8> {
    itoa::Buffer::new().format(value).as_bytes().to_vec()
}
