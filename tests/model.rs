//! Random runs against a simple model, races for one session, and indexes that heal.

// A failing test may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, RwLock};
use std::time::{Duration, Instant};
use support::{Client, Random, Redis, SOON, Sessile, Value, forged, handle, until};

// ---------------------------------------------------------------- the model

/// What a session should be.
#[derive(Clone)]
struct Session {
    token: String,
    user: Option<String>,
    fields: BTreeMap<String, String>,
    version: i64,
}

/// All sessions that should live, and tokens that must no longer be good for anything.
#[derive(Default)]
struct Model {
    live: Vec<Session>,
    dead_tokens: Vec<String>,
}

const FIELDS: [&str; 6] = ["a", "b", "cart", "n", "views", "a longer name"];
const USERS: [&str; 3] = ["alice", "bob", "carol"];

impl Model {
    /// Runs one random command on both and compares.
    fn step(&mut self, client: &mut Client, random: &mut Random) {
        if self.live.is_empty() || random.below(12) == 0 {
            return self.create(client, random);
        }
        let at = random.below(self.live.len());
        match random.below(16) {
            0..=2 => self.read(client, random, at),
            3..=5 => self.set(client, random, at),
            6 => self.unset(client, random, at),
            7 => self.pop(client, random, at),
            8 | 9 => self.incr(client, random, at),
            10 => self.rotate(client, random, at),
            11 => self.dead(client, random),
            12 => self.info(client, at),
            13 => self.list(client, random),
            14 => self.end(client, random, at),
            _ => {
                let left = client.cmd(&["SESS.TOUCH", &self.live[at].token]).int();
                assert!(left > 0);
            }
        }
    }

    fn create(&mut self, client: &mut Client, random: &mut Random) {
        let user = (random.below(3) > 0).then(|| random.pick(&USERS).to_string());
        let mut args = vec!["SESS.CREATE".to_string()];
        if let Some(user) = &user {
            args.extend(["USER".into(), user.clone()]);
        }
        let fields = some_pairs(random, 0);
        if !fields.is_empty() {
            args.push("FIELDS".into());
            args.extend(fields.iter().flat_map(|(k, v)| [k.clone(), v.clone()]));
        }
        let token = client.cmd(&args).text();
        let fields = fields.into_iter().collect();
        self.live.push(Session {
            token,
            user,
            fields,
            version: 1,
        });
    }

    fn read(&self, client: &mut Client, random: &mut Random, at: usize) {
        let session = &self.live[at];
        let name = *random.pick(&["SESS.GET", "SESS.PEEK"]);
        if random.below(2) == 0 {
            let got = client.cmd(&[name, &session.token]);
            let got: BTreeMap<_, _> = got
                .pairs()
                .into_iter()
                .map(|(k, v)| (k, v.text()))
                .collect();
            assert_eq!(got, session.fields);
        } else {
            let (one, two) = (*random.pick(&FIELDS), *random.pick(&FIELDS));
            let got = client.cmd(&[name, &session.token, one, two]);
            assert_values(&got, session, &[one, two]);
        }
    }

