//! The life of one request, on one screen: the only file that knows everybody.
//!
//! ```text
//!   request -> SESS.*?  -> row -> check -> may it start? -> open -> plan -> lane -> fold -> reply
//!           -> plain?   -> facts ------> may it start? ---------> lane -> reply, spliced
//! ```
//!
//! Commands about the client's own connection never come here; the server answers them.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::command::{self, Call, Found, Introspection, Kind, Order, Plain, Row};
use crate::config::Config;
use crate::error::{Error, Origin};
use crate::metrics::Metrics;
use crate::outbox::{Claim, Outbox, Place, Road};
use crate::plan::{Batch, Env, Replies, Shape, Step};
use crate::resp::{Protocol, Request, write};
use crate::session::{Handle, Keys, NewToken, Standing, Token};
use crate::upstream::{Lane, Receiver, Upstream, epoch_ms};

/// What one worker thread serves its clients with.
pub struct Worker {
    /// The configuration.
    pub config: Arc<Config>,
    /// Spells keys.
    pub keys: Keys,
    /// The lanes.
    pub upstream: Upstream,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// When the log was last told of a superseded secret.
    pub superseded_told: Cell<Option<Instant>>,
}

/// How long the log is spared further superseded secrets; the counter has them all.
const SUPERSEDED_PAUSE: Duration = Duration::from_secs(1);

/// Who asks.
pub struct Asker<'a> {
    /// Where the replies go.
    pub outbox: &'a Rc<Outbox>,
    /// What the client speaks.
    pub protocol: Protocol,
    /// The database it has selected.
    pub database: &'a Rc<Cell<u32>>,
    /// When its request was read.
    pub now: Instant,
}

/// Whether a request has been started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It has; its reply will come, or is there.
    Yes,
    /// Earlier requests of the client must be answered first, or the lane is full. Ask again.
    MustWait,
}

impl Worker {
    /// What a command may know, now.
    pub fn env(&self, protocol: Protocol) -> Env<'_> {
        Env {
            now_ms: epoch_ms(),
            protocol,
            keys: &self.keys,
            session: &self.config.session,
            limits: &self.config.limits,
            expire_gt: self.upstream.shared().server.borrow().has_expire_gt(),
            new_token,
        }
    }
}

fn new_token() -> Result<NewToken, Error> {
    NewToken::generate().map_err(|error| Error::internal(&format!("no randomness: {error}")))
}

/// Starts one of our own commands.
pub fn start_ours(worker: &Rc<Worker>, asker: &Asker<'_>, request: &Request<'_>) -> Started {
    match command::find(request.arg(0)) {
        Some(row) => start_session(worker, asker, row, request),
        None => answer_error(worker, asker, &command::unknown(request)),
    }
}

/// Starts a plain command, of which the facts are known.
pub fn start_plain(
    worker: &Rc<Worker>,
    asker: &Asker<'_>,
    plain: Plain,
    request: &Request<'_>,
) -> Started {
    match plain {
        Plain::Introspection(kind) => introspect(worker, asker, kind, request),
        Plain::OwnConnection => {
            let name = String::from_utf8_lossy(request.arg(0)).to_uppercase();
            answer_error(worker, asker, &needs_own_connection(&name))
        }
        plain => pass_on(worker, asker, request, plain == Plain::Write),
    }
}

/// Passes a plain command on; its reply is spliced into the outbox as it comes.
fn pass_on(worker: &Rc<Worker>, asker: &Asker<'_>, request: &Request<'_>, writes: bool) -> Started {
    let (lane, place) = match enter_plain_road(worker, asker) {
        Ok(entered) => entered,
        Err(started) => return started,
    };
    worker.metrics.plain_commands.add();
    let receiver = Receiver::Client(asker.outbox.clone(), place);
    let parts = [request.bytes].into_iter();
    lane.send(parts, (1, writes), receiver, asker.now);
    Started::Yes
}

