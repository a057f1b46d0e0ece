//! `COMMAND` and `INFO`: the upstream's answer, completed with what we are, so that redis-cli
//! completes and hints SESS.* and a dashboard sees both.
//!
//! Each is a pure fold over the upstream's reply, or over nothing while the upstream is away.

use super::{Row, TABLE, find};
use crate::resp::{Protocol, Reply, Request, write};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introspection {
    /// `COMMAND`: all commands.
    Command,
    /// `COMMAND COUNT`.
    Count,
    /// `COMMAND INFO [name ...]`.
    Info,
    /// `COMMAND DOCS [name ...]`.
    Docs,
    /// `INFO [section ...]`.
    Server,
}

impl Introspection {
    /// Which one a `COMMAND` or `INFO` request is; `None` for subcommands that only the upstream knows.
    pub fn of(request: &Request<'_>) -> Option<Introspection> {
        if request.arg(0).eq_ignore_ascii_case(b"INFO") {
            return Some(Introspection::Server);
        }
        match request.arg(1).to_ascii_uppercase().as_slice() {
            b"" if request.len() == 1 => Some(Introspection::Command),
            b"COUNT" if request.len() == 2 => Some(Introspection::Count),
            b"INFO" => Some(Introspection::Info),
            b"DOCS" => Some(Introspection::Docs),
            _ => None,
        }
    }

    /// The completed reply. `names` are the arguments behind the subcommand (or behind `INFO`),
    /// `upstream` is the upstream's reply, if it gave one, `section` our section of `INFO`.
    pub fn complete(
        self,
        names: &[&[u8]],
        upstream: Option<&[u8]>,
        protocol: Protocol,
        section: &str,
    ) -> Vec<u8> {
        let upstream = upstream.filter(|raw| !raw.starts_with(b"-"));
        let mut out = Vec::new();
        match self {
            Introspection::Command => {
                let (count, entries) = aggregate(upstream);
                write::array(&mut out, count + TABLE.len());
                TABLE.iter().for_each(|row| entry(&mut out, row));
                out.extend_from_slice(entries);
            }
            Introspection::Count => {
                let count = upstream.map(Reply::view).and_then(Reply::integer);
                write::integer(&mut out, count.unwrap_or(0) + TABLE.len() as i64);
            }
            Introspection::Info if names.is_empty() => {
                return Introspection::Command.complete(names, upstream, protocol, section);
            }
            Introspection::Info => {
                let mut theirs = upstream.map(Reply::view).map(Reply::items);
                write::array(&mut out, names.len());
                for name in names {
                    let raw = theirs.as_mut().and_then(|items| items.next_raw());
                    match (find(name), raw) {
                        (Some(row), _) => entry(&mut out, row),
                        (None, Some(raw)) => out.extend_from_slice(raw),
                        (None, None) => write::null_array(&mut out, protocol),
                    }
                }
            }
            Introspection::Docs => {
                let (count, entries) = aggregate(upstream);
                let ours: Vec<&Row> = match names {
                    [] => TABLE.to_vec(),
                    names => names.iter().filter_map(|name| find(name)).collect(),
                };
                let theirs = match protocol {
                    Protocol::Resp2 => count / 2,
                    Protocol::Resp3 => count,
                };
                write::map(&mut out, protocol, theirs + ours.len());
                ours.iter().for_each(|row| docs(&mut out, row, protocol));
                out.extend_from_slice(entries);
            }
            Introspection::Server => {
                let wanted = names.is_empty()
                    || names.iter().any(|name| {
                        let name = name.to_ascii_lowercase();
                        [&b"all"[..], b"default", b"everything", b"sessile"].contains(&&name[..])
                    });
                let mut text = upstream.and_then(text).unwrap_or_default().to_vec();
                if wanted && !text.is_empty() {
                    text.extend_from_slice(b"\r\n");
                }
                if wanted {
                    text.extend_from_slice(section.as_bytes());
                }
                write::text(&mut out, protocol, &text);
            }
        }
        out
    }
}

/// What stands in for the upstream's `INFO` while it is away: enough for clients that look at it
/// before they go on, such as ioredis (`loading`), and no more than is known.
pub fn local_info(redis_version: &str) -> Vec<u8> {
    let text = format!(
        "# Server\r\nredis_version:{redis_version}\r\nredis_mode:standalone\r\nprocess_id:{}\r\n\r\n\
         # Persistence\r\nloading:0\r\n\r\n# Replication\r\nrole:master\r\n",
        std::process::id(),
    );
    let mut out = Vec::new();
    write::bulk(&mut out, text.as_bytes());
    out
}

