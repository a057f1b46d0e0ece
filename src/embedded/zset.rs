//! Commands on sorted sets, but for those that read ranges.
//!
//! Knows one database and one reply: nothing of connections, transactions or other databases.

use super::fault::{Fault, NOT_POSITIVE, Outcome, SYNTAX, fixed};
use super::parse::{ScoreRange, float, float_text, integer, is};
use super::sorted_set::SortedSet;
use super::table::Data;
use super::zset_range::ranks;
use crate::resp::{Protocol, write};

/// The options of ZADD.
#[derive(Default)]
struct AddOptions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    ch: bool,
    incr: bool,
}

impl AddOptions {
    /// Takes one option; whether it was one.
    fn take(&mut self, option: &[u8]) -> bool {
        for (name, flag) in [
            ("nx", &mut self.nx),
            ("xx", &mut self.xx),
            ("gt", &mut self.gt),
            ("lt", &mut self.lt),
            ("ch", &mut self.ch),
            ("incr", &mut self.incr),
        ] {
            if is(option, name) {
                *flag = true;
                return true;
            }
        }
        false
    }

    /// Refuses options that contradict each other.
    fn check(&self, pairs: usize) -> Outcome {
        if self.nx && self.xx {
            Err(fixed(
                "ERR XX and NX options at the same time are not compatible",
            ))
        } else if (self.nx && (self.gt || self.lt)) || (self.gt && self.lt) {
            Err(fixed(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ))
        } else if self.incr && pairs > 1 {
            Err(fixed(
                "ERR INCR option supports a single increment-element pair",
            ))
        } else {
            Ok(())
        }
    }

    /// The score a member gets, or `None` if the options forbid it.
    fn score(&self, before: Option<f64>, given: f64) -> Result<Option<f64>, Fault> {
        let Some(before) = before else {
            return Ok((!self.xx).then_some(given));
        };
        if self.nx {
            return Ok(None);
        }
        let score = if self.incr { before + given } else { given };
        if score.is_nan() {
            return Err(fixed("ERR resulting score is not a number (NaN)"));
        }
        let forbidden = (self.gt && score <= before) || (self.lt && score >= before);
        Ok((!forbidden).then_some(score))
    }
}

/// `ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]`
pub(super) fn zadd(data: &mut Data) -> Outcome {
    add(data, AddOptions::default())
}

/// `ZINCRBY key increment member`
pub(super) fn zincrby(data: &mut Data) -> Outcome {
    add(
        data,
        AddOptions {
            incr: true,
            ..AddOptions::default()
        },
    )
}

fn add(data: &mut Data, mut options: AddOptions) -> Outcome {
    let key = data.args[1];
    let mut pairs = &data.args[2..];
    while let Some((option, rest)) = pairs.split_first() {
        if !options.take(option) {
            break;
        }
        pairs = rest;
    }
    if pairs.is_empty() || pairs.len() % 2 == 1 {
        return Err(SYNTAX);
    }
    options.check(pairs.len() / 2)?;
    // All scores are read before anything changes.
    let pairs = pairs
        .chunks_exact(2)
        .map(|pair| Ok((float(pair[0])?, pair[1])))
        .collect::<Result<Vec<(f64, &[u8])>, Fault>>()?;

    let exists = data.db.get::<SortedSet>(key)?.is_some();
    let (mut added, mut updated, mut last) = (0, 0, None);
    if exists || !options.xx {
        let set = data.db.get_or_new::<SortedSet>(key)?;
        for (given, member) in pairs {
            let before = set.score(member);
            last = options.score(before, given)?;
            let Some(score) = last else { continue };
            match before {
                None => added += 1,
                Some(before) if before != score => updated += 1,
                Some(_) => continue,
            }
            set.insert(member, score);
        }
        // A set created just now has got its first member, so none stays empty.
        if added + updated > 0 {
            data.db.modified(key);
        }
    }
    if options.incr {
        write_score_or_null(data.out, data.protocol, last);
    } else {
        write::integer(data.out, if options.ch { added + updated } else { added });
    }
    Ok(())
}

