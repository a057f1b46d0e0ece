//! Facts about Redis's own commands: what may pass through on a shared lane, what is answered here,
//! what needs a connection of its own.
//!
//! A name that stands in no list is passed on as a write: the upstream knows whether it exists.

use super::introspect::Introspection;
use crate::resp::Request;

/// What a plain command is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// It concerns the client's own connection and is answered here.
    Connection(Connection),
    /// The upstream's answer is completed with what we know.
    Introspection(Introspection),
    /// It leaves or needs state on its connection, so it cannot use a shared one.
    OwnConnection,
    /// It only reads: after a lost connection it may be asked again.
    Read,
    /// It may change something.
    Write,
}

/// Commands about the client's own connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Named as Redis names them.
pub enum Connection {
    Auth,
    Client,
    Echo,
    Hello,
    Ping,
    Quit,
    Reset,
    Select,
}

/// Longest name in the lists.
const NAME_BYTES_MAX: usize = 24;

/// Looks a request up. Its name may be in any case.
pub fn plain(request: &Request<'_>) -> Plain {
    let name = request.arg(0);
    let mut upper = [0; NAME_BYTES_MAX];
    let Some(upper) = upper.get_mut(..name.len()) else {
        return Plain::Write;
    };
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    let upper: &[u8] = upper;
    let found = |list: &[&str]| {
        list.binary_search_by(|row| row.as_bytes().cmp(upper))
            .is_ok()
    };
    if found(&READS) {
        return match upper {
            b"XREAD" if blocks(request) => Plain::OwnConnection,
            _ => Plain::Read,
        };
    }
    if found(&OWN_CONNECTION) {
        return Plain::OwnConnection;
    }
    match upper {
        b"AUTH" => Plain::Connection(Connection::Auth),
        b"CLIENT" => Plain::Connection(Connection::Client),
        b"ECHO" => Plain::Connection(Connection::Echo),
        b"HELLO" => Plain::Connection(Connection::Hello),
        b"PING" => Plain::Connection(Connection::Ping),
        b"QUIT" => Plain::Connection(Connection::Quit),
        b"RESET" => Plain::Connection(Connection::Reset),
        b"SELECT" => Plain::Connection(Connection::Select),
        b"COMMAND" | b"INFO" => {
            Introspection::of(request).map_or(Plain::Read, Plain::Introspection)
        }
        b"XREADGROUP" if blocks(request) => Plain::OwnConnection,
        b"SCRIPT" if request.arg(1).eq_ignore_ascii_case(b"DEBUG") => Plain::OwnConnection,
        _ => Plain::Write,
    }
}

/// Whether XREAD or XREADGROUP would wait. `STREAMS` ends the options; the names of a group and a
/// consumer stand where no option can.
fn blocks(request: &Request<'_>) -> bool {
    let first = match request.arg(1).eq_ignore_ascii_case(b"GROUP") {
        true => 4,
        false => 1,
    };
    (first..request.len())
        .map(|at| request.arg(at))
        .take_while(|word| !word.eq_ignore_ascii_case(b"STREAMS"))
        .any(|word| word.eq_ignore_ascii_case(b"BLOCK"))
}

