//! Transcripts: a conversation as text, which is played against the real binary and compared.
//!
//! ```text
//! > SESS.CREATE USER alice FIELDS cart "2 apples"     the client sends; quotes as in redis-cli
//! < <token:t>                                         it gets this; <token:t> remembers the token
//! > SESS.GET $t
//! 2< ["cart", "2 apples"]                             it gets this in RESP2 ...
//! 3< {"cart": "2 apples"}                             ... and this in RESP3
//! @ HGET sessile:{$t.handle} @u                       asked of Redis directly, always in RESP2
//! < "alice"
//! ```
//!
//! Replies are written as [`Value`] shows them. In an expected reply, `<token:name>` and
//! `<handle:name>` stand for what they say and remember it, `<int>` for a number, `<int:a..b>` for one
//! in that range (both included), `<any>` for the shortest text that fits. `$name` is what was
//! remembered, `$name.handle` and `$name.secret` its parts.

use super::{Client, Redis, Sessile, handle, secret};
use std::collections::HashMap;

/// One conversation between a client and the sidecar, watched from Redis if there is a real one.
pub struct Transcript<'a> {
    protocol: u8,
    client: Client,
    direct: Option<Client>,
    names: HashMap<String, String>,
    redis: Option<&'a Redis>,
}

impl<'a> Transcript<'a> {
    /// Plays `text` four times: RESP2 and RESP3, against a real Redis and the embedded upstream
    /// (there without the lines that ask Redis). Afterwards no secret may be found in Redis.
    #[track_caller]
    pub fn play(text: &str, sessile_args: &[&str]) {
        for protocol in [2, 3] {
            let redis = Redis::start();
            let sessile = Sessile::start(&redis.url(), sessile_args);
            sessile.await_upstream();
            let mut transcript = Transcript::new(&sessile, Some(&redis), protocol);
            transcript.run(text);
            transcript.assert_no_secret_upstream(&sessile);

            let sessile = Sessile::embedded(sessile_args);
            Transcript::new(&sessile, None, protocol).run(text);
        }
    }

    /// A fresh client for `run`.
    #[track_caller]
    pub fn new(sessile: &Sessile, redis: Option<&'a Redis>, protocol: u8) -> Transcript<'a> {
        Transcript {
            protocol,
            client: sessile.client_speaking(protocol),
            direct: redis.map(Redis::client),
            names: HashMap::new(),
            redis,
        }
    }

    /// Plays `text` and compares every reply.
    #[track_caller]
    pub fn run(&mut self, text: &str) {
        let mut reply = None;
        // Expectations of a line that was not asked are passed over with it.
        let mut skipped = false;
        for line in text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
        {
            let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
            let rest = self.fill_in(rest);
            match mark {
                ">" => {
                    reply = Some(self.client.cmd(&words(&rest)).to_string());
                    skipped = false;
                }
                "@" => {
                    let direct = self.direct.as_mut();
                    reply = direct.map(|direct| direct.cmd(&words(&rest)).to_string());
                    skipped = reply.is_none();
                }
                "<" | "2<" | "3<" => {
                    if skipped || (mark != "<" && mark != format!("{}<", self.protocol)) {
                        continue;
                    }
                    let got = reply.as_ref().expect("a line that asks");
                    match matches(&rest, got) {
                        Some(found) => self.names.extend(found),
                        None => panic!(
                            "in RESP{}, {}:\n{text}\nat    {line}\nwant  {rest}\ngot   {got}\n",
                            self.protocol,
                            if self.redis.is_some() {
                                "real Redis"
                            } else {
                                "embedded"
                            },
                        ),
                    }
                }
                _ => panic!("what is {line:?}?"),
            }
        }
    }

    /// What the transcript remembered under `name`.
    #[track_caller]
    pub fn name(&self, name: &str) -> &str {
        self.names
            .get(name)
            .unwrap_or_else(|| panic!("nothing is called {name}"))
    }

    /// No secret of any token that was seen stands anywhere in Redis or in the log.
    #[track_caller]
    fn assert_no_secret_upstream(&self, sessile: &Sessile) {
        let Some(redis) = self.redis else { return };
        let (dump, logs) = (redis.dump(), sessile.logs());
        for token in self.names.values().filter(|v| v.len() == 48) {
            assert!(!dump.contains(secret(token)), "a secret in Redis: {dump}");
            assert!(!logs.contains(secret(token)), "a secret in the log: {logs}");
        }
    }

    /// `line` with every `$name` replaced.
    fn fill_in(&self, line: &str) -> String {
        let mut names: Vec<_> = self.names.iter().collect();
        // The longest first, so that $t2 is not taken for $t and a 2.
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let mut out = line.to_string();
        for (name, value) in names {
            if value.len() == 48 {
                out = out.replace(&format!("${name}.handle"), handle(value));
                out = out.replace(&format!("${name}.secret"), secret(value));
            }
            out = out.replace(&format!("${name}"), value);
        }
        out
    }
}

/// Splits a line as redis-cli does: by blanks, with "..." and '...' for what holds blanks.
fn words(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| *c == '"' || *c == '\'');
        let (word, tail) = match quote {
            Some(quote) => rest[1..].split_once(quote).expect("a closing quote"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        out.push(word.to_string());
        rest = tail.trim_start();
    }
    out
}

/// What `pattern` remembers of `text`; `None` if it does not fit.
pub fn matches(pattern: &str, text: &str) -> Option<HashMap<String, String>> {
    // A `<` that opens no placeholder is itself.
    let hole = pattern.match_indices('<').find_map(|(at, _)| {
        let inner = pattern[at + 1..].split_once('>')?.0;
        let kind = inner.split(':').next()?;
        ["token", "handle", "int", "any"]
            .contains(&kind)
            .then_some((at, inner))
    });
    let Some((at, inner)) = hole else {
        return (pattern == text).then(HashMap::new);
    };
    let text = text.strip_prefix(&pattern[..at])?;
    let after = &pattern[at + inner.len() + 2..];
    let (kind, argument) = inner.split_once(':').unwrap_or((inner, ""));

    let len_of = |max: usize, fits: fn(char) -> bool| {
        text.chars().take(max).take_while(|c| fits(*c)).count()
    };
    let base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let fixed = |text: &str, len: usize| {
        // Tokens and handles are shown as strings, in quotes where they stand alone.
        let bare = text.strip_prefix('"').unwrap_or(text);
        let quotes = text.len() - bare.len();
        let value = bare.get(..len)?.to_string();
        let rest = bare.get(len..)?;
        let rest = if quotes == 1 {
            rest.strip_prefix('"')?
        } else {
            rest
        };
        value
            .chars()
            .all(base64url)
            .then_some((value, rest.to_string()))
    };
    match kind {
        "token" | "handle" => {
            let (value, rest) = fixed(text, if kind == "token" { 48 } else { 16 })?;
            let mut found = matches(after, &rest)?;
            if !argument.is_empty() {
                found.insert(argument.to_string(), value);
            }
            Some(found)
        }
        "int" => {
            let len = len_of(20, |c| c.is_ascii_digit() || c == '-');
            let number: i64 = text[..len].parse().ok()?;
            if let Some((low, high)) = argument.split_once("..") {
                let range = low.parse::<i64>().unwrap()..=high.parse::<i64>().unwrap();
                if !range.contains(&number) {
                    return None;
                }
            }
            matches(after, &text[len..])
        }
        _ => (0..=text.len())
            .filter(|end| text.is_char_boundary(*end))
            .find_map(|end| matches(after, &text[end..])),
    }
}
