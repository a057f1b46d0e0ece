//! What was wrong once. Each test holds one promise that a review found broken.

// A failing test may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{
    Address, Client, Redis, Relay, SOON, Sessile, Value, encode, handle, holds_within, until,
};

/// All clients on one lane, so that they can get into each other's way.
const ONE_WORKER: [&str; 2] = ["--workers", "1"];

const MIB: usize = 1024 * 1024;

fn ok() -> Value {
    Value::Simple("OK".into())
}

/// `args` and a setting.
fn with<'a>(args: &[&'a str], setting: &'a str) -> Vec<&'a str> {
    [args, &["--set", setting]].concat()
}

/// Resident memory of the sidecar in MiB.
fn rss_mib(sessile: &Sessile) -> i64 {
    sessile.rss_kib() / 1024
}

/// Waits until the memory of the sidecar is within `more` MiB of `before`.
#[track_caller]
fn wait_memory(sessile: &Sessile, before: i64, more: i64) {
    let mut now = 0;
    let returned = holds_within(SOON, || {
        now = rss_mib(sessile);
        now < before + more
    });
    assert!(returned, "{before} MiB before and still {now} MiB");
}

// ---------------------------------------------------------------- replies on a shared lane

/// A large reply leaves in pieces, and '>' is what a push begins with: a piece that begins with it
/// is none.
#[test]
fn a_value_full_of_push_marks_is_a_value() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &ONE_WORKER);
    let marks = vec![b'>'; 4_000_000];
    let mut direct = redis.client();
    direct.cmd(&[b"SET".as_slice(), b"marks", &marks]);
    direct.line("SET other other-value");
    for protocol in [2, 3] {
        let mut large = sessile.client_speaking(protocol);
        let mut neighbour = sessile.client_speaking(protocol);
        for round in 0..5 {
            large.send(&["GET", "marks"]);
            neighbour.send(&["GET", "other"]);
            let reply = neighbour.reply();
            // The values are too long to be shown.
            assert!(
                reply == Value::Bulk(b"other-value".to_vec()),
                "RESP{protocol}, round {round}: another reply came to the neighbour"
            );
            assert!(
                large.reply() == Value::Bulk(marks.clone()),
                "RESP{protocol}, round {round}: not the whole value"
            );
        }
        large.assert_lives();
    }
}

/// The same for a reply that nobody waits for any more.
#[test]
fn a_late_session_full_of_push_marks_confuses_nobody() {
    let redis = Redis::start();
    let relay = Relay::start(redis.port);
    let sessile = Sessile::start(&relay.url(), &ONE_WORKER);
    let marks = vec![b'>'; 900_000];
    let mut large = sessile.client();
    let fields: [&[u8]; 8] = [
        b"SESS.CREATE",
        b"FIELDS",
        b"a",
        &marks,
        b"b",
        &marks,
        b"c",
        &marks,
    ];
    let token = large.cmd(&fields).text();
    let mut neighbours: Vec<_> = (0..3)
        .map(|n| {
            let mut client = sessile.client();
            let create = format!("SESS.CREATE FIELDS who neighbour-{n}");
            let token = client.line(&create).text();
            (client, token)
        })
        .collect();

    relay.hold_replies();
    let reply = large.cmd(&["SESS.PEEK", &token]);
    assert!(reply.is_error("SESSDOWN"), "another reply");
    relay.release();
    for round in 0..3 {
        // All at once: a reply too many or too few would reach somebody else.
        for (client, token) in &mut neighbours {
            client.send(&["SESS.PEEK", token, "who"]);
        }
        for (n, (client, _)) in neighbours.iter_mut().enumerate() {
            let reply = client.reply();
            assert!(
                reply == Value::Array(vec![Value::Bulk(format!("neighbour-{n}").into_bytes())]),
                "round {round}, neighbour {n}: another reply"
            );
        }
    }
    let reply = large.cmd(&["SESS.PEEK", &token, "b"]);
    assert!(reply == Value::Array(vec![Value::Bulk(marks)]));
}