/// Commands that change nothing, in order.
static READS: [&str; 86] = [
    "BITCOUNT",
    "BITFIELD_RO",
    "BITPOS",
    "DBSIZE",
    "DUMP",
    "EVALSHA_RO",
    "EVAL_RO",
    "EXISTS",
    "EXPIRETIME",
    "FCALL_RO",
    "GEODIST",
    "GEOHASH",
    "GEOPOS",
    "GEORADIUSBYMEMBER_RO",
    "GEORADIUS_RO",
    "GEOSEARCH",
    "GET",
    "GETBIT",
    "GETRANGE",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HKEYS",
    "HLEN",
    "HMGET",
    "HRANDFIELD",
    "HSCAN",
    "HSTRLEN",
    "HVALS",
    "KEYS",
    "LCS",
    "LINDEX",
    "LLEN",
    "LOLWUT",
    "LPOS",
    "LRANGE",
    "MEMORY",
    "MGET",
    "OBJECT",
    "PEXPIRETIME",
    "PFCOUNT",
    "PTTL",
    "RANDOMKEY",
    "SCAN",
    "SCARD",
    "SDIFF",
    "SINTER",
    "SINTERCARD",
    "SISMEMBER",
    "SMEMBERS",
    "SMISMEMBER",
    "SORT_RO",
    "SRANDMEMBER",
    "SSCAN",
    "STRLEN",
    "SUBSTR",
    "SUNION",
    "TIME",
    "TOUCH",
    "TTL",
    "TYPE",
    "XINFO",
    "XLEN",
    "XPENDING",
    "XRANGE",
    "XREAD",
    "XREVRANGE",
    "ZCARD",
    "ZCOUNT",
    "ZDIFF",
    "ZINTER",
    "ZINTERCARD",
    "ZLEXCOUNT",
    "ZMSCORE",
    "ZRANDMEMBER",
    "ZRANGE",
    "ZRANGEBYLEX",
    "ZRANGEBYSCORE",
    "ZRANK",
    "ZREVRANGE",
    "ZREVRANGEBYLEX",
    "ZREVRANGEBYSCORE",
    "ZREVRANK",
    "ZSCAN",
    "ZSCORE",
    "ZUNION",
];

/// Commands that leave or need state on their connection, in order.
static OWN_CONNECTION: [&str; 28] = [
    "ASKING",
    "BLMOVE",
    "BLMPOP",
    "BLPOP",
    "BRPOP",
    "BRPOPLPUSH",
    "BZMPOP",
    "BZPOPMAX",
    "BZPOPMIN",
    "DISCARD",
    "EXEC",
    "MONITOR",
    "MULTI",
    "PSUBSCRIBE",
    "PSYNC",
    "PUNSUBSCRIBE",
    "READONLY",
    "READWRITE",
    "REPLCONF",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SUNSUBSCRIBE",
    "SYNC",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WAIT",
    "WAITAOF",
    "WATCH",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::request::{Decoder, RequestLimits};

    const LIMITS: RequestLimits = RequestLimits {
        bytes_max: 1024,
        args_max: 64,
        inline_bytes_max: 1024,
    };

    fn of(line: &str) -> Plain {
        let line = format!("{line}\n");
        let mut decoder = Decoder::default();
        let len = decoder.decode(line.as_bytes(), &LIMITS);
        let len = len.expect("valid").expect("whole");
        plain(&decoder.request(line.as_bytes(), len))
    }

    #[test]
    fn the_lists_are_sorted_for_the_search() {
        assert!(READS.is_sorted() && OWN_CONNECTION.is_sorted());
        let longest = READS
            .iter()
            .chain(&OWN_CONNECTION)
            .map(|name| name.len())
            .max();
        assert!(longest <= Some(NAME_BYTES_MAX));
    }

    #[test]
    fn commands_are_known_in_any_case() {
        assert_eq!(of("get k"), Plain::Read);
        assert_eq!(of("Set k v"), Plain::Write);
        assert_eq!(of("nosuchcommandatallbecauseitistoolong"), Plain::Write);
        assert_eq!(of("ping"), Plain::Connection(Connection::Ping));
        assert_eq!(of("multi"), Plain::OwnConnection);
    }

    #[test]
    fn only_a_blocking_read_needs_its_own_connection() {
        assert_eq!(of("XREAD COUNT 1 STREAMS s 0"), Plain::Read);
        assert_eq!(of("XREAD BLOCK 0 STREAMS s 0"), Plain::OwnConnection);
        assert_eq!(of("XREAD STREAMS block 0"), Plain::Read);
        assert_eq!(
            of("XREADGROUP GROUP streams c BLOCK 0 STREAMS s >"),
            Plain::OwnConnection
        );
        assert_eq!(
            of("XREADGROUP GROUP g c block 1 STREAMS s >"),
            Plain::OwnConnection
        );
    }
}
