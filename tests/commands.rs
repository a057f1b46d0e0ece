//! One transcript per `SESS.*` command: what the client sends and gets, in both protocols, and what
//! Redis holds afterwards. `support/transcript.rs` says how to read them.

// A failing test may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::{Duration, SystemTime};
use support::{Client, Redis, SOON, Sessile, Transcript, Value, forged, handle, secret, until};

/// Every command of this version, as `SESS.HELP` must know them.
const COMMANDS: [&str; 16] = [
    "SESS.CREATE",
    "SESS.GET",
    "SESS.PEEK",
    "SESS.SET",
    "SESS.UNSET",
    "SESS.POP",
    "SESS.INCR",
    "SESS.TOUCH",
    "SESS.ROTATE",
    "SESS.DESTROY",
    "SESS.INFO",
    "SESS.LIST",
    "SESS.LOGOUT",
    "SESS.REVOKE",
    "SESS.EXPLAIN",
    "SESS.HELP",
];

#[test]
fn create() {
    Transcript::play(
        r#"
        > SESS.CREATE USER alice IDLE 100 LIFE 1000 FIELDS theme dark cart "2 apples"
        < <token:t>
        > SESS.GET $t
        2< ["theme", "dark", "cart", "2 apples"]
        3< {"theme": "dark", "cart": "2 apples"}

        @ HMGET sessile:{$t.handle} @u @i @v theme cart
        < ["alice", "100000", "1", "dark", "2 apples"]
        @ HSTRLEN sessile:{$t.handle} @s
        < :43
        @ PTTL sessile:{$t.handle}
        < :<int:90000..100000>
        @ ZRANGE sessile:u:{alice} 0 -1
        < ["$t.handle"]
        # As long as its longest member, and an hour more: clocks differ.
        @ PTTL sessile:u:{alice}
        < :<int:90000..3800000>

        # Life shorter than idle: the smaller one counts.
        > SESS.CREATE IDLE 100 LIFE 50
        < <token:short>
        @ PTTL sessile:{$short.handle}
        < :<int:40000..50000>

        # Options are case-insensitive, and FIELDS ends them: data is never read as an option.
        > sess.create fields USER mallory IDLE 1
        < <token:data>
        > SESS.GET $data
        2< ["USER", "mallory", "IDLE", "1"]
        3< {"USER": "mallory", "IDLE": "1"}
        @ HEXISTS sessile:{$data.handle} @u
        < :0

        # No user, no fields: still a session, and an empty map rather than null.
        > SESS.CREATE
        < <token:bare>
        > SESS.GET $bare
        2< []
        3< {}
        "#,
        &[],
    );
}

/// The hash keeps when the session began and when it must end, by the clock that we share with it.
#[test]
fn create_keeps_times_and_indexes() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let before = now_ms();
    let token = sessile
        .client()
        .line("SESS.CREATE USER alice IDLE 100 LIFE 1000")
        .text();
    let after = now_ms();

    let key = format!("sessile:{{{}}}", handle(&token));
    let mut direct = redis.client();
    let created = direct.cmd(&["HGET", &key, "@c"]).int();
    assert!(
        (before..=after).contains(&created),
        "@c is {created}, not in {before}..={after}"
    );
    let deadline = direct.cmd(&["HGET", &key, "@a"]).int();
    assert!(
        (before + 1_000_000..=after + 1_000_000).contains(&deadline),
        "@a is {deadline}"
    );

    // Both indexes score a session with the moment it expires.
    let score = direct
        .cmd(&["ZSCORE", "sessile:u:{alice}", handle(&token)])
        .int();
    assert!(
        (before + 100_000..=after + 100_000).contains(&score),
        "the user's index: {score}"
    );
    let shards: Vec<_> = (0..16)
        .map(|n| direct.cmd(&["ZSCORE", &format!("sessile:all:{{{n}}}"), handle(&token)]))
        .filter(|score| !score.is_null())
        .collect();
    assert_eq!(shards.len(), 1, "in one shard of the index of all sessions");
    assert_eq!(shards[0].int(), score);

    // The hash stays small enough for Redis's compact encoding.
    assert_eq!(direct.cmd(&["OBJECT", "ENCODING", &key]).text(), "listpack");
}

/// What is stored of a secret does not help whoever reads it, and tokens are never alike.
#[test]
fn create_makes_unguessable_tokens() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let mut client = sessile.client();
    let tokens: Vec<_> = (0..200)
        .map(|_| client.line("SESS.CREATE USER alice").text())
        .collect();
    let handles: std::collections::HashSet<_> = tokens.iter().map(|t| handle(t)).collect();
    let secrets: std::collections::HashSet<_> = tokens.iter().map(|t| secret(t)).collect();
    assert_eq!((handles.len(), secrets.len()), (200, 200));

    // The index of all sessions is spread evenly: no shard of 16 stays empty with 200.
    let mut direct = redis.client();
    for shard in 0..16 {
        let count = direct
            .cmd(&["ZCARD", &format!("sessile:all:{{{shard}}}")])
            .int();
        assert!(
            (1..60).contains(&count),
            "shard {shard} holds {count} of 200"
        );
    }

    let dump = redis.dump();
    for token in &tokens {
        assert!(dump.contains(handle(token)));
        assert!(!dump.contains(secret(token)), "a secret in Redis");
    }
}

#[test]
fn get() {
    Transcript::play(
        r#"
        > SESS.CREATE FIELDS a 1 b "" c x
        < <token:t>
        > SESS.GET $t
        2< ["a", "1", "b", "", "c", "x"]
        3< {"a": "1", "b": "", "c": "x"}
        # Named fields answer as HMGET does.
        > SESS.GET $t c nothing a c
        2< ["x", $-1, "1", "x"]
        3< ["x", _, "1", "x"]
        > SESS.GET $t nothing
        2< [$-1]
        3< [_]
        "#,
        &[],
    );
}