/// The names of group and consumer may be those of options.
#[test]
fn a_read_that_blocks_is_refused_whatever_its_group_is_called() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &ONE_WORKER);
    let (mut blocking, mut neighbour) = (sessile.client(), sessile.client());
    redis.client().line("XGROUP CREATE s streams $ MKSTREAM");
    for line in [
        "XREADGROUP GROUP streams c BLOCK 0 STREAMS s >",
        "XREADGROUP GROUP streams streams BLOCK 0 STREAMS s >",
        "xreadgroup group streams c count 1 block 0 streams s >",
    ] {
        blocking.send(&line.split(' ').collect::<Vec<_>>());
        // Behind a read that blocks, it would run into its deadline.
        neighbour.send(&["SET", "k", "v"]);
        let reply = blocking.reply();
        assert!(
            reply.is_error("ERR") && reply.text().contains("connection of its own"),
            "{line}: {reply}"
        );
        assert_eq!(neighbour.reply(), ok(), "{line}");
    }
    // What does not wait passes, whatever it is called.
    let reply = blocking.line("XREADGROUP GROUP streams block STREAMS s >");
    assert!(reply.is_null(), "{reply}");
}

// ---------------------------------------------------------------- upstream away and back

/// -BUSY to the SELECT of a handshake is about the moment, and not about the database.
#[test]
fn a_busy_upstream_is_found_again_with_its_database() {
    let redis = Redis::start_with(&["--lua-time-limit", "20"]);
    let relay = Relay::start(redis.port);
    let args = with(&ONE_WORKER, "upstream.backoff_max_ms=100");
    let sessile = Sessile::start(&format!("{}/2", relay.url()), &args);
    let mut client = sessile.client();
    assert_eq!(client.line("SESS.CREATE").text().len(), 48);
    assert_eq!(client.line("SET k v"), ok());

    let (mut script, mut direct) = (redis.client(), redis.client());
    script.send(&["EVAL", "while true do end", "0"]);
    until("the script has become too long", SOON, || {
        direct.line("PING").is_error("BUSY")
    });
    relay.cut();
    until("the sidecar has met it", SOON, || {
        let (session, plain) = (client.line("SESS.CREATE"), client.line("GET k"));
        [session, plain]
            .iter()
            .all(|reply| matches!(reply, Value::Error(text) if text.contains("BUSY")))
    });
    assert_eq!(direct.line("SCRIPT KILL"), ok());
    assert!(script.reply().is_error("ERR"));

    until("sessions work again", SOON, || {
        matches!(client.line("SESS.CREATE"), Value::Bulk(_))
    });
    until("and plain commands", SOON, || {
        client.line("GET k").to_string() == "\"v\""
    });
    direct.line("SELECT 2");
    assert_eq!(
        direct.line("GET k").text(),
        "v",
        "in the database of the URL"
    );
}

/// A wire over a Unix socket, which is cut once: behind the first piece of requests that holds
/// `mark`. A Unix socket takes some 200 KB on the way, so that of a larger request a part has not
/// even been sent by then.
struct CutWire {
    path: PathBuf,
    ended: Arc<AtomicBool>,
}

impl CutWire {
    fn start(redis_port: u16, mark: &'static str) -> CutWire {
        // Named after the port, which no other test has.
        let path = std::env::temp_dir().join(format!("sessile-wire-{redis_port}.sock"));
        let listener = UnixListener::bind(&path).expect("a socket for the wire");
        let (ended, armed) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(true)),
        );
        let over = ended.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let far = TcpStream::connect(("127.0.0.1", redis_port)).expect("redis-server");
                let (mut from, mut to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
                std::thread::spawn(move || {
                    // Either side may be cut.
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
                let armed = armed.clone();
                std::thread::spawn(move || pass_requests(near, far, mark, &armed));
            }
        });
        CutWire { path, ended }
    }
}

fn pass_requests(mut near: UnixStream, mut far: TcpStream, mark: &str, armed: &AtomicBool) {
    let mut chunk = [0; 16 * 1024];
    while let Ok(count @ 1..) = near.read(&mut chunk) {
        let piece = &chunk[..count];
        let marked = piece.windows(mark.len()).any(|w| w == mark.as_bytes());
        if far.write_all(piece).is_err() || (marked && armed.swap(false, Ordering::SeqCst)) {
            break;
        }
    }
    // Redis still does what has come.
    let _ = (near.shutdown(Shutdown::Both), far.shutdown(Shutdown::Write));
}

