//! What a lane has been given and not yet been answered: the requests' bytes, and a slot for each.
//!
//! ```text
//!   requests  [ GET a | HSET b .. | GET c | SET d .. ]     bytes in the order they were given
//!               ^ front slot    ^ written      not sent yet
//! ```
//!
//! Bytes stay until their reply has come, so that a read can be asked again on another connection
//! without a second copy. What is done with a slot when time or connection run out is decided here;
//! no socket is known.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use crate::error::Error;
use crate::outbox::{Broken, Outbox, Place};

/// Capacity that an idle lane may keep, for the next burst.
pub const IDLE_BYTES_MAX: usize = 1024 * 1024;

/// Who gets the reply.
pub enum Receiver {
    /// A client, byte for byte.
    Client(Rc<Outbox>, Place),
    /// Somebody of ours, who wants it whole.
    Whole(Whole),
    /// Nobody.
    Nobody,
}

/// Takes all replies to a request, or the reason why there are none.
pub type Whole = Box<dyn FnOnce(Result<&[u8], Error>)>;

impl Receiver {
    /// Tells the receiver that no reply will come.
    pub fn fail(self, error: Error) {
        match self {
            Receiver::Client(outbox, place) => {
                let mut reply = Vec::new();
                crate::resp::write::error(&mut reply, &error.text);
                outbox.finish(place, &reply);
            }
            Receiver::Whole(whole) => whole(Err(error)),
            Receiver::Nobody => {}
        }
    }
}

/// A request that waits for its replies.
pub struct Slot {
    /// Bytes of the request.
    len: usize,
    /// Replies still to come.
    pub replies: usize,
    /// Who gets them.
    pub receiver: Receiver,
    /// Whether it may change something: then it is never sent twice.
    writes: bool,
    /// Whether it was asked again already.
    retried: bool,
    /// Whether the client has been given a piece of the reply.
    pub begun: bool,
    given: Instant,
    deadline: Instant,
}

/// How much of a request was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Not all: upstream cannot have done the last command.
    Partly,
    /// Nothing of it at all.
    Untouched,
    /// Everything.
    Whole,
}

/// The requests of a lane.
#[derive(Default)]
pub struct Queue {
    requests: BytesMut,
    written: usize,
    slots: VecDeque<Slot>,
    /// How many slots at the front have run out of time; their replies are thrown away.
    late: usize,
    /// Most bytes there were since the buffer was made.
    peak: usize,
}

/// What became of the slots when a deadline passed or the connection was lost: whom to tell what,
/// after the queue is no longer borrowed.
#[derive(Default)]
pub struct Verdict {
    failed: Vec<(Receiver, Error)>,
    cut: Vec<Rc<Outbox>>,
    /// How many reads will be asked again.
    pub retried: u64,
}

impl Verdict {
    /// How many requests failed.
    pub fn failures(&self) -> u64 {
        (self.failed.len() + self.cut.len()) as u64
    }

    /// Tells them.
    pub fn tell(self) {
        for (receiver, error) in self.failed {
            receiver.fail(error);
        }
        for outbox in self.cut {
            outbox.break_off(Broken::CutReply);
        }
    }
}

