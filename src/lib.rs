//! Sessile: a session sidecar for Redis.
//!
//! One small process beside each application. It speaks RESP on localhost, so every Redis client is
//! already a client of it. `SESS.*` commands bring the semantics of a session store and become a few
//! pipelined hash, expire and set commands on the upstream Redis; everything else passes through.
//!
//! # The road of a request
//!
//! ```text
//!            client task                        engine                      lane task
//!  bytes -> decode -> one of ours? --row--> open the session -> plan --> requests of all clients,
//!             |  \                                               ^         one write a turn
//!             |   plain: facts --------------------------------------->        |
//!             |                                                  |         upstream
//!             |                                              fold|             |
//!  bytes <- outbox: replies in the order of the requests <-------+------ replies, spliced as bytes
//! ```
//!
//! A client belongs to one worker for life, a worker is one thread, and nothing a request touches on
//! its way crosses to another thread: no lock, no channel, no wake-up across threads. A lane is one
//! upstream connection of a worker, shared by all its clients; their requests leave together in one
//! write, which is why many clients that do not pipeline become one that does.
//!
//! # The house
//!
//! Imports go downwards only. A library lives in one room, so that it can be replaced by rewriting
//! one folder; it is named behind the floor.
//!
//! ```text
//!  8  main.rs       command line, configuration, run, exit code                      clap
//!  7  server/       listeners, workers, clients, who is connected                    dashmap, socket2, rustix
//!     ping.rs       the health probe
//!  6  engine.rs     the life of one request, on one screen: knows everybody
//!     explain.rs    what a command would send
//!  5  upstream/     lanes, their queues, connections                                 redis (URLs), tokio
//!     outbox.rs     one client's replies, in order;   buffers.rs: output buffers
//!  4  embedded/     an engine in this process, for development and tests             indexmap
//!  3  command/      the table: a row of facts and two pure functions a command
//!  2  session/      token, keys, record, timeouts                                    sha2, subtle, base64, getrandom
//!     plan.rs       batches of upstream commands, and steps
//!  1  resp/         bytes to requests and replies and back                           redis-protocol, memchr, itoa
//!  0  config/  error.rs  metrics.rs  logging.rs                                      serde, toml, tracing
//! ```
//!
//! Floors 0 to 4 are plain functions over bytes and numbers: no socket, no clock, no task. Time is an
//! argument.
//!
//! # What is deliberately absent
//!
//! * No tree is built of a reply that passes through; the lane finds its end and copies bytes.
//! * No Lua, no `WATCH`, no keyspace notification, no `CONFIG SET` upstream.
//! * No token and no secret is in a log line, a metric, an index or a Redis key; `session/token.rs`
//!   keeps only the hash of a secret it reads.
//! * No queue without a named bound (`sidecar.toml` has them all).
//! * No timer for batching: a lane's task runs behind the clients of the same turn.
//!
//! # Reading order
//!
//! [`session`] and [`command`] for what it does, [`plan`] for how commands ask, [`outbox`] and
//! [`upstream::lane`] for how it is fast, [`engine`] for how it fits together.

pub mod session;

pub mod command;
pub mod plan;

pub mod resp;

pub mod buffers;
pub mod outbox;
pub mod upstream;

pub mod engine;
mod explain;

pub mod ping;
pub mod server;

pub mod embedded;

pub mod config;
pub mod error;
pub mod logging;
pub mod metrics;