impl Drop for CutWire {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the listening thread, which then sees that it is over.
        let _ = UnixStream::connect(&self.path);
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Of several commands that were sent in part, the first ones may have been done: sent again, they
/// would count less than there was.
#[test]
fn a_write_of_many_commands_that_was_cut_has_an_unknown_outcome() {
    const SESSIONS: usize = 256;
    let redis = Redis::start();
    let wire = CutWire::start(redis.port, "UNLINK");
    let args = [
        &ONE_WORKER[..],
        // Long names, so that what is sent for all of them is much more than a socket takes.
        &["--set", "limits.user_bytes_max=4096"],
        &["--set", "upstream.timeout_ms=5000"],
    ]
    .concat();
    let sessile = Sessile::start(&format!("unix://{}", wire.path.display()), &args);
    let mut client = sessile.client();
    let user = "u".repeat(4096);
    for _ in 0..SESSIONS {
        client.send(&["SESS.CREATE", "USER", &user]);
    }
    let mut revoke = vec!["SESS.REVOKE".to_string()];
    for _ in 0..SESSIONS {
        revoke.push(handle(&client.reply().text()).to_string());
    }

    let reply = client.cmd(&revoke);
    assert!(
        reply.is_error("SESSDOWN") && reply.text().contains("unknown"),
        "{reply}"
    );
    let mut direct = redis.client();
    let left = |direct: &mut Client| {
        let exists = [&["EXISTS".to_string()], &revoke_keys(&revoke)[..]].concat();
        direct.cmd(&exists).int() as usize
    };
    let after = left(&mut direct);
    assert!((1..SESSIONS).contains(&after), "cut in the middle: {after}");
    // Asked again, it ends what is left.
    assert_eq!(client.cmd(&revoke), Value::Int(after as i64));
    assert_eq!(left(&mut direct), 0);
}

/// The keys of the sessions that a SESS.REVOKE names.
fn revoke_keys(revoke: &[String]) -> Vec<String> {
    let handles = revoke[1..].iter();
    handles
        .map(|handle| format!("sessile:{{{handle}}}"))
        .collect()
}

/// A reply that is cut costs the client its connection, but not the replies before it.
#[test]
fn whole_replies_before_one_that_is_cut_still_arrive() {
    let redis = Redis::start();
    let relay = Relay::start(redis.port);
    // A Unix socket takes little: most of the first reply waits in the sidecar when the second
    // is cut.
    let sessile = Sessile::start_unix(&relay.url(), &ONE_WORKER);
    let value: Vec<u8> = (0..2_000_000_u32).map(|n| (n / 7) as u8).collect();
    for key in ["first", "second"] {
        redis
            .client()
            .cmd(&[b"SET".as_slice(), key.as_bytes(), &value]);
    }
    let mut client = sessile.client();
    client.line("GET warm");
    relay.cut_after(3_000_000);
    client.raw(
        &[
            encode(&["ECHO", "before"]),
            encode(&["GET", "first"]),
            encode(&["GET", "second"]),
            encode(&["ECHO", "behind"]),
        ]
        .concat(),
    );
    until("the connection is lost", SOON, || {
        sessile.logs().contains("upstream connection lost")
    });
    assert_eq!(client.reply().text(), "before");
    assert!(client.reply() == Value::Bulk(value), "the first reply");
    let end = client.try_reply().map_err(|error| error.kind());
    assert!(
        matches!(
            end,
            Err(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
        ),
        "nothing whole can follow"
    );
}

// ---------------------------------------------------------------- databases

/// Selects databases 1 to 70 one after another; answers what came last.
fn select_many(client: &mut Client, expected: impl Fn(&Value) -> bool) {
    for database in 1..=70 {
        let reply = client.line(&format!("SELECT {database}"));
        assert!(expected(&reply), "SELECT {database}: {reply}");
    }
}

#[test]
fn many_databases_lock_nobody_out() {
    let redis = Redis::start_with(&["--databases", "100"]);
    let sessile = Sessile::start(&redis.url(), &ONE_WORKER);
    for protocol in [2, 3] {
        let mut wanderer = sessile.client_speaking(protocol);
        select_many(&mut wanderer, |reply| *reply == ok());
        assert_eq!(wanderer.line("SET k 70"), ok());
    }
    for protocol in [2, 3] {
        let mut other = sessile.client_speaking(protocol);
        assert_eq!(other.line("SET k 0"), ok());
        assert_eq!(other.line("SELECT 70"), ok());
        assert_eq!(other.line("GET k").text(), "70");
        assert_eq!(other.line("SELECT 99"), ok());
        assert!(other.line("GET k").is_null());
        assert_eq!(other.line("SELECT 0"), ok());
        assert_eq!(other.line("GET k").text(), "0");
    }
}

#[test]
fn many_databases_lock_nobody_out_while_upstream_is_away() {
    let redis = Redis::start_with(&["--databases", "100"]);
    let relay = Relay::start(redis.port);
    relay.cut_and_refuse();
    // Each database waits for its deadline once, so deadlines are short.
    let args = [
        &ONE_WORKER[..],
        &["--set", "upstream.timeout_ms=10"],
        &["--set", "upstream.backoff_max_ms=100"],
    ]
    .concat();
    let sessile = Sessile::start(&relay.url(), &args);
    for protocol in [2, 3] {
        select_many(&mut sessile.client_speaking(protocol), |reply| {
            reply.is_error("SESSDOWN")
        });
    }
    let mut others = [sessile.client(), sessile.client3()];
    for other in &mut others {
        let reply = other.line("GET k");
        assert!(reply.is_error("SESSDOWN"), "{reply}");
    }
    relay.allow();
    for other in &mut others {
        until("upstream is found again", SOON, || {
            other.line("SET k v") == ok()
        });
        until("with any database", SOON, || {
            other.line("SELECT 80") == ok()
        });
    }
}

// ---------------------------------------------------------------- memory

/// Requests that cost nothing to ask and much to answer: who does not read the replies is not
/// answered further until it does.
#[test]
fn unread_replies_of_our_own_take_little_memory() {
    const ASKED: usize = 2000;
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &ONE_WORKER);
    // Names of some length make each reply some 140 KB.
    let name = "n".repeat(200);
    let mut crowd: Vec<_> = (0..300).map(|_| sessile.client()).collect();
    for client in &mut crowd {
        assert_eq!(client.cmd(&["CLIENT", "SETNAME", &name]), ok());
    }
    let mut other = sessile.client();
    let mut glutton = sessile.client();
    let mut names = 0;
    glutton.line("CLIENT ID");
    let before = rss_mib(&sessile);

    glutton.raw(&b"CLIENT LIST\r\n".repeat(ASKED));
    for _ in 0..50 {
        // Each of these gives the glutton a turn too.
        assert!(other.line("GET nothing").is_null());
        let now = rss_mib(&sessile);
        assert!(now < before + 16, "{before} MiB before and {now} MiB now");
    }
    for _ in 0..ASKED {
        let Value::Bulk(list) = glutton.reply() else {
            panic!("not a list");
        };
        names += list.split(|byte| *byte == b'\n').count() - 1;
    }
    assert_eq!(names, ASKED * (crowd.len() + 2), "everybody in each list");
    wait_memory(&sessile, before, 16);
    glutton.assert_lives();
}

/// Who says that nothing more will come still gets all that was asked for.
#[test]
fn a_half_closed_client_gets_every_reply_of_a_long_pipeline() {
    const ASKED: usize = 5000;
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &ONE_WORKER);
    let text = "p".repeat(50);
    redis.client().cmd(&["SET", "k", &text]);
    let reply = format!("${}\r\n{text}\r\n", text.len()).into_bytes();
    // More than is answered at once, and more than may be under way at a time.
    for request in [encode(&["PING", &text]), encode(&["GET", "k"])] {
        let mut client = sessile.client();
        client.raw(&request.repeat(ASKED));
        client.close_sending();
        let got = client.read_to_end();
        assert_eq!(got.len(), ASKED * reply.len());
        assert!(got == reply.repeat(ASKED));
    }
}