impl Queue {
    /// Adds a request of `parts`, to be answered by `replies` replies within `timeout`.
    pub fn push<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a [u8]>,
        (replies, writes): (usize, bool),
        receiver: Receiver,
        (now, timeout): (Instant, Duration),
    ) {
        let before = self.requests.len();
        parts.for_each(|part| self.requests.extend_from_slice(part));
        self.peak = self.peak.max(self.requests.len());
        self.slots.push_back(Slot {
            len: self.requests.len() - before,
            replies,
            receiver,
            writes,
            retried: false,
            begun: false,
            given: now,
            deadline: now + timeout,
        });
    }

    /// Bytes not answered yet.
    pub fn bytes_len(&self) -> usize {
        self.requests.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes not sent yet.
    pub fn unsent(&self) -> &[u8] {
        self.requests.get(self.written..).unwrap_or_default()
    }

    /// So many more bytes were sent.
    pub fn wrote(&mut self, len: usize) {
        self.written += len;
    }

    /// The slot whose reply comes next.
    pub fn front(&mut self) -> Option<&mut Slot> {
        self.slots.front_mut()
    }

    /// Takes out the front slot, whose replies have all come.
    ///
    /// `None` if nothing was asked, or not all of it was sent: upstream answers what nobody asked.
    pub fn pop(&mut self) -> Option<Slot> {
        if self.slots.front()?.len > self.written {
            return None;
        }
        let slot = self.slots.pop_front()?;
        self.requests.advance(slot.len);
        self.written -= slot.len;
        self.late = self.late.saturating_sub(1);
        // What `advance` has passed no longer counts as capacity, so the peak is what tells.
        if self.slots.is_empty() && self.peak > IDLE_BYTES_MAX {
            self.requests = BytesMut::new();
            self.peak = 0;
        }
        Some(slot)
    }

    /// When the next deadline passes.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.slots.get(self.late).map(|slot| slot.deadline)
    }

    /// When the oldest request that waits was given.
    pub fn oldest(&self) -> Option<Instant> {
        self.slots.front().map(|slot| slot.given)
    }

    /// Fails what has run out of time. What upstream has not seen yet is taken back; for the rest a
    /// slot stays, so that the late reply is thrown away and the neighbours keep theirs.
    pub fn expire(&mut self, now: Instant, why: &str) -> Verdict {
        let mut verdict = Verdict::default();
        let mut offset: usize = self.slots.iter().take(self.late).map(|slot| slot.len).sum();
        let mut taken_back = false;
        while let Some(slot) = self.slots.get_mut(self.late) {
            if slot.deadline > now {
                break;
            }
            let unsent = offset >= self.written;
            offset += slot.len;
            self.late += 1;
            // A client that has begun to get the reply goes on getting it.
            if slot.begun {
                continue;
            }
            let receiver = std::mem::replace(&mut slot.receiver, Receiver::Nobody);
            let error = if slot.writes && !unsent {
                Error::outcome_unknown(why)
            } else {
                Error::down(why)
            };
            if unsent {
                slot.replies = 0;
                taken_back = true;
            }
            if !matches!(receiver, Receiver::Nobody) {
                verdict.failed.push((receiver, error));
            }
        }
        if taken_back {
            self.keep(|slot, sent| sent != Sent::Untouched || slot.replies > 0);
        }
        verdict
    }

    /// The connection is lost. Reads are asked again once, what was not sent yet will be sent; of a
    /// write that was sent nobody knows.
    pub fn lose(&mut self, why: &str) -> Verdict {
        let mut verdict = Verdict::default();
        self.keep(|slot, sent| {
            let receiver = std::mem::replace(&mut slot.receiver, Receiver::Nobody);
            let again = match (sent, &receiver) {
                (_, Receiver::Client(outbox, _)) if slot.begun => {
                    verdict.cut.push(outbox.clone());
                    return false;
                }
                // Late, or asked for on nobody's behalf: it is not worth a second try.
                (Sent::Whole, Receiver::Nobody) => return false,
                (Sent::Whole, _) => !slot.writes && !slot.retried,
                // Of several commands upstream may have done the first ones.
                (Sent::Partly, _) => !slot.writes || slot.replies == 1,
                (Sent::Untouched, _) => true,
            };
            if again {
                verdict.retried += u64::from(sent == Sent::Whole);
                slot.retried |= sent == Sent::Whole;
                slot.receiver = receiver;
            } else if slot.writes {
                verdict.failed.push((receiver, Error::outcome_unknown(why)));
            } else {
                verdict.failed.push((receiver, Error::down(why)));
            }
            again
        });
        self.written = 0;
        self.late = 0;
        verdict
    }

    /// Fails everything: the upstream cannot be reached and nothing is on its way.
    pub fn fail_all(&mut self, error: &Error) -> Verdict {
        let mut verdict = Verdict::default();
        for slot in self.slots.drain(..) {
            verdict.failed.push((slot.receiver, error.clone()));
        }
        *self = Queue::default();
        verdict
    }

    /// Keeps the slots that `keep` wants, with their bytes.
    fn keep(&mut self, mut keep: impl FnMut(&mut Slot, Sent) -> bool) {
        let (mut requests, mut written) = (BytesMut::new(), 0);
        let (mut at, mut index, mut late) = (0, 0, 0);
        let old = std::mem::take(&mut self.requests);
        self.slots.retain_mut(|slot| {
            let (start, end) = (at, at + slot.len);
            (at, index) = (end, index + 1);
            let sent = match self.written {
                n if n >= end => Sent::Whole,
                n if n > start => Sent::Partly,
                _ => Sent::Untouched,
            };
            let kept = keep(slot, sent);
            if kept {
                requests.extend_from_slice(old.get(start..end).unwrap_or_default());
                written += self.written.clamp(start, end) - start;
                late += usize::from(index <= self.late);
            }
            kept
        });
        (self.requests, self.written, self.late) = (requests, written, late);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(500);

    type Heard = Rc<RefCell<Vec<String>>>;

    /// Adds a request whose receiver notes what it hears.
    fn push(queue: &mut Queue, heard: &Heard, request: &'static str, writes: bool, now: Instant) {
        let heard = heard.clone();
        let whole = Box::new(move |result: Result<&[u8], Error>| {
            let error = result.err().map_or(String::new(), |e| e.text.into_owned());
            heard.borrow_mut().push(format!("{request}: {error}"));
        });
        let parts = [request.as_bytes()].into_iter();
        queue.push(parts, (1, writes), Receiver::Whole(whole), (now, TIMEOUT));
    }

    #[test]
    fn after_a_loss_reads_are_asked_again_and_sent_writes_are_not() {
        let (mut queue, heard, now) = (Queue::default(), Heard::default(), Instant::now());
        push(&mut queue, &heard, "read1", false, now);
        push(&mut queue, &heard, "WRITE1", true, now);
        push(&mut queue, &heard, "WRITE2", true, now);
        push(&mut queue, &heard, "read2", false, now);
        queue.wrote("read1WRITE1WRI".len());
        let verdict = queue.lose("lost");
        assert_eq!((verdict.failures(), verdict.retried), (1, 1));
        verdict.tell();
        assert_eq!(
            *heard.borrow(),
            ["WRITE1: SESSDOWN lost; the write was sent, its outcome unknown"]
        );
        assert_eq!(queue.unsent(), b"read1WRITE2read2");
        queue.wrote(16);
        assert_eq!(
            queue.lose("again").failures(),
            2,
            "read1 was asked twice, WRITE2 was sent"
        );
        assert_eq!(queue.unsent(), b"read2");
    }

    #[test]
    fn a_late_request_fails_alone_and_keeps_its_slot() {
        let (mut queue, heard, now) = (Queue::default(), Heard::default(), Instant::now());
        push(&mut queue, &heard, "slow", false, now);
        push(&mut queue, &heard, "next", false, now + TIMEOUT / 2);
        queue.wrote(8);
        queue.expire(now + TIMEOUT, "late").tell();
        assert_eq!(*heard.borrow(), ["slow: SESSDOWN late"]);
        assert_eq!(queue.next_deadline(), Some(now + TIMEOUT * 3 / 2));
        assert!(matches!(
            queue.pop().map(|slot| slot.receiver),
            Some(Receiver::Nobody)
        ));
        assert!(matches!(
            queue.pop().map(|slot| slot.receiver),
            Some(Receiver::Whole(_))
        ));
    }

    #[test]
    fn what_was_not_sent_in_time_is_never_sent() {
        let (mut queue, heard, now) = (Queue::default(), Heard::default(), Instant::now());
        push(&mut queue, &heard, "WRITE1", true, now);
        push(&mut queue, &heard, "WRITE2", true, now);
        push(&mut queue, &heard, "WRITE3", true, now + TIMEOUT);
        queue.wrote(3);
        queue.expire(now + TIMEOUT, "late").tell();
        assert_eq!(
            *heard.borrow(),
            [
                "WRITE1: SESSDOWN late; the write was sent, its outcome unknown",
                "WRITE2: SESSDOWN late"
            ]
        );
        assert_eq!(queue.unsent(), b"TE1WRITE3");
        assert!(queue.pop().is_none(), "a reply to what was not sent");
        queue.wrote(9);
        assert!(matches!(
            queue.pop().map(|slot| slot.receiver),
            Some(Receiver::Nobody)
        ));
        assert!(matches!(
            queue.pop().map(|slot| slot.receiver),
            Some(Receiver::Whole(_))
        ));
        assert!(queue.is_empty() && queue.bytes_len() == 0);
    }
}
