//! SESS.LOGOUT: ends every session of a user. The index says which there may be; each is checked to
//! be alive and still the user's before it ends.

use std::collections::VecDeque;

use super::upkeep::{self, text};
use super::{Call, Form, Kind, Missing, Order, Row, form};
use crate::error::Error;
use crate::plan::{Batch, Env, Step};
use crate::resp::Reply;
use crate::session::{Handle, Standing, Token};

pub static ROW: Row = Row {
    name: "SESS.LOGOUT",
    syntax: "user [EXCEPT token]",
    summary: "Ends all sessions of a user, but perhaps one, and answers how many there were.",
    reply: "count",
    form: Form::Options {
        fixed: 1,
        allowed: &["EXCEPT"],
    },
    writes: true,
    missing: Missing::Value,
    kind: Kind::Free {
        order: Order::Alone,
        plan,
    },
};

/// How many sessions one trip checks and ends: a user with a million of them must not hold a lane.
const SESSIONS_PER_TRIP: usize = 256;

/// A logout on its way.
struct Logout {
    user: Vec<u8>,
    except: Option<Token>,
    waiting: VecDeque<Handle>,
    ended: i64,
}

fn plan(call: &Call, env: &Env<'_>) -> Result<Step, Error> {
    form::user(call.args.get(0), env)?;
    let mut logout = Logout {
        user: call.args.get(0).to_vec(),
        // A token that proves nothing excepts nothing: everything ends, which is the safe side.
        except: call
            .options
            .except
            .and_then(|at| Token::parse(call.args.get(at))),
        waiting: VecDeque::new(),
        ended: 0,
    };
    let mut batch = Batch::read();
    batch.push(&[b"ZRANGE", &env.keys.user(&logout.user), b"0", b"-1"]);
    Ok(Step::first(vec![batch], move |env, mut replies| {
        let members = replies.batch()?.next().map(Reply::items);
        let members = members.into_iter().flatten().filter_map(Reply::bulk);
        logout.waiting = members.filter_map(Handle::parse).collect();
        Ok(check_some(env, logout))
    }))
}

fn check_some(env: &Env<'_>, mut logout: Logout) -> Step {
    let count = logout.waiting.len().min(SESSIONS_PER_TRIP);
    let handles: Vec<Handle> = logout.waiting.drain(..count).collect();
    if handles.is_empty() {
        return Step::integer(logout.ended);
    }
    let batches = handles
        .iter()
        .map(|handle| upkeep::peek(env, handle))
        .collect();
    Step::first(batches, move |env, mut replies| {
        let (mut ends, mut gone) = (Vec::new(), Vec::new());
        for handle in handles {
            match upkeep::peeked(&mut replies, env)? {
                Some(record) if record.user == Some(&logout.user) => {
                    let excepted = logout.except.as_ref().is_some_and(|token| {
                        token.handle == handle
                            && record.standing(&token.hash, env.now_ms) == Standing::Current
                    });
                    if !excepted {
                        ends.push(handle);
                    }
                }
                _ => gone.push(handle),
            }
        }
        Ok(end_some(env, logout, ends, &gone))
    })
}

fn end_some(env: &Env<'_>, mut logout: Logout, ends: Vec<Handle>, gone: &[Handle]) -> Step {
    let mut batches: Vec<Batch> = ends
        .iter()
        .flat_map(|handle| upkeep::end(env, handle, Some(&logout.user)))
        .collect();
    batches.extend(forget(env, &logout.user, gone));
    if batches.is_empty() {
        return check_some(env, logout);
    }
    Step::first(batches, move |env, mut replies| {
        logout.ended += upkeep::ended(&mut replies, &vec![true; ends.len()])?;
        Ok(check_some(env, logout))
    })
}

/// Heals a user's index: takes out what is no session of the user any more, and what expired long ago.
pub fn forget(env: &Env<'_>, user: &[u8], gone: &[Handle]) -> Option<Batch> {
    if gone.is_empty() {
        return None;
    }
    let key = env.keys.user(user);
    let mut batch = Batch::write();
    let members: Vec<&[u8]> = gone.iter().map(Handle::as_bytes).collect();
    batch.push_with(&[b"ZREM", &key], members.into_iter());
    let long_expired = text(env.now_ms - upkeep::INDEX_SLACK_MS);
    batch.push(&[b"ZREMRANGEBYSCORE", &key, b"-inf", &long_expired]);
    Some(batch)
}
