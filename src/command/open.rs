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
    /// What is left of its TTL, ms, as Redis said when it was read; the full TTL where somebody has
    /// made the hash persistent.
    pub ttl_ms: i64,
    /// Whether the hash has no TTL, or one that a use by this client may slide.
    pub slides: Slides,
    /// What was read of the application's fields.
    pub fields: Fields<'a>,
}

/// What a use of the session does to its TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slides {
    /// Nothing: a secret in its grace may read, not keep the session alive.
    Never,
    /// It slides when enough of it is gone.
    WhenDue,
    /// It is written now: somebody has made the hash persistent.
    Now,
}

/// What was read of the application's fields.
pub enum Fields<'a> {
    /// All of them.
    All {
        /// The bytes of names and values, alternating, as upstream sent them.
        pieces: Vec<&'a [u8]>,
        /// How many fields that is.
        count: usize,
    },
    /// Some, or none.
    Named {
        /// Values of the named fields.
        values: Items<'a>,
        /// How many fields the session has; 0 where that was not asked.
        count: usize,
    },
}

impl Fields<'_> {
    /// How many application fields the session has.
    pub fn count(&self) -> usize {
        match self {
            Fields::All { count, .. } | Fields::Named { count, .. } => *count,
        }
    }
}

/// An opened session without its application's fields, kept beyond the reply that opened it.
pub struct Kept {
    handle: Handle,
    key: Vec<u8>,
    reserved: Vec<(&'static [u8], Vec<u8>)>,
    ttl_ms: i64,
    slides: Slides,
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
            slides: self.slides,
            field_count: self.fields.count(),
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
            slides: self.slides,
            fields: Fields::Named {
                values: Items::new(0, b""),
                count: self.field_count,
            },
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
    // The hash comes last, so that its reply is walked only once.
    batch.push(&[b"PTTL", &key]);
    if need == Need::Reserved {
        batch.push(&[b"HLEN", &key]);
    }
    if need.everything(call) {
        batch.push(&[b"HGETALL", &key]);
    } else {
        let mut args: Vec<&[u8]> = Vec::with_capacity(2 + field::ALL.len());
        args.extend([&b"HMGET"[..], &key]);
        args.extend(field::ALL);
        match need {
            Need::Fields => batch.push_with(&args, call.args.from(1)),
            Need::Reserved => batch.push(&args),
        }
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
    let pttl = results.next().and_then(Reply::integer).unwrap_or(-2);
    let hlen = match need {
        Need::Reserved => results.next().and_then(Reply::integer).unwrap_or(0),
        Need::Fields => 0,
    };
    // The last result: what lies behind it is nobody's.
    let hash = Reply::view(results.bytes()).items();
    let (record, fields) = if need.everything(call) {
        split(hash)
    } else {
        let mut values = hash;
        let mut record = Record::default();
        let mut reserved = 0;
        for name in field::ALL {
            if let Some(Reply::Bulk(value)) = values.next() {
                record.take(name, value);
                reserved += 1;
            }
        }
        let count = usize::try_from(hlen).unwrap_or(0).saturating_sub(reserved);
        (record, Fields::Named { values, count })
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
    let ttl_ms = match pttl {
        -1 => record.timeouts().ttl_ms(env.now_ms),
        pttl => (pttl - (env.now_ms - asked_ms).max(0)).max(1),
    };
    let slides = match standing {
        Standing::Current if pttl == -1 => Slides::Now,
        Standing::Current => Slides::WhenDue,
        _ => Slides::Never,
    };
    Ok(Found::Open(Opened {
        handle: token.handle,
        key: env.keys.session(&token.handle),
        record,
        ttl_ms,
        slides,
        fields,
    }))
}

/// Divides a hash into the reserved fields and the application's.
fn split(mut hash: Items<'_>) -> (Record<'_>, Fields<'_>) {
    let mut record = Record::default();
    let (mut pieces, mut count) = (Vec::with_capacity(2), 0);
    // Application fields usually lie side by side, so few pieces hold them all.
    let mut piece = hash.bytes();
    let mut piece_len = 0;
    while let (Some(name), Some(value)) = (hash.next_raw(), hash.next_raw()) {
        let name_data = Reply::view(name).bulk().unwrap_or(b"@");
        if field::is_reserved(name_data) {
            record.take(name_data, Reply::view(value).bulk().unwrap_or(b""));
            pieces.extend(piece.get(..piece_len).filter(|piece| !piece.is_empty()));
            piece = hash.bytes();
            piece_len = 0;
        } else {
            count += 1;
            piece_len += name.len() + value.len();
        }
    }
    pieces.extend(piece.get(..piece_len).filter(|piece| !piece.is_empty()));
    (record, Fields::All { pieces, count })
}
