//! Commands on sets.
//!
//! Knows one database and one reply: nothing of connections, transactions or other databases.

use super::fault::Outcome;
use super::table::Data;
use super::value::Set;
use crate::resp::write;

/// `SADD key member [member ...]`
pub(super) fn sadd(data: &mut Data) -> Outcome {
    let set = data.db.get_or_new::<Set>(data.args[1])?;
    let mut added = 0;
    for member in &data.args[2..] {
        added += i64::from(set.insert(member.to_vec()));
    }
    if added > 0 {
        data.db.modified(data.args[1]);
    }
    write::integer(data.out, added);
    Ok(())
}

/// `SREM key member [member ...]`
pub(super) fn srem(data: &mut Data) -> Outcome {
    let mut removed = 0;
    if let Some(set) = data.db.get_mut::<Set>(data.args[1])? {
        for member in &data.args[2..] {
            removed += i64::from(set.swap_remove(*member));
        }
    }
    if removed > 0 {
        data.db.modified(data.args[1]);
    }
    write::integer(data.out, removed);
    Ok(())
}

/// `SMEMBERS key`
pub(super) fn smembers(data: &mut Data) -> Outcome {
    let set = data.db.get::<Set>(data.args[1])?;
    write::set(data.out, data.protocol, set.map_or(0, Set::len));
    for member in set.into_iter().flatten() {
        write::bulk(data.out, member);
    }
    Ok(())
}

/// `SCARD key`
pub(super) fn scard(data: &mut Data) -> Outcome {
    let len = data.db.get::<Set>(data.args[1])?.map_or(0, Set::len);
    write::integer(data.out, len as i64);
    Ok(())
}

/// `SISMEMBER key member`
pub(super) fn sismember(data: &mut Data) -> Outcome {
    let set = data.db.get::<Set>(data.args[1])?;
    write::integer(
        data.out,
        i64::from(set.is_some_and(|set| set.contains(data.args[2]))),
    );
    Ok(())
}

/// `SMISMEMBER key member [member ...]`
pub(super) fn smismember(data: &mut Data) -> Outcome {
    let set = data.db.get::<Set>(data.args[1])?;
    write::array(data.out, data.args.len() - 2);
    for member in &data.args[2..] {
        write::integer(
            data.out,
            i64::from(set.is_some_and(|set| set.contains(*member))),
        );
    }
    Ok(())
}
