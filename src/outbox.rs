//! The replies of one client, in the order of its requests.
//!
//! ```text
//!   requests   1 GET a    2 SESS.GET t    3 GET b
//!                 |            |             |
//!   places     [ 1 done ]  [ 2 waits ]   [ 3 done, kept ]
//!                 |
//!                 v
//!   ready      the bytes of 1: the client may have them. Those of 3 wait until 2 is there.
//! ```
//!
//! Each started request has a place. A reply for the first place goes straight to the ready bytes
//! (as it arrives, in pieces if it is large), a reply for a later one is kept in its place. The
//! places also say what is on its way, which decides whether the next request may start: commands of
//! one client behave as if executed one after another.
//!
//! Who fills a place (a lane, the engine) and who writes the ready bytes (the client's task) are not
//! known here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use crate::buffers::Buffers;
use crate::session::Handle;

/// Capacity that an idle client's buffers may keep.
const IDLE_BYTES_MAX: usize = 1024;

/// Names a place. Places are numbered for as long as the client lives.
pub type Place = u64;

/// Which lane a request takes. Two lanes keep no order between them, so the requests of one client
/// that are on their way at the same time are all on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// The lane of the SESS.* commands.
    Session,
    /// The lane of plain commands, for this protocol's number and database.
    Plain(u8, u32),
}

/// What a request on its way keeps later ones from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing, and it waits for nothing but requests that are all alone.
    Free,
    /// Nothing, and it waits for those that will send more for this session.
    Reads(Handle),
    /// It will send more for this session: others on the session must not be sent before.
    Session(Handle),
    /// It is all alone.
    Alone,
}

impl Claim {
    /// Whether others may have to wait for it.
    fn holds(self) -> bool {
        matches!(self, Claim::Session(_) | Claim::Alone)
    }
}

struct Slot {
    bytes: Vec<u8>,
    done: bool,
    claim: Claim,
}

/// Why a client must be closed once its ready bytes are out, or at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// More replies wait than the client may leave unread.
    Unread,
    /// The connection to upstream was lost in the middle of a reply that the client has begun to get.
    CutReply,
}

struct State {
    ready: Vec<u8>,
    first: Place,
    slots: VecDeque<Slot>,
    road: Option<Road>,
    claims: usize,
    kept_bytes: usize,
    waker: Option<Waker>,
    broken: Option<Broken>,
    closed: bool,
}

/// The replies of one client. Shared by the client's task and whoever answers its requests.
pub struct Outbox {
    state: RefCell<State>,
    bytes_max: usize,
    buffers: Rc<Buffers>,
}

impl Outbox {
    /// An outbox in which at most `bytes_max` bytes may wait (`limits.client_output_bytes_max`), in
    /// buffers that it takes from `buffers` while it needs any.
    pub fn new(bytes_max: usize, buffers: Rc<Buffers>) -> Outbox {
        Outbox {
            state: RefCell::new(State {
                ready: Vec::new(),
                first: 0,
                slots: VecDeque::new(),
                road: None,
                claims: 0,
                kept_bytes: 0,
                waker: None,
                broken: None,
                closed: false,
            }),
            bytes_max,
            buffers,
        }
    }

    /// Whether a request may start on `road` with `claim` while others are on their way.
    pub fn may_start(&self, road: Road, claim: Claim) -> bool {
        let state = self.state.borrow();
        if state.slots.is_empty() {
            return true;
        }
        if state.road.is_some_and(|busy| busy != road) {
            return false;
        }
        match claim {
            Claim::Alone => false,
            _ if state.claims == 0 => true,
            Claim::Free => !state.slots.iter().any(|slot| slot.claim == Claim::Alone),
            Claim::Session(handle) | Claim::Reads(handle) => !state
                .slots
                .iter()
                .any(|slot| slot.claim == Claim::Alone || slot.claim == Claim::Session(handle)),
        }
    }

    /// A place for a request that starts now.
    pub fn begin(&self, road: Road, claim: Claim) -> Place {
        let mut state = self.state.borrow_mut();
        state.road = Some(road);
        state.claims += usize::from(claim.holds());
        state.slots.push_back(Slot {
            bytes: Vec::new(),
            done: false,
            claim,
        });
        state.first + state.slots.len() as Place - 1
    }

