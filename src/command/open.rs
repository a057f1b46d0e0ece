//! Opening a session: what is read before a command with a token may plan anything.
//!
//! One trip, in one slot: the reserved fields (and the application's, where they are needed) and the
//! TTL. A command that only reads is finished by what opening read.

use super::{Access, Call, Missing};
use crate::error::Error;
use crate::plan::{Batch, Env, Replies};
use crate::resp::{Items, Reply};
use crate::session::keys::field;
use crate::session::{Handle, Record, Standing, Token};

/// What is read when a session is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The reserved fields and the number of all fields.
    Reserved,
    /// Every field; only the named ones, where the command names some.
    Fields,
}

impl Need {
    /// Whether every field is read for this call.
    fn everything(self, call: &Call) -> bool {
        self == Need::Fields && !names_fields(call)
    }
}

/// Whether the call names the fields it wants to read.
fn names_fields(call: &Call) -> bool {
    call.row.missing == Missing::Array && call.args.len() > 1
}

/// An opened session: verified to exist, to be alive and to belong to whoever asks.
pub struct Opened<'a> {
    /// Its public name.
    pub handle: Handle,
    /// Its hash's key.
    pub key: Vec<u8>,
    /// Its reserved fields.
    pub record: Record<'a>,
    /// What is left of its TTL, ms, as Redis said when it was read.
    pub ttl_ms: i64,
    /// Application fields: name and value alternating after everything was read, the named values
    /// after some were.
    pub fields: Items<'a>,
    /// How many application fields it has. Unknown, and 0, when named fields were read.
    pub field_count: usize,
}

/// An opened session without its application's fields, kept beyond the reply that opened it.
pub struct Kept {
    handle: Handle,
    key: Vec<u8>,
    reserved: Vec<(&'static [u8], Vec<u8>)>,
    ttl_ms: i64,
    field_count: usize,
}

impl Opened<'_> {
    /// Keeps it.
    pub fn keep(&self) -> Kept {
        Kept {
            handle: self.handle,
            key: self.key.clone(),
            reserved: self.record.to_fields(),
            ttl_ms: self.ttl_ms,
            field_count: self.field_count,
        }
    }
}

impl Kept {
    /// The session as it was opened.
    pub fn opened(&self) -> Opened<'_> {
        let mut record = Record::default();
        for (name, value) in &self.reserved {
            record.take(name, value);
        }
        Opened {
            handle: self.handle,
            key: self.key.clone(),
            record,
            ttl_ms: self.ttl_ms,
            fields: Items::new(0, b""),
            field_count: self.field_count,
        }
    }
}

/// What opening found out.
pub enum Found<'a> {
    /// The session.
    Open(Opened<'a>),
    /// Nothing that the client may know of. A superseded secret is told to the operator.
    Nothing(Standing),
}

/// The commands that open the session of `token`.
pub fn batch(token: &Token, call: &Call, need: Need, env: &Env<'_>) -> Batch {
    let key = env.keys.session(&token.handle);
    let mut batch = Batch::read();
    if need.everything(call) {
        batch.push(&[b"HGETALL", &key]);
    } else {
        let mut args: Vec<&[u8]> = vec![b"HMGET", &key];
        args.extend(field::ALL);
        match need {
            Need::Fields => batch.push_with(&args, call.args.from(1)),
            Need::Reserved => batch.push(&args),
        }
    }
    batch.push(&[b"PTTL", &key]);
    if need == Need::Reserved {
        batch.push(&[b"HLEN", &key]);
    }
    batch
}

/// Reads the replies to [`batch`]. `asked_ms` is when they were asked for.
///
/// # Errors
/// The upstream answered an error.
pub fn read<'a>(
    token: &Token,
    call: &Call,
    (need, access): (Need, Access),
    mut replies: Replies<'a>,
    asked_ms: i64,
    env: &Env<'_>,
) -> Result<Found<'a>, Error> {
    let mut results = replies.batch()?;
    let hash = results.next().map(Reply::items);
    let mut hash = hash.unwrap_or_else(|| Items::new(0, b""));
    let pttl = results.next().and_then(Reply::integer).unwrap_or(-2);
    let hlen = results.next().and_then(Reply::integer).unwrap_or(0);

    let mut record = Record::default();
    let (fields, field_count) = if need.everything(call) {
        let fields = hash;
        let mut count = 0;
        while let (Some(name), Some(value)) = (hash.next(), hash.next()) {
            let (name, value) = (name.bulk().unwrap_or(b"@"), value.bulk().unwrap_or(b""));
            if !field::is_reserved(name) {
                count += 1;
            } else {
                record.take(name, value);
            }
        }
        (fields, count)
    } else {
        let mut reserved = 0;
        for name in field::ALL {
            if let Some(Reply::Bulk(value)) = hash.next() {
                record.take(name, value);
                reserved += 1;
            }
        }
        (
            hash,
            usize::try_from(hlen).unwrap_or(0).saturating_sub(reserved),
        )
    };
    let standing = record.standing(&token.hash, env.now_ms);
    let allowed = match standing {
        Standing::Current => true,
        Standing::Grace => access == Access::Read,
        Standing::Superseded | Standing::Unknown => false,
    };
    if !allowed || !record.is_live(env.now_ms) || pttl == -2 {
        return Ok(Found::Nothing(standing));
    }
    // A hash that somebody made persistent counts as fully alive; the next touch gives it its TTL.
    let ttl_ms = match pttl {
        -1 => record.timeouts().ttl_ms(env.now_ms),
        pttl => (pttl - (env.now_ms - asked_ms).max(0)).max(1),
    };
    Ok(Found::Open(Opened {
        handle: token.handle,
        key: env.keys.session(&token.handle),
        record,
        ttl_ms,
        fields,
        field_count,
    }))
}