    fn set(&mut self, client: &mut Client, random: &mut Random, at: usize) {
        let session = &mut self.live[at];
        let pairs = some_pairs(random, 1);
        let mut args = vec!["SESS.SET".to_string(), session.token.clone()];
        args.extend(pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()]));
        session.version += 1;
        assert_eq!(client.cmd(&args), Value::Int(session.version));
        session.fields.extend(pairs);
    }

    fn unset(&mut self, client: &mut Client, random: &mut Random, at: usize) {
        let session = &mut self.live[at];
        let name = *random.pick(&FIELDS);
        let had = session.fields.remove(name).is_some();
        let got = client.cmd(&["SESS.UNSET", &session.token, name, "never there"]);
        assert_eq!(got, Value::Int(had.into()));
        session.version += 1;
    }

    fn pop(&mut self, client: &mut Client, random: &mut Random, at: usize) {
        let session = &mut self.live[at];
        let name = *random.pick(&FIELDS);
        let got = client.cmd(&["SESS.POP", &session.token, name, "never there"]);
        assert_values(&got, session, &[name, "never there"]);
        session.fields.remove(name);
        session.version += 1;
    }

    fn incr(&mut self, client: &mut Client, random: &mut Random, at: usize) {
        let session = &mut self.live[at];
        let name = *random.pick(&FIELDS);
        let by = random.below(100) as i64 - 50;
        let got = client.cmd(&["SESS.INCR", &session.token, name, &by.to_string()]);
        let old = session
            .fields
            .get(name)
            .map_or(Ok(0), |text| text.parse::<i64>());
        match old {
            Ok(old) => {
                assert_eq!(got, Value::Int(old + by));
                session
                    .fields
                    .insert(name.to_string(), (old + by).to_string());
                session.version += 1;
            }
            Err(_) => {
                assert!(got.is_error("ERR hash value is not an integer"), "{got}");
                // Whether a write that failed counts as one is left open.
                let info = client.cmd(&["SESS.INFO", &session.token]);
                let version = info.get("version").int();
                assert!(
                    (session.version..=session.version + 1).contains(&version),
                    "{info}"
                );
                session.version = version;
            }
        }
    }

    fn rotate(&mut self, client: &mut Client, random: &mut Random, at: usize) {
        let session = &mut self.live[at];
        let mut args = vec!["SESS.ROTATE".to_string(), session.token.clone()];
        if random.below(2) == 0 {
            let user = random.pick(&USERS).to_string();
            args.extend(["USER".into(), user.clone()]);
            session.user = Some(user);
        } else {
            args.extend(["GRACE".into(), "0".into()]);
        }
        let pairs = some_pairs(random, 0);
        if !pairs.is_empty() {
            args.push("FIELDS".into());
            args.extend(pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()]));
        }
        let token = client.cmd(&args).text();
        assert_eq!(handle(&token), handle(&session.token));
        session.fields.extend(pairs);
        session.version += 1;
        self.dead_tokens
            .push(std::mem::replace(&mut session.token, token));
    }

    /// Tokens that were good once are good for nothing.
    fn dead(&self, client: &mut Client, random: &mut Random) {
        if self.dead_tokens.is_empty() {
            return;
        }
        let token = random.pick(&self.dead_tokens);
        let commands: [&[&str]; 7] = [
            &["SESS.GET", token],
            &["SESS.SET", token, "a", "stolen"],
            &["SESS.INCR", token, "n"],
            &["SESS.POP", token, "a"],
            &["SESS.TOUCH", token],
            &["SESS.ROTATE", token],
            &["SESS.INFO", token],
        ];
        let args = *random.pick(&commands);
        let got = client.cmd(args);
        assert!(got.is_null(), "{args:?}: {got}");
        assert_eq!(client.cmd(&["SESS.DESTROY", token]), Value::Int(0));
    }

    fn info(&self, client: &mut Client, at: usize) {
        let session = &self.live[at];
        let info = client.cmd(&["SESS.INFO", &session.token]);
        assert_eq!(info.get("handle").text(), handle(&session.token));
        assert_eq!(info.get("version").int(), session.version, "{info}");
        assert_eq!(
            info.get("fields").int(),
            session.fields.len() as i64,
            "{info}"
        );
        if let Some(user) = &session.user {
            assert_eq!(&info.get("user").text(), user);
        }
    }

    fn list(&self, client: &mut Client, random: &mut Random) {
        let user = *random.pick(&USERS);
        let list = client.cmd(&["SESS.LIST", user]);
        let mut got: Vec<_> = list
            .items()
            .iter()
            .map(|s| s.get("handle").text())
            .collect();
        let created: Vec<_> = list
            .items()
            .iter()
            .map(|s| s.get("created").int())
            .collect();
        assert!(
            created.is_sorted_by(|a, b| a >= b),
            "newest first: {created:?}"
        );
        let of_user = self.live.iter().filter(|s| s.user.as_deref() == Some(user));
        let mut want: Vec<_> = of_user.map(|s| handle(&s.token).to_string()).collect();
        got.sort();
        want.sort();
        assert_eq!(got, want);
    }

    /// One of the three ways in which a session is ended.
    fn end(&mut self, client: &mut Client, random: &mut Random, at: usize) {
        let (got, ended): (_, Vec<bool>) = match random.below(5) {
            0 => {
                let user = *random.pick(&USERS);
                let except = self.live[at].token.clone();
                let ended = self
                    .live
                    .iter()
                    .map(|s| s.user.as_deref() == Some(user) && s.token != except);
                let ended = ended.collect();
                (client.cmd(&["SESS.LOGOUT", user, "EXCEPT", &except]), ended)
            }
            1 | 2 => {
                let public = handle(&self.live[at].token).to_string();
                let ended = (0..self.live.len()).map(|n| n == at).collect();
                (client.cmd(&["SESS.REVOKE", &public]), ended)
            }
            _ => {
                let token = self.live[at].token.clone();
                let ended = (0..self.live.len()).map(|n| n == at).collect();
                (
                    client.cmd(&["SESS.DESTROY", &forged(&token), &token, &token]),
                    ended,
                )
            }
        };
        assert_eq!(got, Value::Int(ended.iter().filter(|e| **e).count() as i64));
        let mut ended = ended.into_iter();
        let mut dead = Vec::new();
        self.live.retain(|session| {
            let ends = ended.next().unwrap();
            if ends {
                dead.push(session.token.clone());
            }
            !ends
        });
        self.dead_tokens.extend(dead);
    }
}

