//! A lane: one upstream connection of one worker, shared by all the worker's clients.
//!
//! ```text
//!   client A --GET a-->  \                                     / --reply of a--> outbox of A
//!   client B --GET b-->   > [ GET a, GET b, GET c ] = upstream = > --reply of b--> outbox of B
//!   client A --GET c-->  /    one write a turn                 \ --reply of c--> outbox of A
//! ```
//!
//! Requests are appended to the queue; the lane's task is woken once and runs after the clients that
//! were ready in the same turn of the event loop, so their requests leave in one write: batching
//! without a timer. Upstream answers in order, so the front slot of the queue says whose reply it is.
//!
//! The lane finds where a reply ends and looks no further; it knows no command and no session.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::{Sleep, sleep, sleep_until, timeout};

use super::link::{self, Link, Refused, Server};
use super::queue::{IDLE_BYTES_MAX, Queue, Receiver, Verdict};
use super::target::Target;
use crate::config;
use crate::embedded::Embedded;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::resp::Protocol;
use crate::resp::scan::Scanner;

/// Room made for each read from upstream.
const READ_BYTES: usize = 32 * 1024;

/// From this many bytes on, requests leave before the turn ends: upstream works on them while the
/// rest is being collected. Otherwise a large burst would keep one side waiting for the other.
const FLUSH_BYTES: usize = 4 * 1024;

/// From this size on a reply is passed on in pieces, before its end is there.
const PIECE_BYTES: usize = 16 * 1024;

/// What all lanes of a worker share.
pub struct Shared {
    /// Where upstream is.
    pub target: Target,
    /// The engine in this process, for the target `embedded:`.
    pub embedded: Embedded,
    /// Times and sizes.
    pub config: config::Upstream,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What upstream last said of itself.
    pub server: RefCell<Server>,
}

/// A lane. Clones are the same lane.
#[derive(Clone)]
pub struct Lane(Rc<Inner>);

struct Inner {
    shared: Rc<Shared>,
    protocol: Protocol,
    database: u32,
    queue: RefCell<Queue>,
    waker: RefCell<Option<Waker>>,
    health: RefCell<Health>,
    last_heard: Cell<Instant>,
    last_given: Cell<Instant>,
    closed: Cell<bool>,
    link: RefCell<Option<Link>>,
}

/// Whether there is somebody to send to.
#[derive(Clone, Debug)]
enum Health {
    /// There is.
    Up,
    /// Not at the moment; requests wait for the next attempt.
    Trying {
        /// Since when.
        since: Instant,
    },
    /// Not for longer than a request may wait: requests fail at once.
    Down {
        /// The last reason.
        why: String,
    },
    /// Never: upstream has no such database. Its own words.
    Ended {
        /// What it said.
        why: String,
    },
}

impl Lane {
    /// A lane, and its task on this worker.
    pub fn start(shared: &Rc<Shared>, protocol: Protocol, database: u32) -> Lane {
        let now = Instant::now();
        let lane = Lane(Rc::new(Inner {
            shared: shared.clone(),
            protocol,
            database,
            queue: RefCell::new(Queue::default()),
            waker: RefCell::new(None),
            health: RefCell::new(Health::Trying { since: now }),
            last_heard: Cell::new(now),
            last_given: Cell::new(now),
            closed: Cell::new(false),
            link: RefCell::new(None),
        }));
        tokio::task::spawn_local(run(lane.clone()));
        lane
    }

