//! Commands on sorted sets.
//!
//! Knows one database and one reply: nothing of connections, transactions or other databases.

use super::fault::{Fault, NOT_POSITIVE, Outcome, SYNTAX, fixed};
use super::parse::{ScoreRange, float, float_text, integer, is};
use super::sorted_set::SortedSet;
use super::table::Data;
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
            Err(fixed("ERR XX and NX options at the same time are not compatible"))
        } else if (self.nx && (self.gt || self.lt)) || (self.gt && self.lt) {
            Err(fixed("ERR GT, LT, and/or NX options at the same time are not compatible"))
        } else if self.incr && pairs > 1 {
            Err(fixed("ERR INCR option supports a single increment-element pair"))
        } else {
            Ok(())
        }
    }

    /// The score a member gets, or `None` if the options forbid it.
    fn score(&self, before: Option<f64>, given: f64) -> Result<Option<f64>, Fault> {
        let Some(before) = before else { return Ok((!self.xx).then_some(given)) };
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

/// ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]
pub(super) fn zadd(data: &mut Data) -> Outcome {
    add(data, AddOptions::default())
}

/// ZINCRBY key increment member
pub(super) fn zincrby(data: &mut Data) -> Outcome {
    add(data, AddOptions { incr: true, ..AddOptions::default() })
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
fn write_score(out: &mut Vec<u8>, protocol: Protocol, score: f64) {
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

/// ZREM key member [member ...]
pub(super) fn zrem(data: &mut Data) -> Outcome {
    let members: Vec<Vec<u8>> = data.args[2..].iter().map(|member| member.to_vec()).collect();
    remove(data, |_| members)
}

/// ZREMRANGEBYSCORE key min max
pub(super) fn zremrangebyscore(data: &mut Data) -> Outcome {
    let range = ScoreRange::parse(data.args[2], data.args[3])?;
    remove(data, |set| set.by_score(range).map(|(member, _)| member.to_vec()).collect())
}

/// ZREMRANGEBYRANK key start stop
pub(super) fn zremrangebyrank(data: &mut Data) -> Outcome {
    let (start, stop) = (integer(data.args[2])?, integer(data.args[3])?);
    remove(data, |set| {
        let (skip, take) = ranks(set.len(), start, stop);
        set.iter().skip(skip).take(take).map(|(member, _)| member.to_vec()).collect()
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

/// ZSCORE key member
pub(super) fn zscore(data: &mut Data) -> Outcome {
    let set = data.db.get::<SortedSet>(data.args[1])?;
    let score = set.and_then(|set| set.score(data.args[2]));
    write_score_or_null(data.out, data.protocol, score);
    Ok(())
}

/// ZMSCORE key member [member ...]
pub(super) fn zmscore(data: &mut Data) -> Outcome {
    let set = data.db.get::<SortedSet>(data.args[1])?;
    write::array(data.out, data.args.len() - 2);
    for member in &data.args[2..] {
        let score = set.and_then(|set| set.score(member));
        write_score_or_null(data.out, data.protocol, score);
    }
    Ok(())
}

/// ZCARD key
pub(super) fn zcard(data: &mut Data) -> Outcome {
    let len = data.db.get::<SortedSet>(data.args[1])?.map_or(0, SortedSet::len);
    write::integer(data.out, len as i64);
    Ok(())
}

/// ZCOUNT key min max
pub(super) fn zcount(data: &mut Data) -> Outcome {
    let range = ScoreRange::parse(data.args[2], data.args[3])?;
    let set = data.db.get::<SortedSet>(data.args[1])?;
    write::integer(data.out, set.map_or(0, |set| set.by_score(range).count()) as i64);
    Ok(())
}

/// ZRANK key member
pub(super) fn zrank(data: &mut Data) -> Outcome {
    rank(data, |rank, _| rank)
}

/// ZREVRANK key member
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

/// ZPOPMIN key [count]
pub(super) fn zpopmin(data: &mut Data) -> Outcome {
    pop(data, false)
}

/// ZPOPMAX key [count]
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
    write::array(data.out, if nested { popped.len() } else { 2 * popped.len() });
    for (member, score) in &popped {
        if nested {
            write::array(data.out, 2);
        }
        write::bulk(data.out, member);
        write_score(data.out, data.protocol, *score);
    }
    Ok(())
}

/// What the two range arguments of a ZRANGE mean.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Rank,
    Score,
}

/// ZRANGE key start stop [BYSCORE] [REV] [LIMIT offset count] [WITHSCORES]
pub(super) fn zrange(data: &mut Data) -> Outcome {
    range(data, None, None)
}

/// ZREVRANGE key start stop [WITHSCORES]
pub(super) fn zrevrange(data: &mut Data) -> Outcome {
    range(data, Some(By::Rank), Some(true))
}

/// ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]
pub(super) fn zrangebyscore(data: &mut Data) -> Outcome {
    range(data, Some(By::Score), Some(false))
}

/// ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]
pub(super) fn zrevrangebyscore(data: &mut Data) -> Outcome {
    range(data, Some(By::Score), Some(true))
}

/// All range commands. What a command's name settles, its options may not say again.
fn range(data: &mut Data, mut by: Option<By>, reverse: Option<bool>) -> Outcome {
    let (mut rev_option, mut with_scores, mut limit) = (false, false, None);
    let mut options = data.args[4..].iter();
    while let Some(option) = options.next() {
        if is(option, "withscores") {
            with_scores = true;
        } else if is(option, "limit") {
            let (Some(offset), Some(count)) = (options.next(), options.next()) else {
                return Err(SYNTAX);
            };
            limit = Some((integer(offset)?, integer(count)?));
        } else if is(option, "rev") && reverse.is_none() && !rev_option {
            rev_option = true;
        } else if is(option, "byscore") && by.is_none() {
            by = Some(By::Score);
        } else {
            return Err(SYNTAX);
        }
    }
    let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(rev_option));
    let (offset, count) = limit.unwrap_or((0, -1));
    if by == By::Rank && count != -1 {
        return Err(fixed(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    let (first, second) = (data.args[2], data.args[3]);
    let found = match by {
        By::Rank => {
            let (start, stop) = (integer(first)?, integer(second)?);
            let set = data.db.get::<SortedSet>(data.args[1])?;
            set.map(|set| by_rank(set, start, stop, reverse))
        }
        By::Score => {
            let (min, max) = if reverse { (second, first) } else { (first, second) };
            let range = ScoreRange::parse(min, max)?;
            let set = data.db.get::<SortedSet>(data.args[1])?;
            set.map(|set| by_score(set, range, reverse, offset, count))
        }
    };
    write_members(data.out, data.protocol, &found.unwrap_or_default(), with_scores);
    Ok(())
}

fn by_rank(set: &SortedSet, start: i64, stop: i64, reverse: bool) -> Vec<(&[u8], f64)> {
    let (skip, take) = ranks(set.len(), start, stop);
    if reverse {
        set.iter().rev().skip(skip).take(take).collect()
    } else {
        set.iter().skip(skip).take(take).collect()
    }
}

fn by_score(
    set: &SortedSet,
    range: ScoreRange,
    reverse: bool,
    offset: i64,
    count: i64,
) -> Vec<(&[u8], f64)> {
    // A negative offset skips everything, a negative count takes everything.
    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
    let take = usize::try_from(count).unwrap_or(usize::MAX);
    let mut found: Vec<_> = set.by_score(range).collect();
    if reverse {
        found.reverse();
    }
    found.into_iter().skip(skip).take(take).collect()
}

/// How many of `len` ranks to skip and to take; negative ranks count from the end.
fn ranks(len: usize, start: i64, stop: i64) -> (usize, usize) {
    let len = len as i64;
    let from_end = |rank: i64| if rank < 0 { rank.saturating_add(len) } else { rank };
    let start = from_end(start).max(0);
    let stop = from_end(stop).min(len - 1);
    if start > stop {
        return (0, 0);
    }
    (start as usize, (stop - start + 1) as usize)
}

/// Members, with their scores flat in RESP2 and paired in RESP3.
fn write_members(out: &mut Vec<u8>, protocol: Protocol, found: &[(&[u8], f64)], scores: bool) {
    let paired = scores && protocol == Protocol::Resp3;
    let flat = scores && protocol == Protocol::Resp2;
    write::array(out, if flat { 2 * found.len() } else { found.len() });
    for (member, score) in found {
        if paired {
            write::array(out, 2);
        }
        write::bulk(out, member);
        if scores {
            write_score(out, protocol, *score);
        }
    }
}
