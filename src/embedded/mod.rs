//! The embedded upstream: a small in-process Redis, for development and tests.
//!
//! It knows the commands that session plans and common session libraries use, and answers them
//! byte for byte as Redis 7.0 does. It must not know sockets, tasks, clocks or anything of
//! sessions: requests come as arguments, replies leave as bytes, and the time is an argument.
//! Nothing survives the process.
//!
//! In reading order: [`Embedded`] and [`Connection`] here; `table` (every command); `store`,
//! `value` and `sorted_set` (the data); `string`, `hash`, `set`, `zset`, `zset_range` and `keys`
//! (commands on data); `connection`, `server` and `transaction` (the other commands); `parse` and
//! `fault` (numbers, patterns, error texts).

mod connection;
mod fault;
mod hash;
mod keys;
mod parse;
mod script;
mod server;
mod set;
mod sorted_set;
mod store;
mod string;
mod table;
mod transaction;
mod value;
mod zset;
mod zset_range;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::resp::{Protocol, write};
use store::Store;
use table::{Call, Data, Row, Run};
use transaction::{Queue, Watched};

/// One engine, shared by all connections of the process whatever thread they live on.
#[derive(Clone)]
pub struct Embedded(Arc<Mutex<Store>>);

impl Embedded {
    /// An engine with sixteen empty databases.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Store::new())))
    }

    /// A new connection: RESP2, database 0.
    pub fn connect(&self) -> Connection {
        let id = {
            let mut store = lock(&self.0);
            store.clients += 1;
            store.last_client_id += 1;
            store.last_client_id
        };
        Connection {
            store: self.0.clone(),
            client: Client::new(id),
        }
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self::new()
    }
}

/// One connection to an [`Embedded`] engine.
pub struct Connection {
    store: Arc<Mutex<Store>>,
    client: Client,
}

/// What a connection remembers between commands.
struct Client {
    id: u64,
    /// Always below [`store::DATABASES`].
    db: usize,
    protocol: Protocol,
    /// As `CLIENT SETNAME` set it, empty for none.
    name: Vec<u8>,
    /// The commands since MULTI, if there was one.
    queue: Option<Queue>,
    watched: Vec<Watched>,
}

impl Client {
    fn new(id: u64) -> Self {
        Self {
            id,
            db: 0,
            protocol: Protocol::default(),
            name: Vec::new(),
            queue: None,
            watched: Vec::new(),
        }
    }
}

impl Connection {
    /// Executes one command and appends its reply to `out`. `args` begins with the command's name;
    /// `now_ms` is the time in epoch milliseconds. An empty command has no reply, as in Redis.
    ///
    /// Commands of all connections are executed one after another, and an EXEC as one.
    pub fn execute(&mut self, args: &[&[u8]], now_ms: i64, out: &mut Vec<u8>) {
        if args.is_empty() {
            return;
        }
        let row = match table::resolve(args) {
            Ok(row) => row,
            Err(fault) => {
                let fault = transaction::refused(&mut self.client, args, fault);
                return write::error(out, &fault.0);
            }
        };
        if let (Some(queue), Run::Data(_) | Run::Call(_)) = (&mut self.client.queue, row.run) {
            queue.push(row, args);
            return write::simple(out, "QUEUED");
        }
        let mut store = lock(&self.store);
        store.sweep(now_ms);
        run(row, args, now_ms, &mut store, &mut self.client, out);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.store).clients -= 1;
    }
}

