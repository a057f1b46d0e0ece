//! SESS.EXPLAIN: what a command would send, found out by letting it: its steps run against a fresh
//! embedded engine that holds the session it asks for, and what it sends is written down. So the
//! explanation cannot differ from the command.

use crate::command::{self, Call, Found, Kind, open_batch, read_open};
use crate::embedded::{Connection, Embedded};
use crate::error::Error;
use crate::plan::{Batch, Env, Replies, Shape, Step};
use crate::resp::Args;
use crate::resp::request::{Decoder, RequestLimits};
use crate::session::keys::field;
use crate::session::{Handle, NewToken, SecretHash, Token};

/// The user of a pretended session, where the command does not say.
const USER: &[u8] = b"<user>";

/// The handle of the pretended session of a user.
const HANDLE: &[u8] = b"example-session_";

/// Most arguments that are explained: the play is not interrupted for other clients.
const ARGS_MAX: usize = 64;

/// What we wrote ourselves is taken as it is.
const LIMITS: RequestLimits = RequestLimits {
    bytes_max: usize::MAX / 2,
    args_max: usize::MAX / 2,
    inline_bytes_max: 0,
};

/// The upstream commands that `call`, a SESS.EXPLAIN, asks about: a line each.
///
/// # Errors
/// Origin client: no such command, or its arguments are wrong.
pub fn lines(call: &Call, env: &Env<'_>) -> Result<Vec<String>, Error> {
    if call.args.len() > ARGS_MAX {
        return Err(Error::too_big(
            "arguments to be explained",
            call.args.len(),
            ARGS_MAX,
            "it is played in one go",
        ));
    }
    let name = call.args.get(0);
    let row = command::find(name)
        .or_else(|| command::find(&[b"SESS.", name].concat()))
        .ok_or_else(|| {
            Error::client("ERR only SESS.* commands can be explained, others are sent as they are")
        })?;
    let asked = Call::new(row, Args::new(call.args.from(1)), env)?;
    let mut stage = Stage {
        connection: Embedded::new().connect(),
        now_ms: env.now_ms,
        lines: Vec::new(),
    };
    stage.set(&asked, env);
    let step = match row.kind {
        Kind::Explain => return Err(Error::client("ERR SESS.EXPLAIN sends nothing")),
        Kind::Free { plan, .. } => plan(&asked, env)?,
        Kind::Token { need, access, plan } => {
            let Some(token) = asked.token() else {
                return Ok(Vec::new());
            };
            let batch = open_batch(&token, &asked, need, env);
            let (reply, shapes) = stage.play(&[batch]);
            let replies = Replies::new(&shapes, &reply);
            match read_open(&token, &asked, (need, access), replies, env.now_ms, env)? {
                Found::Open(opened) => plan(&asked, &opened, env)?,
                Found::Nothing(_) => return Ok(stage.lines),
            }
        }
    };
    stage.run(step, env)?;
    Ok(stage.lines)
}

/// Where a command is played, and what was heard.
struct Stage {
    connection: Connection,
    now_ms: i64,
    lines: Vec<String>,
}

impl Stage {
    /// Puts the sessions there that the arguments name.
    fn set(&mut self, asked: &Call, env: &Env<'_>) {
        for arg in asked.args.from(0) {
            if let Some(token) = Token::parse(arg) {
                self.session(&token.handle, &token.hash, USER, env);
            } else if let Some(handle) = Handle::parse(arg) {
                self.session(&handle, &some_hash(), USER, env);
            }
        }
        if let (Kind::Free { .. }, Some(handle)) = (&asked.row.kind, Handle::parse(HANDLE)) {
            let user = asked.args.get(0);
            self.session(&handle, &some_hash(), user, env);
            let key = env.keys.user(user);
            self.execute(&[b"ZADD", &key, b"1e15", HANDLE]);
        }
    }

    fn session(&mut self, handle: &Handle, hash: &SecretHash, user: &[u8], env: &Env<'_>) {
        let key = env.keys.session(handle);
        let idle = env.session.idle_s * 1000;
        let idle_ms = idle.to_string();
        // So much of the TTL is gone that a use of the session writes it again.
        let ttl_ms = idle.saturating_sub(env.session.touch_every_ms(idle) + 1);
        let ttl_ms = ttl_ms.max(1).to_string();
        let deadline = (env.now_ms + env.session.life_s as i64 * 1000).to_string();
        let mut args: Vec<&[u8]> = vec![b"HSET", &key, field::SECRET, hash.as_bytes()];
        args.extend([field::USER, user, field::IDLE, idle_ms.as_bytes()]);
        args.extend([field::DEADLINE, deadline.as_bytes(), field::VERSION, b"1"]);
        self.execute(&args);
        self.execute(&[b"PEXPIRE", &key, ttl_ms.as_bytes()]);
    }

    fn execute(&mut self, args: &[&[u8]]) {
        self.connection.execute(args, self.now_ms, &mut Vec::new());
    }

    /// Plays batches; answers the replies and their shapes.
    fn play(&mut self, batches: &[Batch]) -> (Vec<u8>, Vec<Shape>) {
        let mut reply = Vec::new();
        for batch in batches {
            let (mut decoder, mut rest) = (Decoder::default(), batch.bytes());
            while let Ok(Some(len)) = decoder.decode(rest, &LIMITS) {
                let request = decoder.request(rest, len);
                let args: Vec<&[u8]> = (0..request.len()).map(|at| request.arg(at)).collect();
                self.lines.push(line(&args));
                self.connection.execute(&args, self.now_ms, &mut reply);
                rest = rest.get(len..).unwrap_or_default();
            }
        }
        (reply, batches.iter().map(Batch::shape).collect())
    }

    fn run(&mut self, mut step: Step, env: &Env<'_>) -> Result<(), Error> {
        loop {
            match step {
                Step::Done(done) => match done.after {
                    Some(after) => {
                        self.lines.push("# behind the reply:".into());
                        step = *after;
                    }
                    None => return Ok(()),
                },
                Step::Send { batches, fold, .. } => {
                    let (reply, shapes) = self.play(&batches);
                    step = fold(env, Replies::new(&shapes, &reply))?;
                }
            }
        }
    }
}

/// The hash of a secret that nobody has.
fn some_hash() -> SecretHash {
    NewToken::from_random(&[0; 36]).token().hash
}

/// A command as redis-cli would take it.
fn line(args: &[&[u8]]) -> String {
    let mut words = Vec::with_capacity(args.len());
    for arg in args {
        let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
        if !arg.is_empty() && arg.iter().all(plain) {
            words.push(String::from_utf8_lossy(arg).into_owned());
        } else {
            words.push(format!("\"{}\"", arg.escape_ascii()));
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn words_are_quoted_where_needed() {
        assert_eq!(line(&[b"HSET", b"k", b"a b", b""]), "HSET k \"a b\" \"\"");
    }
}
