//! What the sidecar costs when it does nothing: its start, its memory, and the memory of a client that is silent.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Outcome;
use crate::processes::{Peers, ping, sidecar};
use crate::report::median;

const STARTS: usize = 11;
const IDLE_CLIENTS: usize = 10_000;
/// Descriptors that are needed beside those of the clients, here and in the sidecar.
const OTHER_DESCRIPTORS: usize = 500;

pub struct Footprint {
    /// From the start of the process to the first PONG, median.
    pub start_ms: f64,
    /// Resident memory right after the first PONG, median.
    pub resident_mib: f64,
    /// How many idle clients were connected.
    pub clients: usize,
    /// Additional resident memory for each of them.
    pub client_kib: f64,
}

/// `None` if there is no sidecar.
pub fn measure(peers: &Peers) -> Outcome<Option<Footprint>> {
    if peers.sidecar.is_none() {
        return Ok(None);
    }
    let mut starts_ms = Vec::new();
    let mut residents_mib = Vec::new();
    for _ in 0..STARTS {
        let started = sidecar(&peers.directory, &peers.redis, &[])?;
        starts_ms.push(started.ready_after.as_secs_f64() * 1e3);
        residents_mib.push(started.resident_kib()? as f64 / 1024.0);
    }
    let (clients, client_kib) = idle_clients(peers)?;
    Ok(Some(Footprint {
        start_ms: median(starts_ms),
        resident_mib: median(residents_mib),
        clients,
        client_kib,
    }))
}

/// Connects many clients that ask once and then say nothing. Returns how many, and KiB for each.
fn idle_clients(peers: &Peers) -> Outcome<(usize, f64)> {
    let wanted = descriptors(IDLE_CLIENTS + OTHER_DESCRIPTORS)?.saturating_sub(OTHER_DESCRIPTORS);
    let clients = IDLE_CLIENTS.min(wanted);
    if clients < IDLE_CLIENTS {
        eprintln!(
            "the limit of open files allows only {clients} idle clients instead of {IDLE_CLIENTS}"
        );
    }
    let sidecar = sidecar(
        &peers.directory,
        &peers.redis,
        &["--set", "listen.clients_max=20000"],
    )?;
    let before_kib = sidecar.resident_kib()?;
    let connected = (0..clients)
        .map(|_| ping(sidecar.address))
        .collect::<Outcome<Vec<_>>>()?;
    // What the sidecar does after the last reply is part of the price.
    std::thread::sleep(Duration::from_millis(200));
    let more_kib = sidecar.resident_kib()?.saturating_sub(before_kib);
    drop(connected);
    Ok((clients, more_kib as f64 / clients as f64))
}

/// Raises the limit of open files to `wanted`, or as far as it goes. Children started from now on inherit it.
fn descriptors(wanted: usize) -> Outcome<usize> {
    let limit = getrlimit(Resource::Nofile);
    let possible = limit
        .maximum
        .map_or(wanted as u64, |hard| hard.min(wanted as u64));
    if limit.current.is_some_and(|soft| soft < possible) {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(possible),
                maximum: limit.maximum,
            },
        )?;
    }
    Ok(possible as usize)
}
