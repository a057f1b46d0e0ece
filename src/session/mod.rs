//! What a session is: its token, its keys, its record, its timeouts. Plain functions over bytes and
//! numbers: no sockets, no clock, no knowledge of commands or of who asks.

pub mod keys;
pub mod record;
pub mod script;
pub mod timeouts;
pub mod token;

pub use keys::Keys;
pub use record::{Record, Standing};
pub use timeouts::Timeouts;
pub use token::{Handle, NewToken, SecretHash, Token};
