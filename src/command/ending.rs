//! Ending sessions, for DESTROY, REVOKE and LOGOUT: each is checked first, its hash goes before its
//! index entries, and no trip is so long that it holds the lane.

use std::collections::VecDeque;

use super::upkeep;
use crate::plan::{Batch, Env, Step};
use crate::session::{Handle, Record, SecretHash};

/// How many sessions one trip checks or ends.
const SESSIONS_PER_TRIP: usize = 256;

/// A session that may have to end.
pub struct Candidate {
    /// Which one.
    pub handle: Handle,
    /// What its client proves, where it gave a token.
    pub proof: Option<SecretHash>,
}

/// What is decided about a live session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It ends.
    End,
    /// It lives on.
    Spare,
}

/// Decides about a live session. The last argument is now, epoch ms.
pub type Judge = Box<dyn Fn(&Candidate, &Record<'_>, i64) -> Verdict>;

/// Sessions on their way to their end.
pub struct Ending {
    /// Those not looked at yet.
    pub waiting: VecDeque<Candidate>,
    /// Decides about them.
    pub judge: Judge,
    /// Whose index named them, if one did: it is healed of what is gone.
    pub index_of: Option<Vec<u8>>,
    /// How many have ended.
    pub ended: i64,
}

impl Ending {
    /// Checks and ends them all, a trip's worth at a time, and answers how many there were.
    pub fn proceed(mut self, env: &Env<'_>) -> Step {
        let count = self.waiting.len().min(SESSIONS_PER_TRIP);
        let candidates: Vec<Candidate> = self.waiting.drain(..count).collect();
        if candidates.is_empty() {
            return Step::integer(self.ended);
        }
        let batches = candidates
            .iter()
            .map(|candidate| upkeep::peek(env, &candidate.handle))
            .collect();
        Step::first(batches, move |env, mut replies| {
            let (mut ends, mut gone) = (Vec::new(), Vec::new());
            for candidate in &candidates {
                let record = upkeep::peeked(&mut replies)?;
                let verdict = record
                    .as_ref()
                    .map(|record| (self.judge)(candidate, record, env.now_ms));
                match (verdict, record) {
                    (Some(Verdict::End), Some(record)) => {
                        ends.push((candidate.handle, record.user.map(<[u8]>::to_vec)));
                    }
                    (Some(Verdict::Spare), _) => {}
                    // Also a session that is over by our clock ends above: another sidecar, whose
                    // clock is behind, would still serve it.
                    _ => gone.push(candidate.handle),
                }
            }
            Ok(self.end(env, &ends, &gone))
        })
    }

    fn end(mut self, env: &Env<'_>, ends: &[(Handle, Option<Vec<u8>>)], gone: &[Handle]) -> Step {
        let users: Vec<bool> = ends.iter().map(|(_, user)| user.is_some()).collect();
        let mut batches: Vec<Batch> = ends
            .iter()
            .flat_map(|(handle, user)| upkeep::end(env, handle, user.as_deref()))
            .collect();
        if let Some(user) = &self.index_of {
            batches.extend(forget(env, user, gone));
        }
        if batches.is_empty() {
            return self.proceed(env);
        }
        Step::first(batches, move |env, mut replies| {
            self.ended += upkeep::ended(&mut replies, &users)?;
            Ok(self.proceed(env))
        })
    }
}

/// Heals a user's index: takes out what was found to be no session any more. A score alone is no
/// proof of that.
pub fn forget(env: &Env<'_>, user: &[u8], gone: &[Handle]) -> Option<Batch> {
    if gone.is_empty() {
        return None;
    }
    let key = env.keys.user(user);
    let mut batch = Batch::write();
    let members: Vec<&[u8]> = gone.iter().map(Handle::as_bytes).collect();
    batch.push_with(&[b"ZREM", &key], members.into_iter());
    Some(batch)
}