#[test]
fn peek() {
    Transcript::play(
        r#"
        > SESS.CREATE FIELDS a 1 b 2
        < <token:t>
        > SESS.PEEK $t
        2< ["a", "1", "b", "2"]
        3< {"a": "1", "b": "2"}
        > SESS.PEEK $t b nothing
        2< ["2", $-1]
        3< ["2", _]

        # It does not slide the deadline, also where every GET would.
        @ PEXPIRE sessile:{$t.handle} 50000
        < :1
        > SESS.PEEK $t a
        < ["1"]
        > SESS.PEEK $t
        2< ["a", "1", "b", "2"]
        3< {"a": "1", "b": "2"}
        @ PTTL sessile:{$t.handle}
        < :<int:40000..50000>
        "#,
        &["--set", "session.touch_every_s=0"],
    );
}

#[test]
fn set() {
    Transcript::play(
        r#"
        > SESS.CREATE IDLE 100 FIELDS a 1
        < <token:t>
        > SESS.SET $t b 2 c "3 and more"
        < :2
        > SESS.SET $t a 10
        < :3
        > SESS.GET $t
        2< ["a", "10", "b", "2", "c", "3 and more"]
        3< {"a": "10", "b": "2", "c": "3 and more"}
        # The last value of a field given twice stands.
        > SESS.SET $t d 1 d 2
        < :4
        > SESS.GET $t d
        < ["2"]

        @ HMGET sessile:{$t.handle} a b c d @v
        < ["10", "2", "3 and more", "2", "4"]
        @ PTTL sessile:{$t.handle}
        < :<int:90000..100000>
        "#,
        &[],
    );
}

/// Values are bytes, whatever they are.
#[test]
fn set_takes_any_bytes() {
    let redis = Redis::start();
    for sessile in [Sessile::start(&redis.url(), &[]), Sessile::embedded(&[])] {
        let mut client = sessile.client();
        let token = client.line("SESS.CREATE").text().into_bytes();
        let value: Vec<u8> = (0..=255)
            .chain([b'\r', b'\n', b'$', b'1', b'\r', b'\n'])
            .collect();
        let name = &value[..250];
        let set: [&[u8]; 4] = [b"SESS.SET", &token, name, &value];
        assert_eq!(client.cmd(&set), Value::Int(2));
        let get: [&[u8]; 3] = [b"SESS.GET", &token, name];
        assert_eq!(client.cmd(&get), Value::Array(vec![Value::Bulk(value)]));
    }
}

#[test]
fn unset() {
    Transcript::play(
        r#"
        > SESS.CREATE FIELDS a 1 b 2 c 3
        < <token:t>
        > SESS.UNSET $t a nothing c
        < :2
        > SESS.GET $t
        2< ["b", "2"]
        3< {"b": "2"}
        > SESS.UNSET $t nothing
        < :0
        @ HMGET sessile:{$t.handle} a b c
        < [$-1, "2", $-1]
        # Without any field left it is still a session.
        > SESS.UNSET $t b
        < :1
        > SESS.GET $t
        2< []
        3< {}
        "#,
        &[],
    );
}

#[test]
fn pop() {
    Transcript::play(
        r#"
        > SESS.CREATE FIELDS flash saved csrf abc keep 1
        < <token:t>
        > SESS.POP $t csrf nothing flash
        2< ["abc", $-1, "saved"]
        3< ["abc", _, "saved"]
        > SESS.POP $t csrf
        2< [$-1]
        3< [_]
        > SESS.GET $t
        2< ["keep", "1"]
        3< {"keep": "1"}
        @ HMGET sessile:{$t.handle} flash csrf keep
        < [$-1, $-1, "1"]
        "#,
        &[],
    );
}

#[test]
fn incr() {
    Transcript::play(
        r#"
        > SESS.CREATE FIELDS views 10 word hello
        < <token:t>
        > SESS.INCR $t views
        < :11
        > SESS.INCR $t views 5
        < :16
        > SESS.INCR $t views -20
        < :-4
        > SESS.INCR $t fresh
        < :1
        > SESS.GET $t views fresh
        < ["-4", "1"]
        @ HMGET sessile:{$t.handle} views fresh
        < ["-4", "1"]

        # What is no number is said, and nothing is lost by it.
        > SESS.INCR $t word
        < -ERR hash value is not an integer
        > SESS.INCR $t views many
        < -ERR <any>
        > SESS.INCR $t views 9223372036854775807
        < :9223372036854775803
        > SESS.INCR $t views 10
        < -ERR <any>
        > SESS.GET $t views word
        < ["9223372036854775803", "hello"]
        "#,
        &[],
    );
}

#[test]
fn touch() {
    Transcript::play(
        r#"
        > SESS.CREATE USER alice IDLE 100 LIFE 1000
        < <token:t>
        @ PEXPIRE sessile:{$t.handle} 50000
        < :1
        > SESS.TOUCH $t
        < :<int:99000..100000>
        @ PTTL sessile:{$t.handle}
        < :<int:90000..100000>

        # IDLE is kept for later touches.
        > SESS.TOUCH $t IDLE 200
        < :<int:199000..200000>
        @ HGET sessile:{$t.handle} @i
        < "200000"
        > SESS.TOUCH $t
        < :<int:199000..200000>

        # LIFE begins anew, and caps the idle time.
        > SESS.TOUCH $t LIFE 150
        < :<int:149000..150000>
        > SESS.TOUCH $t
        < :<int:140000..150000>
        > SESS.TOUCH $t IDLE 300 LIFE 5000
        < :<int:299000..300000>
        @ PTTL sessile:{$t.handle}
        < :<int:290000..300000>
        "#,
        &[],
    );
}

