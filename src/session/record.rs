//! A session as it lies in Redis: the reserved fields of its hash, read.
//!
//! A hash without a secret hash is no session, whatever else it holds: a write that raced with a
//! logout may leave one for a moment, and nobody may see it.

use super::keys::field;
use super::timeouts::Timeouts;
use super::token::SecretHash;

/// Largest number that is believed: 140,000 years in ms.
const NUMBER_MAX: i64 = 1 << 52;

/// The reserved fields of a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    secret: &'a [u8],
    previous: &'a [u8],
    grace_until_ms: i64,
    /// The user it belongs to, if any.
    pub user: Option<&'a [u8]>,
    /// When it was created, epoch ms.
    pub created_ms: i64,
    idle_ms: i64,
    deadline_ms: i64,
    /// How many times it was written; 1 = only created.
    pub version: i64,
}

/// What a presented secret is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The secret: everything is allowed.
    Current,
    /// The one before the last rotation, within its grace: it may read.
    Grace,
    /// The one before the last rotation, its grace over: somebody uses an old cookie, or a stolen one.
    Superseded,
    /// No secret of this session.
    Unknown,
}

impl<'a> Record<'a> {
    /// Takes a reserved field in; answers whether `name` is one it knows.
    pub fn take(&mut self, name: &[u8], value: &'a [u8]) -> bool {
        // Anyone may have written the hash: no sum of such numbers may overflow.
        let number = || {
            crate::resp::integer(value)
                .unwrap_or(0)
                .clamp(0, NUMBER_MAX)
        };
        match name {
            field::SECRET => self.secret = value,
            field::PREVIOUS => self.previous = value,
            field::GRACE => self.grace_until_ms = number(),
            field::USER => self.user = Some(value),
            field::CREATED => self.created_ms = number(),
            field::IDLE => self.idle_ms = number(),
            field::DEADLINE => self.deadline_ms = number(),
            field::VERSION => self.version = number(),
            _ => return false,
        }
        true
    }

    /// Whether this is a session at all: it has a secret.
    pub fn is_session(&self) -> bool {
        !self.secret.is_empty()
    }

    /// Whether it is a session whose life is not over.
    pub fn is_live(&self, now_ms: i64) -> bool {
        self.is_session() && self.deadline_ms > now_ms
    }

    /// The reserved fields again, as they are stored; those that are not set are left out.
    pub fn to_fields(&self) -> Vec<(&'static [u8], Vec<u8>)> {
        let number = |value: i64| value.to_string().into_bytes();
        let mut fields = vec![
            (field::SECRET, self.secret.to_vec()),
            (field::CREATED, number(self.created_ms)),
            (field::IDLE, number(self.idle_ms)),
            (field::DEADLINE, number(self.deadline_ms)),
            (field::VERSION, number(self.version)),
        ];
        if !self.previous.is_empty() {
            fields.push((field::PREVIOUS, self.previous.to_vec()));
            fields.push((field::GRACE, number(self.grace_until_ms)));
        }
        fields.extend(self.user.map(|user| (field::USER, user.to_vec())));
        fields
    }

    /// The stored hash of the current secret; empty if there is none.
    pub fn secret(&self) -> &'a [u8] {
        self.secret
    }

    /// Its timeouts.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            idle_ms: self.idle_ms,
            deadline_ms: self.deadline_ms,
        }
    }

    /// What the secret with this hash is to the session. Both stored hashes are always compared, so
    /// the time taken tells nothing.
    pub fn standing(&self, hash: &SecretHash, now_ms: i64) -> Standing {
        let current = hash.matches(self.secret);
        let previous = hash.matches(self.previous);
        match (current, previous) {
            (true, _) => Standing::Current,
            (false, true) if now_ms < self.grace_until_ms => Standing::Grace,
            (false, true) => Standing::Superseded,
            (false, false) => Standing::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::NewToken;
    use super::*;

    #[test]
    fn a_secret_is_current_then_in_grace_then_superseded() {
        let old = NewToken::from_random(&[1; 36]).token().hash;
        let new = NewToken::from_random(&[2; 36]).token().hash;
        let other = NewToken::from_random(&[3; 36]).token().hash;
        let mut record = Record::default();
        assert_eq!(record.standing(&old, 0), Standing::Unknown);
        record.take(field::SECRET, new.as_bytes());
        record.take(field::PREVIOUS, old.as_bytes());
        record.take(field::GRACE, b"100");
        assert_eq!(record.standing(&new, 500), Standing::Current);
        assert_eq!(record.standing(&old, 99), Standing::Grace);
        assert_eq!(record.standing(&old, 100), Standing::Superseded);
        assert_eq!(record.standing(&other, 0), Standing::Unknown);
    }

    #[test]
    fn no_secret_or_no_life_left_is_no_session() {
        let mut record = Record::default();
        record.take(field::DEADLINE, b"100");
        assert!(!record.is_live(0), "no secret");
        record.take(field::SECRET, b"x");
        assert!(record.is_live(99));
        assert!(!record.is_live(100));
        assert!(!record.take(b"name", b"value"));
    }
}
