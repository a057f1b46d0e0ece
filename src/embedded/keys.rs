//! Commands on keys of any type: existence, expiry, names, scanning.
//!
//! Knows one database and one reply: nothing of connections, transactions or other databases.

use super::fault::{Fault, Outcome, SYNTAX, expire_time, fixed, quoted, worded};
use super::parse::{glob, integer, is};
use super::table::Data;
use crate::resp::write;

/// `DEL key [key ...]`, `UNLINK key [key ...]`
pub(super) fn del(data: &mut Data) -> Outcome {
    let removed = data.args[1..]
        .iter()
        .filter(|key| data.db.remove(key))
        .count();
    write::integer(data.out, removed as i64);
    Ok(())
}

/// `EXISTS key [key ...]`, `TOUCH key [key ...]`
pub(super) fn exists(data: &mut Data) -> Outcome {
    let found = data.args[1..]
        .iter()
        .filter(|key| data.db.contains(key))
        .count();
    write::integer(data.out, found as i64);
    Ok(())
}

/// `TYPE key`
pub(super) fn type_of(data: &mut Data) -> Outcome {
    let name = data
        .db
        .value(data.args[1])
        .map_or("none", |value| value.type_name());
    write::simple(data.out, name);
    Ok(())
}

/// `RENAME key newkey`
pub(super) fn rename(data: &mut Data) -> Outcome {
    must_exist(data)?;
    if data.args[1] != data.args[2] {
        data.db.rename(data.args[1], data.args[2]);
    }
    write::simple(data.out, "OK");
    Ok(())
}

/// `RENAMENX key newkey`
pub(super) fn renamenx(data: &mut Data) -> Outcome {
    must_exist(data)?;
    let free = !data.db.contains(data.args[2]);
    if free {
        data.db.rename(data.args[1], data.args[2]);
    }
    write::integer(data.out, i64::from(free));
    Ok(())
}