/// The lane of the client's plain commands and a place for a reply from it, if a request may start.
fn enter_plain_road(worker: &Worker, asker: &Asker<'_>) -> Result<(Lane, Place), Started> {
    let road = Road::Plain(asker.protocol.number(), asker.database.get());
    let lane = match worker.upstream.lane(road) {
        Ok(lane) => lane,
        Err(error) => return Err(answer_error(worker, asker, &error)),
    };
    if !has_room(asker, &lane) || !asker.outbox.may_start(road, Claim::Free) {
        return Err(Started::MustWait);
    }
    Ok((lane, asker.outbox.begin(road, Claim::Free)))
}

/// Whether the lane takes another request of this client. One it always takes: a client that waits for
/// nothing would never be woken to ask again.
fn has_room(asker: &Asker<'_>, lane: &Lane) -> bool {
    asker.outbox.waiting() == 0 || lane.has_room()
}

/// Selects a database: on the lane that is bound to it, so that upstream says whether it exists.
pub fn select(
    worker: &Rc<Worker>,
    asker: &Asker<'_>,
    database: u32,
    request: &Request<'_>,
) -> Started {
    let road = Road::Plain(asker.protocol.number(), database);
    if !asker.outbox.may_start(road, Claim::Alone) {
        return Started::MustWait;
    }
    if database == asker.database.get() {
        asker.outbox.answer(b"+OK\r\n");
        return Started::Yes;
    }
    let lane = match worker.upstream.lane(road) {
        Ok(lane) => lane,
        Err(error) => return answer_error(worker, asker, &error),
    };
    let place = asker.outbox.begin(road, Claim::Alone);
    let (outbox, selected) = (asker.outbox.clone(), asker.database.clone());
    let receiver = Receiver::Whole(Box::new(move |reply| match reply {
        Ok(reply) => {
            if reply.starts_with(b"+") {
                selected.set(database);
            }
            outbox.finish(place, reply);
        }
        Err(error) => outbox.finish(place, &error_reply(&error)),
    }));
    lane.send([request.bytes].into_iter(), (1, false), receiver, asker.now);
    Started::Yes
}

/// `COMMAND` and `INFO`: upstream's answer completed with ours; ours alone while it is away.
fn introspect(
    worker: &Rc<Worker>,
    asker: &Asker<'_>,
    kind: Introspection,
    request: &Request<'_>,
) -> Started {
    let (lane, place) = match enter_plain_road(worker, asker) {
        Ok(entered) => entered,
        Err(started) => return started,
    };
    let (args, outbox) = (request.to_args(), asker.outbox.clone());
    let (worker, protocol) = (worker.clone(), asker.protocol);
    let receiver = Receiver::Whole(Box::new(move |reply| {
        let server = kind == Introspection::Server;
        let local = command::local_info(&worker.redis_version());
        let upstream = match (&reply, server) {
            (Ok(reply), _) => Some(*reply),
            (Err(_), true) => Some(local.as_slice()),
            (Err(_), false) => None,
        };
        let names: Vec<&[u8]> = args.from(usize::from(!server)).collect();
        let section = if server { worker.info() } else { String::new() };
        outbox.finish(place, &kind.complete(&names, upstream, protocol, &section));
    }));
    lane.send([request.bytes].into_iter(), (1, false), receiver, asker.now);
    Started::Yes
}

/// A SESS.* command on its way, or what it does behind its reply: then no client waits.
struct Job {
    worker: Rc<Worker>,
    client: Option<(Rc<Outbox>, Place)>,
    protocol: Protocol,
}

