//! Commands on the server: INFO, CONFIG, COMMAND, FLUSHALL.
//!
//! Knows the table of commands and counts keys, but nothing of what they hold.

use super::fault::{Outcome, SYNTAX, quoted, worded};
use super::parse::{glob, is};
use super::table::{self, Access, Call, Row};
use crate::resp::{Protocol, write};

/// The Redis whose replies these are.
pub(super) const VERSION: &str = "7.0.15";

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

/// PUBLISH channel message: nobody can subscribe here.
pub(super) fn publish(call: &mut Call) -> Outcome {
    write::integer(call.out, 0);
    Ok(())
}

/// `FLUSHALL [ASYNC | SYNC]`
pub(super) fn flushall(call: &mut Call) -> Outcome {
    super::keys::check_flush(&call.args[1..])?;
    for db in &mut call.store.dbs {
        db.clear();
    }
    write::simple(call.out, "OK");
    Ok(())
}

/// `TIME`
pub(super) fn time(call: &mut Call) -> Outcome {
    write::array(call.out, 2);
    write::bulk_integer(call.out, call.now_ms.div_euclid(1000));
    write::bulk_integer(call.out, call.now_ms.rem_euclid(1000) * 1000);
    Ok(())
}

/// `INFO [section ...]`
pub(super) fn info(call: &mut Call) -> Outcome {
    let sections = &call.args[1..];
    let wanted = |name: &str| {
        sections.is_empty()
            || sections.iter().any(|section| {
                ["all", "default", "everything", name]
                    .iter()
                    .any(|known| is(section, known))
            })
    };
    let uptime_ms = call
        .now_ms
        .saturating_sub(call.store.started_ms.unwrap_or(call.now_ms));
    let mut keyspace = String::new();
    for (index, db) in call
        .store
        .dbs
        .iter()
        .enumerate()
        .filter(|(_, db)| db.len() > 0)
    {
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
        (
            "Clients",
            format!("connected_clients:{}\r\n", call.store.clients),
        ),
        (
            "Memory",
            "maxmemory:0\r\nmaxmemory_policy:noeviction\r\n".to_owned(),
        ),
        ("Persistence", "loading:0\r\naof_enabled:0\r\n".to_owned()),
        (
            "Replication",
            "role:master\r\nconnected_slaves:0\r\n".to_owned(),
        ),
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

/// `CONFIG GET pattern [pattern ...]`
pub(super) fn config_get(call: &mut Call) -> Outcome {
    let patterns: Vec<Vec<u8>> = call.args[2..]
        .iter()
        .map(|pattern| pattern.to_ascii_lowercase())
        .collect();
    let found: Vec<_> = CONFIG
        .iter()
        .filter(|(name, _)| {
            patterns
                .iter()
                .any(|pattern| glob(pattern, name.as_bytes()))
        })
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
    if call.args.len() % 2 == 1 {
        return Err(SYNTAX);
    }
    let name = quoted(call.args[2]);
    Err(if CONFIG.iter().any(|(known, _)| is(call.args[2], known)) {
        worded(format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - \
             can't set immutable config"
        ))
    } else {
        worded(format!(
            "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
        ))
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

/// `COMMAND COUNT`
pub(super) fn command_count(call: &mut Call) -> Outcome {
    write::integer(call.out, table::commands().count() as i64);
    Ok(())
}

/// `COMMAND LIST`
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

/// `COMMAND INFO [name ...]`
pub(super) fn command_info(call: &mut Call) -> Outcome {
    if call.args.len() == 2 {
        return command(call);
    }
    write::array(call.out, call.args.len() - 2);
    for name in &call.args[2..] {
        match table::find(name) {
            Some(row) => write_row(call.out, call.client.protocol, row),
            None => write::null(call.out, call.client.protocol),
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
