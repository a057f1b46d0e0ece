//! What is asked of whom: the data, and the requests formatted for every key.

use redis::Connection;

use crate::Outcome;
use crate::generator::{Operation, Step};
use crate::processes::{Peers, Process};

/// Keys, or sessions, of each workload. They fit every cache there is: the paths are compared, not the memories.
pub const KEYS: usize = 1000;
/// Of each hash and session.
const FIELDS: usize = 10;
const VALUE: &str = "a value of exactly 30 bytes...";

/// The names that can be chosen on the command line.
pub const NAMES: [&str; 4] = ["GET", "HGETALL", "SESS.GET", "SESS.SET"];

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    Direct,
    Nutcracker,
    Sidecar,
}

impl Contender {
    pub const ALL: [Self; 3] = [Self::Direct, Self::Nutcracker, Self::Sidecar];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nutcracker => "nutcracker",
            Self::Sidecar => "sidecar",
        }
    }

    /// The process that is asked, or `None` if it does not run.
    pub fn process(self, peers: &Peers) -> Option<&Process> {
        match self {
            Self::Direct => Some(&peers.redis),
            Self::Nutcracker => peers.nutcracker.as_ref(),
            Self::Sidecar => peers.sidecar.as_ref(),
        }
    }
}

/// Several ways to the same result, compared with each other.
pub struct Workload {
    pub name: &'static str,
    pub entries: Vec<Entry>,
}

/// One contender, and how the work is done there.
pub struct Entry {
    pub contender: Contender,
    pub commands: &'static str,
    pub operation: Operation,
}

impl Workload {
    /// Puts the data of the workload called `name` into Redis.
    pub fn prepare(name: &'static str, peers: &Peers) -> Outcome<Self> {
        let entries = match name {
            "GET" => get(peers)?,
            "HGETALL" => hgetall(peers)?,
            "SESS.GET" => sess_get(peers)?,
            "SESS.SET" => sess_set(peers)?,
            _ => return Err(format!("no workload is called {name}").into()),
        };
        Ok(Self { name, entries })
    }
}

/// The smallest read that passes through: what a hop costs.
fn get(peers: &Peers) -> Outcome<Vec<Entry>> {
    let keys = keys("string");
    let mut redis = connect(&peers.redis)?;
    for key in &keys {
        redis::cmd("SET")
            .arg(key)
            .arg("x".repeat(100))
            .exec(&mut redis)?;
    }
    let operation = || Operation {
        steps: vec![step("GET", &keys, &[], b"$100\r\n")],
    };
    Ok(Contender::ALL
        .map(|contender| Entry {
            contender,
            commands: "GET",
            operation: operation(),
        })
        .into())
}

/// A reply of 21 elements that passes through: what following a reply costs.
fn hgetall(peers: &Peers) -> Outcome<Vec<Entry>> {
    let keys = hashes("hash", peers)?;
    Ok(Contender::ALL
        .map(|contender| Entry {
            contender,
            commands: "HGETALL",
            operation: read("HGETALL", &keys),
        })
        .into())
}

/// Reading a session: through the sidecar, or as a bare hash.
fn sess_get(peers: &Peers) -> Outcome<Vec<Entry>> {
    let hashes = hashes("hash", peers)?;
    let direct = Entry {
        contender: Contender::Direct,
        commands: "HGETALL",
        operation: read("HGETALL", &hashes),
    };
    let Some(tokens) = sessions(peers)? else {
        return Ok(vec![direct]);
    };
    let sidecar = Entry {
        contender: Contender::Sidecar,
        commands: "SESS.GET",
        operation: read("SESS.GET", &tokens),
    };
    Ok(vec![direct, sidecar])
}

/// Writing two fields and prolonging the session: through the sidecar, or as an application does it by itself,
/// which learns that the fields are written before it sets the time to live.
fn sess_set(peers: &Peers) -> Outcome<Vec<Entry>> {
    let hashes = hashes("own", peers)?;
    let two_fields = ["field0", VALUE, "field1", VALUE];
    let direct = Entry {
        contender: Contender::Direct,
        commands: "HSET, then EXPIRE",
        operation: Operation {
            steps: vec![
                step("HSET", &hashes, &two_fields, b":0\r\n"),
                step("EXPIRE", &hashes, &["1800"], b":1\r\n"),
            ],
        },
    };
    let Some(tokens) = sessions(peers)? else {
        return Ok(vec![direct]);
    };
    let sidecar = Entry {
        contender: Contender::Sidecar,
        commands: "SESS.SET",
        operation: Operation {
            steps: vec![step("SESS.SET", &tokens, &two_fields, b":")],
        },
    };
    Ok(vec![direct, sidecar])
}

/// An operation that reads all fields.
fn read(command: &str, keys: &[String]) -> Operation {
    Operation {
        steps: vec![step(command, keys, &[], b"*20\r\n")],
    }
}

fn step(command: &str, keys: &[String], arguments: &[&str], expected: &'static [u8]) -> Step {
    let request = |key: &String| {
        redis::cmd(command)
            .arg(key)
            .arg(arguments)
            .get_packed_command()
    };
    Step {
        requests: keys.iter().map(request).collect(),
        expected,
    }
}

fn keys(kind: &str) -> Vec<String> {
    (0..KEYS)
        .map(|number| format!("bench:{kind}:{number:04}"))
        .collect()
}

/// Makes bare hashes, of the same content as the sessions.
fn hashes(kind: &str, peers: &Peers) -> Outcome<Vec<String>> {
    let keys = keys(kind);
    let mut redis = connect(&peers.redis)?;
    for key in &keys {
        redis::cmd("HSET").arg(key).arg(fields()).exec(&mut redis)?;
    }
    Ok(keys)
}

/// Makes sessions and returns their tokens, or `None` without a sidecar. Each workload has sessions of its own,
/// so that the writes of one do not cool the near cache of another.
fn sessions(peers: &Peers) -> Outcome<Option<Vec<String>>> {
    let Some(sidecar) = &peers.sidecar else {
        return Ok(None);
    };
    let mut sidecar = connect(sidecar)?;
    let mut create = || {
        redis::cmd("SESS.CREATE")
            .arg("FIELDS")
            .arg(fields())
            .query::<String>(&mut sidecar)
    };
    let tokens = (0..KEYS).map(|_| create()).collect::<Result<_, _>>()?;
    Ok(Some(tokens))
}

fn fields() -> Vec<(String, &'static str)> {
    (0..FIELDS)
        .map(|number| (format!("field{number}"), VALUE))
        .collect()
}

fn connect(process: &Process) -> Outcome<Connection> {
    Ok(redis::Client::open(format!("redis://{}", process.address))?.get_connection()?)
}
