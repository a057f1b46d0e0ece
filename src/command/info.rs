//! SESS.INFO: what is known of a session, without its token.

use super::open::Fields;
use super::{Access, Call, Form, Kind, Missing, Need, Opened, Row};
use crate::error::Error;
use crate::plan::{Env, Step};
use crate::resp::{Items, Reply, write};
use crate::session::{Handle, Record};

pub static ROW: Row = Row {
    name: "SESS.INFO",
    syntax: "token",
    summary: "Tells what is known of a session: handle, user, times, version and size.",
    reply: "map",
    form: Form::Count { min: 1, max: 1 },
    writes: false,
    missing: Missing::Array,
    kind: Kind::Token {
        need: Need::Fields,
        access: Access::Read,
        plan,
    },
};

fn plan(_call: &Call, opened: &Opened<'_>, env: &Env<'_>) -> Result<Step, Error> {
    let mut bytes = 0;
    if let Fields::All { pieces, count } = &opened.fields {
        let mut left = 2 * count;
        for piece in pieces {
            let items = Items::new(left, piece).take_while(|item| *item != Reply::Null);
            let lens = items.filter_map(Reply::bulk).map(<[u8]>::len);
            let (n, sum) = lens.fold((0, 0), |(n, sum), len| (n + 1, sum + len));
            (left, bytes) = (left - n, bytes + sum);
        }
    }
    Ok(Step::reply(|out| {
        write::map(out, env.protocol, DESCRIBED + 2);
        describe(out, env, &opened.handle, &opened.record, opened.ttl_ms);
        write::bulk(out, b"fields");
        write::integer(out, opened.fields.count() as i64);
        write::bulk(out, b"bytes");
        write::integer(out, bytes as i64);
    }))
}

/// How many pairs [`describe`] writes.
pub const DESCRIBED: usize = 8;

/// The pairs that tell a session: `created` and `seen` in epoch ms, `idle` and `life` (what is left of
/// it) in seconds, `ttl` in ms. `seen` is when the TTL was last written, so it lags by up to
/// `touch_every_s`; in the last idle period of a life it is a lower bound.
pub fn describe(
    out: &mut Vec<u8>,
    env: &Env<'_>,
    handle: &Handle,
    record: &Record<'_>,
    ttl_ms: i64,
) {
    let timeouts = record.timeouts();
    let seen_ms = (env.now_ms + ttl_ms - timeouts.idle_ms)
        .min(env.now_ms)
        .max(record.created_ms);
    let life_ms = (timeouts.deadline_ms - env.now_ms).max(0) as u64;
    write::bulk(out, b"handle");
    write::bulk(out, handle.as_bytes());
    write::bulk(out, b"user");
    match record.user {
        Some(user) => write::bulk(out, user),
        None => write::null(out, env.protocol),
    }
    let numbers: [(&[u8], i64); 6] = [
        (b"created", record.created_ms),
        (b"seen", seen_ms),
        (b"idle", timeouts.idle_ms / 1000),
        (b"life", life_ms.div_ceil(1000) as i64),
        (b"ttl", ttl_ms),
        (b"version", record.version),
    ];
    for (name, value) in numbers {
        write::bulk(out, name);
        write::integer(out, value);
    }
}
