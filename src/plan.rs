//! Batches of upstream commands, and the steps a SESS.* command is made of.
//!
//! A command never talks to anybody. It says what it wants sent ([`Step::Send`]) and what to do with
//! the replies (its fold), until it has a reply for the client ([`Step::Done`]). The engine carries
//! the batches to a lane and the replies back; no socket and no clock is known here.

use crate::config::{Limits, Session};
use crate::error::Error;
use crate::resp::{Items, Protocol, Reply, write};
use crate::session::{Keys, NewToken};

/// Room for the commands of a usual batch, so that filling it allocates once.
const BATCH_BYTES: usize = 384;

/// Commands for one slot of the upstream, already in RESP, sent without anything in between.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    commands: usize,
    atomic: bool,
    writes: bool,
}

impl Batch {
    /// Commands that only read: after a lost connection they may be asked again.
    pub fn read() -> Batch {
        Batch {
            bytes: Vec::with_capacity(BATCH_BYTES),
            commands: 0,
            atomic: false,
            writes: false,
        }
    }

    /// Commands that write, one after another.
    pub fn write() -> Batch {
        Batch {
            writes: true,
            ..Batch::read()
        }
    }

    /// Commands that write, all or nothing: `MULTI`, what `fill` adds, `EXEC`.
    pub fn transaction(fill: impl FnOnce(&mut Batch)) -> Batch {
        let mut batch = Batch {
            atomic: true,
            ..Batch::write()
        };
        write::command(&mut batch.bytes, &[b"MULTI"]);
        fill(&mut batch);
        write::command(&mut batch.bytes, &[b"EXEC"]);
        batch
    }

    /// Adds a command.
    pub fn push(&mut self, args: &[&[u8]]) {
        self.push_with(args, std::iter::empty());
    }

    /// Adds a command with further arguments behind the first ones.
    pub fn push_with<'a>(
        &mut self,
        args: &[&'a [u8]],
        more: impl ExactSizeIterator<Item = &'a [u8]>,
    ) {
        self.commands += 1;
        write::array(&mut self.bytes, args.len() + more.len());
        for arg in args.iter().copied().chain(more) {
            write::bulk(&mut self.bytes, arg);
        }
    }

    /// The commands in RESP.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it changes anything.
    pub fn writes(&self) -> bool {
        self.writes
    }

    /// How its replies will look.
    pub fn shape(&self) -> Shape {
        Shape {
            commands: self.commands,
            atomic: self.atomic,
        }
    }
}

/// How the replies to a batch look.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    commands: usize,
    atomic: bool,
}

impl Shape {
    /// How many replies come: one a command, and those of `MULTI` and `EXEC`.
    pub fn replies(&self) -> usize {
        self.commands + if self.atomic { 2 } else { 0 }
    }
}

/// The replies to the batches of one [`Step::Send`], in their order.
pub struct Replies<'a> {
    shapes: std::slice::Iter<'a, Shape>,
    items: Items<'a>,
    /// How many of `items` belong to the batch that was given out last.
    given: usize,
}

impl<'a> Replies<'a> {
    /// `bytes` holds the replies to batches of these shapes.
    pub fn new(shapes: &'a [Shape], bytes: &'a [u8]) -> Replies<'a> {
        let count = shapes.iter().map(Shape::replies).sum();
        Replies {
            shapes: shapes.iter(),
            items: Items::new(count, bytes),
            given: 0,
        }
    }

    /// The results of the next batch, one a command; empty when there is none.
    ///
    /// # Errors
    /// The first error among them: a transaction that was refused, or a command that failed.
    pub fn batch(&mut self) -> Result<Items<'a>, Error> {
        for _ in 0..std::mem::take(&mut self.given) {
            self.items.next_raw();
        }
        let Some(shape) = self.shapes.next() else {
            return Ok(Items::new(0, b""));
        };
        if !shape.atomic {
            self.given = shape.commands;
            return without_errors(Items::new(shape.commands, self.items.bytes()));
        }
        // +OK of MULTI and a +QUEUED each; one that is an error tells more than EXEC's EXECABORT.
        let mut refused = None;
        for _ in 0..=shape.commands {
            if let Some(Reply::Error(text)) = self.items.next() {
                refused.get_or_insert(text);
            }
        }
        match (refused, self.items.next()) {
            (Some(text), _) | (None, Some(Reply::Error(text))) => Err(Error::upstream(text)),
            (None, Some(Reply::Array(results))) => without_errors(results),
            (None, _) => Err(Error::upstream(b"ERR unexpected reply to EXEC")),
        }
    }
}

