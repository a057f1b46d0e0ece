//! EVAL of the one script that session plans send, written out in Rust: there is no Lua in here.

use super::fault::{Outcome, fixed};
use super::parse::integer;
use super::table::Data;
use super::value::Hash;
use crate::resp::write;
use crate::session::script::SET_IF_FIELD;

/// `EVAL script 1 key field expected now [field value ...]`
pub(super) fn eval(data: &mut Data) -> Outcome {
    let ours = data.args[1] == SET_IF_FIELD.as_bytes() && data.args[2] == b"1";
    let (Some(&key), Some([field, expected, now_ms, pairs @ ..])) =
        (data.args.get(3), data.args.get(4..))
    else {
        return Err(NO_SCRIPTS);
    };
    if !ours {
        return Err(NO_SCRIPTS);
    }
    // The table cannot say which argument of EVAL is a key, so nobody has looked whether it is due.
    data.db.expire_if_due(key, data.now_ms);
    let now_ms = integer(now_ms)?;
    let Some(hash) = data.db.get_mut::<Hash>(key)? else {
        write::integer(data.out, 0);
        return Ok(());
    };
    if hash.get(*field).map(Vec::as_slice) != Some(expected) {
        write::integer(data.out, 0);
        return Ok(());
    }
    let number = |name: &[u8]| hash.get(name).and_then(|value| integer(value).ok());
    let (Some(idle_ms), Some(deadline_ms)) = (number(b"@i"), number(b"@a")) else {
        write::integer(data.out, 0);
        return Ok(());
    };
    let ttl_ms = idle_ms
        .min(deadline_ms.saturating_sub(now_ms))
        .clamp(1, TTL_MS_MAX);
    for pair in pairs.chunks_exact(2) {
        hash.insert(pair[0].to_vec(), pair[1].to_vec());
    }
    let version = hash
        .get(&b"@v"[..])
        .and_then(|v| integer(v).ok())
        .unwrap_or(0)
        + 1;
    hash.insert(b"@v".to_vec(), version.to_string().into_bytes());
    data.db.modified(key);
    data.db
        .set_expire(key, Some(data.now_ms.saturating_add(ttl_ms)));
    write::integer(data.out, version);
    Ok(())
}

/// What the script clamps a TTL to.
const TTL_MS_MAX: i64 = 1 << 52;

const NO_SCRIPTS: super::fault::Fault =
    fixed("ERR the embedded upstream runs no scripts but those of SESS.* commands");
