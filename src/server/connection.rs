//! The commands that concern a client's own connection: who it is, what it speaks, which database it
//! has selected. They are answered here and never reach upstream, but for SELECT, which upstream must
//! allow.
//!
//! Error texts are Redis's own, because clients match on them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use subtle::ConstantTimeEq;

use super::Common;
use super::client::Selected;
use super::registry::Entry;
use crate::command::Plain;
use crate::command::plain::Connection as Command;
use crate::engine::{self, Asker, Started, Worker};
use crate::error::Error;
use crate::resp::{Protocol, Request, integer, write};

const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// CLIENT subcommands that need a connection of the client's own, or reach into others'.
const OWN_CONNECTION: [&str; 10] = [
    "CACHING",
    "GETREDIR",
    "KILL",
    "NO-LOOP",
    "PAUSE",
    "REPLY",
    "TRACKING",
    "TRACKINGINFO",
    "UNBLOCK",
    "UNPAUSE",
];

/// The state of a client's connection.
pub struct Connection {
    entry: Arc<Entry>,
    protocol: Protocol,
    database: Selected,
    first_database: u32,
    guarded: bool,
    let_in: bool,
    /// MULTI was refused: what is meant to be part of the transaction must not run without it.
    in_refused_transaction: bool,
}

/// What became of a command.
pub enum Answer {
    /// It was answered, or must wait.
    Started(Started),
    /// It was answered, and the client wants to go.
    Quit,
}

impl Connection {
    /// The state of a new connection.
    pub fn new(common: &Common, entry: Arc<Entry>) -> Connection {
        let guarded = !common.config.listen.password.is_empty();
        Connection {
            entry,
            protocol: Protocol::Resp2,
            database: Rc::new(common.target.database.into()),
            first_database: common.target.database,
            guarded,
            let_in: !guarded,
            in_refused_transaction: false,
        }
    }

    /// `CLIENT ID`.
    pub fn id(&self) -> u64 {
        self.entry.id
    }

    /// What the client speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The database it has selected.
    pub fn database(&self) -> &Selected {
        &self.database
    }

    /// Whether it has shown the password, or none is asked.
    pub fn is_let_in(&self) -> bool {
        self.let_in
    }

    /// Why a command is refused, if it is: its transaction could not begin. Clients send MULTI,
    /// the commands and EXEC in one go; the commands alone would be half of what was asked.
    pub fn refuses(&mut self, plain: Option<Plain>, request: &Request<'_>) -> Option<Error> {
        let was = self.in_refused_transaction;
        if !was && plain != Some(Plain::OwnConnection) {
            return None;
        }
        let name = request.arg(0).to_ascii_uppercase();
        match name.as_slice() {
            b"MULTI" => self.in_refused_transaction = true,
            b"EXEC" | b"DISCARD" => self.in_refused_transaction = false,
            _ => {}
        }
        if !was {
            return None;
        }
        Some(Error::client(match name.as_slice() {
            b"EXEC" => "EXECABORT Transaction discarded because MULTI was refused.",
            _ => "ERR refused, because the MULTI before it was; DISCARD or RESET ends this",
        }))
    }

    /// It has just sent something.
    pub fn active(&self, now: Instant) {
        self.entry.active(now);
        self.entry.settled(self.protocol, self.database.get());
    }

    /// Answers one of these commands.
    pub fn answer(
        &mut self,
        command: Command,
        request: &Request<'_>,
        common: &Common,
        worker: &Rc<Worker>,
        asker: &Asker<'_>,
    ) -> Answer {
        let may = matches!(
            command,
            Command::Auth | Command::Hello | Command::Quit | Command::Reset
        );
        if command == Command::Client && asker.outbox.waiting() > 0 {
            // What it tells may be changing: a SELECT may be on its way.
            return Answer::Started(Started::MustWait);
        }
        // SELECTs that were answered since must show in what is told now.
        self.entry.settled(self.protocol, self.database.get());
        let mut out = Vec::new();
        if !self.let_in && !may {
            write::error(&mut out, "NOAUTH Authentication required.");
        } else {
            match command {
                Command::Auth => self.auth(request, common, &mut out),
                Command::Client => self.client(request, common, &mut out),
                Command::Echo => match request.len() {
                    2 => write::bulk(&mut out, request.arg(1)),
                    _ => arity(&mut out, "echo"),
                },
                Command::Hello => self.hello(request, common, worker, &mut out),
                Command::Ping => match request.len() {
                    1 => write::simple(&mut out, "PONG"),
                    2 => write::bulk(&mut out, request.arg(1)),
                    _ => arity(&mut out, "ping"),
                },
                Command::Quit => write::simple(&mut out, "OK"),
                Command::Reset => match request.len() {
                    1 => self.reset(&mut out),
                    _ => arity(&mut out, "reset"),
                },
                Command::Select => return self.select(request, worker, asker),
            }
        }
        asker.outbox.answer(&out);
        self.entry.settled(self.protocol, self.database.get());
        match command {
            Command::Quit => Answer::Quit,
            _ => Answer::Started(Started::Yes),
        }
    }