/// The index follows a touch, so that a session's entry does not look dead before its time.
#[test]
fn touch_moves_the_index() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    sessile.await_upstream();
    let mut client = sessile.client();
    let token = client
        .line("SESS.CREATE USER alice IDLE 100 LIFE 10000")
        .text();
    client.cmd(&["SESS.TOUCH", &token, "IDLE", "5000"]);
    let mut direct = redis.client();
    let score = direct
        .cmd(&["ZSCORE", "sessile:u:{alice}", handle(&token)])
        .int();
    assert!(score >= now_ms() + 4_900_000, "{score}");
    let ttl = direct.line("PTTL sessile:u:{alice}").int();
    assert!(
        ttl >= 4_900_000,
        "the index lives as long as its longest member: {ttl}"
    );
}

#[test]
fn rotate() {
    Transcript::play(
        r#"
        > SESS.CREATE USER alice IDLE 100 LIFE 1000 FIELDS a 1
        < <token:old>
        > SESS.ROTATE $old
        < <token:new>
        > SESS.GET $new a
        < ["1"]
        # Within the grace the old secret reads ...
        > SESS.GET $old a
        < ["1"]
        > SESS.PEEK $old
        2< ["a", "1"]
        3< {"a": "1"}
        # ... and never writes.
        > SESS.SET $old a 2
        2< $-1
        3< _
        > SESS.UNSET $old a
        2< $-1
        3< _
        > SESS.POP $old a
        2< *-1
        3< _
        > SESS.INCR $old a
        2< $-1
        3< _
        > SESS.TOUCH $old
        2< $-1
        3< _
        > SESS.ROTATE $old
        2< $-1
        3< _
        > SESS.DESTROY $old
        < :0
        > SESS.GET $new
        2< ["a", "1"]
        3< {"a": "1"}
        > SESS.SET $new a 3
        < :<int>
        @ EXISTS sessile:{$new.handle}
        < :1
        @ ZRANGE sessile:u:{alice} 0 -1
        < ["$new.handle"]

        # Without grace the old one is dead at once.
        > SESS.ROTATE $new GRACE 0
        < <token:newer>
        > SESS.GET $new
        2< *-1
        3< _
        > SESS.GET $old
        2< *-1
        3< _
        > SESS.ROTATE $newer FIELDS a 4 role admin
        < <token:newest>
        > SESS.GET $newest
        2< ["a", "4", "role", "admin"]
        3< {"a": "4", "role": "admin"}
        "#,
        &[],
    );
}

/// After login: the session goes to its user, and the token from before is worth nothing.
#[test]
fn rotate_to_a_user() {
    Transcript::play(
        r#"
        > SESS.CREATE USER guest FIELDS cart 2
        < <token:old>
        > SESS.ROTATE $old USER alice
        < <token:new>
        > SESS.GET $old
        2< *-1
        3< _
        > SESS.GET $new cart
        < ["2"]
        > SESS.LIST guest
        < []
        > SESS.LOGOUT guest
        < :0
        > SESS.GET $new cart
        < ["2"]
        @ HGET sessile:{$new.handle} @u
        < "alice"
        @ ZRANGE sessile:u:{alice} 0 -1
        < ["$new.handle"]
        @ ZRANGE sessile:u:{guest} 0 -1
        < []
        > SESS.LOGOUT alice
        < :1
        > SESS.GET $new
        2< *-1
        3< _
        "#,
        &[],
    );
}

#[test]
fn rotate_keeps_the_handle_and_grace_ends() {
    let redis = Redis::start();
    for sessile in [Sessile::start(&redis.url(), &[]), Sessile::embedded(&[])] {
        let mut client = sessile.client();
        let old = client.line("SESS.CREATE FIELDS a 1").text();
        let new = client.cmd(&["SESS.ROTATE", &old, "GRACE", "300"]).text();
        assert_eq!(handle(&old), handle(&new));
        assert_ne!(secret(&old), secret(&new));
        until("the grace ends", SOON, || {
            client.cmd(&["SESS.GET", &old]).is_null()
        });
        assert_eq!(client.cmd(&["SESS.GET", &new, "a"]).items()[0].text(), "1");
    }
}

#[test]
fn destroy() {
    Transcript::play(
        r#"
        > SESS.CREATE USER alice FIELDS a 1
        < <token:t>
        > SESS.CREATE USER alice
        < <token:u>
        > SESS.CREATE USER alice
        < <token:rest>
        > SESS.DESTROY $t $u nonsense $t
        < :2
        > SESS.DESTROY $t
        < :0
        > SESS.GET $t
        2< *-1
        3< _
        # A handle ends nothing: who only saw a device list cannot log anybody out.
        > SESS.DESTROY $rest.handle
        < :0
        > SESS.GET $rest
        2< []
        3< {}
        @ EXISTS sessile:{$t.handle} sessile:{$u.handle}
        < :0
        @ ZRANGE sessile:u:{alice} 0 -1
        < ["$rest.handle"]
        "#,
        &[],
    );
}

#[test]
fn info() {
    let redis = Redis::start();
    for sessile in [Sessile::start(&redis.url(), &[]), Sessile::embedded(&[])] {
        for protocol in [2, 3] {
            let mut client = sessile.client_speaking(protocol);
            let before = now_ms();
            let create = "SESS.CREATE USER alice IDLE 100 LIFE 1000 FIELDS name x two 22";
            let token = client.line(create).text();
            let info = client.cmd(&["SESS.INFO", &token]);
            assert_eq!(matches!(info, Value::Map(_)), protocol == 3, "{info}");

            let names: Vec<_> = info.pairs().into_iter().map(|(name, _)| name).collect();
            let expected = [
                "handle", "user", "created", "seen", "idle", "life", "ttl", "version", "fields",
                "bytes",
            ];
            assert_eq!(names, expected);
            assert_eq!(info.get("handle").text(), handle(&token));
            assert_eq!(info.get("user").text(), "alice");
            assert!(
                (before..=now_ms()).contains(&info.get("created").int()),
                "{info}"
            );
            // Told from the TTL, by two clocks: a few ms off.
            let seen = info.get("seen").int();
            assert!((before - 50..=now_ms() + 50).contains(&seen), "{info}");
            assert!(
                (99_000..=100_000).contains(&info.get("ttl").int()),
                "{info}"
            );
            assert_eq!(info.get("version").int(), 1);
            assert_eq!(info.get("fields").int(), 2, "reserved fields do not count");
            assert!(
                info.get("bytes").int() >= "namextwo22".len() as i64,
                "{info}"
            );
            assert!(!info.to_string().contains(secret(&token)), "{info}");

            client.cmd(&["SESS.SET", &token, "three", "3"]);
            let info = client.cmd(&["SESS.INFO", &token]);
            assert_eq!(
                (info.get("version").int(), info.get("fields").int()),
                (2, 3)
            );
        }
    }
}

