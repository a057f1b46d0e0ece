//! What every write has in common: keeping TTL and indexes together, noticing a session that is gone.
//!
//! The order matters. An index entry must never end before its session does, or a logout everywhere
//! would miss it: a new session's hash comes first (its token is not out yet), the index second; a
//! touch moves the index first, the TTL second.

use std::collections::BTreeSet;

use super::form::too_many_fields;
use super::open::Slides;
use super::{Call, Opened};
use crate::error::Error;
use crate::plan::{Batch, Env, Replies, Step};
use crate::resp::{Items, Reply};
use crate::session::keys::field;
use crate::session::{Handle, Record, Timeouts};

/// How long after its score an index entry is kept before it counts as long expired: beyond any
/// drift between a TTL as Redis counts it and a score as some sidecar's clock wrote it.
pub const INDEX_SLACK_MS: i64 = 3_600_000;

/// Enters a session into the indexes, or moves its score there: one batch a key. A score only grows:
/// an entry that is there for too long is healed by its readers, one that is gone too early is not.
pub fn index(env: &Env<'_>, handle: &Handle, user: Option<&[u8]>, ttl_ms: i64) -> Vec<Batch> {
    let mut batches = Vec::with_capacity(2);
    batches.extend(user.map(|user| index_user(env, handle, user, ttl_ms)));
    let mut batch = Batch::write();
    let expires = text(env.now_ms + ttl_ms);
    batch.push(&[
        b"ZADD",
        &env.keys.all(handle),
        b"GT",
        &expires,
        handle.as_bytes(),
    ]);
    batches.push(batch);
    batches
}

/// The part of [`index`] that is the user's.
pub fn index_user(env: &Env<'_>, handle: &Handle, user: &[u8], ttl_ms: i64) -> Batch {
    let key = env.keys.user(user);
    let expires = text(env.now_ms + ttl_ms);
    let mut batch = Batch::write();
    batch.push(&[b"ZADD", &key, b"GT", &expires, handle.as_bytes()]);
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
        let longest_ms = longest_ms.max(ttl_ms);
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

/// The record in the reply to [`peek`], if it is a session, alive or not. Under a key of another type
/// lies no session: one such key must not keep anybody from being logged out.
pub fn peeked<'a>(replies: &mut Replies<'a>) -> Result<Option<Record<'a>>, Error> {
    let values = match replies.batch() {
        Ok(mut results) => results.next().map(Reply::items),
        Err(error) if error.text.starts_with("WRONGTYPE") => None,
        Err(error) => return Err(error),
    };
    let mut record = Record::default();
    for (name, value) in field::ALL.iter().zip(values.into_iter().flatten()) {
        if let Some(value) = value.bulk() {
            record.take(name, value);
        }
    }
    Ok(record.is_session().then_some(record))
}

/// Whether the session's TTL should be written.
pub fn wants_touch(env: &Env<'_>, opened: &Opened<'_>) -> bool {
    let timeouts = opened.record.timeouts();
    let idle_ms = u64::try_from(timeouts.idle_ms).unwrap_or(0);
    let every_ms = i64::try_from(env.session.touch_every_ms(idle_ms)).unwrap_or(i64::MAX);
    match opened.slides {
        Slides::Never => false,
        Slides::WhenDue => timeouts.wants_touch(opened.ttl_ms, env.now_ms, every_ms),
        Slides::Now => true,
    }
}

/// What a write must look at in the hash: whether it is still a session, and with which timeouts.
pub const STATE: [&[u8]; 3] = [field::SECRET, field::IDLE, field::DEADLINE];

/// The timeouts in the values of [`STATE`]; `None` if there is no session.
pub fn state(values: Option<Reply<'_>>) -> Option<Timeouts> {
    let mut record = Record::default();
    for (name, value) in STATE
        .iter()
        .zip(values.map(Reply::items).into_iter().flatten())
    {
        record.take(name, value.bulk()?);
    }
    record.is_session().then(|| record.timeouts())
}

/// A session whose TTL is kept: its handle, its hash's key and its user.
pub struct Subject {
    handle: Handle,
    key: Vec<u8>,
    user: Option<Vec<u8>>,
}

impl Subject {
    /// The opened session.
    pub fn of(opened: &Opened<'_>) -> Subject {
        Subject {
            handle: opened.handle,
            key: opened.key.clone(),
            user: opened.record.user.map(<[u8]>::to_vec),
        }
    }