    /// Gives up the claim of a request that has sent everything order depends on.
    pub fn settle(&self, place: Place) {
        let mut state = self.state.borrow_mut();
        let index = place.wrapping_sub(state.first) as usize;
        let settled = match state.slots.get_mut(index) {
            Some(slot) if matches!(slot.claim, Claim::Session(_)) => {
                slot.claim = Claim::Free;
                true
            }
            _ => false,
        };
        if settled {
            state.claims -= 1;
            state.wake();
        }
    }

    /// The whole reply of a request that was answered at once, behind all earlier ones.
    pub fn answer(&self, reply: &[u8]) {
        let place = {
            let mut state = self.state.borrow_mut();
            if state.slots.is_empty() {
                state.add(&self.buffers, reply);
                if state.ready.len() > self.bytes_max {
                    state.break_off(Broken::Unread);
                }
                return;
            }
            state.slots.push_back(Slot {
                bytes: Vec::new(),
                done: false,
                claim: Claim::Free,
            });
            state.first + state.slots.len() as Place - 1
        };
        self.finish(place, reply);
    }

    /// A piece of a reply that goes on. Answers whether the client still wants it.
    pub fn push(&self, place: Place, piece: &[u8]) -> bool {
        self.put(place, piece, false)
    }

    /// The reply, or the last piece of it.
    pub fn finish(&self, place: Place, piece: &[u8]) {
        self.put(place, piece, true);
    }

    fn put(&self, place: Place, piece: &[u8], last: bool) -> bool {
        let mut state = self.state.borrow_mut();
        if state.closed {
            return false;
        }
        if place == state.first {
            state.add(&self.buffers, piece);
            if last {
                state.advance(&self.buffers);
            }
        } else {
            let index = place.wrapping_sub(state.first) as usize;
            if let Some(slot) = state.slots.get_mut(index) {
                slot.bytes.extend_from_slice(piece);
                slot.done = last;
                state.kept_bytes += piece.len();
            }
        }
        if state.ready.len() + state.kept_bytes > self.bytes_max {
            state.break_off(Broken::Unread);
        }
        state.wake();
        true
    }

    /// Gives up: nothing sensible can follow for this client.
    pub fn break_off(&self, why: Broken) {
        let mut state = self.state.borrow_mut();
        state.break_off(why);
        state.wake();
    }

    /// Moves the bytes that may go to the client to the end of `out`, whose buffer goes back to
    /// [`Buffers`] when it is written. Answers whether something broke, so that nothing follows.
    pub fn take(&self, out: &mut Vec<u8>) -> Option<Broken> {
        let mut state = self.state.borrow_mut();
        if out.is_empty() {
            std::mem::swap(out, &mut state.ready);
        } else {
            out.append(&mut state.ready);
        }
        state.broken
    }

    /// How many requests are on their way, and how many bytes of replies are kept for the client.
    pub fn load(&self) -> (usize, usize) {
        let state = self.state.borrow();
        (state.slots.len(), state.ready.len() + state.kept_bytes)
    }

    /// How many requests are on their way.
    pub fn waiting(&self) -> usize {
        self.state.borrow().slots.len()
    }

    /// Remembers whom to wake when something is ready or a request may start.
    pub fn register(&self, waker: &Waker) {
        let mut state = self.state.borrow_mut();
        match &state.waker {
            Some(known) if known.will_wake(waker) => {}
            _ => state.waker = Some(waker.clone()),
        }
    }

    /// Wakes the client's task.
    pub fn wake(&self) {
        self.state.borrow().wake();
    }

    /// The client is gone: replies that still come are dropped.
    pub fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.closed = true;
        state.slots = VecDeque::new();
        state.ready = Vec::new();
        state.waker = None;
    }

    /// Gives back memory that an idle client does not need.
    pub fn release(&self) {
        let mut state = self.state.borrow_mut();
        if state.ready.is_empty() && state.ready.capacity() > 0 {
            self.buffers.give(std::mem::take(&mut state.ready));
        }
        if state.slots.is_empty() && state.slots.capacity() * size_of::<Slot>() > IDLE_BYTES_MAX {
            state.slots = VecDeque::new();
        }
    }
}