/// INFO looks; it does not slide.
#[test]
fn info_does_not_slide() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &["--set", "session.touch_every_s=0"]);
    let mut client = sessile.client();
    let token = client.line("SESS.CREATE IDLE 100").text();
    let key = format!("sessile:{{{}}}", handle(&token));
    let mut direct = redis.client();
    direct.cmd(&["PEXPIRE", &key, "50000"]);
    client.cmd(&["SESS.INFO", &token]);
    client.assert_lives();
    assert!(direct.cmd(&["PTTL", &key]).int() <= 50_000);
}

#[test]
fn list() {
    let redis = Redis::start();
    for sessile in [Sessile::start(&redis.url(), &[]), Sessile::embedded(&[])] {
        for protocol in [2, 3] {
            let mut client = sessile.client_speaking(protocol);
            let user = format!("alice{protocol}");
            let tokens: Vec<_> = ["phone", "laptop", "tablet"]
                .iter()
                .map(|device| {
                    next_ms();
                    let create = ["SESS.CREATE", "USER", &user, "FIELDS", "device", device];
                    client.cmd(&create).text()
                })
                .collect();

            let list = client.cmd(&["SESS.LIST", &user, "FIELDS", "device", "nothing"]);
            let sessions = list.items();
            assert_eq!(sessions.len(), 3, "{list}");
            for (session, token) in sessions.iter().zip(tokens.iter().rev()) {
                assert_eq!(matches!(session, Value::Map(_)), protocol == 3, "{session}");
                assert_eq!(session.get("handle").text(), handle(token), "newest first");
                assert_eq!(session.get("user").text(), user);
                assert_eq!(session.get("version").int(), 1);
                assert!(session.get("ttl").int() > 0, "{session}");
                for name in ["created", "seen", "idle", "life"] {
                    session.get(name);
                }
            }
            // The application's fields stand apart, so that none is taken for one of ours.
            let values = sessions[0].get("values");
            assert_eq!(matches!(values, Value::Map(_)), protocol == 3, "{values}");
            assert_eq!(values.get("device").text(), "tablet");
            assert!(values.get("nothing").is_null());
            let text = list.to_string();
            assert!(
                tokens.iter().all(|t| !text.contains(secret(t))),
                "a secret in {text}"
            );

            // Without FIELDS no data of the application is shown.
            let bare = client.cmd(&["SESS.LIST", &user]);
            assert_eq!(bare.items().len(), 3);
            assert!(!bare.to_string().contains("tablet"), "{bare}");
            assert_eq!(client.line("SESS.LIST nobody"), Value::Array(vec![]));

            // Logged out or expired: no longer in the list.
            client.cmd(&["SESS.DESTROY", &tokens[1]]);
            client.cmd(&["SESS.TOUCH", &tokens[0], "IDLE", "1"]);
            until("the idle one leaves the list", SOON, || {
                client.cmd(&["SESS.LIST", &user]).items().len() == 1
            });
        }
    }
}

#[test]
fn logout() {
    Transcript::play(
        r#"
        > SESS.CREATE USER alice
        < <token:a>
        > SESS.CREATE USER alice
        < <token:b>
        > SESS.CREATE USER alice FIELDS x 1
        < <token:c>
        > SESS.CREATE USER bob FIELDS y 1
        < <token:bob>
        # A password was changed: everybody out but this one.
        > SESS.LOGOUT alice EXCEPT $c
        < :2
        > SESS.GET $a
        2< *-1
        3< _
        > SESS.GET $b
        2< *-1
        3< _
        > SESS.GET $c x
        < ["1"]
        @ ZRANGE sessile:u:{alice} 0 -1
        < ["$c.handle"]
        > SESS.LOGOUT alice
        < :1
        > SESS.LOGOUT alice
        < :0
        > SESS.LOGOUT nobody
        < :0
        > SESS.GET $c
        2< *-1
        3< _
        > SESS.GET $bob y
        < ["1"]
        @ EXISTS sessile:u:{alice} sessile:{$a.handle} sessile:{$b.handle} sessile:{$c.handle}
        < :0
        "#,
        &[],
    );
}

#[test]
fn revoke() {
    Transcript::play(
        r#"
        > SESS.CREATE USER alice
        < <token:a>
        > SESS.CREATE USER alice
        < <token:b>
        > SESS.REVOKE $a.handle 0123456789abcdef nonsense
        < :1
        > SESS.GET $a
        2< *-1
        3< _
        > SESS.REVOKE $a.handle
        < :0
        > SESS.GET $b
        2< []
        3< {}
        @ EXISTS sessile:{$a.handle}
        < :0
        @ ZRANGE sessile:u:{alice} 0 -1
        < ["$b.handle"]
        "#,
        &[],
    );
}