/// Up to three pairs of different fields, at least `min`.
fn some_pairs(random: &mut Random, min: usize) -> Vec<(String, String)> {
    let count = min + random.below(4 - min);
    let mut pairs = BTreeMap::new();
    for _ in 0..count {
        let value = match random.below(4) {
            0 => String::new(),
            1 => "a longer value, with \r\n in it".into(),
            _ => random.below(1000).to_string(),
        };
        pairs.insert(random.pick(&FIELDS).to_string(), value);
    }
    pairs.into_iter().collect()
}

#[track_caller]
fn assert_values(got: &Value, session: &Session, names: &[&str]) {
    let got: Vec<_> = got
        .items()
        .iter()
        .map(|v| (!v.is_null()).then(|| v.text()))
        .collect();
    let want: Vec<_> = names
        .iter()
        .map(|name| session.fields.get(*name).cloned())
        .collect();
    assert_eq!(got, want);
}

#[test]
fn a_random_run_agrees_with_the_model() {
    let redis = Redis::start();
    for sessile in [Sessile::start(&redis.url(), &[]), Sessile::embedded(&[])] {
        for protocol in [2, 3] {
            let mut random = Random::new();
            let mut client = sessile.client_speaking(protocol);
            // What another protocol's run left would be in the lists.
            for user in USERS {
                client.cmd(&["SESS.LOGOUT", user]);
            }
            let mut model = Model::default();
            for _ in 0..3000 {
                model.step(&mut client, &mut random);
            }
            // In the end all that lives is as it should be, also for another connection.
            let mut other = sessile.client_speaking(5 - protocol);
            for at in 0..model.live.len() {
                model.info(&mut other, at);
                for _ in 0..4 {
                    model.read(&mut other, &mut random, at);
                }
            }
        }
    }
    assert_hashes_are_sessions(&redis);
}

// ---------------------------------------------------------------- foes

/// One session that several connections work on.
struct Shared {
    state: RwLock<State>,
    /// Counts what was begun that makes the current token void: an end, or a rotation.
    begun: AtomicU64,
    /// How many of these are over, and told in `state`.
    over: AtomicU64,
}

#[derive(Clone)]
struct State {
    token: String,
    /// Rotated away, without grace.
    old: Vec<String>,
    /// Set when it is certain that the session has ended.
    ended: bool,
}

