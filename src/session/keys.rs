//! The key layout: the one file that spells it. It is an interface; anyone may read these keys.
//!
//! | key (prefix `sessile:` by default) | type | content |
//! |---|---|---|
//! | `sessile:{<handle>}` | hash | the application's fields verbatim, and the reserved `@` fields |
//! | `sessile:u:{<user>}` | sorted set | handle, score = when it expires (epoch ms) |
//! | `sessile:all:{<0..15>}` | sorted set | the same for every session, in 16 shards |
//!
//! The braces are Redis Cluster's hash tags: everything that must change together lies in one slot.

use super::token::Handle;

/// Names of the reserved fields in a session's hash.
pub mod field {
    /// Hash of the current secret. A hash without it is no session.
    pub const SECRET: &[u8] = b"@s";
    /// Hash of the previous secret.
    pub const PREVIOUS: &[u8] = b"@p";
    /// Until when the previous secret still reads, epoch ms.
    pub const GRACE: &[u8] = b"@g";
    /// The user.
    pub const USER: &[u8] = b"@u";
    /// When the session was created, epoch ms.
    pub const CREATED: &[u8] = b"@c";
    /// The idle timeout, ms.
    pub const IDLE: &[u8] = b"@i";
    /// The absolute deadline, epoch ms.
    pub const DEADLINE: &[u8] = b"@a";
    /// The version: 1 at creation, one more with each write.
    pub const VERSION: &[u8] = b"@v";

    /// All of them, in the order in which they are read.
    pub const ALL: [&[u8]; 8] = [
        SECRET, PREVIOUS, GRACE, USER, CREATED, IDLE, DEADLINE, VERSION,
    ];

    /// Whether the application may not use this name.
    pub fn is_reserved(name: &[u8]) -> bool {
        name.first() == Some(&b'@')
    }
}

/// Spells keys with the configured prefix.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: Box<[u8]>,
}

impl Keys {
    /// Keys that begin with `prefix` (`session.prefix`).
    pub fn new(prefix: &str) -> Keys {
        Keys {
            prefix: prefix.as_bytes().into(),
        }
    }

    /// The hash of a session.
    pub fn session(&self, handle: &Handle) -> Vec<u8> {
        self.join(b"{", handle.as_bytes())
    }

    /// The sorted set of a user's sessions.
    pub fn user(&self, user: &[u8]) -> Vec<u8> {
        self.join(b"u:{", user)
    }

    /// The sorted set of all sessions in the shard of `handle`.
    pub fn all(&self, handle: &Handle) -> Vec<u8> {
        self.join(b"all:{", handle.shard().to_string().as_bytes())
    }

    fn join(&self, kind: &[u8], tag: &[u8]) -> Vec<u8> {
        [&self.prefix, kind, tag, b"}"].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_as_documented() {
        let keys = Keys::new("sessile:");
        let handle = Handle::parse(b"AbCdEfGhIjKlMnO0").expect("a handle");
        assert_eq!(keys.session(&handle), b"sessile:{AbCdEfGhIjKlMnO0}");
        assert_eq!(keys.user(b"alice"), b"sessile:u:{alice}");
        let shard = format!("sessile:all:{{{}}}", handle.shard());
        assert_eq!(keys.all(&handle), shard.as_bytes());
    }
}