#[test]
fn one_large_value_leaves_no_memory_behind() {
    let redis = Redis::start();
    let args = [
        &ONE_WORKER[..],
        &["--set", "upstream.timeout_ms=20000"],
        &["--set", "upstream.silent_ms=30000"],
    ]
    .concat();
    let sessile = Sessile::start(&redis.url(), &args);
    let mut client = sessile.client();
    client.line("GET nothing");
    let before = rss_mib(&sessile);
    let value = vec![b'v'; 50 * MIB];
    assert_eq!(client.cmd(&[b"SET".as_slice(), b"large", &value]), ok());
    wait_memory(&sessile, before, 20);
    client.send(&["GET", "large"]);
    client.skip(format!("${}\r\n", value.len()).len() + value.len() + 2);
    client.assert_lives();
    wait_memory(&sessile, before, 20);
}

/// What a client could not take at once was kept for it; not so the buffer it was kept in.
#[test]
fn slow_readers_leave_no_memory_behind() {
    const READERS: usize = 60;
    const BYTES: usize = 8 * MIB;
    let redis = Redis::start();
    let args = [
        &ONE_WORKER[..],
        &["--set", "upstream.timeout_ms=20000"],
        &["--set", "upstream.silent_ms=30000"],
    ]
    .concat();
    let sessile = Sessile::start(&redis.url(), &args);
    let value = vec![b'v'; BYTES];
    redis.client().cmd(&[b"SET".as_slice(), b"large", &value]);
    let mut readers: Vec<_> = (0..READERS).map(|_| sessile.client()).collect();
    readers.iter_mut().for_each(Client::assert_lives);
    let before = rss_mib(&sessile);

    for reader in &mut readers {
        reader.send(&["GET", "large"]);
    }
    until("the values wait in the sidecar", SOON, || {
        rss_mib(&sessile) > before + 100
    });
    for reader in &mut readers {
        reader.skip(format!("${BYTES}\r\n").len() + BYTES + 2);
    }
    readers.iter_mut().for_each(Client::assert_lives);
    // Half a gigabyte was there. The C library itself may keep 64 MB that were freed in a thread.
    wait_memory(&sessile, before, 100);
}