    fn select(&mut self, request: &Request<'_>, worker: &Rc<Worker>, asker: &Asker<'_>) -> Answer {
        let database = integer(request.arg(1)).and_then(|number| i32::try_from(number).ok());
        let started = match database.map(u32::try_from) {
            _ if request.len() != 2 => answer(asker, |out| arity(out, "select")),
            None => answer(asker, |out| {
                write::error(out, "ERR value is not an integer or out of range");
            }),
            Some(Err(_)) => answer(asker, |out| {
                write::error(out, "ERR DB index is out of range");
            }),
            Some(Ok(database)) => engine::select(worker, asker, database, request),
        };
        Answer::Started(started)
    }

    fn reset(&mut self, out: &mut Vec<u8>) {
        self.protocol = Protocol::Resp2;
        // Replies of requests on their way may still select; a new cell is out of their reach.
        self.database = Rc::new(self.first_database.into());
        self.let_in = !self.guarded;
        self.in_refused_transaction = false;
        self.entry.rename(|names| names.name.clear());
        write::simple(out, "RESET");
    }

    fn auth(&mut self, request: &Request<'_>, common: &Common, out: &mut Vec<u8>) {
        let (user, password) = match request.len() {
            2 => (None, request.arg(1)),
            3 => (Some(request.arg(1)), request.arg(2)),
            _ => return arity(out, "auth"),
        };
        match self.let_in_with(user, password, common) {
            Ok(()) => write::simple(out, "OK"),
            Err(text) => write::error(out, text),
        }
    }

    /// Checks a password. Without one of ours, the upstream's is taken: an application whose URL
    /// carries it must not notice that it talks to a sidecar.
    fn let_in_with(
        &mut self,
        user: Option<&[u8]>,
        password: &[u8],
        common: &Common,
    ) -> Result<(), &'static str> {
        let by_default = user.is_none_or(|user| user == b"default");
        if self.guarded {
            let ours = common.config.listen.password.expose().as_bytes();
            let right: bool = password.ct_eq(ours).into();
            if right && by_default {
                self.let_in = true;
                return Ok(());
            }
            return Err(WRONGPASS);
        }
        let theirs = common.target.password.as_deref().unwrap_or("");
        let right: bool = password.ct_eq(theirs.as_bytes()).into();
        let known = user.is_none_or(|user| {
            Some(user) == common.target.username.as_deref().map(str::as_bytes) || by_default
        });
        match user {
            _ if right && known && !theirs.is_empty() => Ok(()),
            Some(_) if by_default => Ok(()),
            Some(_) => Err(WRONGPASS),
            None => Err(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ),
        }
    }

    fn hello(
        &mut self,
        request: &Request<'_>,
        common: &Common,
        worker: &Worker,
        out: &mut Vec<u8>,
    ) {
        let mut protocol = self.protocol;
        if request.len() > 1 {
            protocol = match integer(request.arg(1)) {
                Some(2) => Protocol::Resp2,
                Some(3) => Protocol::Resp3,
                Some(_) => return write::error(out, "NOPROTO unsupported protocol version"),
                None => {
                    let text = "ERR Protocol version is not an integer or out of range";
                    return write::error(out, text);
                }
            };
        }
        let (mut at, mut name) = (2, None);
        while at < request.len() {
            let option = request.arg(at);
            let left = request.len() - at - 1;
            if option.eq_ignore_ascii_case(b"AUTH") && left >= 2 {
                let (user, password) = (request.arg(at + 1), request.arg(at + 2));
                if let Err(text) = self.let_in_with(Some(user), password, common) {
                    return write::error(out, text);
                }
                at += 3;
            } else if option.eq_ignore_ascii_case(b"SETNAME") && left >= 1 {
                name = Some(request.arg(at + 1));
                at += 2;
            } else {
                let option = String::from_utf8_lossy(option);
                let text = format!("ERR Syntax error in HELLO option '{option}'");
                return write::error(out, &text);
            }
        }
        if !self.let_in {
            return write::error(
                out,
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                 HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
                 select the RESP protocol version at the same time",
            );
        }
        if let Some(name) = name {
            match named(name) {
                Ok(name) => self.entry.rename(|names| names.name = name),
                Err(text) => return write::error(out, text),
            }
        }
        self.protocol = protocol;
        self.write_hello(worker, out);
    }

    fn write_hello(&self, worker: &Worker, out: &mut Vec<u8>) {
        write::map(out, self.protocol, 7);
        let version = worker.redis_version();
        let texts: [(&str, &str); 2] = [("server", "redis"), ("version", &version)];
        for (name, value) in texts {
            write::bulk(out, name.as_bytes());
            write::bulk(out, value.as_bytes());
        }
        write::bulk(out, b"proto");
        write::integer(out, self.protocol.number().into());
        write::bulk(out, b"id");
        write::integer(out, self.entry.id as i64);
        for (name, value) in [("mode", "standalone"), ("role", "master")] {
            write::bulk(out, name.as_bytes());
            write::bulk(out, value.as_bytes());
        }
        write::bulk(out, b"modules");
        write::array(out, 0);
    }

    fn client(&mut self, request: &Request<'_>, common: &Common, out: &mut Vec<u8>) {
        let sub = request.arg(1).to_ascii_uppercase();
        let args = request.len().saturating_sub(2);
        match (sub.as_slice(), args) {
            (b"ID", 0) => write::integer(out, self.entry.id as i64),
            (b"INFO", 0) => self.text(out, &(self.entry.line() + "\n")),
            (b"LIST", _) => match wanted(request) {
                Some(wanted) => self.text(out, &common.registry.list(wanted)),
                None => write::error(out, "ERR syntax error"),
            },
            (b"GETNAME", 0) => match self.entry.names().name.as_str() {
                "" => write::null(out, self.protocol),
                name => write::bulk(out, name.as_bytes()),
            },
            (b"SETNAME", 1) => match named(request.arg(2)) {
                Ok(name) => {
                    self.entry.rename(|names| names.name = name);
                    write::simple(out, "OK");
                }
                Err(text) => write::error(out, text),
            },
            (b"SETINFO", 2) => self.set_info(request, out),
            (b"NO-EVICT" | b"NO-TOUCH", 1) => {
                match request.arg(2).to_ascii_uppercase().as_slice() {
                    // It concerns a connection to Redis, and this client has none of its own.
                    b"ON" | b"OFF" => write::simple(out, "OK"),
                    _ => write::error(out, "ERR syntax error"),
                }
            }
            (b"", _) => arity(out, "client"),
            (
                b"ID" | b"INFO" | b"GETNAME" | b"SETNAME" | b"SETINFO" | b"NO-EVICT" | b"NO-TOUCH",
                _,
            ) => {
                let sub = String::from_utf8_lossy(&sub).to_lowercase();
                arity(out, &format!("client|{sub}"));
            }
            (other, _) if OWN_CONNECTION.iter().any(|name| name.as_bytes() == other) => {
                let sub = String::from_utf8_lossy(other);
                let error = engine::needs_own_connection(&format!("CLIENT {sub}"));
                write::error(out, &error.text);
            }
            _ => {
                let sub = request.arg(1);
                let sub = String::from_utf8_lossy(sub.get(..128).unwrap_or(sub));
                let text = format!("ERR unknown subcommand '{sub}'. Try CLIENT HELP.");
                write::error(out, &text);
            }
        }
    }

    fn set_info(&mut self, request: &Request<'_>, out: &mut Vec<u8>) {
        let attribute = request.arg(2).to_ascii_uppercase();
        let value = match named(request.arg(3)) {
            Ok(value) => value,
            Err(_) => {
                let attribute = String::from_utf8_lossy(&attribute).to_lowercase();
                let text = format!(
                    "ERR {attribute} cannot contain spaces, newlines or special characters."
                );
                return write::error(out, &text);
            }
        };
        match attribute.as_slice() {
            b"LIB-NAME" => self.entry.rename(|names| names.lib_name = value),
            b"LIB-VER" => self.entry.rename(|names| names.lib_ver = value),
            _ => {
                let option = String::from_utf8_lossy(request.arg(2)).into_owned();
                return write::error(out, &format!("ERR Unrecognized option '{option}'"));
            }
        }
        write::simple(out, "OK");
    }

    /// A text as `CLIENT LIST` gives it: a verbatim string in RESP3.
    fn text(&self, out: &mut Vec<u8>, text: &str) {
        write::text(out, self.protocol, text.as_bytes());
    }
}

