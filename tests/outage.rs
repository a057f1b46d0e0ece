//! When Redis is away, slow, or dies in the middle, and when the sidecar itself ends.

// A failing test may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::{
    Address, Client, Redis, Relay, SOON, Sessile, Value, encode, holds_within, run_to_exit, until,
};

/// Waits until the sidecar has found its upstream again.
#[track_caller]
fn wait_served(sessile: &Sessile) {
    let mut client = sessile.client();
    until("the upstream is found again", SOON, || {
        client.line("SET recovered 1") == Value::Simple("OK".into())
    });
    let mut client = sessile.client3();
    until("and for sessions too", SOON, || {
        !client.line("SESS.CREATE").is_error("SESSDOWN")
    });
}

// ---------------------------------------------------------------- away

#[test]
fn away_at_start_is_no_failure() {
    let mut redis = Redis::start();
    redis.kill();
    let sessile = Sessile::start(&redis.url(), &[]);
    for protocol in [2, 3] {
        let mut client = sessile.client_speaking(protocol);
        for line in [
            "GET k",
            "SET k v",
            "SESS.CREATE",
            "SESS.LIST alice",
            "SESS.LOGOUT alice",
            "SESS.REVOKE 0123456789abcdef",
        ] {
            let reply = client.line(line);
            assert!(reply.is_error("SESSDOWN"), "{line}: {reply}");
        }
        // A well-formed token might exist: that is not known, so it is not null.
        let token = "A".repeat(48);
        for line in ["GET", "PEEK", "INFO", "TOUCH", "ROTATE", "DESTROY"] {
            let reply = client.cmd(&[format!("SESS.{line}"), token.clone()]);
            assert!(reply.is_error("SESSDOWN"), "SESS.{line}: {reply}");
        }
        for line in [
            format!("SESS.SET {token} a 1"),
            format!("SESS.POP {token} a"),
        ] {
            let reply = client.line(&line);
            assert!(reply.is_error("SESSDOWN"), "{line}: {reply}");
        }
        // What the sidecar answers by itself is still answered.
        client.assert_lives();
        assert!(!matches!(client.line("SESS.HELP"), Value::Error(_)));
        assert!(!matches!(client.line("COMMAND COUNT"), Value::Error(_)));
    }
    redis.restart();
    wait_served(&sessile);
}

#[test]
fn a_unix_upstream_may_be_away_too() {
    let mut redis = Redis::start();
    let sessile = Sessile::start(&redis.unix_url(), &[]);
    wait_served(&sessile);
    redis.kill();
    let mut client = sessile.client();
    until("it is noticed", SOON, || {
        client.line("GET k").is_error("SESSDOWN")
    });
    redis.restart();
    wait_served(&sessile);
}

#[test]
fn wrong_credentials_upstream_are_an_outage_that_is_explained() {
    let redis = Redis::start_with(&["--requirepass", "right"]);
    let url = format!("redis://:wrong-one@127.0.0.1:{}", redis.port);
    let sessile = Sessile::start(&url, &[]);
    assert!(sessile.client().line("GET k").is_error("SESSDOWN"));
    assert!(sessile.client().line("SESS.CREATE").is_error("SESSDOWN"));
    until("the reason is logged", SOON, || {
        sessile.logs().contains("WRONGPASS")
    });
    assert!(
        !sessile.logs().contains("wrong-one"),
        "a password in the log"
    );
    // Once the password is the right one, it recovers without a restart.
    let mut direct = redis.client();
    direct.line("AUTH right");
    direct.line("CONFIG SET requirepass wrong-one");
    wait_served(&sessile);
}

// ---------------------------------------------------------------- under load

/// What the threads of a load saw in all.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    good: AtomicU64,
    down: AtomicU64,
}

