//! Commands on hashes.
//!
//! Knows one database and one reply: nothing of connections, transactions or other databases.

use super::fault::{Fault, OVERFLOW, Outcome, SYNTAX, arity, fixed};
use super::keys::{ScanOptions, cursor};
use super::parse::{glob, integer};
use super::table::Data;
use super::value::Hash;
use crate::resp::{Protocol, write};

/// `HSET key field value [field value ...]`
pub(super) fn hset(data: &mut Data) -> Outcome {
    let added = set_fields(data)?;
    write::integer(data.out, added);
    Ok(())
}

/// `HMSET key field value [field value ...]`
pub(super) fn hmset(data: &mut Data) -> Outcome {
    set_fields(data)?;
    write::simple(data.out, "OK");
    Ok(())
}

/// Sets the fields of HSET and HMSET; how many are new.
fn set_fields(data: &mut Data) -> Result<i64, Fault> {
    let (key, pairs) = (data.args[1], &data.args[2..]);
    if pairs.len() % 2 == 1 {
        return Err(arity(data.command));
    }
    let hash = data.db.get_or_new::<Hash>(key)?;
    let before = hash.len();
    for pair in pairs.chunks_exact(2) {
        hash.insert(pair[0].to_vec(), pair[1].to_vec());
    }
    let added = hash.len() - before;
    data.db.modified(key);
    Ok(added as i64)
}

/// `HSETNX key field value`
pub(super) fn hsetnx(data: &mut Data) -> Outcome {
    let hash = data.db.get_or_new::<Hash>(data.args[1])?;
    let absent = !hash.contains_key(data.args[2]);
    if absent {
        hash.insert(data.args[2].to_vec(), data.args[3].to_vec());
        data.db.modified(data.args[1]);
    }
    write::integer(data.out, i64::from(absent));
    Ok(())
}

/// `HGET key field`
pub(super) fn hget(data: &mut Data) -> Outcome {
    let hash = data.db.get::<Hash>(data.args[1])?;
    write_field(data.out, data.protocol, hash, data.args[2]);
    Ok(())
}

/// `HMGET key field [field ...]`
pub(super) fn hmget(data: &mut Data) -> Outcome {
    let hash = data.db.get::<Hash>(data.args[1])?;
    write::array(data.out, data.args.len() - 2);
    for field in &data.args[2..] {
        write_field(data.out, data.protocol, hash, field);
    }
    Ok(())
}

/// A field's value, or null.
fn write_field(out: &mut Vec<u8>, protocol: Protocol, hash: Option<&Hash>, field: &[u8]) {
    match hash.and_then(|hash| hash.get(field)) {
        Some(value) => write::bulk(out, value),
        None => write::null(out, protocol),
    }
}

/// `HGETALL key`
pub(super) fn hgetall(data: &mut Data) -> Outcome {
    let hash = data.db.get::<Hash>(data.args[1])?;
    write::map(data.out, data.protocol, hash.map_or(0, Hash::len));
    for (field, value) in hash.into_iter().flatten() {
        write::bulk(data.out, field);
        write::bulk(data.out, value);
    }
    Ok(())
}

/// `HKEYS key`
pub(super) fn hkeys(data: &mut Data) -> Outcome {
    let hash = data.db.get::<Hash>(data.args[1])?;
    write::array(data.out, hash.map_or(0, Hash::len));
    for field in hash.into_iter().flat_map(Hash::keys) {
        write::bulk(data.out, field);
    }
    Ok(())
}

/// `HVALS key`
pub(super) fn hvals(data: &mut Data) -> Outcome {
    let hash = data.db.get::<Hash>(data.args[1])?;
    write::array(data.out, hash.map_or(0, Hash::len));
    for value in hash.into_iter().flat_map(Hash::values) {
        write::bulk(data.out, value);
    }
    Ok(())
}

/// `HDEL key field [field ...]`
pub(super) fn hdel(data: &mut Data) -> Outcome {
    let mut removed = 0;
    if let Some(hash) = data.db.get_mut::<Hash>(data.args[1])? {
        for field in &data.args[2..] {
            // Not `swap_remove`: the order of the others is part of what HGETALL answers.
            removed += i64::from(hash.shift_remove(*field).is_some());
        }
    }
    if removed > 0 {
        data.db.modified(data.args[1]);
    }
    write::integer(data.out, removed);
    Ok(())
}

/// `HLEN key`
pub(super) fn hlen(data: &mut Data) -> Outcome {
    let len = data.db.get::<Hash>(data.args[1])?.map_or(0, Hash::len);
    write::integer(data.out, len as i64);
    Ok(())
}

/// `HEXISTS key field`
pub(super) fn hexists(data: &mut Data) -> Outcome {
    let hash = data.db.get::<Hash>(data.args[1])?;
    let exists = hash.is_some_and(|hash| hash.contains_key(data.args[2]));
    write::integer(data.out, i64::from(exists));
    Ok(())
}

/// `HSTRLEN key field`
pub(super) fn hstrlen(data: &mut Data) -> Outcome {
    let hash = data.db.get::<Hash>(data.args[1])?;
    let len = hash
        .and_then(|hash| hash.get(data.args[2]))
        .map_or(0, Vec::len);
    write::integer(data.out, len as i64);
    Ok(())
}

/// `HINCRBY key field increment`
pub(super) fn hincrby(data: &mut Data) -> Outcome {
    let (key, field) = (data.args[1], data.args[2]);
    let by = integer(data.args[3])?;
    // Read first: an error must not leave an empty hash behind.
    let before = match data.db.get::<Hash>(key)?.and_then(|hash| hash.get(field)) {
        Some(value) => integer(value).map_err(|_| fixed("ERR hash value is not an integer"))?,
        None => 0,
    };
    let after = before.checked_add(by).ok_or(OVERFLOW)?;
    let hash = data.db.get_or_new::<Hash>(key)?;
    hash.insert(field.to_vec(), after.to_string().into_bytes());
    data.db.modified(key);
    write::integer(data.out, after);
    Ok(())
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count]`
///
/// Answers everything at once with cursor 0, as Redis does for its small hashes.
pub(super) fn hscan(data: &mut Data) -> Outcome {
    cursor(data.args[2])?;
    let mut found = Vec::new();
    // A missing hash is answered before the options are looked at.
    if let Some(hash) = data.db.get::<Hash>(data.args[1])? {
        let options = ScanOptions::parse(&data.args[3..])?;
        if options.type_name.is_some() {
            return Err(SYNTAX); // TYPE is for keys only
        }
        found.extend(
            hash.iter()
                .filter(|(field, _)| options.pattern.is_none_or(|pattern| glob(pattern, field))),
        );
    }
    write::array(data.out, 2);
    write::bulk(data.out, b"0");
    write::array(data.out, 2 * found.len());
    for (field, value) in found {
        write::bulk(data.out, field);
        write::bulk(data.out, value);
    }
    Ok(())
}
