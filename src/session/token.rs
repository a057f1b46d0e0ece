//! The split token: what a browser holds, and what may be known of it elsewhere.
//!
//! ```text
//!   48 characters of base64url:   hhhhhhhhhhhhhhhh ssssssssssssssssssssssssssssssss
//!                                 handle (public)  secret (only its SHA-256 is kept)
//!                                 12 random bytes  24 random bytes
//! ```
//!
//! The handle names the session: it may stand in keys, indexes, lists and logs. The secret proves
//! who asks. Both come from the operating system's generator: the secret's 192 bits are above what
//! OWASP (64 bits of entropy) and NIST SP 800-63B ask for. Nothing here can print a secret.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Characters of a handle.
pub const HANDLE_LEN: usize = 16;
/// Characters of a secret.
pub const SECRET_LEN: usize = 32;
/// Characters of a token.
pub const TOKEN_LEN: usize = HANDLE_LEN + SECRET_LEN;
/// Characters of a secret's hash: 32 bytes of SHA-256 in base64url.
pub const HASH_LEN: usize = 43;

/// The public name of a session: 16 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle([u8; HANDLE_LEN]);

impl Handle {
    /// The handle in `text`, if it has the form of one. A token does not: it is longer.
    pub fn parse(text: &[u8]) -> Option<Handle> {
        let text: [u8; HANDLE_LEN] = text.try_into().ok()?;
        text.iter().all(is_base64url).then_some(Handle(text))
    }

    /// Its characters.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// One of 16 shards, evenly spread, for the index of all sessions.
    pub fn shard(&self) -> u8 {
        let last = self.0[HANDLE_LEN - 1];
        last.wrapping_mul(31).wrapping_add(self.0[0]) & 15
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// SHA-256 of a secret's 32 characters, as 43 characters of base64url: field `@s`.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; HASH_LEN]);

impl SecretHash {
    fn of(secret: &[u8]) -> SecretHash {
        let mut text = [0; HASH_LEN];
        // 32 bytes always make 43 characters, so the slice always fits.
        let _ = URL_SAFE_NO_PAD.encode_slice(Sha256::digest(secret), &mut text);
        SecretHash(text)
    }

    /// Its characters, to be stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `stored` is this hash; takes as long whatever the answer.
    pub fn matches(&self, stored: &[u8]) -> bool {
        self.0.ct_eq(stored).into()
    }
}

/// A token that a client presented. Its secret is gone by the time this exists.
#[derive(Clone, Copy)]
pub struct Token {
    /// Which session it names.
    pub handle: Handle,
    /// What it proves.
    pub hash: SecretHash,
}

impl Token {
    /// Reads a token. `None` if it does not have the form of one: then no session can be its own.
    pub fn parse(text: &[u8]) -> Option<Token> {
        if text.len() != TOKEN_LEN || !text.iter().all(is_base64url) {
            return None;
        }
        let (handle, secret) = text.split_at(HANDLE_LEN);
        Some(Token {
            handle: Handle::parse(handle)?,
            hash: SecretHash::of(secret),
        })
    }
}

/// A token made here, to be given out once.
pub struct NewToken {
    text: [u8; TOKEN_LEN],
}

impl NewToken {
    /// A token for a new session.
    ///
    /// # Errors
    /// The operating system has no randomness to give: no session may be made then.
    pub fn generate() -> Result<NewToken, getrandom::Error> {
        let mut random = [0; TOKEN_LEN / 4 * 3];
        getrandom::fill(&mut random)?;
        Ok(NewToken::from_random(&random))
    }

    /// The token made of these 36 bytes.
    pub fn from_random(random: &[u8; TOKEN_LEN / 4 * 3]) -> NewToken {
        let mut text = [0; TOKEN_LEN];
        // 36 bytes always make 48 characters, so the slice always fits.
        let _ = URL_SAFE_NO_PAD.encode_slice(random, &mut text);
        NewToken { text }
    }

    /// The same secret for another session's handle: a rotation keeps the session.
    pub fn for_handle(mut self, handle: Handle) -> NewToken {
        self.text[..HANDLE_LEN].copy_from_slice(handle.as_bytes());
        self
    }

    /// The characters to give to the client, and to nobody else.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// What may be known of it.
    pub fn token(&self) -> Token {
        let (handle, secret) = self.text.split_at(HANDLE_LEN);
        let mut name = [0; HANDLE_LEN];
        name.copy_from_slice(handle);
        Token {
            handle: Handle(name),
            hash: SecretHash::of(secret),
        }
    }
}

fn is_base64url(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_reads_back() {
        let new = NewToken::generate().expect("the system has randomness");
        assert_eq!(new.text().len(), TOKEN_LEN);
        let token = Token::parse(new.text()).expect("well formed");
        assert_eq!(token.handle, new.token().handle);
        assert!(token.hash.matches(new.token().hash.as_bytes()));
        assert_eq!(token.hash.as_bytes().len(), HASH_LEN);
    }

    #[test]
    fn rotation_keeps_the_handle_and_changes_the_secret() {
        let old = NewToken::from_random(&[1; 36]);
        let new = NewToken::from_random(&[2; 36]).for_handle(old.token().handle);
        assert_eq!(new.token().handle, old.token().handle);
        assert!(!new.token().hash.matches(old.token().hash.as_bytes()));
    }

    #[test]
    fn what_is_no_token_is_none() {
        let good = NewToken::from_random(&[7; 36]);
        let text = good.text();
        let mut bad = text.to_vec();
        bad[20] = b'=';
        for wrong in [&b""[..], b"abc", &text[..47], &text[..HANDLE_LEN], &bad] {
            assert!(Token::parse(wrong).is_none());
        }
        assert!(Handle::parse(text).is_none(), "a token is no handle");
    }

    #[test]
    fn the_hash_is_that_of_the_secrets_text() {
        // printf %s AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA | sha256sum, in base64url.
        let token = NewToken::from_random(&[0; 36]).token();
        assert_eq!(
            token.hash.as_bytes(),
            URL_SAFE_NO_PAD
                .encode(Sha256::digest("A".repeat(32)))
                .as_bytes()
        );
        assert!(!token.hash.matches(b""));
    }
}
