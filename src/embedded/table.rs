//! The table of commands: one row each. Dispatch, arity errors, lazy expiry and COMMAND follow
//! from the rows.
//!
//! Knows which function serves which command, and nothing of what the functions do.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::fault::{Fault, Outcome, arity, unknown_command, unknown_subcommand};
use super::store::{Db, Store};
use super::{
    Client, connection, hash, keys, script, server, set, string, transaction, zset, zset_range,
};
use crate::resp::Protocol;

/// What a command on data sees: its arguments, one database and its reply.
///
/// The dispatcher has checked the arity and removed due keys among the arguments.
pub(super) struct Data<'a> {
    /// The command's name comes first.
    pub args: &'a [&'a [u8]],
    /// The name as error texts show it.
    pub command: &'static str,
    /// The time, in epoch milliseconds.
    pub now_ms: i64,
    /// The selected database.
    pub db: &'a mut Db,
    /// What the reply is written in.
    pub protocol: Protocol,
    /// Where the reply goes. A function that fails has written nothing.
    pub out: &'a mut Vec<u8>,
}

/// What a command on the connection or the server sees.
pub(super) struct Call<'a> {
    /// The command's name comes first.
    pub args: &'a [&'a [u8]],
    /// The time, in epoch milliseconds.
    pub now_ms: i64,
    /// All databases.
    pub store: &'a mut Store,
    /// The connection.
    pub client: &'a mut Client,
    /// Where the reply goes. A function that fails has written nothing.
    pub out: &'a mut Vec<u8>,
}

/// What serves a command.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// A command on one database.
    Data(fn(&mut Data) -> Outcome),
    /// A command on the connection or the server.
    Call(fn(&mut Call) -> Outcome),
    /// The same, but never queued by MULTI.
    Control(fn(&mut Call) -> Outcome),
}

/// What a command does to keys.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Access {
    /// Changes them.
    Write,
    /// Reads them.
    Read,
    /// Neither.
    None,
}

/// Which arguments are keys, as COMMAND says it: a negative `last` counts from the end.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    /// The first key's position, 0 for no keys.
    pub first: i64,
    /// The last key's position.
    pub last: i64,
    /// How far apart keys are.
    pub step: i64,
}

/// A command and the facts about it.
pub(super) struct Row {
    /// In lower case; a subcommand's is `container|subcommand`.
    pub name: &'static str,
    /// The number of arguments with the name, or if negative the least number.
    pub arity: i64,
    /// What it does to keys.
    pub access: Access,
    /// Which arguments are keys.
    pub keys: Keys,
    /// What serves it.
    pub run: Run,
}

impl Row {
    /// The keys among `args`.
    pub fn keys_of<'a>(&self, args: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [u8]> {
        let Keys { first, last, step } = self.keys;
        let last = if last < 0 {
            args.len() as i64 + last
        } else {
            last
        };
        let count = if first > 0 {
            (last - first + 1).max(0)
        } else {
            0
        };
        args.iter()
            .copied()
            .skip(first as usize)
            .take(count as usize)
            .step_by(step.max(1) as usize)
    }

    /// The rows of this command's subcommands.
    pub fn subcommands(&self) -> impl Iterator<Item = &'static Row> {
        let container = self.name;
        ROWS.iter().filter(move |row| {
            row.name
                .strip_prefix(container)
                .is_some_and(|rest| rest.starts_with('|'))
        })
    }
}

/// The row that serves a request, its arity checked; else the error reply.
pub(super) fn resolve(args: &[&[u8]]) -> Result<&'static Row, Fault> {
    let name = args.first().copied().unwrap_or_default();
    let mut row = find(name)
        .filter(|row| !row.name.contains('|')) // subcommands are reached by way of their container
        .ok_or_else(|| unknown_command(args))?;
    // Commands on data have no subcommands and are spared the search for them.
    if let (Some(sub), Run::Call(_)) = (args.get(1), row.run)
        && row.subcommands().next().is_some()
    {
        let full = [name, &b"|"[..], sub].concat();
        row = find(&full).ok_or_else(|| unknown_subcommand(row.name, sub))?;
    }
    let given = args.len() as i64;
    let fits = if row.arity < 0 {
        given >= -row.arity
    } else {
        given == row.arity
    };
    if fits { Ok(row) } else { Err(arity(row.name)) }
}

/// The row of this name, in any case.
pub(super) fn find(name: &[u8]) -> Option<&'static Row> {
    static INDEX: LazyLock<HashMap<&[u8], &Row>> =
        LazyLock::new(|| ROWS.iter().map(|row| (row.name.as_bytes(), row)).collect());
    // No name is longer, and this way looking one up allocates nothing.
    let mut buffer = [0; 32];
    let lower = buffer.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    INDEX.get(&*lower).copied()
}

/// The commands themselves, without subcommands.
pub(super) fn commands() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| !row.name.contains('|'))
}