// ---------------------------------------------------------------- fair turns

/// However much one client sends, the others have their turn.
#[test]
fn a_flood_of_requests_starves_nobody() {
    let redis = Redis::start();
    // A Unix socket always holds more than the sidecar takes in one turn; TCP often does not.
    let sessile = Sessile::start_unix(&redis.url(), &ONE_WORKER);
    let Address::Unix(path) = sessile.address() else {
        unreachable!()
    };
    let mut other = sessile.client();
    other.line("GET nothing");
    let flood = UnixStream::connect(path).unwrap();
    let answered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let pings = b"PING\r\n".repeat(100_000);
            // Until the connection is shut down below.
            while (&flood).write_all(&pings).is_ok() {}
        });
        scope.spawn(|| {
            let mut chunk = vec![0; MIB];
            while let Ok(count @ 1..) = (&flood).read(&mut chunk) {
                answered.fetch_add(count as u64, Ordering::Relaxed);
            }
        });
        let flooding = |bytes| holds_within(SOON, || answered.load(Ordering::Relaxed) > bytes);
        let began = flooding(1_000_000);
        // How far the flood gets for each request of the other: turns, not time, whatever the machine.
        let before = answered.load(Ordering::Relaxed);
        let end = Instant::now() + SOON / 2;
        let mut count = 0;
        while count < 20 && Instant::now() < end && other.try_cmd(&["GET", "nothing"]).is_ok() {
            count += 1;
        }
        let meanwhile = answered.load(Ordering::Relaxed) - before;
        let went_on = flooding(answered.load(Ordering::Relaxed) + 100_000);
        // Before any assertion: the threads end with it, and the scope with them.
        flood.shutdown(Shutdown::Both).unwrap();
        assert!(began && went_on, "the flood runs");
        assert!(
            count > 0 && meanwhile / count < 2_000_000,
            "{count} requests were answered, and {meanwhile} bytes of the flood"
        );
    });
    other.assert_lives();
}

// ---------------------------------------------------------------- ending