/// Writers, readers, and others that destroy, rotate, revoke and expire the same sessions.
#[test]
fn foes_of_a_session_leave_no_ghosts() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &["--workers", "2"]);
    let mut random = Random::new();
    let sessions: Vec<_> = (0..40)
        .map(|n| {
            let token = sessile.client().cmd(&[
                "SESS.CREATE",
                "USER",
                &format!("user{}", n % 4),
                "FIELDS",
                "v",
                &format!("{n}:first"),
            ]);
            let state = State {
                token: token.text(),
                old: vec![],
                ended: false,
            };
            Shared {
                state: RwLock::new(state),
                begun: AtomicU64::new(0),
                over: AtomicU64::new(0),
            }
        })
        .collect();

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..5 {
            let (sessile, sessions, stop, random) = (&sessile, &sessions, &stop, random.fork());
            scope.spawn(move || use_sessions(sessile, sessions, stop, thread, random));
        }
        let foes = [0, 1].map(|foe| {
            let (sessile, redis, sessions) = (&sessile, &redis, &sessions);
            let random = random.fork();
            scope.spawn(move || fight_sessions(sessile, redis, sessions, foe, random))
        });
        let ended = foes.into_iter().map(|foe| foe.join());
        let failed: Vec<_> = ended.filter_map(Result::err).collect();
        stop.store(true, Ordering::SeqCst);
        if let Some(panic) = failed.into_iter().next() {
            std::panic::resume_unwind(panic);
        }
    });

    let mut client = sessile.client();
    for (n, shared) in sessions.iter().enumerate() {
        let state = shared.state.read().unwrap();
        let got = client.cmd(&["SESS.GET", &state.token]);
        assert_eq!(got.is_null(), state.ended, "session {n}: {got}");
    }
    assert_hashes_are_sessions(&redis);
}

/// Reads and writes until told to stop, and checks what it is answered.
fn use_sessions(
    sessile: &Sessile,
    sessions: &[Shared],
    stop: &AtomicBool,
    thread: usize,
    mut random: Random,
) {
    let mut client = sessile.client_speaking(if thread.is_multiple_of(2) { 2 } else { 3 });
    let mut round = 0;
    while !stop.load(Ordering::SeqCst) {
        round += 1;
        let n = random.below(sessions.len());
        // What is known before a command begins must hold for its reply.
        let over = sessions[n].over.load(Ordering::SeqCst);
        let state = sessions[n].state.read().unwrap().clone();
        let (token, void) = match state.old.is_empty() || random.below(4) > 0 {
            true => (&state.token, state.ended),
            false => (random.pick(&state.old), true),
        };
        let value = format!("{n}:{thread}-{round}");
        let got = match random.below(4) {
            0 => client.cmd(&["SESS.SET", token, "v", &value]),
            1 => client.cmd(&["SESS.INCR", token, "count"]),
            2 => client.cmd(&["SESS.PEEK", token, "v"]),
            _ => client.cmd(&["SESS.GET", token, "v"]),
        };
        assert!(!matches!(got, Value::Error(_)), "{got}");
        if void {
            assert!(got.is_null(), "session {n} came back: {got}");
        } else if got.is_null() {
            // Something was under way when we looked, or has begun since.
            let begun = sessions[n].begun.load(Ordering::SeqCst);
            assert!(
                begun > over,
                "session {n} is null, and nobody ended or rotated it"
            );
        } else if let Value::Array(values) = got {
            let got = values[0].text();
            assert!(
                got.starts_with(&format!("{n}:")),
                "{got} was not written to session {n}"
            );
        }
    }
}

/// Ends or rotates sessions in random order. Each foe has sessions of its own, so that it knows what
/// became of them; what two rotations do to each other is the matter of another test.
fn fight_sessions(
    sessile: &Sessile,
    redis: &Redis,
    sessions: &[Shared],
    foe: usize,
    mut random: Random,
) {
    let (mut client, mut direct) = (sessile.client(), redis.client());
    for _ in 0..150 {
        let n = random.below(sessions.len() / 2) * 2 + foe;
        let State { token, ended, .. } = sessions[n].state.read().unwrap().clone();
        if ended {
            assert!(
                client.cmd(&["SESS.ROTATE", &token]).is_null(),
                "session {n} came back"
            );
            continue;
        }
        sessions[n].begun.fetch_add(1, Ordering::SeqCst);
        let mut rotated = None;
        match random.below(16) {
            0 => assert_eq!(client.cmd(&["SESS.DESTROY", &token]), Value::Int(1)),
            1 => assert_eq!(client.cmd(&["SESS.REVOKE", handle(&token)]), Value::Int(1)),
            2 => {
                // Its users keep it alive all the time, so expiry has to be quick about it.
                let key = format!("sessile:{{{}}}", handle(&token));
                until("the session expires", SOON, || {
                    direct.cmd(&["PEXPIRE", &key, "1"]);
                    direct.cmd(&["HEXISTS", &key, "@s"]) == Value::Int(0)
                });
                until("the sidecar notices", SOON, || {
                    client.cmd(&["SESS.PEEK", &token]).is_null()
                });
            }
            _ => rotated = Some(client.cmd(&["SESS.ROTATE", &token, "GRACE", "0"]).text()),
        }
        let mut state = sessions[n].state.write().unwrap();
        match rotated {
            Some(new) => {
                let old = std::mem::replace(&mut state.token, new);
                state.old.push(old);
            }
            None => state.ended = true,
        }
        drop(state);
        sessions[n].over.fetch_add(1, Ordering::SeqCst);
    }
}