fn must_exist(data: &Data) -> Outcome {
    if data.db.contains(data.args[1]) {
        Ok(())
    } else {
        Err(fixed("ERR no such key"))
    }
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub(super) fn expire(data: &mut Data) -> Outcome {
    set_expire(data, 1000, data.now_ms)
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpire(data: &mut Data) -> Outcome {
    set_expire(data, 1, data.now_ms)
}

/// `EXPIREAT key unix-seconds [NX | XX | GT | LT]`
pub(super) fn expireat(data: &mut Data) -> Outcome {
    set_expire(data, 1000, 0)
}

/// `PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpireat(data: &mut Data) -> Outcome {
    set_expire(data, 1, 0)
}

/// When EXPIRE may change an expiry.
#[derive(Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse(options: &[&[u8]]) -> Result<Self, Fault> {
        let mut given = Self::default();
        for option in options {
            match () {
                () if is(option, "nx") => given.nx = true,
                () if is(option, "xx") => given.xx = true,
                () if is(option, "gt") => given.gt = true,
                () if is(option, "lt") => given.lt = true,
                () => {
                    let option = quoted(option);
                    return Err(worded(format!("ERR Unsupported option {option}")));
                }
            }
        }
        if given.nx && (given.xx || given.gt || given.lt) {
            return Err(fixed(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if given.gt && given.lt {
            return Err(fixed(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(given)
    }

    /// Whether a key that expires at `before` (or never) may now expire at `at`.
    fn allow(&self, before: Option<i64>, at: i64) -> bool {
        match before {
            None => !self.xx && !self.gt, // never is later than anything
            Some(before) => !self.nx && (!self.gt || at > before) && (!self.lt || at < before),
        }
    }
}

fn set_expire(data: &mut Data, unit_ms: i64, base_ms: i64) -> Outcome {
    let conditions = Conditions::parse(&data.args[3..])?;
    let at = integer(data.args[2])?
        .checked_mul(unit_ms)
        .and_then(|ms| ms.checked_add(base_ms))
        .ok_or_else(|| expire_time(data.command))?;
    let key = data.args[1];
    let allowed = data
        .db
        .expire_ms(key)
        .is_some_and(|before| conditions.allow(before, at));
    if allowed && at <= data.now_ms {
        data.db.remove(key);
    } else if allowed {
        data.db.set_expire(key, Some(at));
    }
    write::integer(data.out, i64::from(allowed));
    Ok(())
}

/// `PERSIST key`
pub(super) fn persist(data: &mut Data) -> Outcome {
    let expires = data.db.expire_ms(data.args[1]).flatten().is_some();
    if expires {
        data.db.set_expire(data.args[1], None);
    }
    write::integer(data.out, i64::from(expires));
    Ok(())
}

/// `TTL key`
pub(super) fn ttl(data: &mut Data) -> Outcome {
    let now_ms = data.now_ms;
    write_expiry(data, |at| rounded_seconds(at.saturating_sub(now_ms).max(0)))
}

/// `PTTL key`
pub(super) fn pttl(data: &mut Data) -> Outcome {
    let now_ms = data.now_ms;
    write_expiry(data, |at| at.saturating_sub(now_ms).max(0))
}

/// `EXPIRETIME key`
pub(super) fn expiretime(data: &mut Data) -> Outcome {
    write_expiry(data, rounded_seconds)
}

/// `PEXPIRETIME key`
pub(super) fn pexpiretime(data: &mut Data) -> Outcome {
    write_expiry(data, |at| at)
}

fn rounded_seconds(ms: i64) -> i64 {
    ms / 1000 + i64::from(ms % 1000 >= 500)
}

/// What `show` makes of the expiry; -1 for a key that stays, -2 for none.
fn write_expiry(data: &mut Data, show: impl Fn(i64) -> i64) -> Outcome {
    let reply = match data.db.expire_ms(data.args[1]) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => show(at),
    };
    write::integer(data.out, reply);
    Ok(())
}

/// `KEYS pattern`
pub(super) fn keys(data: &mut Data) -> Outcome {
    let pattern = data.args[1];
    let found: Vec<_> = data
        .db
        .live_keys(data.now_ms)
        .filter(|key| glob(pattern, key))
        .collect();
    write::array(data.out, found.len());
    for key in found {
        write::bulk(data.out, key);
    }
    Ok(())
}

/// Where a scan goes on; 0 begins.
pub(super) fn cursor(text: &[u8]) -> Result<u64, Fault> {
    let cursor = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    cursor.ok_or(fixed("ERR invalid cursor"))
}

/// The options of SCAN and HSCAN.
pub(super) struct ScanOptions<'a> {
    /// How many positions to look at.
    pub count: usize,
    /// MATCH
    pub pattern: Option<&'a [u8]>,
    /// TYPE
    pub type_name: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    /// Reads `[MATCH pattern] [COUNT count] [TYPE type]`.
    pub fn parse(args: &[&'a [u8]]) -> Result<Self, Fault> {
        let mut options = Self {
            count: 10,
            pattern: None,
            type_name: None,
        };
        for pair in args.chunks(2) {
            match *pair {
                [option, count] if is(option, "count") => {
                    options.count = usize::try_from(integer(count)?).unwrap_or(0);
                    if options.count == 0 {
                        return Err(SYNTAX);
                    }
                }
                [option, pattern] if is(option, "match") => options.pattern = Some(pattern),
                [option, name] if is(option, "type") => options.type_name = Some(name),
                _ => return Err(SYNTAX),
            }
        }
        Ok(options)
    }
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub(super) fn scan(data: &mut Data) -> Outcome {
    let cursor = cursor(data.args[1])?;
    let options = ScanOptions::parse(&data.args[2..])?;
    let (next, mut found) = data.db.scan(cursor, options.count, data.now_ms);
    found.retain(|(key, value)| {
        options.pattern.is_none_or(|pattern| glob(pattern, key))
            && options
                .type_name
                .is_none_or(|name| is(name, value.type_name()))
    });
    write::array(data.out, 2);
    write::bulk(data.out, next.to_string().as_bytes());
    write::array(data.out, found.len());
    for (key, _) in found {
        write::bulk(data.out, key);
    }
    Ok(())
}

/// `RANDOMKEY`
pub(super) fn randomkey(data: &mut Data) -> Outcome {
    match data.db.some_key(data.now_ms) {
        Some(key) => write::bulk(data.out, key),
        None => write::null(data.out, data.protocol),
    }
    Ok(())
}

/// `DBSIZE`
pub(super) fn dbsize(data: &mut Data) -> Outcome {
    write::integer(data.out, data.db.len() as i64);
    Ok(())
}

/// `FLUSHDB [ASYNC | SYNC]`
pub(super) fn flushdb(data: &mut Data) -> Outcome {
    check_flush(&data.args[1..])?;
    data.db.clear();
    write::simple(data.out, "OK");
    Ok(())
}

/// Checks the one argument of FLUSHDB and FLUSHALL, which changes nothing here.
pub(super) fn check_flush(options: &[&[u8]]) -> Outcome {
    match *options {
        [] => Ok(()),
        [option] if is(option, "sync") || is(option, "async") => Ok(()),
        _ => Err(SYNTAX),
    }
}