/// Nothing here panics while it holds the lock, so a poisoned store is still a whole one.
fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Executes one resolved command now, in or outside of a transaction.
fn run(
    row: &'static Row,
    args: &[&[u8]],
    now_ms: i64,
    store: &mut Store,
    client: &mut Client,
    out: &mut Vec<u8>,
) {
    let db = &mut store.dbs[client.db];
    // Lazy expiry in one place: no command ever sees a due key among its arguments.
    for key in row.keys_of(args) {
        db.expire_if_due(key, now_ms);
    }
    let outcome = match row.run {
        Run::Data(serve) => {
            let (command, protocol) = (row.name, client.protocol);
            serve(&mut Data {
                args,
                command,
                now_ms,
                db,
                protocol,
                out,
            })
        }
        Run::Call(serve) | Run::Control(serve) => serve(&mut Call {
            args,
            now_ms,
            store,
            client,
            out,
        }),
    };
    if let Err(fault) = outcome {
        write::error(out, &fault.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Executes `line` split at blanks, and shows the reply.
    fn ask(connection: &mut Connection, line: &str, now_ms: i64) -> String {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut out = Vec::new();
        connection.execute(&args, now_ms, &mut out);
        String::from_utf8_lossy(&out).replace("\r\n", " ")
    }

    #[test]
    fn connections_share_data_but_not_state() {
        let engine = Embedded::new();
        let (mut a, mut b) = (engine.connect(), engine.connect());
        assert_eq!(ask(&mut a, "SELECT 3", 0), "+OK ");
        assert_eq!(ask(&mut a, "HELLO 3", 0).as_bytes()[0], b'%');
        assert_eq!(ask(&mut a, "HSET k f v", 0), ":1 ");
        assert_eq!(ask(&mut b, "HGETALL k", 0), "*0 ");
        assert_eq!(ask(&mut b, "SELECT 3", 0), "+OK ");
        assert_eq!(ask(&mut b, "HGETALL k", 0), "*2 $1 f $1 v ");
        assert_eq!(ask(&mut a, "HGETALL k", 0), "%1 $1 f $1 v ");
    }

    #[test]
    fn a_key_lives_until_its_moment() {
        let mut c = Embedded::new().connect();
        ask(&mut c, "SET k v PX 100", 1000);
        assert_eq!(ask(&mut c, "PTTL k", 1040), ":60 ");
        assert_eq!(ask(&mut c, "GET k", 1100), "$1 v ");
        assert_eq!(ask(&mut c, "GET k", 1101), "$-1 ");
        assert_eq!(ask(&mut c, "DBSIZE", 1101), ":0 ");
    }

    #[test]
    fn exec_is_refused_when_a_watched_key_changed() {
        let engine = Embedded::new();
        let (mut a, mut b) = (engine.connect(), engine.connect());
        for (line, reply) in [
            ("WATCH k", "+OK "),
            ("MULTI", "+OK "),
            ("GET k", "+QUEUED "),
        ] {
            assert_eq!(ask(&mut a, line, 0), reply);
        }
        ask(&mut b, "SET k v", 0);
        assert_eq!(ask(&mut a, "EXEC", 0), "*-1 ");
        assert_eq!(ask(&mut a, "MULTI", 0), "+OK ");
        assert_eq!(ask(&mut a, "GET k", 0), "+QUEUED ");
        assert_eq!(ask(&mut a, "EXEC", 0), "*1 $1 v ");
    }

    #[test]
    fn a_watched_key_that_expires_or_is_flushed_has_changed() {
        for end in ["PING", "FLUSHALL"] {
            let mut c = Embedded::new().connect();
            ask(&mut c, "SET k v PX 100", 0);
            ask(&mut c, "WATCH k", 0);
            ask(&mut c, end, 0);
            ask(
                &mut c,
                "SET k v PX 100",
                if end == "PING" { 500 } else { 0 },
            );
            ask(&mut c, "MULTI", 500);
            assert_eq!(ask(&mut c, "EXEC", 500), "*-1 ", "{end}");
        }
    }

    #[test]
    fn an_error_while_queueing_aborts_but_an_error_while_executing_does_not() {
        let mut c = Embedded::new().connect();
        ask(&mut c, "MULTI", 0);
        assert_eq!(&ask(&mut c, "GET", 0)[..4], "-ERR");
        assert_eq!(&ask(&mut c, "EXEC", 0)[..10], "-EXECABORT");
        for line in ["SET k v", "MULTI", "INCR k", "STRLEN k"] {
            ask(&mut c, line, 0);
        }
        let expected = "*2 -ERR value is not an integer or out of range :1 ";
        assert_eq!(ask(&mut c, "EXEC", 0), expected);
    }
}
