//! Who is connected, to all workers: for `CLIENT LIST` and `CLIENT INFO`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dashmap::DashMap;

use super::listen::Stream;
use crate::resp::Protocol;

/// All clients by their ids.
#[derive(Default)]
pub struct Registry(DashMap<u64, Arc<Entry>>);

/// What is known of a client. Its worker writes, anybody reads.
pub struct Entry {
    /// `CLIENT ID`.
    pub id: u64,
    peer: Peer,
    since: Instant,
    /// Seconds from `since` to the last request.
    active_s: AtomicU32,
    database: AtomicU32,
    protocol: AtomicU64,
    names: Mutex<Option<Box<Names>>>,
}

enum Peer {
    Tcp(SocketAddr, SocketAddr),
    Unix(String),
}

/// What a client calls itself. Most say nothing, so it is made on demand.
#[derive(Clone, Default)]
pub struct Names {
    /// `CLIENT SETNAME`.
    pub name: String,
    /// `CLIENT SETINFO LIB-NAME`.
    pub lib_name: String,
    /// `CLIENT SETINFO LIB-VER`.
    pub lib_ver: String,
}

impl Registry {
    /// Enters a client.
    pub fn enter(&self, id: u64, stream: &Stream, database: u32) -> Arc<Entry> {
        let peer = match stream {
            Stream::Tcp(_, peer, ours) => Peer::Tcp(*peer, *ours),
            Stream::Unix(_, path) => Peer::Unix(path.clone()),
        };
        let entry = Arc::new(Entry {
            id,
            peer,
            since: Instant::now(),
            active_s: AtomicU32::new(0),
            database: AtomicU32::new(database),
            protocol: AtomicU64::new(2),
            names: Mutex::new(None),
        });
        self.0.insert(id, entry.clone());
        entry
    }

    /// Removes a client.
    pub fn leave(&self, id: u64) {
        self.0.remove(&id);
    }

    /// A line for each client whose id is `wanted`, oldest first.
    pub fn list(&self, wanted: impl Fn(u64) -> bool) -> String {
        let mut lines: Vec<(u64, String)> = self
            .0
            .iter()
            .filter(|entry| wanted(entry.id))
            .map(|entry| (entry.id, entry.line()))
            .collect();
        lines.sort();
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }
}

impl Entry {
    /// It has just asked for something.
    pub fn active(&self, now: Instant) {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        self.active_s.store(
            u32::try_from(seconds).unwrap_or(u32::MAX),
            Ordering::Relaxed,
        );
    }

    /// It speaks this now, and has selected this.
    pub fn settled(&self, protocol: Protocol, database: u32) {
        self.protocol
            .store(protocol.number().into(), Ordering::Relaxed);
        self.database.store(database, Ordering::Relaxed);
    }

    /// What it calls itself.
    pub fn names(&self) -> Names {
        self.lock().as_deref().cloned().unwrap_or_default()
    }

    /// Changes what it calls itself.
    pub fn rename(&self, change: impl FnOnce(&mut Names)) {
        change(self.lock().get_or_insert_default());
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Names>>> {
        // Names are replaced whole, so a poisoned lock holds nothing broken.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line of `CLIENT LIST` and `CLIENT INFO`, in Redis's form.
    pub fn line(&self) -> String {
        let names = self.names();
        let (addr, laddr) = match &self.peer {
            Peer::Tcp(peer, ours) => (peer.to_string(), ours.to_string()),
            Peer::Unix(path) => (format!("{path}:0"), format!("{path}:0")),
        };
        let age_s = self.since.elapsed().as_secs();
        format!(
            "id={} addr={addr} laddr={laddr} name={} age={age_s} idle={} flags={} db={} sub=0 psub=0 \
             ssub=0 multi=-1 user=default lib-name={} lib-ver={} resp={}",
            self.id,
            names.name,
            age_s.saturating_sub(self.active_s.load(Ordering::Relaxed).into()),
            if matches!(self.peer, Peer::Unix(_)) {
                "U"
            } else {
                "N"
            },
            self.database.load(Ordering::Relaxed),
            names.lib_name,
            names.lib_ver,
            self.protocol.load(Ordering::Relaxed),
        )
    }
}