const NO_KEYS: Keys = Keys {
    first: 0,
    last: 0,
    step: 0,
};
const ONE: Keys = Keys {
    first: 1,
    last: 1,
    step: 1,
};
const TWO: Keys = Keys {
    first: 1,
    last: 2,
    step: 1,
};
const ALL: Keys = Keys {
    first: 1,
    last: -1,
    step: 1,
};
const PAIRS: Keys = Keys {
    first: 1,
    last: -1,
    step: 2,
};

/// A command that reads data.
const fn read(name: &'static str, arity: i64, keys: Keys, run: fn(&mut Data) -> Outcome) -> Row {
    Row {
        name,
        arity,
        access: Access::Read,
        keys,
        run: Run::Data(run),
    }
}

/// A command that changes data.
const fn write(name: &'static str, arity: i64, keys: Keys, run: fn(&mut Data) -> Outcome) -> Row {
    Row {
        name,
        arity,
        access: Access::Write,
        keys,
        run: Run::Data(run),
    }
}

/// A command on the connection or the server.
const fn call(name: &'static str, arity: i64, run: fn(&mut Call) -> Outcome) -> Row {
    Row {
        name,
        arity,
        access: Access::None,
        keys: NO_KEYS,
        run: Run::Call(run),
    }
}

/// A command that MULTI does not queue.
const fn control(name: &'static str, arity: i64, keys: Keys, run: fn(&mut Call) -> Outcome) -> Row {
    Row {
        name,
        arity,
        access: Access::None,
        keys,
        run: Run::Control(run),
    }
}

