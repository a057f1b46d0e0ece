//! SESS.LIST: a user's live sessions, "your devices". The index says which there may be, each is
//! checked, and what is gone is taken out of the index behind the reply.

use super::ending::forget;
use super::info::{DESCRIBED, describe};
use super::upkeep::text;
use super::{Call, Form, Kind, Missing, Order, Row, form};
use crate::error::Error;
use crate::plan::{Batch, Done, Env, Replies, Step};
use crate::resp::{Items, Reply, write};
use crate::session::keys::field;
use crate::session::{Handle, Record};

pub static ROW: Row = Row {
    name: "SESS.LIST",
    syntax: "user [FIELDS field [field ...]]",
    summary: "Lists a user's live sessions by handle, newest first.",
    reply: "array of maps",
    form: Form::Options {
        fixed: 1,
        allowed: &["FIELDS"],
    },
    writes: false,
    missing: Missing::Array,
    kind: Kind::Free {
        order: Order::Alone,
        plan,
    },
};

fn plan(call: &Call, env: &Env<'_>) -> Result<Step, Error> {
    let user = call.args.get(0).to_vec();
    form::user(&user, env)?;
    let wanted: Vec<Vec<u8>> = call
        .args
        .from(call.options.fields)
        .map(<[u8]>::to_vec)
        .collect();
    let mut batch = Batch::read();
    let last = text(env.limits.list_max as i64 - 1);
    batch.push(&[b"ZRANGE", &env.keys.user(&user), b"0", &last, b"REV"]);
    Ok(Step::first(vec![batch], move |env, mut replies| {
        let members = replies.batch()?.next().map(Reply::items);
        let members = members.into_iter().flatten().filter_map(Reply::bulk);
        let handles: Vec<Handle> = members.filter_map(Handle::parse).collect();
        let batches = handles
            .iter()
            .map(|handle| read(env, handle, &wanted))
            .collect();
        Ok(Step::first(batches, move |env, replies| {
            fold(env, &user, &handles, &wanted, replies)
        }))
    }))
}

fn read(env: &Env<'_>, handle: &Handle, wanted: &[Vec<u8>]) -> Batch {
    let key = env.keys.session(handle);
    let mut args: Vec<&[u8]> = vec![b"HMGET", &key];
    args.extend(field::ALL);
    args.extend(wanted.iter().map(Vec::as_slice));
    let mut batch = Batch::read();
    batch.push(&[b"PTTL", &key]);
    batch.push(&args);
    batch
}

/// A live session in the list, with the values of the wanted fields.
struct Entry<'a> {
    handle: Handle,
    record: Record<'a>,
    ttl_ms: i64,
    values: Items<'a>,
}

fn fold(
    env: &Env<'_>,
    user: &[u8],
    handles: &[Handle],
    wanted: &[Vec<u8>],
    mut replies: Replies<'_>,
) -> Result<Step, Error> {
    let (mut live, mut gone) = (Vec::new(), Vec::new());
    for &handle in handles {
        let mut results = match replies.batch() {
            // Under a key of another type lies no session.
            Err(error) if error.text.starts_with("WRONGTYPE") => Items::new(0, b""),
            results => results?,
        };
        let ttl_ms = results.next().and_then(Reply::integer).unwrap_or(-2);
        let mut values = results.next().map_or(Items::new(0, b""), Reply::items);
        let mut record = Record::default();
        for name in field::ALL {
            if let Some(Reply::Bulk(value)) = values.next() {
                record.take(name, value);
            }
        }
        if !record.is_session() {
            gone.push(handle);
        } else if record.is_live(env.now_ms) && record.user == Some(user) {
            let full_ms = record.timeouts().ttl_ms(env.now_ms);
            live.push(Entry {
                handle,
                record,
                ttl_ms: if ttl_ms < 0 { full_ms } else { ttl_ms },
                values,
            });
        }
    }
    live.sort_by_key(|entry| std::cmp::Reverse(entry.record.created_ms));
    let mut done = Done {
        after: forget(env, user, &gone).map(|batch| {
            Box::new(Step::last(vec![batch], |_, mut replies| {
                replies.batch()?;
                Ok(Step::Done(Done::default()))
            }))
        }),
        ..Done::default()
    };
    let out = &mut done.reply;
    write::array(out, live.len());
    for entry in live {
        let extra = usize::from(!wanted.is_empty());
        write::map(out, env.protocol, DESCRIBED + extra);
        describe(out, env, &entry.handle, &entry.record, entry.ttl_ms);
        if extra > 0 {
            write::bulk(out, b"values");
            write::map(out, env.protocol, wanted.len());
            for (name, value) in wanted.iter().zip(entry.values) {
                write::bulk(out, name);
                match value.bulk() {
                    Some(data) => write::bulk(out, data),
                    None => write::null(out, env.protocol),
                }
            }
        }
    }
    Ok(Step::Done(done))
}