/// The results, if none of them is an error. Only their first bytes are looked at, so the last one,
/// often a large array, is not walked for it.
fn without_errors(results: Items<'_>) -> Result<Items<'_>, Error> {
    let mut rest = results;
    while !rest.is_empty() {
        if rest.bytes().first() == Some(&b'-')
            && let Some(Reply::Error(text)) = rest.next()
        {
            return Err(Error::upstream(text));
        }
        if rest.len() == 1 {
            break;
        }
        rest.next_raw();
    }
    Ok(results)
}

/// What a command does with the replies it asked for.
pub type Fold = Box<dyn FnOnce(&Env<'_>, Replies<'_>) -> Result<Step, Error>>;

/// What a command wants next.
pub enum Step {
    /// Send these batches in this order, then call `fold` with their replies.
    Send {
        /// What to send.
        batches: Vec<Batch>,
        /// Whether later commands on the same session may be sent behind these batches: true when
        /// nothing that follows changes what they would see.
        settled: bool,
        /// What to do with the replies.
        fold: Fold,
    },
    /// The command is over.
    Done(Done),
}

/// The end of a command.
#[derive(Default)]
pub struct Done {
    /// The reply, in the client's protocol.
    pub reply: Vec<u8>,
    /// Done behind the reply, which does not wait for it: coalesced touches, healing of indexes.
    pub after: Option<Box<Step>>,
    /// What the operator should know.
    pub warning: Option<String>,
}

impl Step {
    /// A last trip: nothing that order depends on follows it.
    pub fn last(
        batches: Vec<Batch>,
        fold: impl FnOnce(&Env<'_>, Replies<'_>) -> Result<Step, Error> + 'static,
    ) -> Step {
        Step::Send {
            batches,
            settled: true,
            fold: Box::new(fold),
        }
    }

    /// A trip whose replies decide what is sent next.
    pub fn first(
        batches: Vec<Batch>,
        fold: impl FnOnce(&Env<'_>, Replies<'_>) -> Result<Step, Error> + 'static,
    ) -> Step {
        Step::Send {
            batches,
            settled: false,
            fold: Box::new(fold),
        }
    }

    /// The end, with the reply that `fill` writes.
    pub fn reply(fill: impl FnOnce(&mut Vec<u8>)) -> Step {
        let mut done = Done::default();
        fill(&mut done.reply);
        Step::Done(done)
    }

    /// The same step with a warning, if it is the end.
    pub fn warn(self, warning: Option<String>) -> Step {
        match self {
            Step::Done(done) => Step::Done(Done {
                warning: done.warning.or(warning),
                ..done
            }),
            send => send,
        }
    }

    /// The end, with an integer.
    pub fn integer(value: i64) -> Step {
        Step::reply(|out| write::integer(out, value))
    }
}

/// Everything a command may know beside its arguments.
pub struct Env<'a> {
    /// Now, epoch ms.
    pub now_ms: i64,
    /// What the client speaks.
    pub protocol: Protocol,
    /// Spells keys.
    pub keys: &'a Keys,
    /// Timeouts and their bounds.
    pub session: &'a Session,
    /// Sizes and their bounds.
    pub limits: &'a Limits,
    /// Whether the upstream knows `PEXPIREAT ... GT` (Redis 7.0).
    pub expire_gt: bool,
    /// Makes a token, from the operating system's generator.
    pub new_token: fn() -> Result<NewToken, Error>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_answers_with_the_results_of_exec() {
        let batch = Batch::transaction(|tx| {
            tx.push(&[b"HGET", b"k", b"@s"]);
            tx.push(&[b"HINCRBY", b"k", b"@v", b"1"]);
        });
        let mut read = Batch::read();
        read.push(&[b"PTTL", b"k"]);
        let shapes = [batch.shape(), read.shape()];
        let bytes = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\nx\r\n:2\r\n:99\r\n";
        let mut replies = Replies::new(&shapes, bytes);
        let results: Vec<_> = replies.batch().expect("no error").collect();
        assert_eq!(results, [Reply::Bulk(b"x"), Reply::Integer(2)]);
        let results: Vec<_> = replies.batch().expect("no error").collect();
        assert_eq!(results, [Reply::Integer(99)]);
    }

    #[test]
    fn the_first_cause_of_an_abort_is_told() {
        let shapes = [Batch::transaction(|tx| tx.push(&[b"HSET", b"k", b"f", b"v"])).shape()];
        let aborted = b"+OK\r\n-OOM command not allowed\r\n-EXECABORT Transaction discarded\r\n";
        let error = Replies::new(&shapes, aborted).batch().expect_err("refused");
        assert_eq!(error.text, "OOM command not allowed");
        let failed = b"+OK\r\n+QUEUED\r\n*1\r\n-WRONGTYPE no\r\n";
        let error = Replies::new(&shapes, failed).batch().expect_err("failed");
        assert_eq!(error.text, "WRONGTYPE no");
    }
}
