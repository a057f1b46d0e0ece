//! SESS.LOGOUT: ends every session of a user. The index says which there may be; each is checked to
//! be alive and still the user's before it ends.

use super::ending::{Candidate, Ending, Judge, Verdict};
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

fn plan(call: &Call, env: &Env<'_>) -> Result<Step, Error> {
    form::user(call.args.get(0), env)?;
    let user = call.args.get(0).to_vec();
    // A token that proves nothing excepts nothing: everything ends, which is the safe side.
    let except = call.options.except;
    let except = except.and_then(|at| Token::parse(call.args.get(at)));
    let mut batch = Batch::read();
    batch.push(&[b"ZRANGE", &env.keys.user(&user), b"0", b"-1"]);
    Ok(Step::first(vec![batch], move |env, mut replies| {
        let members = replies.batch()?.next().map(Reply::items);
        let members = members.into_iter().flatten().filter_map(Reply::bulk);
        let ending = Ending {
            waiting: members
                .filter_map(Handle::parse)
                .map(|handle| Candidate {
                    handle,
                    proof: None,
                })
                .collect(),
            judge: judge(user.clone(), except),
            index_of: Some(user),
            ended: 0,
        };
        Ok(ending.proceed(env))
    }))
}

/// Ends what is the user's, but for the session of a token that is good for it.
fn judge(user: Vec<u8>, except: Option<Token>) -> Judge {
    Box::new(move |candidate, record, now_ms| {
        // It may just be on its way to this user: not ours to end, and not the index's to forget.
        if record.user != Some(user.as_slice()) {
            return Verdict::Spare;
        }
        let is_excepted = except.as_ref().is_some_and(|token| {
            let standing = record.standing(&token.hash, now_ms);
            token.handle == candidate.handle
                && matches!(standing, Standing::Current | Standing::Grace)
        });
        match is_excepted {
            true => Verdict::Spare,
            false => Verdict::End,
        }
    })
}