/// Every hash of the sidecar's is a whole session with an end; no remains of lost races.
#[track_caller]
fn assert_hashes_are_sessions(redis: &Redis) {
    let mut direct = redis.client();
    let keys = direct.line("KEYS sessile:{*").items().to_vec();
    for key in keys {
        let key = key.text();
        let ttl = direct.cmd(&["PTTL", &key]).int();
        assert_ne!(
            ttl,
            -1,
            "{key} lives for ever: {}",
            direct.cmd(&["HGETALL", &key])
        );
        let has_secret = direct.cmd(&["HEXISTS", &key, "@s"]) == Value::Int(1);
        // It may have expired between two looks.
        let exists = direct.cmd(&["EXISTS", &key]) == Value::Int(1);
        assert!(
            has_secret || !exists,
            "remains: {key} {}",
            direct.cmd(&["HGETALL", &key])
        );
    }
}

// ---------------------------------------------------------------- races

/// Many write while one logs out: afterwards the session is gone for ever, and so is its hash.
#[test]
fn the_logout_race() {
    let redis = Redis::start();
    let sidecars = [
        Sessile::start(&redis.url(), &["--workers", "2"]),
        Sessile::start(&redis.url(), &[]),
    ];
    let deadline = Instant::now() + Duration::from_secs(6);
    let mut direct = redis.client();
    let mut rounds = 0;
    while Instant::now() < deadline && rounds < 150 {
        rounds += 1;
        let token = sidecars[0]
            .client()
            .line("SESS.CREATE USER alice FIELDS a 1")
            .text();
        let barrier = Barrier::new(7);
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (sessile, token, barrier) = (&sidecars[thread % 2], &token, &barrier);
                scope.spawn(move || {
                    let mut client = sessile.client();
                    barrier.wait();
                    for n in 0.. {
                        let value = n.to_string();
                        let got = match n % 4 {
                            0 => client.cmd(&["SESS.INCR", token, "count"]),
                            1 => client.cmd(&["SESS.TOUCH", token]),
                            2 => client.cmd(&["SESS.POP", token, "a"]),
                            _ => client.cmd(&["SESS.SET", token, "a", &value]),
                        };
                        if got.is_null() {
                            // Once gone, always gone.
                            assert!(client.cmd(&["SESS.SET", token, "a", "again"]).is_null());
                            return;
                        }
                        assert!(!matches!(got, Value::Error(_)), "{got}");
                    }
                });
            }
            let mut client = sidecars[rounds % 2].client();
            barrier.wait();
            let ended = match rounds % 3 {
                0 => client.cmd(&["SESS.DESTROY", &token]),
                1 => client.cmd(&["SESS.REVOKE", handle(&token)]),
                _ => client.cmd(&["SESS.LOGOUT", "alice"]),
            };
            assert_eq!(ended, Value::Int(1));
            assert!(client.cmd(&["SESS.GET", &token]).is_null());
        });
        // Every writer has had its answer, so every trace has been removed.
        let key = format!("sessile:{{{}}}", handle(&token));
        let remains = direct.cmd(&["HGETALL", &key]);
        assert_eq!(remains, Value::Array(vec![]), "round {rounds}");
        for sessile in &sidecars {
            let mut client = sessile.client();
            assert!(client.cmd(&["SESS.GET", &token]).is_null());
            assert_eq!(client.line("SESS.LIST alice").items().len(), 0);
        }
    }
    assert_hashes_are_sessions(&redis);
}