/// One client that checks each of its replies, until told to stop: every value is its own, so a
/// reply that was meant for another request cannot pass for the right one.
fn load(sessile: &Sessile, thread: usize, token: &str, seen: &Seen) {
    let mut client = sessile.client_speaking(if thread.is_multiple_of(2) { 2 } else { 3 });
    let mut round = 0_u64;
    // The last field value known to be written; an error leaves open which one is there.
    let mut field: Vec<String> = vec!["0".into()];
    while !seen.stop.load(Ordering::Relaxed) {
        round += 1;
        let (key, value) = (
            format!("load:{thread}:{round}"),
            format!("v{thread}-{round}"),
        );
        // As one pipeline: a reply that is lost or doubled shifts all that follow.
        client.send(&["SET", &key, &value]);
        client.send(&["ECHO", &value]);
        client.send(&["GET", &key]);
        client.send(&["SESS.SET", token, "n", &value]);
        client.send(&["SESS.GET", token, "n"]);
        client.send(&["DEL", &key]);
        let set = client.reply();
        let echo = client.reply();
        let get = client.reply();
        let sess_set = client.reply();
        let sess_get = client.reply();
        let del = client.reply();

        let down = |reply: &Value| {
            let is_down = reply.is_error("SESSDOWN");
            let count = if is_down { &seen.down } else { &seen.good };
            count.fetch_add(1, Ordering::Relaxed);
            is_down
        };
        let whole = format!("{set} | {echo} | {get} | {sess_set} | {sess_get} | {del}");
        assert_eq!(echo, Value::Bulk(value.clone().into_bytes()), "{whole}");
        let set_down = down(&set);
        if !set_down {
            assert_eq!(set, Value::Simple("OK".into()), "{whole}");
        }
        if !down(&get) {
            // A restarted Redis is empty; a SET of unknown outcome may have been one.
            let fits = get == Value::Bulk(value.clone().into_bytes()) || get.is_null();
            assert!(fits, "{value}: {whole}");
        }
        if !down(&del) {
            assert!(matches!(del, Value::Int(0 | 1)), "{whole}");
        }
        if down(&sess_set) {
            field.push(value.clone());
        } else {
            assert!(
                matches!(sess_set, Value::Int(2..)),
                "an existing session is no null: {whole}"
            );
            field = vec![value.clone()];
        }
        if !down(&sess_get) {
            assert!(
                !sess_get.is_null(),
                "an existing session is no null: {whole}"
            );
            let got = sess_get.items()[0].text();
            assert!(
                field.contains(&got),
                "{got} was not written last: {field:?}; {whole}"
            );
        }
    }
}

/// Runs `trouble` while six clients work, and then waits until all are served again.
fn under_load(sessile: &Sessile, trouble: impl FnOnce()) -> Seen {
    let tokens: Vec<_> = (0..6)
        .map(|_| sessile.client().line("SESS.CREATE FIELDS n 0").text())
        .collect();
    let seen = Seen::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = tokens
            .iter()
            .enumerate()
            .map(|(n, token)| {
                let seen = &seen;
                scope.spawn(move || load(sessile, n, token, seen))
            })
            .collect();
        let more = |what, count: &AtomicU64, by| {
            let before = count.load(Ordering::Relaxed);
            until(what, SOON, || {
                threads.iter().any(|t| t.is_finished())
                    || count.load(Ordering::Relaxed) >= before + by
            });
        };
        more("the load runs", &seen.good, 300);
        trouble();
        more("the load runs again", &seen.good, 300);
        seen.stop.store(true, Ordering::Relaxed);
        // A failed thread fails the test with its own message.
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    seen
}

#[test]
fn a_paused_redis_under_load() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &["--set", "upstream.timeout_ms=200"]);
    let seen = under_load(&sessile, || {
        redis.pause();
        let mut client = sessile.client();
        until("commands fail in time", SOON, || {
            client.line("GET k").is_error("SESSDOWN")
        });
        assert!(client.line("SESS.CREATE").is_error("SESSDOWN"));
        redis.resume();
    });
    assert!(seen.down.into_inner() > 0, "the load noticed");
}