    /// Sends a request of `parts`; `answer` says how many replies it gets and whether it writes.
    pub fn send<'a>(
        &self,
        parts: impl Iterator<Item = &'a [u8]>,
        answer: (usize, bool),
        receiver: Receiver,
        now: Instant,
    ) {
        let error = match &*self.0.health.borrow() {
            Health::Up | Health::Trying { .. } => None,
            Health::Down { why } => Some(Error::down(why)),
            Health::Ended { why } => Some(Error::upstream(why.as_bytes())),
        };
        if let Some(error) = error {
            self.0.shared.metrics.upstream_down.add();
            return receiver.fail(error);
        }
        let timeout = Duration::from_millis(self.0.shared.config.timeout_ms);
        self.0.last_given.set(now);
        let mut queue = self.0.queue.borrow_mut();
        queue.push(parts, answer, receiver, (now, timeout));
        if queue.unsent().len() >= FLUSH_BYTES
            && let Some(link) = self.0.link.borrow().as_ref()
            && let Some(len) = link.try_write(queue.unsent())
        {
            queue.wrote(len);
        }
        drop(queue);
        if let Some(waker) = self.0.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Whether more may be given to it. Clients whose next request would go here wait until it is so.
    pub fn has_room(&self) -> bool {
        self.0.queue.borrow().bytes_len() < self.0.shared.config.queue_bytes_max
    }

    /// Whether upstream is there.
    pub fn is_up(&self) -> bool {
        matches!(*self.0.health.borrow(), Health::Up)
    }

    /// Whether it can never be up.
    pub fn has_ended(&self) -> bool {
        matches!(*self.0.health.borrow(), Health::Ended { .. })
    }

    /// When it was last given a request, if it owes no reply.
    pub fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.0.queue.borrow().is_empty();
        is_idle.then(|| self.0.last_given.get())
    }

    /// Ends it. It must owe nothing and be given nothing more.
    pub fn close(&self) {
        self.0.closed.set(true);
        if let Some(waker) = self.0.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn tell(&self, verdict: Verdict) {
        let metrics = &self.0.shared.metrics;
        for _ in 0..verdict.failures() {
            metrics.upstream_down.add();
        }
        for _ in 0..verdict.retried {
            metrics.upstream_retries.add();
        }
        verdict.tell();
    }

    fn place(&self) -> String {
        self.0.shared.target.place.to_string()
    }

    /// Fails what has run out of time; answers when to look again.
    fn expire(&self, why: &str) -> Option<Instant> {
        let verdict = self.0.queue.borrow_mut().expire(Instant::now(), why);
        for _ in 0..verdict.failures() {
            self.0.shared.metrics.upstream_timeouts.add();
        }
        self.tell(verdict);
        self.0.queue.borrow().next_deadline()
    }
}

/// The life of a lane: connect, serve until lost, wait a little, again.
async fn run(lane: Lane) {
    let config = lane.0.shared.config.clone();
    let mut backoff_ms = config.backoff_min_ms;
    // The sessions' database is configured, not asked for: it may be there again.
    let may_end = lane.0.database != lane.0.shared.target.database;
    while !lane.0.closed.get() {
        let connected = while_expiring(&lane, connect(&lane)).await;
        match connected {
            Ok(link) => {
                backoff_ms = config.backoff_min_ms;
                came_up(&lane);
                let why = serve(&lane, link).await;
                if lane.0.closed.get() {
                    lane.0.shared.metrics.lanes_up.sub();
                    return;
                }
                lost(&lane, &why);
            }
            Err(Refused::NoDatabase(why)) if may_end => {
                let error = Error::upstream(why.as_bytes());
                *lane.0.health.borrow_mut() = Health::Ended { why };
                let verdict = lane.0.queue.borrow_mut().fail_all(&error);
                lane.tell(verdict);
                return;
            }
            Err(Refused::NoDatabase(why) | Refused::Unreachable(why)) => unreachable(&lane, &why),
        }
        // Half to the whole of the time, so that sidecars do not come back all at once.
        let wait_ms = backoff_ms / 2 + jitter(backoff_ms / 2 + 1);
        let wait = sleep(Duration::from_millis(wait_ms));
        while_expiring(&lane, wait).await;
        backoff_ms = (backoff_ms * 2).min(config.backoff_max_ms);
    }
}