/// Many rotate the same token: one wins, and its token is the one that works. With a logout at the
/// same time nobody wins in the end.
#[test]
fn the_rotation_race() {
    let redis = Redis::start();
    let sidecars = [
        Sessile::start(&redis.url(), &["--workers", "2"]),
        Sessile::start(&redis.url(), &[]),
    ];
    let deadline = Instant::now() + Duration::from_secs(8);
    let mut rounds = 0;
    while Instant::now() < deadline && rounds < 200 {
        rounds += 1;
        let with_logout = rounds % 2 == 0;
        let token = sidecars[0]
            .client()
            .line("SESS.CREATE USER alice FIELDS a 1")
            .text();
        let barrier = Barrier::new(if with_logout { 7 } else { 6 });
        let winners: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6)
                .map(|thread| {
                    let (sessile, token, barrier) = (&sidecars[thread % 2], &token, &barrier);
                    scope.spawn(move || {
                        let mut client = sessile.client();
                        barrier.wait();
                        let got = client.cmd(&["SESS.ROTATE", token, "GRACE", "0"]);
                        assert!(!matches!(got, Value::Error(_)), "{got}");
                        (!got.is_null()).then(|| got.text())
                    })
                })
                .collect();
            if with_logout {
                let mut client = sidecars[0].client();
                barrier.wait();
                assert!(client.cmd(&["SESS.REVOKE", handle(&token)]).int() <= 1);
            }
            threads
                .into_iter()
                .filter_map(|t| t.join().unwrap())
                .collect()
        });

        let mut client = sidecars[0].client();
        assert!(
            client.cmd(&["SESS.SET", &token, "a", "2"]).is_null(),
            "the old one never writes"
        );
        if with_logout {
            for winner in &winners {
                let got = client.cmd(&["SESS.GET", winner]);
                assert!(
                    got.is_null(),
                    "revoked, and there again in round {rounds}: {got}"
                );
            }
        } else {
            assert_eq!(
                winners.len(),
                1,
                "one rotation of a token wins: {winners:?}"
            );
            let got = client.cmd(&["SESS.GET", &winners[0], "a"]);
            assert_eq!(
                got.to_string(),
                "[\"1\"]",
                "the winner's token works in round {rounds}"
            );
            client.line("SESS.LOGOUT alice");
        }
        assert_hashes_are_sessions(&redis);
    }
}

/// A one-time token is given to exactly one of many who ask at once.
#[test]
fn pop_gives_a_value_once() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &["--workers", "2"]);
    for round in 0..30 {
        let token = sessile.client().line("SESS.CREATE FIELDS csrf once").text();
        let barrier = Barrier::new(6);
        let got: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6)
                .map(|_| {
                    scope.spawn(|| {
                        let mut client = sessile.client();
                        barrier.wait();
                        !client.cmd(&["SESS.POP", &token, "csrf"]).items()[0].is_null()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|t| usize::from(t.join().unwrap()))
                .sum()
        });
        assert_eq!(got, 1, "round {round}");
    }
}

/// Counters count each call, whoever calls.
#[test]
fn increments_add_up() {
    let redis = Redis::start();
    let sidecars = [
        Sessile::start(&redis.url(), &[]),
        Sessile::start(&redis.url(), &[]),
    ];
    let token = sidecars[0].client().line("SESS.CREATE").text();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (sessile, token) = (&sidecars[thread % 2], &token);
            scope.spawn(move || {
                let mut client = sessile.client();
                for _ in 0..200 {
                    client.send(&["SESS.INCR", token, "n"]);
                    client.send(&["SESS.SET", token, &format!("own{thread}"), "x"]);
                }
                for _ in 0..400 {
                    assert!(matches!(client.reply(), Value::Int(_)));
                }
            });
        }
    });
    let info = sidecars[1].client().cmd(&["SESS.INFO", &token]);
    assert_eq!(
        info.get("version").int(),
        1 + 6 * 400,
        "each write has its version"
    );
    // Read from Redis: the other sidecar may be a push behind.
    let key = format!("sessile:{{{}}}", handle(&token));
    assert_eq!(redis.client().cmd(&["HGET", &key, "n"]).int(), 1200);
}

// ---------------------------------------------------------------- indexes

