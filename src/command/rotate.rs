//! SESS.ROTATE: a new secret for the same session, after a login or a change of privilege.
//!
//! One field in one key changes, so a rotation is atomic on Cluster too and no index moves, unless
//! the session changes its user. The secret changes only if it is still the one that was verified:
//! of two rotations of one token one wins, and the other's token was no longer current.

use super::upkeep::{self, text};
use super::{Access, Call, Form, Kind, Missing, Need, Opened, Row};
use crate::error::Error;
use crate::plan::{Batch, Done, Env, Step};
use crate::resp::{Reply, write};
use crate::session::NewToken;
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

/// The indexes first, on a trip of their own: a rotation that cannot be indexed must not happen, for
/// it would leave the session to nobody.
fn rotate(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let ttl_ms = opened.record.timeouts().ttl_ms(env.now_ms);
    let mut batches = upkeep::index(env, &opened.handle, opened.record.user, ttl_ms);
    let new_user = new_user(call, opened);
    batches.extend(new_user.map(|user| upkeep::index_user(env, &opened.handle, user, ttl_ms)));
    let trips = batches.len();
    let (call, kept) = (call.clone(), opened.keep());
    Ok(Step::first(batches, move |env, mut replies| {
        for _ in 0..trips {
            replies.batch()?;
        }
        replace(&call, &kept.opened(), env)
    }))
}

/// The user that the session changes to, if it does.
fn new_user<'a>(call: &'a Call, opened: &Opened<'_>) -> Option<&'a [u8]> {
    let user = call.options.user.map(|at| call.args.get(at));
    user.filter(|user| Some(*user) != opened.record.user)
}

fn replace(call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let new = (env.new_token)()?.for_handle(opened.handle);
    let hash = new.token().hash;
    let user = call.options.user.map(|at| call.args.get(at));
    // A login must shut out whoever knew the id before it (session fixation), so no grace then.
    let grace_ms = call.options.grace_ms.unwrap_or(match user {
        Some(_) => 0,
        None => i64::try_from(env.session.rotate_grace_ms).unwrap_or(0),
    });
    let mut batch = Batch::write();
    let (now, grace_until) = (text(env.now_ms), text(env.now_ms + grace_ms));
    let verified = opened.record.secret();
    let mut args: Vec<&[u8]> = vec![b"EVAL", SET_IF_FIELD.as_bytes(), b"1", &opened.key];
    args.extend([field::SECRET, verified, &now]);
    args.extend([field::SECRET, hash.as_bytes(), field::PREVIOUS, verified]);
    args.extend([field::GRACE, &grace_until]);
    args.extend(user.into_iter().flat_map(|user| [field::USER, user]));
    batch.push_with(&args, call.args.from(call.options.fields));

    let missing = call.missing(env.protocol);
    let left = new_user(call, opened).and(opened.record.user);
    let leave = left.map(|user| {
        let mut batch = Batch::write();
        batch.push(&[b"ZREM", &env.keys.user(user), opened.handle.as_bytes()]);
        batch
    });
    Ok(Step::last(vec![batch], move |_, mut replies| {
        match replies.batch()?.next() {
            // Another rotation of this token came first, or the session is gone.
            Some(Reply::Integer(0)) | None => Ok(missing),
            // The entry that the old user's index keeps is healed if this does not get through.
            Some(_) => Ok(Step::Done(Done {
                after: leave.map(|batch| {
                    Box::new(Step::last(vec![batch], |_, mut replies| {
                        let trouble = upkeep::index_trouble(&mut replies, 1);
                        Ok(Step::Done(Done::default()).warn(trouble))
                    }))
                }),
                ..done(&new)
            })),
        }
    }))
}

/// The end, with the new token.
fn done(new: &NewToken) -> Done {
    let mut done = Done::default();
    write::bulk(&mut done.reply, new.text());
    done
}