fn answer(asker: &Asker<'_>, fill: impl FnOnce(&mut Vec<u8>)) -> Started {
    let mut out = Vec::new();
    fill(&mut out);
    asker.outbox.answer(&out);
    Started::Yes
}

fn arity(out: &mut Vec<u8>, name: &str) {
    let text = format!("ERR wrong number of arguments for '{name}' command");
    write::error(out, &text);
}

/// Which clients a `CLIENT LIST` asks for; `None` if its options are wrong. All clients here are of the
/// type `normal`.
fn wanted<'a>(request: &'a Request<'_>) -> Option<impl Fn(u64) -> bool + 'a> {
    let option = request.arg(2).to_ascii_uppercase();
    let ids: Option<Vec<i64>> = match (option.as_slice(), request.len()) {
        (b"", 2) => None,
        (b"TYPE", 4) => match request.arg(3).to_ascii_lowercase().as_slice() {
            b"normal" => None,
            b"master" | b"replica" | b"slave" | b"pubsub" => Some(Vec::new()),
            _ => return None,
        },
        (b"ID", 4..) => Some(
            (3..request.len())
                .map(|at| integer(request.arg(at)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    };
    Some(move |id: u64| ids.as_ref().is_none_or(|ids| ids.contains(&(id as i64))))
}

/// Longest name a client may give itself. Redis has no bound; every client keeps its name.
const NAME_BYTES_MAX: usize = 256;

/// A name in the form Redis allows: printable ASCII without spaces.
fn named(name: &[u8]) -> Result<String, &'static str> {
    if name.len() > NAME_BYTES_MAX {
        return Err("ERR Client names of at most 256 bytes are allowed.");
    }
    if !name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Err("ERR Client names cannot contain spaces, newlines or special characters.");
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}