async fn connect(lane: &Lane) -> Result<Link, Refused> {
    let shared = &lane.0.shared;
    let limit = Duration::from_millis(shared.config.connect_timeout_ms);
    let connect = link::connect(
        &shared.target,
        &shared.embedded,
        lane.0.protocol,
        lane.0.database,
    );
    match timeout(limit, connect).await {
        Ok(Ok((link, server))) => {
            *shared.server.borrow_mut() = server;
            Ok(link)
        }
        Ok(Err(refused)) => Err(refused),
        Err(_) => Err(Refused::Unreachable(format!(
            "no connection within {} ms (upstream.connect_timeout_ms)",
            shared.config.connect_timeout_ms
        ))),
    }
}

/// Awaits `work` while requests that wait meanwhile run out of time.
async fn while_expiring<T>(lane: &Lane, work: impl Future<Output = T>) -> T {
    let why = format!("upstream {} cannot be reached", lane.place());
    let pause = Duration::from_millis(lane.0.shared.config.timeout_ms);
    let mut work = pin!(work);
    loop {
        let next = lane.expire(&why).unwrap_or(Instant::now() + pause);
        tokio::select! {
            done = &mut work => return done,
            () = sleep_until(next.into()) => {}
        }
    }
}

fn came_up(lane: &Lane) {
    let before = lane.0.health.replace(Health::Up);
    lane.0.last_heard.set(Instant::now());
    let metrics = &lane.0.shared.metrics;
    metrics.upstream_connects.add();
    metrics.lanes_up.add();
    if matches!(before, Health::Down { .. }) {
        tracing::info!(upstream = lane.place(), "upstream is back");
    }
}

fn lost(lane: &Lane, why: &str) {
    let metrics = &lane.0.shared.metrics;
    metrics.upstream_losses.add();
    metrics.lanes_up.sub();
    tracing::warn!(upstream = lane.place(), why, "upstream connection lost");
    *lane.0.health.borrow_mut() = Health::Trying {
        since: Instant::now(),
    };
    let why = format!("connection to upstream {} lost: {why}", lane.place());
    let verdict = lane.0.queue.borrow_mut().lose(&why);
    lane.tell(verdict);
}

/// An attempt failed. Requests go on waiting for the next one until the outage has lasted as long
/// as any of them may wait; from then on they fail at once.
fn unreachable(lane: &Lane, why: &str) {
    let patience = Duration::from_millis(lane.0.shared.config.timeout_ms);
    let health = lane.0.health.borrow().clone();
    let why = match health {
        Health::Trying { since } if since.elapsed() < patience => return,
        Health::Trying { .. } => {
            tracing::warn!(upstream = lane.place(), why, "upstream cannot be reached");
            format!("upstream {} cannot be reached: {why}", lane.place())
        }
        _ => format!("upstream {} cannot be reached: {why}", lane.place()),
    };
    let error = Error::down(&why);
    *lane.0.health.borrow_mut() = Health::Down { why };
    let verdict = lane.0.queue.borrow_mut().fail_all(&error);
    lane.tell(verdict);
}

/// Carries requests and replies until the connection is lost; answers why.
async fn serve(lane: &Lane, link: Link) -> String {
    *lane.0.link.borrow_mut() = Some(link);
    let mut inbox = Inbox::default();
    let mut timer = Box::pin(sleep(Duration::ZERO));
    let mut armed = false;
    let why = loop {
        let turn = poll_fn(|cx| poll(lane, &mut inbox, timer.as_mut(), &mut armed, cx));
        match turn.await {
            Turn::Yield => tokio::task::yield_now().await,
            Turn::Lost(why) => break why,
        }
    };
    *lane.0.link.borrow_mut() = None;
    why
}

/// Why a lane's task stops polling.
enum Turn {
    /// There is more from upstream, but the clients whose replies have come are first: they write, and
    /// read what is next, while upstream works on the rest.
    Yield,
    /// The connection is lost; why.
    Lost(String),
}

