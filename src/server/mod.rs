//! The server: listeners, workers, their clients, and how it all ends.
//!
//! ```text
//!   this thread          accepts, and hears signals
//!     | a connection, to the worker with the fewest
//!     v
//!   worker threads       a current-thread runtime each; a client stays with its worker for life
//! ```
//!
//! * [`listen`]: sockets to accept from
//! * `worker`: one thread's clients, and its drain
//! * `client`: one connection: decode, start, answer in order, one write per wake-up
//! * `connection`: the commands that concern the client's own connection
//! * `registry`: who is connected, for `CLIENT LIST`

mod client;
mod connection;
mod listen;
mod registry;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;

use crate::config::{Config, redacted_url};
use crate::embedded::Embedded;
use crate::metrics::Metrics;
use crate::upstream::Target;
use crate::upstream::target::Place;
use listen::{Listener, Stream};
use registry::Registry;
use worker::WorkerHandle;

/// How long accepting pauses when the system has no more descriptors: trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all workers share.
pub struct Common {
    config: Arc<Config>,
    target: Target,
    embedded: Embedded,
    metrics: Arc<Metrics>,
    registry: Registry,
}

/// Serves until told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// One line: what could not be started, and why.
pub fn run(config: Config) -> Result<(), String> {
    let target = Target::parse(&config.upstream.url)?;
    raise_open_files_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the event loop: {error}"))?;
    runtime.block_on(async move {
        let listeners = listen::bind_all(&config.listen)?;
        let common = Arc::new(Common {
            target,
            embedded: Embedded::new(),
            metrics: Arc::default(),
            registry: Registry::default(),
            config: Arc::new(config),
        });
        serve(listeners, common).await
    })
}

async fn serve(listeners: Vec<Listener>, common: Arc<Common>) -> Result<(), String> {
    let signals = |kind| signal(kind).map_err(|error| format!("cannot hear signals: {error}"));
    let (mut terminate, mut interrupt) = (
        signals(SignalKind::terminate())?,
        signals(SignalKind::interrupt())?,
    );
    let workers: Vec<WorkerHandle> = (0..common.config.listen.workers)
        .map(|index| worker::start(index, common.clone()))
        .collect::<Result<_, _>>()?;
    announce(&listeners, &common);

    let workers = Arc::new(workers);
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(accept(listener, workers.clone(), common.clone())))
        .collect();
    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(
        signal,
        "draining: no new clients, running commands get their replies"
    );
    accepting.iter().for_each(tokio::task::JoinHandle::abort);
    for task in accepting {
        // An aborted task answers that it was; the listener is closed by then.
        let _ = task.await;
    }
    // Before the drain: the process that follows us may be listening on the same path by its end.
    listen::remove_sockets(&common.config.listen);
    let drained = drain(&workers, &common.config).await;
    match drained {
        true => tracing::info!("all clients drained, bye"),
        false => tracing::warn!("listen.drain_ms is over, closing the remaining clients"),
    }
    Ok(())
}

/// Asks every worker to finish; answers whether all did in time.
async fn drain(workers: &[WorkerHandle], config: &Config) -> bool {
    workers.iter().for_each(WorkerHandle::drain);
    let limit = Duration::from_millis(config.listen.drain_ms);
    let all = async {
        for worker in workers {
            worker.drained().await;
        }
    };
    tokio::time::timeout(limit, all).await.is_ok()
}

async fn accept(listener: Listener, workers: Arc<Vec<WorkerHandle>>, common: Arc<Common>) {
    loop {
        match listener.accept().await {
            Ok(stream) => dispatch(stream, &workers, &common),
            Err(error) => {
                tracing::error!(%error, "cannot accept clients");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Gives a client to the worker with the fewest: balanced by count, not by luck.
fn dispatch(stream: Stream, workers: &[WorkerHandle], common: &Common) {
    let metrics = &common.metrics;
    if metrics.connected_clients.get() >= common.config.listen.clients_max as u64 {
        metrics.rejected_connections.add();
        stream.turn_away("ERR max number of clients reached (listen.clients_max)");
        return;
    }
    metrics.connected_clients.add();
    metrics.total_connections.add();
    if let Some(worker) = workers.iter().min_by_key(|worker| worker.clients()) {
        worker.give(stream);
    }
}

fn announce(listeners: &[Listener], common: &Common) {
    for listener in listeners {
        tracing::info!(address = %listener.address(), "listening");
    }
    let url = redacted_url(&common.config.upstream.url);
    tracing::info!(
        upstream = url,
        workers = common.config.listen.workers,
        "serving"
    );
    if common.target.place == Place::Embedded {
        tracing::warn!(
            "the embedded upstream is for development and tests: nothing survives this process; \
             set upstream.url to use a Redis"
        );
    }
}

/// Ten thousand clients need as many descriptors; the usual soft limit is 1024.
fn raise_open_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// Hands streams to a worker.
type Inbox = UnboundedSender<Stream>;

/// Numbers for `CLIENT ID`, unique for the life of the process.
fn next_client_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