/// Every command. Arities and key positions are Redis 7.0's.
#[rustfmt::skip]
static ROWS: &[Row] = &[
    read ("get",              2, ONE,     string::get),
    write("set",             -3, ONE,     string::set),
    write("setex",            4, ONE,     string::setex),
    write("psetex",           4, ONE,     string::psetex),
    write("setnx",            3, ONE,     string::setnx),
    write("getset",           3, ONE,     string::getset),
    write("getdel",           2, ONE,     string::getdel),
    write("getex",           -2, ONE,     string::getex),
    read ("mget",            -2, ALL,     string::mget),
    write("mset",            -3, PAIRS,   string::mset),
    write("append",           3, ONE,     string::append),
    read ("strlen",           2, ONE,     string::strlen),
    write("incr",             2, ONE,     string::incr),
    write("decr",             2, ONE,     string::decr),
    write("incrby",           3, ONE,     string::incrby),
    write("decrby",           3, ONE,     string::decrby),

    Row { name: "eval", arity: -3, access: Access::None, keys: NO_KEYS, run: Run::Data(script::eval) },

    write("hset",            -4, ONE,     hash::hset),
    write("hmset",           -4, ONE,     hash::hmset),
    write("hsetnx",           4, ONE,     hash::hsetnx),
    read ("hget",             3, ONE,     hash::hget),
    read ("hmget",           -3, ONE,     hash::hmget),
    read ("hgetall",          2, ONE,     hash::hgetall),
    read ("hkeys",            2, ONE,     hash::hkeys),
    read ("hvals",            2, ONE,     hash::hvals),
    write("hdel",            -3, ONE,     hash::hdel),
    read ("hlen",             2, ONE,     hash::hlen),
    read ("hexists",          3, ONE,     hash::hexists),
    read ("hstrlen",          3, ONE,     hash::hstrlen),
    write("hincrby",          4, ONE,     hash::hincrby),
    read ("hscan",           -3, ONE,     hash::hscan),

    write("sadd",            -3, ONE,     set::sadd),
    write("srem",            -3, ONE,     set::srem),
    read ("smembers",         2, ONE,     set::smembers),
    read ("scard",            2, ONE,     set::scard),
    read ("sismember",        3, ONE,     set::sismember),
    read ("smismember",      -3, ONE,     set::smismember),

    write("zadd",            -4, ONE,     zset::zadd),
    write("zincrby",          4, ONE,     zset::zincrby),
    write("zrem",            -3, ONE,     zset::zrem),
    write("zremrangebyscore", 4, ONE,     zset::zremrangebyscore),
    write("zremrangebyrank",  4, ONE,     zset::zremrangebyrank),
    write("zpopmin",         -2, ONE,     zset::zpopmin),
    write("zpopmax",         -2, ONE,     zset::zpopmax),
    read ("zscore",           3, ONE,     zset::zscore),
    read ("zmscore",         -3, ONE,     zset::zmscore),
    read ("zcard",            2, ONE,     zset::zcard),
    read ("zcount",           4, ONE,     zset::zcount),
    read ("zrank",            3, ONE,     zset::zrank),
    read ("zrevrank",         3, ONE,     zset::zrevrank),
    read ("zrange",          -4, ONE,     zset_range::zrange),
    read ("zrevrange",       -4, ONE,     zset_range::zrevrange),
    read ("zrangebyscore",   -4, ONE,     zset_range::zrangebyscore),
    read ("zrevrangebyscore",-4, ONE,     zset_range::zrevrangebyscore),

    write("del",             -2, ALL,     keys::del),
    write("unlink",          -2, ALL,     keys::del),
    read ("exists",          -2, ALL,     keys::exists),
    read ("touch",           -2, ALL,     keys::exists),
    read ("type",             2, ONE,     keys::type_of),
    write("rename",           3, TWO,     keys::rename),
    write("renamenx",         3, TWO,     keys::renamenx),
    write("expire",          -3, ONE,     keys::expire),
    write("pexpire",         -3, ONE,     keys::pexpire),
    write("expireat",        -3, ONE,     keys::expireat),
    write("pexpireat",       -3, ONE,     keys::pexpireat),
    write("persist",          2, ONE,     keys::persist),
    read ("ttl",              2, ONE,     keys::ttl),
    read ("pttl",             2, ONE,     keys::pttl),
    read ("expiretime",       2, ONE,     keys::expiretime),
    read ("pexpiretime",      2, ONE,     keys::pexpiretime),
    read ("keys",             2, NO_KEYS, keys::keys),
    read ("scan",            -2, NO_KEYS, keys::scan),
    read ("randomkey",        1, NO_KEYS, keys::randomkey),
    read ("dbsize",           1, NO_KEYS, keys::dbsize),
    write("flushdb",         -1, NO_KEYS, keys::flushdb),
    Row { access: Access::Write, ..call("flushall", -1, server::flushall) },

    control("multi",          1, NO_KEYS, transaction::multi),
    control("exec",           1, NO_KEYS, transaction::exec),
    control("discard",        1, NO_KEYS, transaction::discard),
    control("watch",         -2, ALL,     transaction::watch),
    call   ("unwatch",        1,          transaction::unwatch),

    call   ("ping",          -1,          connection::ping),
    call   ("echo",           2,          connection::echo),
    call   ("hello",         -1,          connection::hello),
    call   ("auth",          -2,          connection::auth),
    call   ("select",         2,          connection::select),
    control("quit",          -1, NO_KEYS, connection::quit),
    control("reset",          1, NO_KEYS, connection::reset),
    call   ("publish",        3,          server::publish),
    call   ("time",           1,          server::time),
    call   ("info",          -1,          server::info),
    call   ("client",        -2,          server::command),
    call   ("client|setname", 3,          connection::client_setname),
    call   ("client|getname", 2,          connection::client_getname),
    call   ("client|id",      2,          connection::client_id),
    call   ("config",        -2,          server::command),
    call   ("config|get",    -3,          server::config_get),
    call   ("config|set",    -4,          server::config_set),
    call   ("command",       -1,          server::command),
    call   ("command|count",  2,          server::command_count),
    call   ("command|info",  -2,          server::command_info),
    call   ("command|docs",  -2,          server::command_docs),
    call   ("command|list",  -2,          server::command_list),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn error(args: &[&str]) -> String {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        resolve(&args)
            .err()
            .map_or(String::new(), |fault| fault.0.into_owned())
    }

    #[test]
    fn rows_have_distinct_short_names_in_lower_case() {
        let names: std::collections::HashSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        for row in ROWS {
            assert!(row.name.len() <= 32 && row.name == row.name.to_ascii_lowercase());
            assert!(
                find(row.name.to_ascii_uppercase().as_bytes()).is_some(),
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn requests_that_no_row_fits_are_refused_in_redis_words() {
        assert_eq!(error(&["GeT", "k"]), "");
        assert_eq!(
            error(&["GET"]),
            "ERR wrong number of arguments for 'get' command"
        );
        assert_eq!(
            error(&["foo", "a", "b"]),
            "ERR unknown command 'foo', with args beginning with: 'a' 'b' "
        );
        assert_eq!(
            error(&["client", "SetInfo", "a", "b"]),
            "ERR unknown subcommand 'SetInfo'. Try CLIENT HELP."
        );
        assert_eq!(
            error(&["client", "setname"]),
            "ERR wrong number of arguments for 'client|setname' command"
        );
    }

    #[test]
    fn keys_are_where_the_row_says() {
        let args: Vec<&[u8]> = vec![b"mset", b"a", b"1", b"b", b"2"];
        let keys = |name: &[u8]| find(name).map(|row| row.keys_of(&args).collect::<Vec<_>>());
        assert_eq!(keys(b"mset"), Some(vec![&b"a"[..], b"b"]));
        assert_eq!(keys(b"get"), Some(vec![&b"a"[..]]));
        assert_eq!(keys(b"del").map(|keys| keys.len()), Some(4));
        assert_eq!(keys(b"ping"), Some(vec![]));
    }
}
