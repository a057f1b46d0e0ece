//! The commands that read ranges of sorted sets.
//!
//! Knows one database and one reply: nothing of connections, transactions or other databases.

use super::fault::{Outcome, SYNTAX, fixed};
use super::parse::{ScoreRange, integer, is};
use super::sorted_set::SortedSet;
use super::table::Data;
use super::zset::write_score;
use crate::resp::{Protocol, write};

/// What the two range arguments of a ZRANGE mean.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Rank,
    Score,
}

/// `ZRANGE key start stop [BYSCORE] [REV] [LIMIT offset count] [WITHSCORES]`
pub(super) fn zrange(data: &mut Data) -> Outcome {
    range(data, None, None)
}

/// `ZREVRANGE key start stop [WITHSCORES]`
pub(super) fn zrevrange(data: &mut Data) -> Outcome {
    range(data, Some(By::Rank), Some(true))
}

/// `ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]`
pub(super) fn zrangebyscore(data: &mut Data) -> Outcome {
    range(data, Some(By::Score), Some(false))
}

/// `ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]`
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
            let (min, max) = if reverse {
                (second, first)
            } else {
                (first, second)
            };
            let range = ScoreRange::parse(min, max)?;
            let set = data.db.get::<SortedSet>(data.args[1])?;
            set.map(|set| by_score(set, range, reverse, offset, count))
        }
    };
    write_members(
        data.out,
        data.protocol,
        &found.unwrap_or_default(),
        with_scores,
    );
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
pub(super) fn ranks(len: usize, start: i64, stop: i64) -> (usize, usize) {
    let len = len as i64;
    let from_end = |rank: i64| {
        if rank < 0 {
            rank.saturating_add(len)
        } else {
            rank
        }
    };
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