fn start_session(
    worker: &Rc<Worker>,
    asker: &Asker<'_>,
    row: &'static Row,
    request: &Request<'_>,
) -> Started {
    let claim = claim(row, request);
    if !has_room(asker, worker.upstream.session()) || !asker.outbox.may_start(Road::Session, claim)
    {
        return Started::MustWait;
    }
    worker.metrics.session_commands.add();
    let env = worker.env(asker.protocol);
    let call = match Call::new(row, request.to_args(), &env) {
        Ok(call) => call,
        Err(error) => return answer_error(worker, asker, &error),
    };
    let begin = || Job {
        worker: worker.clone(),
        client: Some((
            asker.outbox.clone(),
            asker.outbox.begin(Road::Session, claim),
        )),
        protocol: asker.protocol,
    };
    match row.kind {
        Kind::Token { .. } => match call.token() {
            Some(token) => open(begin(), call, token, &env, asker.now),
            None => {
                worker.metrics.sessions_missing.add();
                begin().proceed(Ok(call.missing(asker.protocol)), asker.now);
            }
        },
        Kind::Free { plan, .. } => begin().proceed(plan(&call, &env), asker.now),
        Kind::Explain => match explain(&call, &env) {
            Ok(reply) => asker.outbox.answer(&reply),
            Err(error) => return answer_error(worker, asker, &error),
        },
    }
    Started::Yes
}

/// What a command keeps later ones of its client from, while it may still send something.
fn claim(row: &Row, request: &Request<'_>) -> Claim {
    match row.kind {
        // Opening is all a read sends, so nothing has to wait for it.
        Kind::Token { .. } if !row.writes => match token_handle(request) {
            Some(handle) => Claim::Reads(handle),
            None => Claim::Free,
        },
        Kind::Token { .. } => token_handle(request).map_or(Claim::Free, Claim::Session),
        Kind::Free {
            order: Order::Alone,
            ..
        } => Claim::Alone,
        Kind::Free { .. } | Kind::Explain => Claim::Free,
    }
}

fn token_handle(request: &Request<'_>) -> Option<Handle> {
    let name = request.arg(1).get(..crate::session::token::HANDLE_LEN)?;
    Handle::parse(name)
}

/// Opens the session of `token`, then lets the command plan.
fn open(job: Job, call: Call, token: Token, env: &Env<'_>, now: Instant) {
    let Kind::Token { need, access, plan } = call.row.kind else {
        return job.proceed(Err(Error::internal("no token to open")), now);
    };
    let batch = command::open_batch(&token, &call, need, env);
    let (shape, asked_ms) = (batch.shape(), env.now_ms);
    let worker = job.worker.clone();
    let receiver = Receiver::Whole(Box::new(move |reply| {
        let worker = job.worker.clone();
        let env = worker.env(job.protocol);
        let shapes = [shape];
        let step = reply.and_then(|bytes| {
            let replies = Replies::new(&shapes, bytes);
            match command::read_open(&token, &call, (need, access), replies, asked_ms, &env)? {
                Found::Open(opened) => plan(&call, &opened, &env),
                Found::Nothing(standing) => {
                    worker.note_missing(&token, standing);
                    Ok(call.missing(job.protocol))
                }
            }
        });
        job.proceed(step, Instant::now());
    }));
    let parts = [batch.bytes()].into_iter();
    let answer = (shape.replies(), false);
    worker.upstream.session().send(parts, answer, receiver, now);
}

impl Job {
    /// Does what a step asks for, until there is a reply.
    fn proceed(mut self, step: Result<Step, Error>, now: Instant) {
        match step {
            Ok(Step::Done(done)) => {
                if let Some(warning) = &done.warning {
                    self.worker.metrics.index_troubles.add();
                    tracing::warn!(warning, "a session command left something undone");
                }
                if let Some((outbox, place)) = self.client.take() {
                    outbox.finish(place, &done.reply);
                }
                if let Some(after) = done.after {
                    self.proceed(Ok(*after), now);
                }
            }
            Ok(Step::Send {
                batches,
                settled,
                fold,
            }) => {
                let worker = self.worker.clone();
                let client = self.client.clone();
                let shapes: Vec<Shape> = batches.iter().map(Batch::shape).collect();
                let receive = move |reply: Result<&[u8], Error>| {
                    let worker = self.worker.clone();
                    let env = worker.env(self.protocol);
                    let step = reply.and_then(|bytes| fold(&env, Replies::new(&shapes, bytes)));
                    self.proceed(step, Instant::now());
                };
                if batches.is_empty() {
                    return receive(Ok(b""));
                }
                send(&worker, &batches, Receiver::Whole(Box::new(receive)), now);
                if let (true, Some((outbox, place))) = (settled, client) {
                    outbox.settle(place);
                }
            }
            Err(error) => {
                self.worker.note(&error);
                if let Some((outbox, place)) = self.client {
                    outbox.finish(place, &error_reply(&error));
                }
            }
        }
    }
}

