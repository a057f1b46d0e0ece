//! The sorted set as a data structure: members by name, and in the order of their scores.
//!
//! Knows nothing of commands, arguments or replies.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use super::parse::ScoreRange;

/// A score, ordered. Scores are never NaN; `-0` and `0` are the same.
#[derive(Clone, Copy, Debug)]
struct Score(f64);

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}
impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Score {}

/// Members with scores. Equal scores are ordered by the members' bytes, as in Redis.
#[derive(Debug, Default)]
pub(super) struct SortedSet {
    scores: HashMap<Vec<u8>, f64>,
    order: BTreeSet<(Score, Vec<u8>)>,
}

impl SortedSet {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// A member's score.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Adds a member or moves it. `score` is not NaN.
    pub fn insert(&mut self, member: &[u8], score: f64) {
        self.remove(member);
        self.scores.insert(member.to_vec(), score);
        self.order.insert((Score(score), member.to_vec()));
    }

    /// Removes a member; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.scores.remove_entry(member) {
            Some((member, score)) => self.order.remove(&(Score(score), member)),
            None => false,
        }
    }

    /// How many members come before this one. Linear: what uses this engine has small sets.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        self.score(member)?;
        self.iter().position(|(other, _)| other == member)
    }

    /// All members, the lowest score first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], f64)> {
        self.order
            .iter()
            .map(|(score, member)| (member.as_slice(), score.0))
    }

    /// The members of a score range, the lowest first.
    pub fn by_score(&self, range: ScoreRange) -> impl Iterator<Item = (&[u8], f64)> {
        // The empty member comes before all others of the same score.
        self.order
            .range((Score(range.min.score), Vec::new())..)
            .map(|(score, member)| (member.as_slice(), score.0))
            .skip_while(move |(_, score)| !range.above_min(*score))
            .take_while(move |(_, score)| range.below_max(*score))
    }

    /// Takes the member with the lowest score, or the highest.
    pub fn pop(&mut self, highest: bool) -> Option<(Vec<u8>, f64)> {
        let (score, member) = if highest {
            self.order.pop_last()
        } else {
            self.order.pop_first()
        }?;
        self.scores.remove(&member);
        Some((member, score.0))
    }
}