fn poll(
    lane: &Lane,
    inbox: &mut Inbox,
    timer: Pin<&mut Sleep>,
    armed: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Turn> {
    register(lane, cx);
    if lane.0.closed.get() {
        return Poll::Ready(Turn::Lost("closed".into()));
    }
    // Reading must go on while a write waits: upstream stops reading when nobody takes its replies,
    // and both would wait for ever (redis-rs met this with large values, issue 1955).
    loop {
        if let Err(why) = poll_write(lane, cx) {
            return Poll::Ready(Turn::Lost(why));
        }
        match inbox.poll_fill(lane, cx) {
            Poll::Ready(Ok(filled)) => {
                lane.0.last_heard.set(Instant::now());
                if let Err(why) = inbox.deliver(lane) {
                    return Poll::Ready(Turn::Lost(why));
                }
                if filled {
                    return Poll::Ready(Turn::Yield);
                }
            }
            Poll::Ready(Err(why)) => return Poll::Ready(Turn::Lost(why)),
            Poll::Pending => break,
        }
    }
    poll_time(lane, timer, armed, cx).map(Turn::Lost)
}

fn register(lane: &Lane, cx: &Context<'_>) {
    let mut waker = lane.0.waker.borrow_mut();
    if !waker
        .as_ref()
        .is_some_and(|known| known.will_wake(cx.waker()))
    {
        *waker = Some(cx.waker().clone());
    }
}

/// Writes what is not sent yet, as far as the connection takes it.
fn poll_write(lane: &Lane, cx: &mut Context<'_>) -> Result<(), String> {
    let mut queue = lane.0.queue.borrow_mut();
    let mut link = lane.0.link.borrow_mut();
    let Some(link) = link.as_mut() else {
        return Ok(());
    };
    while !queue.unsent().is_empty() {
        match Pin::new(&mut *link).poll_write(cx, queue.unsent()) {
            Poll::Ready(Ok(len)) => queue.wrote(len),
            Poll::Ready(Err(error)) => return Err(error.to_string()),
            Poll::Pending => break,
        }
    }
    Ok(())
}

/// Looks after deadlines and silence. The timer is armed only while something waits, and it is left
/// alone while replies come: it fires at most about once a timeout.
fn poll_time(
    lane: &Lane,
    mut timer: Pin<&mut Sleep>,
    armed: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<String> {
    let config = &lane.0.shared.config;
    let silence = Duration::from_millis(config.silent_ms);
    loop {
        if *armed {
            match timer.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => *armed = false,
            }
            let why = format!(
                "upstream {} did not answer within {} ms (upstream.timeout_ms)",
                lane.place(),
                config.timeout_ms
            );
            lane.expire(&why);
        }
        let queue = lane.0.queue.borrow();
        let Some(oldest) = queue.oldest() else {
            return Poll::Pending;
        };
        let silent_at = oldest.max(lane.0.last_heard.get()) + silence;
        if silent_at <= Instant::now() {
            return Poll::Ready(format!(
                "it owed replies and was silent for {} ms (upstream.silent_ms)",
                config.silent_ms
            ));
        }
        let next = queue
            .next_deadline()
            .map_or(silent_at, |at| at.min(silent_at));
        timer.as_mut().reset(next.into());
        *armed = true;
    }
}

/// Bytes from upstream, and how far they have been understood.
#[derive(Default)]
struct Inbox {
    bytes: BytesMut,
    scanner: Scanner,
    /// Bytes that belong to the front slot's replies.
    scanned: usize,
    /// Replies of the front slot that are whole.
    whole: usize,
    /// Pieces of the front slot's reply have left already: `bytes` begins in the middle of it.
    in_reply: bool,
    /// Most bytes there were since the buffer was made.
    bytes_peak: usize,
}

impl Inbox {
    /// Reads once; answers whether it filled the room there was, so that there may be more.
    fn poll_fill(&mut self, lane: &Lane, cx: &mut Context<'_>) -> Poll<Result<bool, String>> {
        let mut link = lane.0.link.borrow_mut();
        let Some(link) = link.as_mut() else {
            return Poll::Pending;
        };
        if self.bytes.capacity() - self.bytes.len() < READ_BYTES / 4 {
            self.bytes.reserve(READ_BYTES);
        }
        match pin!(link.read_buf(&mut self.bytes)).poll(cx) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err("upstream closed it".into())),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(self.bytes.len() == self.bytes.capacity())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.to_string())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Gives every whole reply to whom it belongs, and a large one as far as it has come.
    fn deliver(&mut self, lane: &Lane) -> Result<(), String> {
        self.bytes_peak = self.bytes_peak.max(self.bytes.len());
        loop {
            let rest = self.bytes.get(self.scanned..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
            let (len, done) = self
                .scanner
                .advance(rest)
                .map_err(|_| "upstream sent what is no RESP".to_owned())?;
            self.scanned += len;
            if !done {
                self.pass_on_a_piece(lane);
                return Ok(());
            }
            if self.is_push() {
                // It belongs to no request, and lanes subscribe to nothing.
                self.bytes.advance(std::mem::take(&mut self.scanned));
                continue;
            }
            self.whole += 1;
            let owed = lane.0.queue.borrow_mut().front().map(|slot| slot.replies);
            match owed {
                Some(replies) if self.whole < replies => continue,
                _ => self.hand_over(lane)?,
            }
        }
    }

    /// Whether what is being scanned is a push, which only a reply's first byte can tell.
    fn is_push(&self) -> bool {
        !self.in_reply && self.whole == 0 && self.bytes.first() == Some(&b'>')
    }

    fn hand_over(&mut self, lane: &Lane) -> Result<(), String> {
        let slot = lane.0.queue.borrow_mut().pop();
        let reply = self.bytes.get(..self.scanned).unwrap_or_default();
        match slot.map(|slot| slot.receiver) {
            Some(Receiver::Client(outbox, place)) => outbox.finish(place, reply),
            Some(Receiver::Whole(whole)) => whole(Ok(reply)),
            Some(Receiver::Nobody) => {}
            None => {
                // Only an error is shown: anything else may be somebody's data.
                return Err(match reply.strip_prefix(b"-") {
                    Some(text) => format!("it said {}", text.trim_ascii_end().escape_ascii()),
                    None => "it said something that nobody asked for".into(),
                });
            }
        }
        self.bytes.advance(self.scanned);
        self.scanned = 0;
        self.whole = 0;
        self.in_reply = false;
        if self.bytes.is_empty() && self.bytes_peak > IDLE_BYTES_MAX {
            self.bytes = BytesMut::new();
            self.bytes_peak = 0;
        }
        Ok(())
    }

    fn pass_on_a_piece(&mut self, lane: &Lane) {
        if self.scanned < PIECE_BYTES || self.is_push() {
            return;
        }
        let mut queue = lane.0.queue.borrow_mut();
        let Some(slot) = queue.front() else {
            return;
        };
        let piece = self.bytes.get(..self.scanned).unwrap_or_default();
        match &slot.receiver {
            // What is for us is kept until it is whole; a late reply is dropped as it comes.
            Receiver::Whole(_) => return,
            Receiver::Client(outbox, place) if outbox.push(*place, piece) => slot.begun = true,
            Receiver::Client(..) | Receiver::Nobody => {
                slot.receiver = Receiver::Nobody;
                slot.replies -= std::mem::take(&mut self.whole).min(slot.replies - 1);
            }
        }
        self.bytes.advance(self.scanned);
        self.scanned = 0;
        self.in_reply = true;
    }
}

/// A number below `bound`, to spread attempts; no secret depends on it.
fn jitter(bound: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Instant::now()) % bound.max(1)
}