/// Sends batches back to back on the lane of the SESS.* commands.
fn send(worker: &Worker, batches: &[Batch], receiver: Receiver, now: Instant) {
    if batches.is_empty() {
        return;
    }
    let replies = batches.iter().map(|batch| batch.shape().replies()).sum();
    let writes = batches.iter().any(Batch::writes);
    let parts = batches.iter().map(Batch::bytes);
    worker
        .upstream
        .session()
        .send(parts, (replies, writes), receiver, now);
}

impl Worker {
    /// Counts an error.
    pub fn note(&self, error: &Error) {
        match error.origin {
            Origin::Client => self.metrics.client_errors.add(),
            Origin::Wire => self.metrics.protocol_errors.add(),
            Origin::Upstream => {}
            Origin::Internal => tracing::error!(error = %error.text, "internal error"),
        }
    }

    fn note_missing(&self, token: &Token, standing: Standing) {
        self.metrics.sessions_missing.add();
        if standing == Standing::Superseded {
            self.metrics.superseded_secrets.add();
            // One forgotten tab that polls must not fill the log.
            let now = Instant::now();
            let last = self.superseded_told.replace(Some(now));
            if last.is_some_and(|last| now - last < SUPERSEDED_PAUSE) {
                self.superseded_told.set(last);
                return;
            }
            tracing::warn!(
                handle = ?token.handle,
                "a token was used after its session was rotated away from it: an old tab, or theft"
            );
        }
    }

    /// The version `HELLO` and `INFO` tell while upstream is away, or as it said.
    pub fn redis_version(&self) -> String {
        let version = &self.upstream.shared().server.borrow().version;
        if version.is_empty() {
            "6.2.0".into()
        } else {
            version.clone()
        }
    }

    /// Our section of `INFO`.
    fn info(&self) -> String {
        let state = if self.upstream.session().is_up() {
            "up"
        } else {
            "down"
        };
        let mut text = format!(
            "# Sessile\r\nsessile_version:{}\r\nsessile_workers:{}\r\nsessile_upstream:{}\r\n\
             sessile_upstream_state:{state}\r\n",
            env!("CARGO_PKG_VERSION"),
            self.config.listen.workers,
            self.upstream.shared().target.place,
        );
        for (name, value) in self.metrics.values() {
            text.push_str(&format!("sessile_{name}:{value}\r\n"));
        }
        text
    }
}

fn answer_error(worker: &Worker, asker: &Asker<'_>, error: &Error) -> Started {
    worker.note(error);
    asker.outbox.answer(&error_reply(error));
    Started::Yes
}

/// The reply that tells a client of an error.
pub fn error_reply(error: &Error) -> Vec<u8> {
    let mut reply = Vec::new();
    write::error(&mut reply, &error.text);
    reply
}

/// The error for a command that leaves or needs state on its connection.
pub fn needs_own_connection(name: &str) -> Error {
    Error::client(format!(
        "ERR '{name}' needs a connection of its own, which this sidecar does not give yet; \
         SESS.* commands and plain commands without connection state are allowed"
    ))
}

/// SESS.EXPLAIN: runs the command against an engine that holds just what it would find, and shows
/// what it sent.
fn explain(call: &Call, env: &Env<'_>) -> Result<Vec<u8>, Error> {
    let lines = crate::explain::lines(call, env)?;
    let mut reply = Vec::new();
    write::array(&mut reply, lines.len());
    for line in &lines {
        write::bulk(&mut reply, line.as_bytes());
    }
    Ok(reply)
}