/// A score: a bulk string, or a RESP3 double.
pub(super) fn write_score(out: &mut Vec<u8>, protocol: Protocol, score: f64) {
    let text = float_text(score);
    match protocol {
        Protocol::Resp2 => write::bulk(out, text.as_bytes()),
        Protocol::Resp3 => {
            out.push(b',');
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn write_score_or_null(out: &mut Vec<u8>, protocol: Protocol, score: Option<f64>) {
    match score {
        Some(score) => write_score(out, protocol, score),
        None => write::null(out, protocol),
    }
}

/// `ZREM key member [member ...]`
pub(super) fn zrem(data: &mut Data) -> Outcome {
    let members: Vec<Vec<u8>> = data.args[2..]
        .iter()
        .map(|member| member.to_vec())
        .collect();
    remove(data, |_| members)
}

/// `ZREMRANGEBYSCORE key min max`
pub(super) fn zremrangebyscore(data: &mut Data) -> Outcome {
    let range = ScoreRange::parse(data.args[2], data.args[3])?;
    remove(data, |set| {
        set.by_score(range)
            .map(|(member, _)| member.to_vec())
            .collect()
    })
}

/// `ZREMRANGEBYRANK key start stop`
pub(super) fn zremrangebyrank(data: &mut Data) -> Outcome {
    let (start, stop) = (integer(data.args[2])?, integer(data.args[3])?);
    remove(data, |set| {
        let (skip, take) = ranks(set.len(), start, stop);
        set.iter()
            .skip(skip)
            .take(take)
            .map(|(member, _)| member.to_vec())
            .collect()
    })
}

/// Removes the members that `select` names, and answers how many were there.
fn remove(data: &mut Data, select: impl FnOnce(&SortedSet) -> Vec<Vec<u8>>) -> Outcome {
    let mut removed = 0;
    if let Some(set) = data.db.get_mut::<SortedSet>(data.args[1])? {
        for member in select(set) {
            removed += i64::from(set.remove(&member));
        }
    }
    if removed > 0 {
        data.db.modified(data.args[1]);
    }
    write::integer(data.out, removed);
    Ok(())
}

/// `ZSCORE key member`
pub(super) fn zscore(data: &mut Data) -> Outcome {
    let set = data.db.get::<SortedSet>(data.args[1])?;
    let score = set.and_then(|set| set.score(data.args[2]));
    write_score_or_null(data.out, data.protocol, score);
    Ok(())
}

/// `ZMSCORE key member [member ...]`
pub(super) fn zmscore(data: &mut Data) -> Outcome {
    let set = data.db.get::<SortedSet>(data.args[1])?;
    write::array(data.out, data.args.len() - 2);
    for member in &data.args[2..] {
        let score = set.and_then(|set| set.score(member));
        write_score_or_null(data.out, data.protocol, score);
    }
    Ok(())
}

/// `ZCARD key`
pub(super) fn zcard(data: &mut Data) -> Outcome {
    let len = data
        .db
        .get::<SortedSet>(data.args[1])?
        .map_or(0, SortedSet::len);
    write::integer(data.out, len as i64);
    Ok(())
}

/// `ZCOUNT key min max`
pub(super) fn zcount(data: &mut Data) -> Outcome {
    let range = ScoreRange::parse(data.args[2], data.args[3])?;
    let set = data.db.get::<SortedSet>(data.args[1])?;
    write::integer(
        data.out,
        set.map_or(0, |set| set.by_score(range).count()) as i64,
    );
    Ok(())
}

/// `ZRANK key member`
pub(super) fn zrank(data: &mut Data) -> Outcome {
    rank(data, |rank, _| rank)
}

/// `ZREVRANK key member`
pub(super) fn zrevrank(data: &mut Data) -> Outcome {
    rank(data, |rank, len| len - 1 - rank)
}

fn rank(data: &mut Data, count: fn(usize, usize) -> usize) -> Outcome {
    let set = data.db.get::<SortedSet>(data.args[1])?;
    match set.and_then(|set| Some(count(set.rank(data.args[2])?, set.len()))) {
        Some(rank) => write::integer(data.out, rank as i64),
        None => write::null(data.out, data.protocol),
    }
    Ok(())
}

/// `ZPOPMIN key [count]`
pub(super) fn zpopmin(data: &mut Data) -> Outcome {
    pop(data, false)
}

/// `ZPOPMAX key [count]`
pub(super) fn zpopmax(data: &mut Data) -> Outcome {
    pop(data, true)
}

fn pop(data: &mut Data, highest: bool) -> Outcome {
    let count = match data.args[2..] {
        [] => None,
        [count] => {
            let count = integer(count).map_err(|_| NOT_POSITIVE)?;
            Some(usize::try_from(count).map_err(|_| NOT_POSITIVE)?)
        }
        _ => return Err(SYNTAX),
    };
    let mut popped = Vec::new();
    if let Some(set) = data.db.get_mut::<SortedSet>(data.args[1])? {
        popped.extend(std::iter::from_fn(|| set.pop(highest)).take(count.unwrap_or(1)));
    }
    if !popped.is_empty() {
        data.db.modified(data.args[1]);
    }
    // Without a count, RESP3 too gets one flat pair.
    let nested = data.protocol == Protocol::Resp3 && count.is_some();
    write::array(
        data.out,
        if nested {
            popped.len()
        } else {
            2 * popped.len()
        },
    );
    for (member, score) in &popped {
        if nested {
            write::array(data.out, 2);
        }
        write::bulk(data.out, member);
        write_score(data.out, data.protocol, *score);
    }
    Ok(())
}
