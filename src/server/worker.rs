//! One worker: a thread with a current-thread runtime, its lanes and its clients. Nothing a request
//! touches on its way crosses to another thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;

use super::listen::Stream;
use super::{Common, Inbox, client, next_client_id};
use crate::buffers::Buffers;
use crate::engine::Worker;
use crate::outbox::Outbox;
use crate::session::Keys;
use crate::upstream::{Shared, Upstream};

/// Bytes that one read from a client may bring. One buffer serves all clients of a worker, so an
/// idle client holds none.
pub const READ_BYTES: usize = 64 * 1024;

/// A worker as the accepting thread sees it.
pub struct WorkerHandle {
    inbox: Inbox,
    clients: Arc<AtomicUsize>,
    draining: watch::Sender<bool>,
    drained: Arc<Notify>,
}

impl WorkerHandle {
    /// How many clients it has.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Gives it a client.
    pub fn give(&self, stream: Stream) {
        self.clients.fetch_add(1, Ordering::Relaxed);
        // The worker outlives its inbox: it only ends with the process.
        let _ = self.inbox.send(stream);
    }

    /// Asks it to finish what was asked and to close its clients.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Waits until it has.
    pub async fn drained(&self) {
        self.drained.notified().await;
    }
}

/// What a worker's clients share.
pub struct Room {
    /// The engine's side.
    pub worker: Rc<Worker>,
    /// What all workers share.
    pub common: Arc<Common>,
    /// Output buffers, lent to clients that have something to write.
    pub buffers: Rc<Buffers>,
    /// The one read buffer.
    pub scratch: RefCell<Box<[u8]>>,
    /// Whether clients should finish and go.
    pub draining: Cell<bool>,
    clients: Arc<AtomicUsize>,
    outboxes: RefCell<HashMap<u64, Weak<Outbox>>>,
    empty: Notify,
}

impl Room {
    /// A client is here; its outbox can wake it.
    pub fn enter(&self, id: u64, outbox: &Rc<Outbox>) {
        self.outboxes.borrow_mut().insert(id, Rc::downgrade(outbox));
    }

    /// A client is gone.
    pub fn leave(&self, id: u64) {
        self.outboxes.borrow_mut().remove(&id);
        self.clients.fetch_sub(1, Ordering::Relaxed);
        self.common.metrics.connected_clients.sub();
        self.common.registry.leave(id);
        self.empty.notify_one();
    }
}

/// Starts the thread of worker number `index`.
///
/// # Errors
/// One line: the system gives no thread or no event loop.
pub fn start(index: usize, common: Arc<Common>) -> Result<WorkerHandle, String> {
    let fail = |error: std::io::Error| format!("cannot start worker {index}: {error}");
    let (inbox, arrivals) = unbounded_channel();
    let (draining, drain_asked) = watch::channel(false);
    let handle = WorkerHandle {
        inbox,
        clients: Arc::default(),
        draining,
        drained: Arc::default(),
    };
    let (clients, drained) = (handle.clients.clone(), handle.drained.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(fail)?;
    std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            LocalSet::new().block_on(&runtime, async move {
                run(common, clients, arrivals, drain_asked).await;
                drained.notify_one();
            });
        })
        .map_err(fail)?;
    Ok(handle)
}

async fn run(
    common: Arc<Common>,
    clients: Arc<AtomicUsize>,
    mut arrivals: UnboundedReceiver<Stream>,
    mut drain_asked: watch::Receiver<bool>,
) {
    let upstream = Upstream::start(Shared {
        target: common.target.clone(),
        embedded: common.embedded.clone(),
        config: common.config.upstream.clone(),
        metrics: common.metrics.clone(),
        server: RefCell::default(),
    });
    let room = Rc::new(Room {
        worker: Rc::new(Worker {
            config: common.config.clone(),
            keys: Keys::new(&common.config.session.prefix),
            upstream,
            metrics: common.metrics.clone(),
            superseded_told: Cell::new(None),
        }),
        common,
        buffers: Rc::default(),
        scratch: RefCell::new(vec![0; READ_BYTES].into()),
        draining: Cell::new(false),
        clients,
        outboxes: RefCell::default(),
        empty: Notify::new(),
    });
    loop {
        tokio::select! {
            Some(stream) = arrivals.recv() => welcome(&room, stream),
            _ = drain_asked.changed() => break,
        }
    }
    // Who was accepted before the listeners closed is served like the others.
    while let Ok(stream) = arrivals.try_recv() {
        welcome(&room, stream);
    }
    room.draining.set(true);
    let outboxes: Vec<_> = room.outboxes.borrow().values().cloned().collect();
    for outbox in outboxes.iter().filter_map(Weak::upgrade) {
        outbox.wake();
    }
    while room.clients.load(Ordering::Relaxed) > 0 {
        room.empty.notified().await;
    }
}

fn welcome(room: &Rc<Room>, stream: Stream) {
    let id = next_client_id();
    let database = room.common.target.database;
    let entry = room.common.registry.enter(id, &stream, database);
    match client::Client::new(room.clone(), entry, stream) {
        Ok(client) => {
            tokio::task::spawn_local(client.run());
        }
        Err(error) => {
            tracing::warn!(%error, "cannot serve a client");
            room.leave(id);
        }
    }
}