/// EXPLAIN says what would be sent, with the keys, and sends nothing.
#[test]
fn explain() {
    let redis = Redis::start();
    for sessile in [Sessile::start(&redis.url(), &[]), Sessile::embedded(&[])] {
        let mut client = sessile.client();
        let token = client.line("SESS.CREATE USER alice FIELDS a 1").text();
        let key = format!("sessile:{{{}}}", handle(&token));

        let mut explain = |args: &[&str]| {
            let mut all = vec!["SESS.EXPLAIN"];
            all.extend_from_slice(args);
            let reply = client.cmd(&all);
            assert!(matches!(reply, Value::Array(_)), "{reply}");
            reply.to_string()
        };
        let set = explain(&["SESS.SET", &token, "a", "2"]);
        for part in ["MULTI", "HSET", "HINCRBY", "PEXPIRE", "EXEC", key.as_str()] {
            assert!(set.contains(part), "{part} in {set}");
        }
        assert!(!set.contains(secret(&token)), "{set}");
        assert!(explain(&["sess.get", &token]).contains(&key));
        assert!(explain(&["SESS.LIST", "alice"]).contains("sessile:u:{alice}"));
        assert!(explain(&["SESS.LOGOUT", "alice"]).contains("sessile:u:{alice}"));
        assert!(explain(&["SESS.DESTROY", &token]).contains(&key));
        assert!(explain(&["SESS.CREATE", "USER", "bob"]).contains("sessile:u:{bob}"));

        // Nothing of it happened.
        assert_eq!(
            client.cmd(&["SESS.GET", &token, "a"]).items()[0].text(),
            "1"
        );
        assert_eq!(client.cmd(&["SESS.INFO", &token]).get("version").int(), 1);
        assert_eq!(client.line("SESS.LIST bob").items().len(), 0);

        // What cannot be explained is said, as running it would.
        assert!(client.line("SESS.EXPLAIN SESS.NOTHING").is_error("ERR"));
        assert!(
            client
                .line("SESS.EXPLAIN SESS.GET")
                .is_error("ERR wrong number of arguments")
        );
        client.assert_lives();
    }
}

#[test]
fn help() {
    let sessile = Sessile::embedded(&[]);
    for protocol in [2, 3] {
        let mut client = sessile.client_speaking(protocol);
        let all = client.line("SESS.HELP").to_string();
        for command in COMMANDS {
            assert!(all.contains(command), "{command} in {all}");
        }
        let one = client.line("SESS.HELP sess.get").to_string();
        assert!(one.contains("SESS.GET token [field ...]"), "{one}");
        assert!(!one.contains("SESS.ROTATE"), "{one}");
        assert!(client.line("SESS.HELP nothing").is_error("ERR"));
        client.assert_lives();
    }
}

/// However a token fails, the answer is the same null, and never an error.
#[test]
fn every_kind_of_missing_session_is_the_same_null() {
    let redis = Redis::start();
    for sessile in [Sessile::start(&redis.url(), &[]), Sessile::embedded(&[])] {
        for protocol in [2, 3] {
            let mut client = sessile.client_speaking(protocol);
            let live = client.line("SESS.CREATE FIELDS a 1").text();
            let gone = client.line("SESS.CREATE FIELDS a 1").text();
            client.cmd(&["SESS.DESTROY", &gone]);
            let bad_tokens = [
                gone.clone(),                                    // destroyed
                forged(&live),                                   // the right handle, a wrong secret
                handle(&live).to_string(),                       // a handle alone
                secret(&live).to_string(),                       // a secret alone
                live[..47].to_string(),                          // truncated
                format!("{live}A"),                              // too long
                format!("{}!", &live[..47]),                     // a foreign character
                format!("{}+/==", &live[..44]),                  // base64, but not base64url
                "A".repeat(48),                                  // guessed
                String::new(),                                   // empty
                format!("{{{}}}{}", &live[..14], secret(&live)), // the key's braces
                "*".to_string(),
                "\0".repeat(48),
                "é".repeat(24), // 48 bytes that are no ASCII
            ];
            for bad in &bad_tokens {
                let arrays: [&[&str]; 6] = [
                    &["SESS.GET", bad],
                    &["SESS.GET", bad, "a"],
                    &["SESS.PEEK", bad],
                    &["SESS.PEEK", bad, "a"],
                    &["SESS.POP", bad, "a"],
                    &["SESS.INFO", bad],
                ];
                let others: [&[&str]; 5] = [
                    &["SESS.SET", bad, "a", "2"],
                    &["SESS.UNSET", bad, "a"],
                    &["SESS.INCR", bad, "a"],
                    &["SESS.TOUCH", bad],
                    &["SESS.ROTATE", bad],
                ];
                for args in arrays {
                    let null: &[u8] = if protocol == 3 { b"_\r\n" } else { b"*-1\r\n" };
                    assert_null(&mut client, args, null);
                }
                for args in others {
                    let null: &[u8] = if protocol == 3 { b"_\r\n" } else { b"$-1\r\n" };
                    assert_null(&mut client, args, null);
                }
                assert_eq!(
                    client.cmd(&["SESS.DESTROY", bad]),
                    Value::Int(0),
                    "DESTROY {bad:?}"
                );
            }
            // None of it touched the live one, and nothing came to be upstream.
            assert_eq!(client.cmd(&["SESS.GET", &live, "a"]).items()[0].text(), "1");
            client.cmd(&["SESS.DESTROY", &live]);
        }
    }
    let mut direct = redis.client();
    assert_eq!(
        direct.line("KEYS sessile:{*").items().len(),
        0,
        "{}",
        redis.dump()
    );
}

#[track_caller]
fn assert_null(client: &mut Client, args: &[&str], null: &[u8]) {
    client.send(args);
    let got = client.reply_bytes();
    let shown = (
        got.escape_ascii().to_string(),
        null.escape_ascii().to_string(),
    );
    assert_eq!(shown.0, shown.1, "{args:?}");
}