/// A killed Redis comes back empty, so sessions here are only asked for while it is away.
#[test]
fn a_killed_redis_under_load() {
    let redis = std::sync::Mutex::new(Redis::start());
    let url = redis.lock().unwrap().url();
    let sessile = Sessile::start(&url, &["--set", "upstream.timeout_ms=300"]);
    let seen = Seen::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|n| {
                let (sessile, seen) = (&sessile, &seen);
                scope.spawn(move || plain_load(sessile, n, seen))
            })
            .collect();
        for _ in 0..3 {
            let good = seen.good.load(Ordering::Relaxed);
            until("the load runs", SOON, || {
                threads.iter().any(|t| t.is_finished())
                    || seen.good.load(Ordering::Relaxed) > good + 300
            });
            redis.lock().unwrap().kill();
            let mut client = sessile.client();
            until("it is noticed", SOON, || {
                client.line("GET k").is_error("SESSDOWN")
            });
            redis.lock().unwrap().restart();
            wait_served(&sessile);
        }
        seen.stop.store(true, Ordering::Relaxed);
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    assert!(seen.down.into_inner() > 0, "the load noticed");
}

/// Sixteen requests in flight, each with a reply of its own.
fn plain_load(sessile: &Sessile, thread: usize, seen: &Seen) {
    let mut client = sessile.client();
    let mut round = 0_u64;
    while !seen.stop.load(Ordering::Relaxed) {
        round += 1;
        let values: Vec<_> = (0..8).map(|n| format!("{thread}-{round}-{n}")).collect();
        for value in &values {
            client.send(&["SET", value, value, "PX", "5000"]);
            client.send(&["GET", value]);
        }
        for value in &values {
            let (set, get) = (client.reply(), client.reply());
            for reply in [&set, &get] {
                let down = reply.is_error("SESSDOWN");
                let count = if down { &seen.down } else { &seen.good };
                count.fetch_add(1, Ordering::Relaxed);
            }
            let set_fits = set == Value::Simple("OK".into()) || set.is_error("SESSDOWN");
            assert!(set_fits, "SET {value}: {set}");
            let own = get == Value::Bulk(value.clone().into_bytes());
            assert!(
                own || get.is_null() || get.is_error("SESSDOWN"),
                "GET {value}: {get}"
            );
        }
    }
}

/// An existing session is never null while Redis is away, and it is there again afterwards.
#[test]
fn an_outage_logs_nobody_out() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &["--set", "upstream.timeout_ms=200"]);
    let mut client = sessile.client();
    let token = client.line("SESS.CREATE USER alice FIELDS a 1").text();
    let asks: [&[&str]; 8] = [
        &["SESS.GET", &token],
        &["SESS.PEEK", &token, "a"],
        &["SESS.SET", &token, "b", "2"],
        &["SESS.TOUCH", &token],
        &["SESS.INFO", &token],
        &["SESS.POP", &token, "nothing"],
        &["SESS.LIST", "alice"],
        &["SESS.INCR", &token, "n"],
    ];
    redis.pause();
    for args in asks {
        let reply = client.cmd(args);
        assert!(reply.is_error("SESSDOWN"), "{args:?}: {reply}");
    }
    redis.resume();
    wait_served(&sessile);
    for args in asks {
        let reply = client.cmd(args);
        assert!(
            !reply.is_null() && !matches!(reply, Value::Error(_)),
            "{args:?}: {reply}"
        );
    }
    assert_eq!(
        client.cmd(&["SESS.GET", &token, "a"]).items()[0].text(),
        "1"
    );
}

// ---------------------------------------------------------------- single replies