/// The count in an aggregate's header and the bytes behind it; nothing where there is no reply.
fn aggregate(raw: Option<&[u8]>) -> (usize, &[u8]) {
    let Some(raw) = raw else {
        return (0, b"");
    };
    let Some(end) = memchr::memchr(b'\n', raw) else {
        return (0, b"");
    };
    let header = raw.get(1..end.saturating_sub(1)).unwrap_or_default();
    match crate::resp::integer(header).and_then(|count| usize::try_from(count).ok()) {
        Some(count) => (count, &raw[end + 1..]),
        None => (0, b""),
    }
}

/// The text in a bulk or a verbatim string.
fn text(raw: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', raw)?;
    let body = raw.get(end + 1..raw.len().checked_sub(2)?)?;
    match raw.first() {
        Some(b'=') => body.get(4..),
        _ => Some(body),
    }
}

/// One entry of `COMMAND`: name, arity, flags, no keys, categories, no tips, specs or subcommands.
fn entry(out: &mut Vec<u8>, row: &Row) {
    write::array(out, 10);
    write::bulk(out, row.name.to_lowercase().as_bytes());
    write::integer(out, arity(row.syntax));
    let flag = if row.writes { "write" } else { "readonly" };
    write::array(out, 2);
    write::simple(out, flag);
    write::simple(out, "fast");
    for _ in 0..3 {
        write::integer(out, 0);
    }
    write::array(out, 1);
    write::simple(out, if row.writes { "@write" } else { "@read" });
    for _ in 0..3 {
        write::array(out, 0);
    }
}

/// The arity as Redis counts it: the name included, negative where more may follow.
fn arity(syntax: &str) -> i64 {
    let arguments = parse(syntax);
    let required = arguments.iter().filter(|argument| !argument.optional);
    let least = 1 + required
        .map(|argument| argument.block.len().max(1))
        .sum::<usize>() as i64;
    match arguments
        .iter()
        .any(|argument| argument.optional || argument.multiple)
    {
        true => -least,
        false => least,
    }
}

/// One entry of `COMMAND DOCS`.
fn docs(out: &mut Vec<u8>, row: &Row, protocol: Protocol) {
    write::bulk(out, row.name.to_lowercase().as_bytes());
    let arguments = parse(row.syntax);
    write::map(out, protocol, 4 + usize::from(!arguments.is_empty()));
    let pairs = [
        ("summary", row.summary.trim_end_matches('.')),
        ("since", env!("CARGO_PKG_VERSION")),
        ("group", "session"),
        (
            "complexity",
            "O(N) with N being the number of fields or sessions it touches",
        ),
    ];
    for (name, value) in pairs {
        write::bulk(out, name.as_bytes());
        write::bulk(out, value.as_bytes());
    }
    if !arguments.is_empty() {
        write::bulk(out, b"arguments");
        describe(out, &arguments, protocol);
    }
}

/// An argument as `COMMAND DOCS` describes it.
#[derive(Debug, PartialEq, Eq)]
struct Argument {
    name: String,
    /// The word that introduces it, such as `USER`.
    token: Option<String>,
    optional: bool,
    multiple: bool,
    /// What it consists of, when it is more than one word.
    block: Vec<Argument>,
}

fn describe(out: &mut Vec<u8>, arguments: &[Argument], protocol: Protocol) {
    write::array(out, arguments.len());
    for argument in arguments {
        let flags: Vec<&str> = [
            (argument.optional, "optional"),
            (argument.multiple, "multiple"),
        ]
        .iter()
        .filter_map(|(set, flag)| set.then_some(*flag))
        .collect();
        let (has_token, has_flags, has_block) = (
            argument.token.is_some(),
            !flags.is_empty(),
            !argument.block.is_empty(),
        );
        let more = [has_token, has_flags, has_block];
        write::map(out, protocol, 2 + more.iter().filter(|has| **has).count());
        write::bulk(out, b"name");
        write::bulk(out, argument.name.as_bytes());
        write::bulk(out, b"type");
        write::bulk(out, if has_block { b"block" } else { b"string" });
        if let Some(token) = &argument.token {
            write::bulk(out, b"token");
            write::bulk(out, token.as_bytes());
        }
        if has_flags {
            write::bulk(out, b"flags");
            write::set(out, protocol, flags.len());
            flags.iter().for_each(|flag| write::simple(out, flag));
        }
        if has_block {
            write::bulk(out, b"arguments");
            describe(out, &argument.block, protocol);
        }
    }
}