/// A client that always has something under way does not keep the sidecar from ending; what was
/// accepted from it is answered.
#[test]
fn sigterm_ends_a_client_that_never_pauses() {
    let redis = Redis::start();
    let relay = Relay::start(redis.port);
    let args = [
        &ONE_WORKER[..],
        &["--set", "listen.drain_ms=60000"],
        &["--set", "upstream.timeout_ms=5000"],
    ]
    .concat();
    let mut sessile = Sessile::start(&relay.url(), &args);
    let mut client = sessile.client();
    client.line("GET warm");
    // Never all that is under way at once.
    relay.trickle_replies(Duration::from_millis(1));
    let (sent, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    let (runs, sent_before, exited) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 1;
            let mut take = |client: &mut Client| {
                let taken = client.try_reply().map(|reply| {
                    assert_eq!(reply, Value::Int(next), "each in its place");
                    next += 1;
                    answered.fetch_add(1, Ordering::SeqCst);
                });
                taken.is_ok()
            };
            let end = Instant::now() + SOON;
            while Instant::now() < end && client.try_raw(&encode(&["INCR", "counter"])).is_ok() {
                let sent = sent.fetch_add(1, Ordering::SeqCst) + 1;
                if sent - answered.load(Ordering::SeqCst) > 8 && !take(&mut client) {
                    break;
                }
            }
            while take(&mut client) {}
        });
        let runs = holds_within(SOON, || answered.load(Ordering::SeqCst) > 50);
        let sent_before = sent.load(Ordering::SeqCst);
        sessile.terminate();
        let exited = holds_within(SOON / 2, || sessile.has_exited());
        (runs, sent_before, exited)
    });
    assert!(runs, "the load runs");
    assert!(exited, "it goes on for as long as the client does");
    assert_eq!(sessile.wait_exit(SOON).code(), Some(0));
    let answered = answered.load(Ordering::SeqCst);
    assert!(answered >= sent_before, "{answered} of {sent_before}");
    let counted = redis.client().line("GET counter").int() as u64;
    assert_eq!(answered, counted, "what was done was answered");
}

/// A reply that the system holds already is not lost to what the client sends behind it: a close with
/// unread input is a reset, and a reset throws away what was not delivered.
#[test]
fn sigterm_takes_no_reply_back_from_a_client_that_goes_on_sending() {
    const BYTES: usize = 3_000_000;
    let redis = Redis::start();
    let mut sessile = Sessile::start(&redis.url(), &ONE_WORKER);
    let whole = format!("${BYTES}\r\n").len() + BYTES + 2;
    let value = vec![b'v'; BYTES];
    redis.client().cmd(&[b"SET".as_slice(), b"large", &value]);
    let (mut slow, mut behind) = (sessile.client(), sessile.client());
    slow.send(&["GET", "large"]);
    // On the same lane: once this one is answered, so is the one before it.
    behind.send(&["GET", "large"]);
    behind.skip(whole);
    sessile.terminate();
    let end = Instant::now() + Duration::from_millis(500);
    while Instant::now() < end && slow.try_raw(&encode(&["PING"])).is_ok() && !sessile.has_exited()
    {
    }
    slow.skip(whole);
    drop((slow, behind));
    assert_eq!(sessile.wait_exit(SOON).code(), Some(0));
}

/// A new process on the same socket, while the old one still drains: the usual order of a restart.
#[test]
fn a_draining_process_leaves_its_successors_socket_alone() {
    let redis = Redis::start();
    let relay = Relay::start(redis.port);
    let args = with(&ONE_WORKER, "upstream.timeout_ms=20000");
    let mut old = Sessile::start_unix(&relay.url(), &args);
    let address = old.address().clone();
    let Address::Unix(path) = &address else {
        unreachable!()
    };
    let mut client = old.client();
    client.line("GET warm");
    relay.hold_replies();
    let asked = relay.requested();
    client.send(&["GET", "k"]);
    until("it is under way", SOON, || relay.requested() > asked);
    old.terminate();
    until("the old process takes no new clients", SOON, || {
        Client::try_connect(&address).is_err()
    });

    let new = Sessile::start_on(address.clone(), &redis.url(), &ONE_WORKER);
    new.client().assert_lives();
    relay.release();
    assert!(client.reply().is_null());
    assert_eq!(old.wait_exit(SOON).code(), Some(0));
    assert!(Path::new(path).exists());
    assert_eq!(new.client().line("SET k v"), ok());
}

// ---------------------------------------------------------------- commands about the connection