/// A reply that comes too late is thrown away: what follows on the lane gets its own.
#[test]
fn a_late_reply_is_thrown_away() {
    let redis = Redis::start();
    let relay = Relay::start(redis.port);
    // One worker, so that all clients share the lane.
    let args = ["--workers", "1", "--set", "upstream.timeout_ms=500"];
    let sessile = Sessile::start(&relay.url(), &args);
    let mut direct = redis.client();
    for n in 0..4 {
        direct.cmd(&["SET", &format!("k{n}"), &format!("v{n}")]);
    }
    let mut slow = sessile.client();
    let mut neighbour = sessile.client();
    assert_eq!(slow.line("GET k0").text(), "v0");
    assert_eq!(neighbour.line("GET k0").text(), "v0");

    for _ in 0..3 {
        relay.hold_replies();
        // It times out ...
        let reply = slow.line("GET k1");
        assert!(reply.is_error("SESSDOWN"), "{reply}");
        // ... and the neighbour, who came later, does not: its reply stands behind the late one.
        let asked = relay.requested();
        neighbour.send(&["GET", "k2"]);
        let sent = holds_within(Duration::from_millis(300), || relay.requested() > asked);
        relay.release();
        let reply = neighbour.reply();
        // Where the sidecar gave up the lane, it must at least try again for a read.
        assert_eq!(reply.to_string(), "\"v2\"", "request on its way: {sent}");
        assert_eq!(slow.line("GET k3").text(), "v3");
        assert_eq!(neighbour.line("GET k0").text(), "v0");
    }

    // The same with sessions, whose transactions are several replies each.
    let token = slow.line("SESS.CREATE FIELDS a 1").text();
    let other = neighbour.line("SESS.CREATE FIELDS b 2").text();
    relay.hold_replies();
    let reply = slow.cmd(&["SESS.SET", &token, "a", "5"]);
    assert!(reply.is_error("SESSDOWN"), "{reply}");
    neighbour.send(&["SESS.GET", &other, "b"]);
    relay.release();
    assert_eq!(neighbour.reply().items()[0].text(), "2");
    // It failed before or after it was sent; nothing in between.
    let value = slow.cmd(&["SESS.GET", &token, "a"]).items()[0].text();
    assert!(["1", "5"].contains(&value.as_str()), "{value}");
}

/// A lane that ends in the middle of a reply: reads are asked again, writes say what is not known.
#[test]
fn a_lane_cut_in_the_middle() {
    let redis = Redis::start();
    let relay = Relay::start(redis.port);
    let sessile = Sessile::start(&relay.url(), &["--workers", "1"]);
    let mut direct = redis.client();
    for n in 0..20 {
        direct.cmd(&[
            "SET",
            &format!("k{n}"),
            &format!("a value of some length {n}"),
        ]);
    }
    let mut client = sessile.client();
    let token = client.line("SESS.CREATE FIELDS a 1").text();
    client.line("GET k0");

    for bytes in [1, 5, 31, 40, 100, 333] {
        relay.cut_after(bytes);
        let ask: Vec<u8> = (0..20)
            .flat_map(|n| encode(&["GET", &format!("k{n}")]))
            .collect();
        client.raw(&ask);
        for n in 0..20 {
            let reply = client.reply().to_string();
            assert_eq!(
                reply,
                format!("\"a value of some length {n}\""),
                "cut after {bytes}"
            );
        }
        relay.cut_after(3);
        let reply = client.cmd(&["SESS.GET", &token, "a"]);
        assert_eq!(reply.to_string(), "[\"1\"]", "a read is asked again");
    }

    // A write that was sent is not sent again: a counter would count twice.
    direct.line("SET counter 0");
    let mut unknown = 0;
    for n in 1..=10 {
        client.line("GET k0");
        relay.cut_after(1);
        let reply = client.line("INCR counter");
        if reply.is_error("SESSDOWN") {
            assert!(reply.text().contains("unknown"), "{reply}");
            unknown += 1;
        }
        let counted = direct.line("GET counter").int();
        assert_eq!(counted, n, "each INCR happened once: {reply}");
        relay.cut_after(u64::MAX >> 2);
    }
    assert!(unknown > 0, "the wire was cut under at least one write");
    client.assert_lives();
}

