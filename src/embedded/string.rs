//! Commands on strings.
//!
//! Knows one database and one reply: nothing of connections, transactions or other databases.

use super::fault::{Fault, OVERFLOW, Outcome, SYNTAX, arity, expire_time, fixed};
use super::parse::{integer, is};
use super::table::Data;
use super::value::Text;
use crate::resp::write;

/// `GET key`
pub(super) fn get(data: &mut Data) -> Outcome {
    match data.db.get::<Text>(data.args[1])? {
        Some(text) => write::bulk(data.out, text),
        None => write::null(data.out, data.protocol),
    }
    Ok(())
}

/// What the options of SET and GETEX say about the expiry.
#[derive(Clone, Copy, PartialEq)]
enum Expiry<'a> {
    /// No option given.
    Unsaid,
    /// KEEPTTL
    Keep,
    /// PERSIST
    Persist,
    /// EX, PX, EXAT or PXAT with its argument.
    At(Unit, &'a [u8]),
}

/// How the argument of an expiry option counts.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
}

/// The expiry unit an option names.
fn unit(option: &[u8]) -> Option<Unit> {
    [
        ("ex", Unit::Seconds),
        ("px", Unit::Milliseconds),
        ("exat", Unit::UnixSeconds),
        ("pxat", Unit::UnixMilliseconds),
    ]
    .into_iter()
    .find_map(|(name, unit)| is(option, name).then_some(unit))
}

/// Takes one expiry option. Two different ones exclude each other; the same one twice does not.
fn expiry_option<'a>(
    before: Expiry<'a>,
    option: &[u8],
    next: Option<&'a [u8]>,
) -> Option<Expiry<'a>> {
    let unit = unit(option)?;
    match before {
        Expiry::Unsaid => {}
        Expiry::At(other, _) if other == unit => {}
        _ => return None,
    }
    Some(Expiry::At(unit, next?))
}

/// The moment an expiry option means, in epoch milliseconds.
fn moment(unit: Unit, text: &[u8], now_ms: i64, command: &str) -> Result<i64, Fault> {
    let number = integer(text)?;
    let in_seconds = matches!(unit, Unit::Seconds | Unit::UnixSeconds);
    let relative = matches!(unit, Unit::Seconds | Unit::Milliseconds);
    let base_ms = if relative { now_ms } else { 0 };
    Some(number)
        .filter(|number| *number > 0)
        .and_then(|number| number.checked_mul(if in_seconds { 1000 } else { 1 }))
        .and_then(|ms| ms.checked_add(base_ms))
        .ok_or_else(|| expire_time(command))
}