/// Clients send a transaction in one go. Where MULTI is refused, the commands alone would be half of
/// what was asked.
#[test]
fn nothing_of_a_refused_transaction_is_done() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &ONE_WORKER);
    let mut client = sessile.client();
    let token = client.line("SESS.CREATE FIELDS a 1").text();
    let set = ["SESS.SET", &token, "a", "2"];
    let pipeline = |end: &str| {
        [
            encode(&["MULTI"]),
            encode(&["SET", "a", "1"]),
            encode(&set),
            encode(&["INCR", "b"]),
            encode(&[end]),
            encode(&["SET", "after", end]),
        ]
        .concat()
    };
    for end in ["EXEC", "DISCARD", "RESET"] {
        client.raw(&pipeline(end));
        let multi = client.reply();
        assert!(
            multi.is_error("ERR") && multi.text().contains("MULTI"),
            "{multi}"
        );
        for inside in ["SET", "SESS.SET", "INCR"] {
            let reply = client.reply();
            assert!(reply.is_error("ERR"), "{inside}, {end}: {reply}");
        }
        let reply = client.reply();
        match end {
            "EXEC" => assert!(reply.is_error("EXECABORT"), "{reply}"),
            "RESET" => assert_eq!(reply, Value::Simple("RESET".into())),
            // Nothing is there to discard, but it is no success either.
            _ => assert!(reply.is_error("ERR"), "{reply}"),
        }
        assert_eq!(client.reply(), ok(), "behind {end} all is as before");
        assert_eq!(client.line("GET after").text(), end);
        assert_eq!(client.line("EXISTS a b"), Value::Int(0));
        let value = client.cmd(&["SESS.GET", &token, "a"]);
        assert_eq!(value.to_string(), "[\"1\"]");
    }
}

/// What is told behind a SELECT is told of the database that it selected, as if executed one after
/// another.
#[test]
fn client_info_in_one_pipeline_with_select_tells_the_new_database() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &ONE_WORKER);
    let mut client = sessile.client();
    client.raw(&[encode(&["SELECT", "3"]), encode(&["CLIENT", "INFO"])].concat());
    assert_eq!(client.reply(), ok());
    let info = client.reply().text();
    assert!(info.contains(" db=3 "), "{info}");
}

#[test]
fn client_info_and_list_tell_what_is() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &ONE_WORKER);
    let (mut client, mut other) = (sessile.client(), sessile.client());
    let id = client.line("CLIENT ID").int();
    let other_id = other.line("CLIENT ID").int();
    assert_eq!(client.line("SELECT 3"), ok());
    let info = client.line("CLIENT INFO").text();
    assert!(info.contains(" db=3 "), "{info}");

    let list = other.line("CLIENT LIST").text();
    let line = list
        .lines()
        .find(|line| line.starts_with(&format!("id={id} ")))
        .expect("the other one");
    assert!(line.contains(" db=3 "), "{line}");
    assert_eq!(list.lines().count(), 2, "{list}");

    let ids = |list: Value| -> Vec<String> {
        let list = list.text();
        let ids = list.lines().map(|line| line.split(' ').next().unwrap());
        ids.map(str::to_string).collect()
    };
    assert!(ids(other.line("CLIENT LIST TYPE pubsub")).is_empty());
    assert_eq!(ids(other.line("CLIENT LIST TYPE normal")).len(), 2);
    assert_eq!(
        ids(other.line(&format!("CLIENT LIST ID {id}"))),
        [format!("id={id}")]
    );
    assert_eq!(
        ids(other.line(&format!("CLIENT LIST ID {id} 999999 {other_id}"))),
        [format!("id={id}"), format!("id={other_id}")]
    );
    assert!(ids(other.line("CLIENT LIST ID 999999")).is_empty());
    for wrong in [
        "CLIENT LIST TYPE nonsense",
        "CLIENT LIST ID",
        "CLIENT LIST ID x",
        "CLIENT LIST NONSENSE",
    ] {
        assert!(other.line(wrong).is_error("ERR"), "{wrong}");
    }

    let reply = client.line("RESET x");
    assert!(reply.is_error("ERR wrong number of arguments"), "{reply}");
    let info = client.line("CLIENT INFO").text();
    assert!(info.contains(" db=3 "), "nothing was reset: {info}");
    assert_eq!(client.line("RESET"), Value::Simple("RESET".into()));
    let info = client.line("CLIENT INFO").text();
    assert!(info.contains(" db=0 "), "{info}");
}