/// Reads a syntax line: words, `[...]` optional, `...` multiple, upper case a token.
fn parse(syntax: &str) -> Vec<Argument> {
    let spaced = syntax.replace('[', " [ ").replace(']', " ] ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    group(&mut words.into_iter())
}

fn group<'a>(words: &mut impl Iterator<Item = &'a str>) -> Vec<Argument> {
    let mut arguments: Vec<Argument> = Vec::new();
    let mut token = None;
    while let Some(word) = words.next() {
        match word {
            "]" => break,
            "..." => {
                for argument in &mut arguments {
                    argument.multiple = true;
                }
            }
            "[" => {
                let mut inner = group(words);
                // `field [field ...]`: the repetition says that what stands before it is multiple.
                let names = |list: &[Argument]| -> Vec<String> {
                    list.iter().map(|argument| argument.name.clone()).collect()
                };
                let before = arguments.len().saturating_sub(inner.len());
                let repeats = !inner.is_empty() && inner.iter().all(|argument| argument.multiple);
                if repeats && names(&arguments[before..]) == names(&inner) {
                    if inner.len() == 1 {
                        arguments[before].multiple = true;
                    } else {
                        let mut block = arguments.split_off(before);
                        arguments.push(Argument {
                            name: names(&block).join("-"),
                            token: block[0].token.take(),
                            optional: false,
                            multiple: true,
                            block,
                        });
                    }
                } else if inner.len() == 1 {
                    inner[0].optional = true;
                    arguments.append(&mut inner);
                } else {
                    arguments.push(Argument {
                        name: names(&inner).join("-"),
                        token: None,
                        optional: true,
                        multiple: inner.iter().all(|argument| argument.multiple),
                        block: inner,
                    });
                }
            }
            word if word.chars().all(|c| c.is_ascii_uppercase()) => token = Some(word.to_owned()),
            word => arguments.push(Argument {
                name: word.to_owned(),
                token: token.take(),
                optional: false,
                multiple: false,
                block: Vec::new(),
            }),
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(name: &str, token: Option<&str>, optional: bool, multiple: bool) -> Argument {
        Argument {
            name: name.into(),
            token: token.map(Into::into),
            optional,
            multiple,
            block: Vec::new(),
        }
    }

    #[test]
    fn syntax_lines_become_arguments() {
        assert_eq!(
            parse("token [field ...]"),
            [
                argument("token", None, false, false),
                argument("field", None, true, true)
            ]
        );
        assert_eq!(
            parse("token [token ...]"),
            [argument("token", None, false, true)]
        );
        let set = parse("token field value [field value ...]");
        assert_eq!(set.len(), 2);
        assert!(set[1].multiple && !set[1].optional && set[1].block.len() == 2);
        assert_eq!(
            parse("user [EXCEPT token]")[1],
            argument("token", Some("EXCEPT"), true, false)
        );
        assert_eq!(arity("token field [by]"), -3);
        assert_eq!(arity("token field value [field value ...]"), -4);
        assert_eq!(arity("token"), 2);
        let create = parse(super::super::create::ROW.syntax);
        let tokens: Vec<_> = create.iter().map(|a| a.token.as_deref()).collect();
        assert_eq!(
            tokens,
            [Some("USER"), Some("IDLE"), Some("LIFE"), Some("FIELDS")]
        );
        assert!(create.iter().all(|argument| argument.optional));
        assert!(create[3].multiple && create[3].block.iter().all(|a| a.token.is_none()));
    }

    #[test]
    fn the_upstreams_answer_is_completed() {
        let count = TABLE.len();
        let done = Introspection::Count.complete(&[], Some(b":240\r\n"), Protocol::Resp2, "");
        assert_eq!(done, format!(":{}\r\n", 240 + count).as_bytes());
        let done = Introspection::Command.complete(&[], Some(b"*1\r\n*0\r\n"), Protocol::Resp2, "");
        assert!(
            done.starts_with(format!("*{}\r\n", 1 + count).as_bytes()) && done.ends_with(b"*0\r\n")
        );
        let info = Introspection::Server;
        let done = info.complete(
            &[],
            Some(b"=7\r\ntxt:a:1\r\n"),
            Protocol::Resp3,
            "# Sessile\r\n",
        );
        assert_eq!(done, b"=20\r\ntxt:a:1\r\n# Sessile\r\n\r\n");
        let done = info.complete(
            &[b"server"],
            Some(b"$1\r\nx\r\n"),
            Protocol::Resp2,
            "# Sessile\r\n",
        );
        assert_eq!(done, b"$1\r\nx\r\n");
    }

    #[test]
    fn named_commands_keep_their_places() {
        let names: [&[u8]; 3] = [b"get", b"sess.get", b"nope"];
        let upstream = b"*3\r\n*1\r\n$3\r\nget\r\n*-1\r\n*-1\r\n";
        let done = Introspection::Info.complete(&names, Some(upstream), Protocol::Resp2, "");
        let items: Vec<_> = Reply::view(&done).items().collect();
        assert_eq!(items.len(), 3);
        assert_eq!(items[1].items().next(), Some(Reply::Bulk(b"sess.get")));
        assert_eq!(items[2], Reply::Null);
        let docs = Introspection::Docs.complete(&[b"sess.get"], None, Protocol::Resp3, "");
        assert!(docs.starts_with(b"%1\r\n$8\r\nsess.get\r\n"));
    }
}