    /// The batches that give it the full TTL of `timeouts`; the last one answers with its [`STATE`].
    fn slide(&self, env: &Env<'_>, timeouts: Timeouts) -> Vec<Batch> {
        let ttl_ms = timeouts.ttl_ms(env.now_ms);
        let mut batches = index(env, &self.handle, self.user.as_deref(), ttl_ms);
        let mut batch = Batch::write();
        batch.push(&[b"PEXPIRE", &self.key, &text(ttl_ms)]);
        batch.push_with(&[b"HMGET", &self.key], STATE.into_iter());
        batches.push(batch);
        batches
    }

    /// Gives it the full TTL of `timeouts`, then goes on with `done`. Another command may have changed
    /// the timeouts since they were read; then it is done again with those.
    pub fn touch(self, env: &Env<'_>, timeouts: Timeouts, done: Step) -> Step {
        let batches = self.slide(env, timeouts);
        let moved = batches.len() - 1;
        Step::last(batches, move |env, mut replies| {
            let trouble = index_trouble(&mut replies, moved);
            let mut results = replies.batch()?;
            results.next();
            match state(results.next()) {
                Some(now) if now != timeouts => Ok(self.touch(env, now, done)),
                _ => Ok(done.warn(trouble)),
            }
        })
    }
}

/// Passes over `count` batches on indexes. A write that was done is not undone because an index could
/// not follow: the client is told of the write, the operator of the index.
pub fn index_trouble(replies: &mut Replies<'_>, count: usize) -> Option<String> {
    let mut trouble = None;
    for _ in 0..count {
        if let Err(error) = replies.batch() {
            trouble.get_or_insert(format!("an index could not be written: {}", error.text));
        }
    }
    trouble
}

/// One write on an opened session, as one transaction in its slot:
///
/// ```text
///   MULTI
///   HMGET key @s @i @a   is it still there? (it may have been destroyed since it was opened)
///   ...                  what `fill` adds
///   HINCRBY key @v 1
///   PEXPIRE key ttl      a hash that a lost race re-created must not live for ever
///   EXEC
/// ```
///
/// `reply` makes the reply of what `fill`'s commands answered and the new version, which rises with
/// each attempt, also one that fails inside the transaction.
pub fn act(
    env: &Env<'_>,
    call: &Call,
    opened: &Opened<'_>,
    fill: impl FnOnce(&mut Batch),
    reply: impl FnOnce(&Env<'_>, Items<'_>, i64) -> Step + 'static,
) -> Step {
    let slides = wants_touch(env, opened);
    let (subject, timeouts) = (Subject::of(opened), opened.record.timeouts());
    let full_ms = timeouts.ttl_ms(env.now_ms);
    let mut batches = match slides {
        true => index(env, &opened.handle, opened.record.user, full_ms),
        false => Vec::new(),
    };
    let moved = batches.len();
    batches.push(Batch::transaction(|tx| {
        tx.push_with(&[b"HMGET", &opened.key], STATE.into_iter());
        fill(tx);
        tx.push(&[b"HINCRBY", &opened.key, field::VERSION, b"1"]);
        match (slides, env.expire_gt) {
            (true, _) => tx.push(&[b"PEXPIRE", &opened.key, &text(full_ms)]),
            (false, true) => tx.push(&[b"PEXPIRE", &opened.key, &text(opened.ttl_ms), b"NX"]),
            (false, false) => tx.push(&[b"PEXPIRE", &opened.key, &text(opened.ttl_ms)]),
        }
    }));
    let missing = call.missing(env.protocol);
    Step::last(batches, move |env, mut replies| {
        let trouble = index_trouble(&mut replies, moved);
        let mut results = replies.batch()?;
        let Some(now) = state(results.next()) else {
            return Ok(unlink(subject.key, missing));
        };
        // The last two results are the version and the answer of PEXPIRE.
        let own = results.len().saturating_sub(2);
        let version = results.clone().nth(own).and_then(Reply::integer);
        let results = Items::new(own, results.bytes());
        let done = reply(env, results, version.unwrap_or(0)).warn(trouble);
        Ok(match now == timeouts {
            true => done,
            false => subject.touch(env, now, done),
        })
    })
}

/// Goes on with `act` if the session has room for these fields. Only where the limit is near does it
/// matter which of them are there already; then, and only then, that is asked first.
pub fn with_room_for<'a>(
    call: &Call,
    opened: &Opened<'_>,
    env: &Env<'_>,
    fields: impl Iterator<Item = &'a [u8]>,
    act: fn(&Call, &Opened<'_>, &Env<'_>) -> Result<Step, Error>,
) -> Result<Step, Error> {
    let fields: BTreeSet<&[u8]> = fields.collect();
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
