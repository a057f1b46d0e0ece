//! Commands on the connection and the server: handshakes, INFO, CONFIG, COMMAND.
//!
//! Knows connections and the table of commands, and nothing of what keys hold.

use super::fault::{NOT_INTEGER, Outcome, SYNTAX, arity, fixed, worded};
use super::parse::{glob, integer, is};
use super::store::DATABASES;
use super::table::{self, Access, Call, Row};
use super::transaction;
use crate::resp::{Protocol, write};

/// The Redis whose replies these are.
const VERSION: &str = "7.0.15";

/// What CONFIG GET knows: what clients and libraries look at when they start.
const CONFIG: &[(&str, &str)] = &[
    ("appendonly", "no"),
    ("databases", "16"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("notify-keyspace-events", ""),
    ("replica-read-only", "yes"),
    ("save", ""),
    ("timeout", "0"),
];

/// PING [message]
pub(super) fn ping(call: &mut Call) -> Outcome {
    match call.args {
        [_] => write::simple(call.out, "PONG"),
        [_, message] => write::bulk(call.out, message),
        _ => return Err(arity("ping")),
    }
    Ok(())
}

/// ECHO message
pub(super) fn echo(call: &mut Call) -> Outcome {
    write::bulk(call.out, call.args[1]);
    Ok(())
}

/// HELLO [protover [AUTH username password] [SETNAME name]]
pub(super) fn hello(call: &mut Call) -> Outcome {
    let protocol = match call.args.get(1).map(|version| integer(version)) {
        None => call.client.protocol,
        Some(Ok(2)) => Protocol::Resp2,
        Some(Ok(3)) => Protocol::Resp3,
        Some(Ok(_)) => return Err(fixed("NOPROTO unsupported protocol version")),
        Some(Err(_)) => {
            return Err(fixed("ERR Protocol version is not an integer or out of range"));
        }
    };
    let (mut user, mut name) = (None, None);
    let mut options = call.args.get(2..).unwrap_or_default().iter();
    while let Some(option) = options.next() {
        let rest = options.len();
        if is(option, "auth") && rest >= 2 {
            user = options.next();
            options.next();
        } else if is(option, "setname") && rest >= 1 {
            name = options.next();
            check_name(name.copied().unwrap_or_default())?;
        } else {
            let option = String::from_utf8_lossy(option);
            return Err(worded(format!("ERR Syntax error in HELLO option '{option}'")));
        }
    }
    if let Some(user) = user {
        check_user(user)?;
    }
    if let Some(name) = name {
        call.client.name = name.to_vec();
    }
    call.client.protocol = protocol;
    write::map(call.out, protocol, 7);
    for (field, text) in [("server", "redis"), ("version", VERSION)] {
        write::bulk(call.out, field.as_bytes());
        write::bulk(call.out, text.as_bytes());
    }
    write::bulk(call.out, b"proto");
    write::integer(call.out, i64::from(protocol.number()));
    write::bulk(call.out, b"id");
    write::integer(call.out, call.client.id.cast_signed());
    for (field, text) in [("mode", "standalone"), ("role", "master")] {
        write::bulk(call.out, field.as_bytes());
        write::bulk(call.out, text.as_bytes());
    }
    write::bulk(call.out, b"modules");
    write::array(call.out, 0);
    Ok(())
}

/// The only user is `default`, which takes any password, as in a Redis without one.
fn check_user(user: &[u8]) -> Outcome {
    if user == b"default" {
        Ok(())
    } else {
        Err(fixed("WRONGPASS invalid username-password pair or user is disabled."))
    }
}

/// AUTH [username] password
pub(super) fn auth(call: &mut Call) -> Outcome {
    match call.args {
        [_, _] => Err(fixed(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        )),
        [_, user, _] => {
            check_user(user)?;
            write::simple(call.out, "OK");
            Ok(())
        }
        _ => Err(SYNTAX),
    }
}

/// SELECT index
pub(super) fn select(call: &mut Call) -> Outcome {
    // Redis reads a 32-bit integer here.
    let index = i32::try_from(integer(call.args[1])?).map_err(|_| NOT_INTEGER)?;
    call.client.db = usize::try_from(index)
        .ok()
        .filter(|index| *index < DATABASES)
        .ok_or(fixed("ERR DB index is out of range"))?;
    write::simple(call.out, "OK");
    Ok(())
}

/// QUIT: whoever owns the byte stream closes it behind the reply.
pub(super) fn quit(call: &mut Call) -> Outcome {
    write::simple(call.out, "OK");
    Ok(())
}

/// RESET: the connection is as a new one, but keeps its id.
pub(super) fn reset(call: &mut Call) -> Outcome {
    transaction::forget(call.client);
    call.client.db = 0;
    call.client.protocol = Protocol::default();
    call.client.name.clear();
    write::simple(call.out, "RESET");
    Ok(())
}

/// PUBLISH channel message: nobody can subscribe here.
pub(super) fn publish(call: &mut Call) -> Outcome {
    write::integer(call.out, 0);
    Ok(())
}

/// FLUSHALL [ASYNC | SYNC]
pub(super) fn flushall(call: &mut Call) -> Outcome {
    super::keys::check_flush(&call.args[1..])?;
    for db in &mut call.store.dbs {
        db.clear();
    }
    write::simple(call.out, "OK");
    Ok(())
}

/// TIME
pub(super) fn time(call: &mut Call) -> Outcome {
    write::array(call.out, 2);
    write::bulk_integer(call.out, call.now_ms.div_euclid(1000));
    write::bulk_integer(call.out, call.now_ms.rem_euclid(1000) * 1000);
    Ok(())
}

/// INFO [section ...]
pub(super) fn info(call: &mut Call) -> Outcome {
    let sections = &call.args[1..];
    let wanted = |name: &str| {
        sections.is_empty()
            || sections.iter().any(|section| {
                ["all", "default", "everything", name].iter().any(|known| is(section, known))
            })
    };
    let uptime_ms = call.now_ms.saturating_sub(call.store.started_ms.unwrap_or(call.now_ms));
    let mut keyspace = String::new();
    for (index, db) in call.store.dbs.iter().enumerate().filter(|(_, db)| db.len() > 0) {
        let (keys, expires) = (db.len(), db.expiring());
        keyspace += &format!("db{index}:keys={keys},expires={expires},avg_ttl=0\r\n");
    }
    let text = [
        (
            "Server",
            format!(
                "redis_version:{VERSION}\r\nredis_mode:standalone\r\nprocess_id:{}\r\n\
                 uptime_in_seconds:{}\r\n",
                std::process::id(),
                uptime_ms / 1000
            ),
        ),
        ("Clients", format!("connected_clients:{}\r\n", call.store.clients)),
        ("Memory", "maxmemory:0\r\nmaxmemory_policy:noeviction\r\n".to_owned()),
        ("Persistence", "loading:0\r\naof_enabled:0\r\n".to_owned()),
        ("Replication", "role:master\r\nconnected_slaves:0\r\n".to_owned()),
        ("Cluster", "cluster_enabled:0\r\n".to_owned()),
        ("Keyspace", keyspace),
    ]
    .into_iter()
    .filter(|(name, _)| wanted(name))
    .map(|(name, lines)| format!("# {name}\r\n{lines}"))
    .collect::<Vec<_>>()
    .join("\r\n");
    match call.client.protocol {
        Protocol::Resp2 => write::bulk(call.out, text.as_bytes()),
        Protocol::Resp3 => {
            // A verbatim string: its length counts the `txt:`.
            let header = format!("={}\r\ntxt:", text.len() + 4);
            call.out.extend_from_slice(header.as_bytes());
            call.out.extend_from_slice(text.as_bytes());
            call.out.extend_from_slice(b"\r\n");
        }
    }
    Ok(())
}

/// CLIENT SETNAME name
pub(super) fn client_setname(call: &mut Call) -> Outcome {
    check_name(call.args[2])?;
    call.client.name = call.args[2].to_vec();
    write::simple(call.out, "OK");
    Ok(())
}

fn check_name(name: &[u8]) -> Outcome {
    if name.iter().all(u8::is_ascii_graphic) {
        return Ok(());
    }
    Err(fixed("ERR Client names cannot contain spaces, newlines or special characters."))
}

/// CLIENT GETNAME
pub(super) fn client_getname(call: &mut Call) -> Outcome {
    match call.client.name.as_slice() {
        [] => write::null(call.out, call.client.protocol),
        name => write::bulk(call.out, name),
    }
    Ok(())
}

/// CLIENT ID
pub(super) fn client_id(call: &mut Call) -> Outcome {
    write::integer(call.out, call.client.id.cast_signed());
    Ok(())
}

/// CONFIG GET pattern [pattern ...]
pub(super) fn config_get(call: &mut Call) -> Outcome {
    let patterns: Vec<Vec<u8>> =
        call.args[2..].iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
    let found: Vec<_> = CONFIG
        .iter()
        .filter(|(name, _)| patterns.iter().any(|pattern| glob(pattern, name.as_bytes())))
        .collect();
    write::map(call.out, call.client.protocol, found.len());
    for (name, value) in found {
        write::bulk(call.out, name.as_bytes());
        write::bulk(call.out, value.as_bytes());
    }
    Ok(())
}

/// CONFIG SET: nothing can be set here.
pub(super) fn config_set(call: &mut Call) -> Outcome {
    let name = String::from_utf8_lossy(call.args[2]);
    Err(if CONFIG.iter().any(|(known, _)| is(call.args[2], known)) {
        worded(format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - \
             can't set immutable config"
        ))
    } else {
        worded(format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'"))
    })
}

/// COMMAND: every row.
pub(super) fn command(call: &mut Call) -> Outcome {
    write::array(call.out, table::commands().count());
    for row in table::commands() {
        write_row(call.out, call.client.protocol, row);
    }
    Ok(())
}

/// COMMAND COUNT
pub(super) fn command_count(call: &mut Call) -> Outcome {
    write::integer(call.out, table::commands().count() as i64);
    Ok(())
}

/// COMMAND LIST
pub(super) fn command_list(call: &mut Call) -> Outcome {
    if call.args.len() > 2 {
        return Err(SYNTAX); // FILTERBY looks at facts the rows do not have
    }
    write::set(call.out, call.client.protocol, table::commands().count());
    for row in table::commands() {
        write::bulk(call.out, row.name.as_bytes());
    }
    Ok(())
}

/// COMMAND DOCS: there are none.
pub(super) fn command_docs(call: &mut Call) -> Outcome {
    write::map(call.out, call.client.protocol, 0);
    Ok(())
}

/// COMMAND INFO [name ...]
pub(super) fn command_info(call: &mut Call) -> Outcome {
    if call.args.len() == 2 {
        return command(call);
    }
    write::array(call.out, call.args.len() - 2);
    for name in &call.args[2..] {
        match table::find(name) {
            Some(row) => write_row(call.out, call.client.protocol, row),
            None => write::null_array(call.out, call.client.protocol),
        }
    }
    Ok(())
}

/// A row in the ten elements that COMMAND shows of each command.
fn write_row(out: &mut Vec<u8>, protocol: Protocol, row: &Row) {
    write::array(out, 10);
    write::bulk(out, row.name.as_bytes());
    write::integer(out, row.arity);
    let flag = match row.access {
        Access::Write => Some("write"),
        Access::Read => Some("readonly"),
        Access::None => None,
    };
    write::set(out, protocol, usize::from(flag.is_some()));
    if let Some(flag) = flag {
        write::simple(out, flag);
    }
    write::integer(out, row.keys.first);
    write::integer(out, row.keys.last);
    write::integer(out, row.keys.step);
    // ACL categories, tips, key specifications.
    write::set(out, protocol, 0);
    write::array(out, 0);
    write::array(out, 0);
    write::array(out, row.subcommands().count());
    for subcommand in row.subcommands() {
        write_row(out, protocol, subcommand);
    }
}
