//! SESS.ROTATE: a new secret for the same session, after a login or a change of privilege.
//!
//! One field in one key changes, so a rotation is atomic on Cluster too and no index moves, unless
//! the session changes its user. The secret changes only if it is still the one that was verified:
//! of two rotations of one token one wins, and the other's token was no longer current.

use super::upkeep::{self, text};
use super::{Access, Call, Form, Kind, Missing, Need, Opened, Row};
use crate::error::Error;
use crate::plan::{Batch, Env, Replies, Step};
use crate::resp::{Reply, write};
use crate::session::Handle;
use crate::session::keys::field;
use crate::session::script::SET_IF_FIELD;

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
    let new_user = user.filter(|user| Some(*user) != opened.record.user);

    let mut batches = upkeep::index(env, &opened.handle, opened.record.user, ttl_ms);
    // Should we end right behind the rotation, the new user's index must know of it already.
    batches.extend(new_user.map(|user| upkeep::index_user(env, &opened.handle, user, ttl_ms)));
    let before = batches.len();
    let mut rotation = Batch::write();
    let (ttl, grace_until) = (text(ttl_ms), text(env.now_ms + grace_ms));
    let verified = opened.record.secret();
    let mut args: Vec<&[u8]> = vec![b"EVAL", SET_IF_FIELD.as_bytes(), b"1", &opened.key];
    args.extend([field::SECRET, verified, &ttl]);
    args.extend([field::SECRET, hash.as_bytes(), field::PREVIOUS, verified]);
    args.extend([field::GRACE, &grace_until]);
    args.extend(user.into_iter().flat_map(|user| [field::USER, user]));
    rotation.push_with(&args, call.args.from(call.options.fields));
    batches.push(rotation);

    let missing = call.missing(env.protocol);
    let moved = new_user.map(|user| Moved {
        handle: opened.handle,
        from: opened.record.user.map(<[u8]>::to_vec),
        to: user.to_vec(),
        ttl_ms,
    });
    let fold = move |env: &Env<'_>, mut replies: Replies<'_>| {
        for _ in 0..before {
            replies.batch()?;
        }
        match replies.batch()?.next() {
            // Another rotation of this token came first, or the session is gone.
            Some(Reply::Integer(0)) | None => Ok(missing),
            Some(_) => {
                let done = Step::reply(|out| write::bulk(out, new.text()));
                Ok(match moved {
                    Some(moved) => moved.follow(env, done),
                    None => done,
                })
            }
        }
    };
    // A change of user sends more, on which the order of later commands depends.
    Ok(match new_user {
        Some(_) => Step::first(batches, fold),
        None => Step::last(batches, fold),
    })
}

/// A session that has changed its user.
struct Moved {
    handle: Handle,
    from: Option<Vec<u8>>,
    to: Vec<u8>,
    ttl_ms: i64,
}

impl Moved {
    /// Enters it for the new user again (a list may have dropped the entry while the session was not
    /// the user's yet), takes it out for the old one, then goes on with `done`.
    fn follow(self, env: &Env<'_>, done: Step) -> Step {
        let mut batches = vec![upkeep::index_user(env, &self.handle, &self.to, self.ttl_ms)];
        if let Some(from) = self.from {
            let mut batch = Batch::write();
            batch.push(&[b"ZREM", &env.keys.user(&from), self.handle.as_bytes()]);
            batches.push(batch);
        }
        let trips = batches.len();
        Step::last(batches, move |_, mut replies| {
            for _ in 0..trips {
                replies.batch()?;
            }
            Ok(done)
        })
    }
}