/// An upstream that is gone for good costs each command no more than its deadline, and the
/// connection back is found without a stampede.
#[test]
fn refused_connections_are_retried_and_found_again() {
    let redis = Redis::start();
    let relay = Relay::start(redis.port);
    let sessile = Sessile::start(&relay.url(), &[]);
    wait_served(&sessile);
    relay.cut_and_refuse();
    let mut client = sessile.client();
    until("it is noticed", SOON, || {
        client.line("GET k").is_error("SESSDOWN")
    });
    for _ in 0..5 {
        assert!(client.line("GET k").is_error("SESSDOWN"));
    }
    relay.allow();
    wait_served(&sessile);
    assert!(!client.line("GET k").is_error("SESSDOWN"));
}

// ---------------------------------------------------------------- ending

/// No accepted command loses its reply.
#[test]
fn sigterm_drains() {
    let redis = Redis::start();
    let relay = Relay::start(redis.port);
    let timeouts = ["--set", "upstream.timeout_ms=5000"];
    let mut sessile = Sessile::start(&relay.url(), &timeouts);
    let mut clients: Vec<_> = (0..5).map(|_| sessile.client()).collect();
    for client in &mut clients {
        client.line("GET warm");
    }
    relay.hold_replies();
    let before = relay.requested();
    let mut expected = 0;
    for (n, client) in clients.iter_mut().enumerate() {
        for i in 0..10 {
            let request = encode(&["SET", &format!("drain:{n}:{i}"), "v"]);
            expected += request.len() as u64;
            client.raw(&request);
        }
    }
    until("all have been accepted", SOON, || {
        relay.requested() >= before + expected
    });
    sessile.terminate();
    // The port closes while the accepted commands are still waiting.
    let address = sessile.address().clone();
    until("it takes no new clients", SOON, || {
        Client::try_connect(&address).is_err()
    });
    relay.release();
    for client in &mut clients {
        for _ in 0..10 {
            assert_eq!(client.reply(), Value::Simple("OK".into()));
        }
        assert_eq!(client.read_to_end(), b"", "then it closes");
    }
    assert_eq!(sessile.wait_exit(SOON).code(), Some(0));
    assert_eq!(redis.client().line("DBSIZE"), Value::Int(50));
}

/// Under full load too: every reply that came is the right one, and each write that was answered
/// is there.
#[test]
fn sigterm_under_load_loses_nothing() {
    let redis = Redis::start();
    let mut sessile = Sessile::start(&redis.url(), &[]);
    let address = sessile.address().clone();
    let answered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (address, answered) = (&address, &answered);
            scope.spawn(move || {
                let mut client = Client::connect(address);
                // Until the sidecar closes, which it does between replies.
                while let Ok(reply) = client.try_cmd(&["INCR", "counter"]) {
                    assert!(matches!(reply, Value::Int(_)), "{reply}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        until("the load runs", SOON, || {
            answered.load(Ordering::SeqCst) > 500
        });
        sessile.terminate();
    });
    assert_eq!(sessile.wait_exit(SOON).code(), Some(0));
    let counted = redis.client().line("GET counter").int() as u64;
    let answered = answered.load(Ordering::SeqCst);
    // What was read from a client is answered; so what was counted was answered.
    assert_eq!(counted, answered);
}

#[test]
fn signals_end_an_idle_process() {
    for embedded in [true, false] {
        let redis = Redis::start();
        let url = if embedded {
            "embedded:".into()
        } else {
            redis.url()
        };
        let mut sessile = Sessile::start(&url, &[]);
        let mut idle = sessile.client();
        idle.assert_lives();
        if embedded {
            sessile.terminate()
        } else {
            sessile.interrupt()
        };
        assert_eq!(sessile.wait_exit(SOON).code(), Some(0));
        assert_eq!(idle.read_to_end(), b"");
    }
}