#[test]
fn wrong_arity_answers_with_the_syntax() {
    Transcript::play(
        r#"
        > SESS.GET
        < -ERR wrong number of arguments for 'sess.get' command<any>SESS.GET token [field ...]<any>
        > SESS.PEEK
        < -ERR wrong number of arguments for 'sess.peek' command<any>SESS.PEEK token [field ...]<any>
        > SESS.SET token
        < -ERR wrong number of arguments for 'sess.set' command<any>SESS.SET token field value [field value ...]<any>
        > SESS.SET token field
        < -ERR wrong number of arguments for 'sess.set' command<any>SESS.SET token field value [field value ...]<any>
        > SESS.SET token field value odd
        < -ERR wrong number of arguments for 'sess.set' command<any>SESS.SET token field value [field value ...]<any>
        > SESS.UNSET token
        < -ERR wrong number of arguments for 'sess.unset' command<any>SESS.UNSET token field [field ...]<any>
        > SESS.POP token
        < -ERR wrong number of arguments for 'sess.pop' command<any>SESS.POP token field [field ...]<any>
        > SESS.INCR token
        < -ERR wrong number of arguments for 'sess.incr' command<any>SESS.INCR token field [by]<any>
        > SESS.INCR token field 1 2
        < -ERR wrong number of arguments for 'sess.incr' command<any>
        > SESS.TOUCH
        < -ERR wrong number of arguments for 'sess.touch' command<any>SESS.TOUCH token<any>
        > SESS.ROTATE
        < -ERR wrong number of arguments for 'sess.rotate' command<any>SESS.ROTATE token<any>
        > SESS.DESTROY
        < -ERR wrong number of arguments for 'sess.destroy' command<any>SESS.DESTROY token [token ...]<any>
        > SESS.INFO
        < -ERR wrong number of arguments for 'sess.info' command<any>SESS.INFO token<any>
        > SESS.INFO a b
        < -ERR wrong number of arguments for 'sess.info' command<any>SESS.INFO token<any>
        > SESS.LIST
        < -ERR wrong number of arguments for 'sess.list' command<any>SESS.LIST user<any>
        > SESS.LOGOUT
        < -ERR wrong number of arguments for 'sess.logout' command<any>SESS.LOGOUT user<any>
        > SESS.REVOKE
        < -ERR wrong number of arguments for 'sess.revoke' command<any>SESS.REVOKE handle [handle ...]<any>
        > SESS.EXPLAIN
        < -ERR wrong number of arguments for 'sess.explain' command<any>SESS.EXPLAIN command<any>
        > SESS.NOTHING a
        < -ERR unknown command 'SESS.NOTHING'<any>
        > PING
        < +PONG
        "#,
        &[],
    );
}

#[test]
fn bad_arguments_are_named() {
    Transcript::play(
        r#"
        > SESS.CREATE FIELDS a 1
        < <token:t>

        # Reserved names.
        > SESS.SET $t @s stolen
        < -ERR <any>@s<any>
        > SESS.SET $t fine 1 @v 9
        < -ERR <any>@v<any>
        > SESS.UNSET $t @a
        < -ERR <any>@a<any>
        > SESS.POP $t @s
        < -ERR <any>@s<any>
        > SESS.INCR $t @a 1000
        < -ERR <any>@a<any>
        > SESS.GET $t @s
        < -ERR <any>@s<any>
        > SESS.PEEK $t a @u
        < -ERR <any>@u<any>
        > SESS.CREATE FIELDS @u root
        < -ERR <any>@u<any>
        > SESS.ROTATE $t FIELDS @u root
        < -ERR <any>@u<any>
        > SESS.LIST alice FIELDS @s
        < -ERR <any>@s<any>

        # Options and timeouts.
        > SESS.CREATE COLOUR red
        < -ERR <any>COLOUR<any>
        > SESS.CREATE USER
        < -ERR <any>
        > SESS.CREATE IDLE -1
        < -ERR <any>IDLE<any>
        > SESS.CREATE IDLE 0
        < -ERR <any>IDLE<any>
        > SESS.CREATE IDLE soon
        < -ERR <any>IDLE<any>
        > SESS.CREATE LIFE -5
        < -ERR <any>LIFE<any>
        > SESS.CREATE LIFE 99999999999999999999
        < -ERR <any>LIFE<any>
        > SESS.CREATE LIFE 9223372036854775807
        < -ERR <any>LIFE<any>
        > SESS.CREATE FIELDS
        < -ERR <any>
        > SESS.CREATE FIELDS a 1 b
        < -ERR <any>
        > SESS.TOUCH $t IDLE -1
        < -ERR <any>IDLE<any>
        > SESS.TOUCH $t LIFE
        < -ERR <any>
        > SESS.TOUCH $t SOON 1
        < -ERR <any>SOON<any>
        > SESS.ROTATE $t GRACE -1
        < -ERR <any>GRACE<any>
        > SESS.ROTATE $t GRACE long
        < -ERR <any>GRACE<any>
        > SESS.ROTATE $t WITH grace
        < -ERR <any>WITH<any>
        > SESS.LOGOUT alice BUT $t
        < -ERR <any>BUT<any>
        > SESS.LIST alice ALL
        < -ERR <any>ALL<any>

        # None of it did anything.
        > SESS.GET $t
        2< ["a", "1"]
        3< {"a": "1"}
        @ HGET sessile:{$t.handle} @v
        < "1"
        @ DBSIZE
        < :2
        "#,
        &[],
    );
}

#[test]
fn sizes_are_limited() {
    let redis = Redis::start();
    let limits = [
        "--set",
        "limits.field_name_bytes_max=10",
        "--set",
        "limits.value_bytes_max=1000",
        "--set",
        "limits.fields_max=4",
    ];
    for sessile in [
        Sessile::start(&redis.url(), &limits),
        Sessile::embedded(&limits),
    ] {
        let mut client = sessile.client();
        let token = client.line("SESS.CREATE FIELDS a 1 b 2").text();
        let (fits, name) = ("x".repeat(1000), "n".repeat(10));
        assert_eq!(
            client.cmd(&["SESS.SET", &token, &name, &fits]),
            Value::Int(2)
        );

        let (big, long) = ("x".repeat(1001), "n".repeat(11));
        let refused: [&[&str]; 6] = [
            &["SESS.SET", &token, "a", &big],
            &["SESS.SET", &token, &long, "1"],
            &["SESS.CREATE", "FIELDS", "a", &big],
            &["SESS.CREATE", "FIELDS", &long, "1"],
            &[
                "SESS.CREATE",
                "FIELDS",
                "a",
                "1",
                "b",
                "1",
                "c",
                "1",
                "d",
                "1",
                "e",
                "1",
            ],
            &["SESS.ROTATE", &token, "FIELDS", "a", &big],
        ];
        for args in refused {
            let reply = client.cmd(args);
            assert!(reply.is_error("TOOBIG"), "{} ...: {reply}", args[0]);
        }
        assert_eq!(
            client.cmd(&["SESS.GET", &token, "a"]).items()[0].text(),
            "1"
        );
    }
}