/// Which existence SET asks for.
#[derive(Clone, Copy, PartialEq)]
enum Condition {
    None,
    Absent,
    Present,
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(super) fn set(data: &mut Data) -> Outcome {
    let (key, value) = (data.args[1], data.args[2]);
    let (mut condition, mut get, mut expiry) = (Condition::None, false, Expiry::Unsaid);
    let mut options = data.args[3..].iter();
    while let Some(option) = options.next() {
        if is(option, "nx") && condition != Condition::Present {
            condition = Condition::Absent;
        } else if is(option, "xx") && condition != Condition::Absent {
            condition = Condition::Present;
        } else if is(option, "get") {
            get = true;
        } else if is(option, "keepttl") && matches!(expiry, Expiry::Unsaid | Expiry::Keep) {
            expiry = Expiry::Keep;
        } else {
            expiry = expiry_option(expiry, option, options.next().copied()).ok_or(SYNTAX)?;
        }
    }
    let expire_ms = match expiry {
        Expiry::At(unit, text) => Some(moment(unit, text, data.now_ms, data.command)?),
        _ => None,
    };
    if get {
        self::get(data)?;
    }
    let refused = match condition {
        Condition::None => false,
        Condition::Absent => data.db.contains(key),
        Condition::Present => !data.db.contains(key),
    };
    if !refused && expiry == Expiry::Keep {
        data.db.put_keeping_expiry(key, value.to_vec());
    } else if !refused {
        data.db.put(key, value.to_vec(), expire_ms);
    }
    match (get, refused) {
        (true, _) => {} // the old value was the reply
        (false, true) => write::null(data.out, data.protocol),
        (false, false) => write::simple(data.out, "OK"),
    }
    Ok(())
}

/// `SETEX key seconds value`
pub(super) fn setex(data: &mut Data) -> Outcome {
    set_for(data, Unit::Seconds)
}

/// `PSETEX key milliseconds value`
pub(super) fn psetex(data: &mut Data) -> Outcome {
    set_for(data, Unit::Milliseconds)
}

fn set_for(data: &mut Data, unit: Unit) -> Outcome {
    let at = moment(unit, data.args[2], data.now_ms, data.command)?;
    data.db.put(data.args[1], data.args[3].to_vec(), Some(at));
    write::simple(data.out, "OK");
    Ok(())
}

/// `SETNX key value`
pub(super) fn setnx(data: &mut Data) -> Outcome {
    let absent = !data.db.contains(data.args[1]);
    if absent {
        data.db.put(data.args[1], data.args[2].to_vec(), None);
    }
    write::integer(data.out, i64::from(absent));
    Ok(())
}

/// `GETSET key value`
pub(super) fn getset(data: &mut Data) -> Outcome {
    get(data)?;
    data.db.put(data.args[1], data.args[2].to_vec(), None);
    Ok(())
}

/// `GETDEL key`
pub(super) fn getdel(data: &mut Data) -> Outcome {
    get(data)?;
    data.db.remove(data.args[1]);
    Ok(())
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub(super) fn getex(data: &mut Data) -> Outcome {
    let key = data.args[1];
    let mut expiry = Expiry::Unsaid;
    let mut options = data.args[2..].iter();
    while let Some(option) = options.next() {
        expiry = if is(option, "persist") && matches!(expiry, Expiry::Unsaid | Expiry::Persist) {
            Expiry::Persist
        } else {
            expiry_option(expiry, option, options.next().copied()).ok_or(SYNTAX)?
        };
    }
    if data.db.get::<Text>(key)?.is_none() {
        return get(data);
    }
    // The expiry is checked before anything is answered.
    let expire_ms = match expiry {
        Expiry::At(unit, text) => Some(moment(unit, text, data.now_ms, data.command)?),
        _ => None,
    };
    get(data)?;
    match expire_ms {
        Some(at) if at <= data.now_ms => {
            data.db.remove(key);
        }
        Some(at) => data.db.set_expire(key, Some(at)),
        None if expiry == Expiry::Persist && data.db.expire_ms(key).flatten().is_some() => {
            data.db.set_expire(key, None);
        }
        None => {}
    }
    Ok(())
}

/// `MGET key [key ...]`
pub(super) fn mget(data: &mut Data) -> Outcome {
    write::array(data.out, data.args.len() - 1);
    for key in &data.args[1..] {
        // Another type is null here, not an error.
        match data.db.get::<Text>(key) {
            Ok(Some(text)) => write::bulk(data.out, text),
            _ => write::null(data.out, data.protocol),
        }
    }
    Ok(())
}

/// `MSET key value [key value ...]`
pub(super) fn mset(data: &mut Data) -> Outcome {
    if data.args.len().is_multiple_of(2) {
        return Err(arity(data.command));
    }
    for pair in data.args[1..].chunks_exact(2) {
        data.db.put(pair[0], pair[1].to_vec(), None);
    }
    write::simple(data.out, "OK");
    Ok(())
}

/// `APPEND key value`
pub(super) fn append(data: &mut Data) -> Outcome {
    let text = data.db.get_or_new::<Text>(data.args[1])?;
    text.extend_from_slice(data.args[2]);
    let len = text.len();
    data.db.modified(data.args[1]);
    write::integer(data.out, len as i64);
    Ok(())
}

/// `STRLEN key`
pub(super) fn strlen(data: &mut Data) -> Outcome {
    let len = data.db.get::<Text>(data.args[1])?.map_or(0, Vec::len);
    write::integer(data.out, len as i64);
    Ok(())
}

/// `INCR key`
pub(super) fn incr(data: &mut Data) -> Outcome {
    add(data, 1)
}

/// `DECR key`
pub(super) fn decr(data: &mut Data) -> Outcome {
    add(data, -1)
}

/// `INCRBY key increment`
pub(super) fn incrby(data: &mut Data) -> Outcome {
    let by = integer(data.args[2])?;
    add(data, by)
}

/// `DECRBY key decrement`
pub(super) fn decrby(data: &mut Data) -> Outcome {
    let by = integer(data.args[2])?;
    let negated = by
        .checked_neg()
        .ok_or(fixed("ERR decrement would overflow"))?;
    add(data, negated)
}

fn add(data: &mut Data, by: i64) -> Outcome {
    let key = data.args[1];
    let before = match data.db.get::<Text>(key)? {
        Some(text) => integer(text)?,
        None => 0,
    };
    let after = before.checked_add(by).ok_or(OVERFLOW)?;
    data.db
        .put_keeping_expiry(key, after.to_string().into_bytes());
    write::integer(data.out, after);
    Ok(())
}