impl State {
    fn add(&mut self, buffers: &Buffers, bytes: &[u8]) {
        if self.ready.capacity() == 0 {
            self.ready = buffers.take();
        }
        self.ready.extend_from_slice(bytes);
    }

    /// The first place is done: so may be those behind it.
    fn advance(&mut self, buffers: &Buffers) {
        loop {
            let Some(slot) = self.slots.pop_front() else {
                return;
            };
            self.first += 1;
            self.claims -= usize::from(slot.claim.holds());
            match self.slots.front_mut() {
                None => {
                    self.road = None;
                    return;
                }
                Some(next) => {
                    let bytes = std::mem::take(&mut next.bytes);
                    let done = next.done;
                    self.kept_bytes -= bytes.len();
                    self.add(buffers, &bytes);
                    if !done {
                        return;
                    }
                }
            }
        }
    }

    fn break_off(&mut self, why: Broken) {
        self.broken.get_or_insert(why);
        self.closed = true;
        if why == Broken::Unread {
            self.ready = Vec::new();
        }
        self.slots = VecDeque::new();
        self.kept_bytes = 0;
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Road = Road::Plain(2, 0);

    fn taken(outbox: &Outbox) -> String {
        let mut out = Vec::new();
        assert_eq!(outbox.take(&mut out), None);
        String::from_utf8(out).expect("tests write text")
    }

    fn handle(last: u8) -> Handle {
        let mut text = *b"AAAAAAAAAAAAAAAA";
        text[15] = last;
        Handle::parse(&text).expect("a handle")
    }

    #[test]
    fn replies_leave_in_the_order_of_their_requests() {
        let outbox = Outbox::new(1000, Rc::default());
        let [a, b, c] = [(); 3].map(|()| outbox.begin(PLAIN, Claim::Free));
        outbox.finish(c, b"c");
        outbox.answer(b"d");
        assert_eq!(taken(&outbox), "");
        outbox.push(a, b"a");
        assert_eq!(taken(&outbox), "a", "the first reply goes out in pieces");
        outbox.finish(a, b"A");
        assert_eq!(taken(&outbox), "A");
        outbox.finish(b, b"b");
        assert_eq!(taken(&outbox), "bcd");
        assert_eq!(outbox.waiting(), 0);
        outbox.answer(b"e");
        assert_eq!(taken(&outbox), "e");
    }

    #[test]
    fn one_road_at_a_time_and_claims_hold() {
        let outbox = Outbox::new(1000, Rc::default());
        let (one, two) = (Claim::Session(handle(b'1')), Claim::Session(handle(b'2')));
        let place = outbox.begin(Road::Session, one);
        assert!(!outbox.may_start(PLAIN, Claim::Free), "another lane");
        assert!(!outbox.may_start(Road::Session, one), "the same session");
        assert!(outbox.may_start(Road::Session, two));
        assert!(outbox.may_start(Road::Session, Claim::Free));
        assert!(!outbox.may_start(Road::Session, Claim::Alone));
        outbox.settle(place);
        assert!(outbox.may_start(Road::Session, one), "all was sent");
        outbox.finish(place, b"");
        let alone = outbox.begin(Road::Session, Claim::Alone);
        outbox.settle(alone);
        assert!(
            !outbox.may_start(Road::Session, Claim::Free),
            "alone to the end"
        );
        outbox.finish(alone, b"");
        assert!(outbox.may_start(PLAIN, Claim::Alone));
    }

    #[test]
    fn an_unread_client_is_broken_off() {
        let outbox = Outbox::new(10, Rc::default());
        let place = outbox.begin(PLAIN, Claim::Free);
        assert!(outbox.push(place, b"12345678901"));
        assert!(!outbox.push(place, b"more"));
        assert_eq!(outbox.take(&mut Vec::new()), Some(Broken::Unread));
        assert_eq!(outbox.load(), (0, 0));
    }
}