/// A full session can still be used: what it has may be overwritten and removed, only a further
/// field is too much.
#[test]
fn a_full_session_stays_usable() {
    let redis = Redis::start();
    let limits = ["--set", "limits.fields_max=3"];
    for sessile in [
        Sessile::start(&redis.url(), &limits),
        Sessile::embedded(&limits),
    ] {
        let mut client = sessile.client();
        let token = client.line("SESS.CREATE FIELDS a 1 b 1 c 1").text();
        assert_eq!(
            client.cmd(&["SESS.SET", &token, "a", "2", "c", "2"]),
            Value::Int(2)
        );
        assert!(
            client
                .cmd(&["SESS.SET", &token, "d", "1"])
                .is_error("TOOBIG")
        );
        assert!(
            client
                .cmd(&["SESS.SET", &token, "a", "3", "d", "1"])
                .is_error("TOOBIG")
        );
        assert!(client.cmd(&["SESS.INCR", &token, "d"]).is_error("TOOBIG"));
        assert!(
            client
                .cmd(&["SESS.ROTATE", &token, "FIELDS", "d", "1"])
                .is_error("TOOBIG")
        );
        assert_eq!(client.cmd(&["SESS.INCR", &token, "b"]), Value::Int(2));
        let token = client
            .cmd(&["SESS.ROTATE", &token, "FIELDS", "b", "9"])
            .text();
        assert_eq!(
            client.cmd(&["SESS.POP", &token, "b"]).to_string(),
            "[\"9\"]"
        );
        assert!(matches!(
            client.cmd(&["SESS.SET", &token, "d", "1"]),
            Value::Int(_)
        ));
        let all = client.cmd(&["SESS.GET", &token]).to_string();
        assert_eq!(all, r#"["a", "2", "c", "2", "d", "1"]"#);
    }
}

/// Even at its most talkative, the log holds no token, secret, password or value.
#[test]
fn nothing_secret_is_logged() {
    let redis = Redis::start_with(&["--requirepass", "upstream-pw"]);
    let url = format!("redis://:upstream-pw@127.0.0.1:{}", redis.port);
    let loud = [
        "--set",
        "log.level=trace",
        "--set",
        "listen.password=listen-pw",
    ];
    let sessile = Sessile::start(&url, &loud);
    let mut client = sessile.client();
    client.line("AUTH listen-wrong");
    client.line("AUTH listen-pw");
    let token = client
        .line("SESS.CREATE USER alice FIELDS card value-4711")
        .text();
    let new = client
        .cmd(&["SESS.ROTATE", &token, "FIELDS", "pin", "value-0815"])
        .text();
    client.cmd(&["SESS.GET", &token]);
    client.cmd(&["SESS.SET", &token, "card", "value-stolen"]);
    client.cmd(&["SESS.GET", &forged(&new)]);
    client.cmd(&["SESS.INCR", &new, "card"]);
    client.cmd(&["SESS.SET", &new, "@card", "value-1"]);
    client.cmd(&["SESS.EXPLAIN", "SESS.SET", &new, "card", "value-2"]);
    client.cmd(&["SET", "plain", "value-3"]);
    client.cmd(&["NOSUCH", &new, "value-4"]);
    client.line("SESS.LOGOUT alice");
    client.raw(format!("*1\r\n$x{new}\r\n").as_bytes());
    client.read_to_end();

    let logs = sessile.logs();
    assert!(!logs.is_empty());
    for token in [&token, &new] {
        assert!(!logs.contains(secret(token)), "a secret in {logs}");
    }
    for text in ["value-", "upstream-pw", "listen-pw", "listen-wrong"] {
        assert!(!logs.contains(text), "{text} in {logs}");
    }
}

/// A hash without `@s` is no session, whoever wrote it.
#[test]
fn a_hash_without_secret_is_no_session() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let (mut client, mut direct) = (sessile.client(), redis.client());
    let token = client.line("SESS.CREATE USER alice FIELDS a 1").text();
    let key = format!("sessile:{{{}}}", handle(&token));
    assert_eq!(client.cmd(&["SESS.DESTROY", &token]), Value::Int(1));

    direct.cmd(&[
        "HSET",
        &key,
        "a",
        "back from the dead",
        "@u",
        "alice",
        "@v",
        "7",
    ]);
    assert!(client.cmd(&["SESS.GET", &token]).is_null());
    assert!(client.cmd(&["SESS.PEEK", &token, "a"]).is_null());
    assert!(client.cmd(&["SESS.INFO", &token]).is_null());
    assert!(client.cmd(&["SESS.SET", &token, "a", "2"]).is_null());
    assert!(client.cmd(&["SESS.TOUCH", &token]).is_null());
    assert!(client.cmd(&["SESS.ROTATE", &token]).is_null());
    assert_eq!(client.cmd(&["SESS.REVOKE", handle(&token)]), Value::Int(0));
    assert_eq!(client.line("SESS.LIST alice").items().len(), 0);
}

/// Something else under a session's key is no session either, and not a crash.
#[test]
fn a_foreign_type_under_the_key_is_no_session() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let (mut client, mut direct) = (sessile.client(), redis.client());
    let token = client.line("SESS.CREATE FIELDS a 1").text();
    let key = format!("sessile:{{{}}}", handle(&token));
    direct.cmd(&["SET", &key, "a string"]);
    for args in [vec!["SESS.GET", &token], vec!["SESS.SET", &token, "a", "2"]] {
        // Null or Redis's own error: what counts is that nothing is read or written as a session.
        let reply = client.cmd(&args);
        assert!(
            reply.is_null() || matches!(reply, Value::Error(_)),
            "{reply}"
        );
    }
    assert_eq!(direct.cmd(&["GET", &key]).text(), "a string");
    client.assert_lives();
}