/// A client that never reads, and an upstream that never answers, do not hold up the end for
/// longer than `drain_ms`.
#[test]
fn the_drain_has_an_end() {
    let redis = Redis::start();
    let relay = Relay::start(redis.port);
    let args = [
        "--set",
        "listen.drain_ms=500",
        "--set",
        "upstream.timeout_ms=60000",
    ];
    let mut sessile = Sessile::start(&relay.url(), &args);
    let mut client = sessile.client();
    client.line("GET k");
    relay.hold_replies();
    client.send(&["GET", "k"]);
    sessile.terminate();
    sessile.wait_exit(SOON);
}

// ---------------------------------------------------------------- starting

/// One line that says what and why, on stderr, and an exit code that a supervisor notices.
#[track_caller]
fn assert_fails(args: &[&str], reasons: &[&str]) {
    let ended = run_to_exit(args);
    assert!(
        matches!(ended.code, Some(1..)),
        "{args:?} ended with {:?}",
        ended.code
    );
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{args:?}: one line: {}", ended.stderr);
    for reason in reasons {
        assert!(lines[0].contains(reason), "{reason:?} in {:?}", lines[0]);
    }
    assert_eq!(ended.stdout, "", "{args:?}");
}

#[test]
fn a_start_that_fails_says_why() {
    let running = Sessile::embedded(&[]);
    let taken = running.address().to_string();
    assert_fails(
        &["--listen", &taken, "--upstream", "embedded:"],
        &[&taken, "in use"],
    );
    running.client().assert_lives();

    let listen = ["--listen", "127.0.0.1:0"];
    for (url, reason) in [
        ("http://localhost", "http"),
        ("redis://", "redis://"),
        ("redis://127.0.0.1:99999", "99999"),
        ("redis://127.0.0.1:6379/notanumber", "notanumber"),
        ("nonsense", "nonsense"),
        ("rediss://127.0.0.1:6379", "TLS"),
    ] {
        assert_fails(&[&listen[..], &["--upstream", url]].concat(), &[reason]);
    }
    // A password in a URL is not repeated in the error about it.
    let ended = run_to_exit(&["--upstream", "redis://:hush@127.0.0.1:99999"]);
    assert!(!ended.stderr.contains("hush"), "{}", ended.stderr);

    assert_fails(
        &["--listen", "nowhere", "--upstream", "embedded:"],
        &["nowhere"],
    );
    assert_fails(
        &["--listen", "unix:/no/such/dir/s.sock"],
        &["/no/such/dir/s.sock"],
    );
    // Protected mode: an open port needs a password.
    assert_fails(
        &["--listen", "0.0.0.0:0", "--upstream", "embedded:"],
        &["0.0.0.0", "password"],
    );
    assert_fails(&["--config", "/no/such/file.toml"], &["/no/such/file.toml"]);
    assert_fails(&["--set", "no.such.option=1"], &["no.such.option"]);
    assert_fails(
        &["--set", "session.touch_every_s=often"],
        &["touch_every_s"],
    );
}

/// A socket file that a killed process left does not stop the next one; that of a living one does.
#[test]
fn a_stale_socket_is_replaced() {
    let sessile = Sessile::start_unix("embedded:", &[]);
    let Address::Unix(path) = sessile.address().clone() else {
        unreachable!()
    };
    let listen = format!("unix:{}", path.display());
    assert_fails(
        &["--listen", &listen, "--upstream", "embedded:"],
        &["in use"],
    );
    sessile.client().assert_lives();
    drop(sessile);

    // What a process that was killed leaves: a file nobody listens on.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let again = Sessile::start_on(Address::Unix(path.clone()), "embedded:", &[]);
    again.client().assert_lives();
    drop(again);
    assert!(!path.exists());
}
