//! The upstream: lanes, and what carries them.
//!
//! * [`lane`]: one shared connection, its requests and replies
//! * [`queue`]: what a lane owes to whom, and what becomes of it when time or connection run out
//! * [`link`]: a connection opened and introduced
//! * [`target`]: the URL
//! * `memory`: the embedded engine behind an in-memory stream
//!
//! No command and no session is known here; requests are bytes with a number of replies.

pub mod lane;
pub mod link;
mod memory;
pub mod queue;
pub mod target;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

pub use lane::{Lane, Shared};
pub use queue::Receiver;
pub use target::Target;

use crate::error::Error;
use crate::outbox::Road;
use crate::resp::Protocol;

/// Most lanes for plain commands that a worker opens: one a protocol and database in use.
const PLAIN_LANES_MAX: usize = 64;

/// A worker's lanes to the upstream.
pub struct Upstream {
    shared: Rc<Shared>,
    session: Lane,
    /// Few, and looked up for each request: a list is found through faster than a hash is made.
    plain: RefCell<Vec<(PlainKey, Lane)>>,
}

/// What a lane for plain commands is bound to: a protocol's number and a database.
type PlainKey = (u8, u32);

impl Upstream {
    /// Opens the lane of the SESS.* commands; others follow when they are needed.
    pub fn start(shared: Shared) -> Upstream {
        let shared = Rc::new(shared);
        Upstream {
            // Session commands read RESP2: it is the same in all versions, and simplest.
            session: Lane::start(&shared, Protocol::Resp2, shared.target.database),
            plain: RefCell::default(),
            shared,
        }
    }

    /// What the lanes share.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The lane of the SESS.* commands.
    pub fn session(&self) -> &Lane {
        &self.session
    }

    /// The lane of plain commands of clients that speak `protocol` and have selected `database`.
    ///
    /// # Errors
    /// Too many databases are in use at a time.
    pub fn plain(&self, protocol: Protocol, database: u32) -> Result<Lane, Error> {
        let key = (protocol.number(), database);
        let mut lanes = self.plain.borrow_mut();
        let known = lanes.iter().find(|(known, _)| *known == key);
        if let Some((_, lane)) = known.filter(|(_, lane)| !lane.has_ended()) {
            return Ok(lane.clone());
        }
        lanes.retain(|(_, lane)| !lane.has_ended());
        let is_configured = database == self.shared.target.database;
        if lanes.len() >= PLAIN_LANES_MAX && !is_configured && !make_room(&mut lanes) {
            return Err(Error::client(format!(
                "ERR too many databases in use through this sidecar, at most {PLAIN_LANES_MAX} \
                 pairs of protocol and database are allowed"
            )));
        }
        let lane = Lane::start(&self.shared, protocol, database);
        lanes.push((key, lane.clone()));
        Ok(lane)
    }

    /// The lane that a request on `road` takes.
    ///
    /// # Errors
    /// As for [`Upstream::plain`].
    pub fn lane(&self, road: Road) -> Result<Lane, Error> {
        match road {
            Road::Session => Ok(self.session.clone()),
            Road::Plain(2, database) => self.plain(Protocol::Resp2, database),
            Road::Plain(_, database) => self.plain(Protocol::Resp3, database),
        }
    }
}

/// Closes the lane that has been idle for longest; answers whether there was one.
fn make_room(lanes: &mut Vec<(PlainKey, Lane)>) -> bool {
    let idle = lanes
        .iter()
        .enumerate()
        .filter_map(|(index, (_, lane))| Some((lane.idle_since()?, index)));
    match idle.min() {
        Some((_, index)) => {
            lanes.swap_remove(index).1.close();
            true
        }
        None => false,
    }
}

/// Now, in ms since 1970.
pub fn epoch_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}