#[test]
fn an_idle_session_expires() {
    let redis = Redis::start();
    for sessile in [Sessile::start(&redis.url(), &[]), Sessile::embedded(&[])] {
        let mut client = sessile.client();
        let token = client
            .line("SESS.CREATE USER alice IDLE 1 LIFE 100 FIELDS a 1")
            .text();
        assert!(!client.cmd(&["SESS.PEEK", &token]).is_null());
        until("it expires", SOON, || {
            client.cmd(&["SESS.PEEK", &token]).is_null()
        });
        assert!(client.cmd(&["SESS.SET", &token, "a", "2"]).is_null());
        assert_eq!(client.line("SESS.LIST alice").items().len(), 0);
    }
}

/// However busy it is, a session ends with its life.
#[test]
fn a_busy_session_expires_with_its_life() {
    let redis = Redis::start();
    let args = ["--set", "session.touch_every_s=0"];
    for sessile in [
        Sessile::start(&redis.url(), &args),
        Sessile::embedded(&args),
    ] {
        let mut client = sessile.client();
        let created = now_ms();
        let token = client.line("SESS.CREATE IDLE 1 LIFE 2 FIELDS a 1").text();
        until("it expires", SOON, || {
            client.cmd(&["SESS.GET", &token]).is_null()
        });
        let lived = now_ms() - created;
        assert!(
            lived >= 1_800,
            "GET keeps it alive beyond its idle second: {lived} ms"
        );
        assert!(client.cmd(&["SESS.TOUCH", &token, "LIFE", "100"]).is_null());
    }
}

/// With `touch_every_s = 0` each GET slides; by default one just after another sends no touch.
#[test]
fn touches_are_coalesced() {
    let redis = Redis::start();
    let mut direct = redis.client();

    let each = Sessile::start(&redis.url(), &["--set", "session.touch_every_s=0"]);
    let mut client = each.client();
    let token = client
        .line("SESS.CREATE IDLE 1000 LIFE 10000 FIELDS a 1")
        .text();
    let key = format!("sessile:{{{}}}", handle(&token));
    direct.cmd(&["PEXPIRE", &key, "999000"]);
    assert!(!client.cmd(&["SESS.GET", &token]).is_null());
    // The touch leaves after the reply, so its effect is awaited.
    until("GET slides", SOON, || {
        direct.cmd(&["PTTL", &key]).int() > 999_500
    });

    let seldom = Sessile::start(&redis.url(), &[]);
    let mut client = seldom.client();
    let token = client
        .line("SESS.CREATE USER alice IDLE 1000 LIFE 10000 FIELDS a 1")
        .text();
    let key = format!("sessile:{{{}}}", handle(&token));
    let expires = redis.calls("pexpire") + redis.calls("pexpireat") + redis.calls("expire");
    let zadds = redis.calls("zadd");
    for _ in 0..20 {
        assert!(!client.cmd(&["SESS.GET", &token]).is_null());
        assert!(!client.cmd(&["SESS.GET", &token, "a"]).is_null());
    }
    let now = redis.calls("pexpire") + redis.calls("pexpireat") + redis.calls("expire");
    assert_eq!(
        (now, redis.calls("zadd")),
        (expires, zadds),
        "no touch for a fresh session"
    );

    // Once the TTL has shrunk by more than min(60 s, idle/10), the next GET slides, once.
    direct.cmd(&["PEXPIRE", &key, "800000"]);
    assert!(!client.cmd(&["SESS.GET", &token]).is_null());
    until("the next GET slides", SOON, || {
        direct.cmd(&["PTTL", &key]).int() > 900_000
    });
}

/// Another prefix moves every key; sessions of different prefixes do not meet.
#[test]
fn the_prefix_is_configured() {
    let redis = Redis::start();
    let shop = Sessile::start(&redis.url(), &["--set", "session.prefix=shop:"]);
    let other = Sessile::start(&redis.url(), &[]);
    let token = shop
        .client()
        .line("SESS.CREATE USER alice FIELDS a 1")
        .text();
    assert!(other.client().cmd(&["SESS.GET", &token]).is_null());
    assert_eq!(other.client().line("SESS.LIST alice").items().len(), 0);
    let keys = redis.client().line("KEYS *").to_string();
    assert!(
        keys.contains(&format!("shop:{{{}}}", handle(&token))),
        "{keys}"
    );
    assert!(keys.contains("shop:u:{alice}"), "{keys}");
    assert!(!keys.contains("sessile:"), "{keys}");
}

/// Two sidecars on one Redis see each other's sessions: nothing that matters lives in the process.
#[test]
fn sidecars_share_sessions() {
    let redis = Redis::start();
    let (one, two) = (
        Sessile::start(&redis.url(), &[]),
        Sessile::start(&redis.unix_url(), &[]),
    );
    let (mut a, mut b) = (one.client(), two.client3());
    let token = a.line("SESS.CREATE USER alice FIELDS a 1").text();
    assert_eq!(b.cmd(&["SESS.GET", &token, "a"]).items()[0].text(), "1");
    assert_eq!(b.cmd(&["SESS.SET", &token, "a", "2"]), Value::Int(2));
    until("the other one sees the write", SOON, || {
        a.cmd(&["SESS.GET", &token, "a"]).items()[0].text() == "2"
    });
    assert_eq!(b.line("SESS.LOGOUT alice"), Value::Int(1));
    until("the other one sees the logout", SOON, || {
        a.cmd(&["SESS.GET", &token]).is_null()
    });
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64
}

/// Waits for the clock's next millisecond, so that what follows is newer.
fn next_ms() {
    let before = now_ms();
    until("time passes", Duration::from_secs(1), || now_ms() > before);
}
