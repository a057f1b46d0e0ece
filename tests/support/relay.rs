//! A wire between sidecar and Redis that a test can hold, cut, or break in the middle of a reply.
//!
//! Stopping redis-server stops every connection for as long as it lasts; a relay lets a test decide
//! to the byte what the sidecar has seen when the trouble begins.

use super::process::free_port;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Forwards connections to a server until told otherwise.
pub struct Relay {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Replies wait here, as if Redis were slow.
    held: AtomicBool,
    /// The pause before each few bytes of replies, in ms; 0: they pass as they come.
    pause_ms: AtomicU64,
    /// New connections are closed at once.
    refuse: AtomicBool,
    /// Bytes of replies that may still pass before every connection is cut; negative: no limit.
    budget: AtomicI64,
    /// Both ends of every connection.
    open: Mutex<Vec<TcpStream>>,
    /// Bytes of requests that went through.
    requested: AtomicU64,
    /// Set when the relay is dropped.
    ended: AtomicBool,
}

impl Relay {
    /// A wire to `upstream_port` on the loopback.
    pub fn start(upstream_port: u16) -> Relay {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port for the relay");
        let state = Arc::new(State {
            budget: AtomicI64::new(-1),
            ..State::default()
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                if shared.refuse.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", upstream_port)) else {
                    continue;
                };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let copy = |s: &TcpStream| s.try_clone().expect("a second handle");
                shared
                    .open
                    .lock()
                    .unwrap()
                    .extend([copy(&client), copy(&server)]);
                let (from, to, state) = (copy(&client), copy(&server), shared.clone());
                std::thread::spawn(move || forward_requests(from, to, &state));
                let state = shared.clone();
                std::thread::spawn(move || forward_replies(server, client, &state));
            }
        });
        Relay { port, state }
    }

    /// What the sidecar is given as its upstream.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on replies wait; requests still go through.
    pub fn hold_replies(&self) {
        self.state.held.store(true, Ordering::SeqCst);
    }

    /// Lets all waiting replies go.
    pub fn release(&self) {
        self.state.held.store(false, Ordering::SeqCst);
    }

    /// From now on replies come a few bytes at a time, each after a pause.
    pub fn trickle_replies(&self, pause: Duration) {
        let pause_ms = pause.as_millis() as u64;
        self.state.pause_ms.store(pause_ms, Ordering::SeqCst);
    }

    /// Closes every connection; new ones are served.
    pub fn cut(&self) {
        for stream in self.state.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Closes every connection and refuses new ones, until `allow`.
    pub fn cut_and_refuse(&self) {
        self.state.refuse.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Takes new connections again.
    pub fn allow(&self) {
        self.state.refuse.store(false, Ordering::SeqCst);
    }

    /// Cuts every connection once, after `bytes` more bytes of replies: usually inside one.
    pub fn cut_after(&self, bytes: u64) {
        self.state.budget.store(bytes as i64, Ordering::SeqCst);
    }

    /// Bytes of requests that reached Redis so far.
    pub fn requested(&self) -> u64 {
        self.state.requested.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the listening thread, which then sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn forward_requests(mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut chunk = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        if to.write_all(&chunk[..count]).is_err() {
            break;
        }
        state.requested.fetch_add(count as u64, Ordering::SeqCst);
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn forward_replies(mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut chunk = [0; 16 * 1024];
    loop {
        let pause_ms = state.pause_ms.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(pause_ms));
        let room = if pause_ms == 0 { chunk.len() } else { 8 };
        let Ok(count @ 1..) = from.read(&mut chunk[..room]) else {
            break;
        };
        while state.held.load(Ordering::SeqCst) && !state.ended.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let budget = state.budget.load(Ordering::SeqCst);
        let pass = if budget < 0 {
            count
        } else {
            count.min(budget as usize)
        };
        if to.write_all(&chunk[..pass]).is_err() {
            break;
        }
        if budget >= 0 {
            let left = budget - pass as i64;
            state
                .budget
                .store(if left == 0 { -1 } else { left }, Ordering::SeqCst);
            if left == 0 {
                break;
            }
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