/// What a crash between two steps leaves behind is put right by whoever meets it.
#[test]
fn indexes_heal() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let (mut client, mut direct) = (sessile.client(), redis.client());
    let index = "sessile:u:{alice}";
    let live = client.line("SESS.CREATE USER alice FIELDS a 1").text();
    let far = "9999999999999";

    // An entry without a session, an entry of one that expired, and one of another user's.
    let ghost = "AAAAAAAAAAAAAAAA";
    direct.cmd(&["ZADD", index, far, ghost]);
    let lost = client.line("SESS.CREATE USER alice").text();
    direct.cmd(&["DEL", &format!("sessile:{{{}}}", handle(&lost))]);
    let bobs = client.line("SESS.CREATE USER bob FIELDS b 1").text();
    direct.cmd(&["ZADD", index, far, handle(&bobs)]);
    // A hash that is no session, for it has no secret.
    let remains = "BBBBBBBBBBBBBBBB";
    direct.cmd(&["ZADD", index, far, remains]);
    direct.cmd(&[
        "HSET",
        &format!("sessile:{{{remains}}}"),
        "@u",
        "alice",
        "a",
        "1",
    ]);
    // What is no handle at all, and one that expired long ago.
    direct.cmd(&["ZADD", index, far, "not a handle"]);
    direct.cmd(&["ZADD", index, "1000", "CCCCCCCCCCCCCCCC"]);

    let list = client.line("SESS.LIST alice");
    assert_eq!(list.items().len(), 1, "{list}");
    assert_eq!(list.items()[0].get("handle").text(), handle(&live));
    // The dead are removed behind the reply. Bob's is not: a session whose user is not alice may be
    // on its way to her, indexed first; a reader that removed it would hide it from her logout.
    for gone in [ghost, handle(&lost), remains, "CCCCCCCCCCCCCCCC"] {
        until("LIST removes the dead", SOON, || {
            direct.cmd(&["ZSCORE", index, gone]).is_null()
        });
    }
    assert!(!direct.cmd(&["ZSCORE", index, handle(&live)]).is_null());

    // LOGOUT alone does as much, and ends nobody else's session.
    direct.cmd(&["ZADD", index, far, ghost, far, handle(&bobs)]);
    assert_eq!(client.line("SESS.LOGOUT alice"), Value::Int(1));
    assert!(client.cmd(&["SESS.GET", &live]).is_null());
    assert_eq!(client.cmd(&["SESS.GET", &bobs, "b"]).to_string(), "[\"1\"]");
    until("LOGOUT removes the dead", SOON, || {
        direct.cmd(&["ZSCORE", index, ghost]).is_null()
    });
}

/// A live session whose index entry is lost comes back into the index when it is used, so that a
/// logout everywhere does not miss it.
#[test]
fn a_used_session_returns_to_its_index() {
    let redis = Redis::start();
    let always = ["--set", "session.touch_every_s=0"];
    let sessile = Sessile::start(&redis.url(), &always);
    let (mut client, mut direct) = (sessile.client(), redis.client());
    let index = "sessile:u:{alice}";
    for command in ["SESS.TOUCH", "SESS.GET", "SESS.SET"] {
        let token = client.line("SESS.CREATE USER alice FIELDS a 1").text();
        direct.cmd(&["DEL", index]);
        match command {
            "SESS.SET" => client.cmd(&[command, &token, "a", "2"]),
            _ => client.cmd(&[command, &token]),
        };
        until("it is back in the index", SOON, || {
            !direct.cmd(&["ZSCORE", index, handle(&token)]).is_null()
        });
        assert!(
            direct.cmd(&["PTTL", index]).int() > 0,
            "an index does not live for ever"
        );
        assert_eq!(
            client.line("SESS.LIST alice").items().len(),
            1,
            "after {command}"
        );
        assert_eq!(
            client.line("SESS.LOGOUT alice"),
            Value::Int(1),
            "after {command}"
        );
        assert!(client.cmd(&["SESS.GET", &token]).is_null());
    }
}

/// A user with more sessions than fit into one trip is logged out completely.
#[test]
fn logout_is_complete() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let mut client = sessile.client();
    for _ in 0..1500 {
        client.send(&["SESS.CREATE", "USER", "alice"]);
    }
    let tokens: Vec<_> = (0..1500).map(|_| client.reply().text()).collect();
    assert_eq!(client.line("SESS.LOGOUT alice"), Value::Int(1500));
    for token in &tokens {
        client.send(&["SESS.PEEK", token]);
    }
    for token in &tokens {
        assert!(client.reply().is_null(), "{} survived", handle(token));
    }
    assert_eq!(redis.client().line("KEYS sessile:{*").items().len(), 0);
}
