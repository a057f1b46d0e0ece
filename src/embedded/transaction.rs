//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! Knows the queue of one connection and the versions of keys, and nothing of what commands do.

use super::fault::{Fault, Outcome, fixed, worded};
use super::parse::is;
use super::table::{Call, Row};
use super::{Client, run};
use crate::resp::write;

/// The commands queued since MULTI.
#[derive(Default)]
pub(super) struct Queue {
    /// Rows with their arguments.
    commands: Vec<(&'static Row, Vec<Vec<u8>>)>,
    /// Whether one was refused when it should have been queued, so that EXEC must abort.
    broken: bool,
}

impl Queue {
    /// Queues one command.
    pub fn push(&mut self, row: &'static Row, args: &[&[u8]]) {
        self.commands
            .push((row, args.iter().map(|arg| arg.to_vec()).collect()));
    }
}

/// What a request that no row fits does to the transaction: it breaks it, and a malformed EXEC
/// ends it at once. Returns the error to answer.
pub(super) fn refused(client: &mut Client, args: &[&[u8]], fault: Fault) -> Fault {
    if args.first().is_some_and(|name| is(name, "exec")) {
        forget(client);
        let reason = fault.0.strip_prefix("ERR ").unwrap_or(&fault.0);
        return worded(format!(
            "EXECABORT Transaction discarded because of: {reason}"
        ));
    }
    if let Some(queue) = &mut client.queue {
        queue.broken = true;
    }
    fault
}

/// A key as WATCH saw it.
pub(super) struct Watched {
    db: usize,
    key: Vec<u8>,
    version: u64,
}

/// `MULTI`
pub(super) fn multi(call: &mut Call) -> Outcome {
    if call.client.queue.is_some() {
        return Err(fixed("ERR MULTI calls can not be nested"));
    }
    call.client.queue = Some(Queue::default());
    write::simple(call.out, "OK");
    Ok(())
}

/// `EXEC`
pub(super) fn exec(call: &mut Call) -> Outcome {
    let queue = call
        .client
        .queue
        .take()
        .ok_or(fixed("ERR EXEC without MULTI"))?;
    let watched = std::mem::take(&mut call.client.watched);
    if queue.broken {
        return Err(fixed(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    let unchanged = watched.iter().all(|watched| {
        let db = &mut call.store.dbs[watched.db];
        db.expire_if_due(&watched.key, call.now_ms);
        db.version(&watched.key) == watched.version
    });
    if !unchanged {
        write::null_array(call.out, call.client.protocol);
        return Ok(());
    }
    write::array(call.out, queue.commands.len());
    for (row, args) in &queue.commands {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        run(row, &args, call.now_ms, call.store, call.client, call.out);
    }
    Ok(())
}

/// `DISCARD`
pub(super) fn discard(call: &mut Call) -> Outcome {
    if call.client.queue.is_none() {
        return Err(fixed("ERR DISCARD without MULTI"));
    }
    forget(call.client);
    write::simple(call.out, "OK");
    Ok(())
}

/// Ends a transaction without executing it, and watches nothing any more.
pub(super) fn forget(client: &mut Client) {
    client.queue = None;
    client.watched.clear();
}

/// `WATCH key [key ...]`
pub(super) fn watch(call: &mut Call) -> Outcome {
    if call.client.queue.is_some() {
        return Err(fixed("ERR WATCH inside MULTI is not allowed"));
    }
    let db = call.client.db;
    for key in &call.args[1..] {
        // A key watched twice keeps the version it had first.
        if !call
            .client
            .watched
            .iter()
            .any(|watched| watched.db == db && watched.key == *key)
        {
            let version = call.store.dbs[db].version(key);
            call.client.watched.push(Watched {
                db,
                key: key.to_vec(),
                version,
            });
        }
    }
    write::simple(call.out, "OK");
    Ok(())
}

/// `UNWATCH`
pub(super) fn unwatch(call: &mut Call) -> Outcome {
    call.client.watched.clear();
    write::simple(call.out, "OK");
    Ok(())
}
