//! Corners of what the commands mean that a review found wrong once: races of timeouts, indexes that
//! disagree with the sessions, foreign keys in our places, and tokens where none belongs.

// A failing test may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::SystemTime;
use support::{Client, Random, Redis, SOON, Sessile, Value, encode, handle, secret, until};

/// Every use of a session slides its deadline.
const TOUCH_ALWAYS: [&str; 2] = ["--set", "session.touch_every_s=0"];

/// A foreign member of an index: well formed as a handle, and not the handle of any session.
const FOREIGN: &str = "AAAAAAAAAAAAAAAA";

/// What the log says where a write was done and its index could not follow.
const INDEX_WARNING: &str = "an index could not be written";

/// A GET or SET that read the old timeouts must not write a TTL that a TOUCH has just replaced.
#[test]
fn a_touch_that_races_with_a_use_wins() {
    const ROUNDS: usize = 100;
    let mut random = Random::new();
    let redis = Redis::start();
    let mut direct = redis.client();
    for args in [&TOUCH_ALWAYS[..], &[]] {
        // The two clients meet in different workers, where nothing but Redis orders them.
        let args = [args, &["--set", "listen.workers=2"]].concat();
        let sessile = Sessile::start(&redis.url(), &args);
        let (mut toucher, mut user) = (sessile.client(), sessile.client());
        let mut sessions = Vec::new();
        for _ in 0..ROUNDS {
            // Far enough apart that nobody takes one for the other, in either direction.
            let (old_s, new_s) = *random.pick(&[(50, 1_000), (1_000, 50)]);
            let create = format!("SESS.CREATE USER alice IDLE {old_s} FIELDS a 1");
            let token = toucher.line(&create).text();
            let key = key(&token);
            // Half of the TTL is gone, so the use slides it also where touches are coalesced.
            let half_ms = (old_s * 500).to_string();
            direct.cmd(&["PEXPIRE", &key, &half_ms]);

            let touch = encode(&["SESS.TOUCH", &token, "IDLE", &new_s.to_string()]);
            let uses: [&[&str]; 2] = [&["SESS.GET", &token], &["SESS.SET", &token, "a", "2"]];
            let using = encode(uses[random.below(2)]);
            if random.below(2) == 0 {
                toucher.raw(&touch);
                user.raw(&using);
            } else {
                user.raw(&using);
                toucher.raw(&touch);
            }
            assert!(matches!(toucher.reply(), Value::Int(_)), "TOUCH answers");
            assert!(!user.reply().is_null(), "the session is used");
            sessions.push((token, old_s, new_s));
        }

        // Looked at after the last round: a late write of an early one has long come by then.
        for (token, old_s, new_s) in sessions {
            let (key, new_ms) = (key(&token), new_s * 1_000);
            assert_eq!(direct.cmd(&["HGET", &key, "@i"]).int(), new_ms);
            let expected = new_ms - 8_000..=new_ms + 1_500;
            let mut ttl = 0;
            let what = format!("{args:?}: a TTL of {new_s} s instead of {old_s} s");
            until(&what, SOON, || {
                ttl = direct.cmd(&["PTTL", &key]).int();
                expected.contains(&ttl)
            });
            // Nor may the index forget the session before it ends.
            let score = direct
                .cmd(&["ZSCORE", "sessile:u:{alice}", handle(&token)])
                .int();
            assert!(
                score + 1_500 >= now_ms() + ttl,
                "{args:?}: score {score}, TTL {ttl}"
            );
        }
        assert_eq!(toucher.line("SESS.LOGOUT alice"), Value::Int(ROUNDS as i64));
    }
}

/// What lives is not healed away, whatever its score says: a logout everywhere must find it.
#[test]
fn a_list_keeps_a_live_session_with_an_old_score() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let (mut client, mut direct) = (sessile.client(), redis.client());
    let live = client.line("SESS.CREATE USER alice").text();
    let dead = client.line("SESS.CREATE USER alice").text();
    let index = "sessile:u:{alice}";
    // Two hours ago: longer than any drift between clocks excuses.
    let long_ago = (now_ms() - 7_200_000).to_string();
    direct.cmd(&["ZADD", index, &long_ago, handle(&live)]);
    direct.cmd(&["DEL", &key(&dead)]);

    let listed = client.line("SESS.LIST alice");
    assert_eq!(listed.items().len(), 1, "{listed}");
    until("the dead one leaves the index", SOON, || {
        direct.cmd(&["ZSCORE", index, handle(&dead)]).is_null()
    });
    assert_eq!(
        direct.cmd(&["ZSCORE", index, handle(&live)]).text(),
        long_ago
    );
    assert_eq!(client.line("SESS.LOGOUT alice"), Value::Int(1));
    assert!(client.cmd(&["SESS.GET", &live]).is_null());
}

/// A write that was done is answered as done, also where the index behind it is broken. A rotation
/// to a user whose index is broken is not done at all: nobody could log that session out.
#[test]
fn a_broken_index_takes_no_answer_away() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &TOUCH_ALWAYS);
    let (mut client, mut direct) = (sessile.client(), redis.client());
    let token = client
        .line("SESS.CREATE USER gil FIELDS a 1 n 5 flash hello")
        .text();
    let anonymous = client.line("SESS.CREATE FIELDS a 1").text();
    direct.line("SET sessile:u:{gil} x");

    assert!(!sessile.logs().contains(INDEX_WARNING));
    assert_eq!(
        client.cmd(&["SESS.SET", &token, "a", "2"]).to_string(),
        ":2"
    );
    assert_eq!(client.cmd(&["SESS.INCR", &token, "n"]).to_string(), ":6");
    let popped = client.cmd(&["SESS.POP", &token, "flash"]).to_string();
    assert_eq!(popped, r#"["hello"]"#);
    let fields = client.cmd(&["SESS.GET", &token]).to_string();
    assert_eq!(fields, r#"["a", "2", "n", "6"]"#);
    until("the operator hears of it", SOON, || {
        sessile.logs().contains(INDEX_WARNING)
    });

    let refused = client.cmd(&["SESS.ROTATE", &anonymous, "USER", "gil"]);
    assert!(matches!(refused, Value::Error(_)), "{refused}");
    let fields = client.cmd(&["SESS.GET", &anonymous]).to_string();
    assert_eq!(fields, r#"["a", "1"]"#);
    let user = direct.cmd(&["HGET", &key(&anonymous), "@u"]);
    assert!(user.is_null(), "it is still nobody's, not {user}'s");
    assert_eq!(direct.line("GET sessile:u:{gil}").text(), "x");
}

/// One key of another type in a session's place keeps nobody from being logged out.
#[test]
fn a_foreign_key_stops_no_logout() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let (mut client, mut direct) = (sessile.client(), redis.client());
    let foreign_key = format!("sessile:{{{FOREIGN}}}");
    direct.cmd(&["SET", &foreign_key, "x"]);
    let enter = ["ZADD", "sessile:u:{alice}", "9e12", FOREIGN];
    let tokens: Vec<_> = (0..2)
        .map(|_| client.line("SESS.CREATE USER alice").text())
        .collect();

    direct.cmd(&enter);
    let listed = client.line("SESS.LIST alice");
    assert_eq!(listed.items().len(), 2, "{listed}");
    until("the foreign member leaves the index", SOON, || {
        direct
            .cmd(&["ZSCORE", "sessile:u:{alice}", FOREIGN])
            .is_null()
    });

    direct.cmd(&enter);
    assert_eq!(client.line("SESS.LOGOUT alice"), Value::Int(2));
    for token in &tokens {
        assert!(client.cmd(&["SESS.GET", token]).is_null());
    }

    let good = client.line("SESS.CREATE USER alice").text();
    let revoked = client.cmd(&["SESS.REVOKE", FOREIGN, handle(&good)]);
    assert_eq!(revoked, Value::Int(1));
    assert!(client.cmd(&["SESS.GET", &good]).is_null());
    assert_eq!(direct.cmd(&["GET", &foreign_key]).text(), "x");
}

/// A hash that somebody made persistent expires again once it is used.
#[test]
fn a_persistent_session_gets_its_ttl_back() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let (mut client, mut direct) = (sessile.client(), redis.client());
    let token = client.line("SESS.CREATE IDLE 100 FIELDS a 1").text();
    let key = key(&token);
    assert_eq!(direct.cmd(&["PERSIST", &key]), Value::Int(1));
    assert_eq!(
        client.cmd(&["SESS.GET", &token]).to_string(),
        r#"["a", "1"]"#
    );
    until("it has a TTL again", SOON, || {
        (90_000..=100_000).contains(&direct.cmd(&["PTTL", &key]).int())
    });
}

/// What is over by our clock may still be served by a sidecar whose clock is behind: a logout ends
/// that too, and does not only forget it.
#[test]
fn a_logout_ends_what_has_just_expired() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let (mut client, mut direct) = (sessile.client(), redis.client());
    let token = client.line("SESS.CREATE USER alice").text();
    let just_now = (now_ms() - 1).to_string();
    direct.cmd(&["HSET", &key(&token), "@a", &just_now]);
    assert!(!matches!(client.line("SESS.LOGOUT alice"), Value::Error(_)));
    assert_eq!(direct.cmd(&["EXISTS", &key(&token)]), Value::Int(0));
    let score = direct.cmd(&["ZSCORE", "sessile:u:{alice}", handle(&token)]);
    assert!(score.is_null(), "{score}");
}

/// Errors end up in other people's logs: a token in the wrong place is not repeated by one.
#[test]
fn no_error_repeats_a_token() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &["--set", "log.level=trace"]);
    let mut client = sessile.client();
    let token = client.line("SESS.CREATE USER alice FIELDS a 1").text();
    let t = token.as_str();
    let (command, reserved) = (format!("SESS.{t}"), format!("@{t}"));
    let wrong: [&[&str]; 14] = [
        &["SESS.LOGOUT", "alice", t],
        &["SESS.LOGOUT", "alice", t, t],
        &["SESS.LIST", "alice", t],
        &["SESS.TOUCH", t, t],
        &["SESS.TOUCH", t, "IDLE", t],
        &["SESS.CREATE", t, "1"],
        &["SESS.ROTATE", t, "GRACE", t],
        &["SESS.HELP", t],
        &[&command],
        &[&command, t],
        &["SESS.SET", t, t],
        &["SESS.SET", t, &reserved, "1"],
        &["SESS.INCR", t, "a", t],
        &["SESS.EXPLAIN", t],
    ];
    for args in wrong {
        let reply = client.cmd(args);
        assert!(matches!(reply, Value::Error(_)), "{args:?}: {reply}");
        assert_tells_nothing(&reply.text(), t);
    }
    let reply = client.cmd(&["SESS.REVOKE", t]);
    assert!(reply.is_error("ERR SESS.REVOKE takes handles"), "{reply}");
    assert_tells_nothing(&reply.text(), t);
    let fields = client.cmd(&["SESS.GET", t]).to_string();
    assert_eq!(fields, r#"["a", "1"]"#, "none of it did anything");

    // The use of a superseded token is logged, so once that is there, all before it is there too.
    client.cmd(&["SESS.ROTATE", t, "GRACE", "0"]);
    client.cmd(&["SESS.GET", t]);
    until("the last line is logged", SOON, || {
        sessile.logs().contains("rotated away")
    });
    assert_tells_nothing(&sessile.logs(), t);
}

/// Neither the token nor any eight characters of its secret are in `text`.
#[track_caller]
fn assert_tells_nothing(text: &str, token: &str) {
    let secret = secret(token);
    for start in 0..=secret.len() - 8 {
        let piece = &secret[start..start + 8];
        assert!(!text.contains(piece), "{piece} of {token} in {text}");
    }
}

/// An explanation is played in one go, so it is bounded; and it shows what follows the reply.
#[test]
fn an_explanation_is_bounded_and_complete() {
    let sessile = Sessile::embedded(&[]);
    let mut client = sessile.client();
    let token = client.line("SESS.CREATE USER alice FIELDS a 1").text();
    let mut many = vec!["SESS.EXPLAIN", "SESS.DESTROY"];
    many.resize(1_000, &token);
    let reply = client.cmd(&many);
    assert!(reply.is_error("TOOBIG"), "{reply}");

    let reply = client.cmd(&["SESS.EXPLAIN", "SESS.GET", &token]);
    let lines: Vec<_> = reply.items().iter().map(Value::text).collect();
    let mark = lines.iter().position(|line| line.starts_with('#'));
    let (asked, behind) = lines.split_at(mark.unwrap_or_else(|| panic!("no #: {lines:#?}")));
    for command in ["PEXPIRE ", "ZADD "] {
        let has = |lines: &[String]| lines.iter().any(|line| line.contains(command));
        assert!(!has(asked) && has(behind), "{command}: {lines:#?}");
    }
    assert!(
        asked.iter().any(|line| line.contains("HGETALL ")),
        "{lines:#?}"
    );
}

/// Fields count once, however often a command names them, and those that are there do not count.
#[test]
fn the_limit_counts_fields_not_arguments() {
    let redis = Redis::start();
    let limit = ["--set", "limits.fields_max=4"];
    for sessile in [
        Sessile::start(&redis.url(), &limit),
        Sessile::embedded(&limit),
    ] {
        let mut client = sessile.client();
        let token = client.line("SESS.CREATE FIELDS a 1 b 1 c 1").text();
        let t = token.as_str();
        let accepted: [(&[&str], i64); 3] = [
            (&["SESS.SET", t, "x", "1", "x", "2"], 2),
            (&["SESS.SET", t, "a", "2", "x", "3", "a", "4"], 3),
            (&["SESS.INCR", t, "b"], 2),
        ];
        for (args, answer) in accepted {
            assert_eq!(client.cmd(args), Value::Int(answer), "{args:?}");
        }
        let refused: [&[&str]; 3] = [
            &["SESS.SET", t, "y", "1"],
            &["SESS.SET", t, "a", "5", "y", "1"],
            &["SESS.INCR", t, "y"],
        ];
        for args in refused {
            let reply = client.cmd(args);
            assert!(reply.is_error("TOOBIG"), "{args:?}: {reply}");
        }
        let fields = client.cmd(&["SESS.GET", t, "a", "b", "x", "y"]);
        assert_eq!(fields.to_string(), r#"["4", "2", "3", $-1]"#);
    }
}

/// Anyone who can write to Redis can write absurd numbers: they are used, and overflow nothing.
#[test]
fn absurd_timeouts_overflow_nothing() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &TOUCH_ALWAYS);
    let (mut client, mut direct) = (sessile.client(), redis.client());
    let token = client.line("SESS.CREATE USER alice FIELDS a 1").text();
    let huge = i64::MAX.to_string();
    direct.cmd(&["HSET", &key(&token), "@i", &huge, "@a", &huge]);
    let lives = |client: &mut Client| {
        let fields = client.cmd(&["SESS.GET", &token]).to_string();
        assert_eq!(fields, r#"["a", "1"]"#);
    };
    lives(&mut client);
    // The touch behind the GET used the numbers too.
    until("the GET slides", SOON, || {
        direct.cmd(&["PTTL", &key(&token)]).int() > 1 << 50
    });
    assert!(!client.cmd(&["SESS.INFO", &token]).is_null());
    assert!(matches!(client.cmd(&["SESS.TOUCH", &token]), Value::Int(_)));
    assert_eq!(client.line("SESS.LIST alice").items().len(), 1);
    lives(&mut client);
    let rotated = client.cmd(&["SESS.ROTATE", &token]).text();
    assert!(!client.cmd(&["SESS.GET", &rotated]).is_null());
    assert_eq!(client.line("SESS.LOGOUT alice"), Value::Int(1));
    client.assert_lives();
}

/// Options that contradict each other, or themselves, are refused before anything happens.
#[test]
fn contradicting_options_are_refused() {
    let redis = Redis::start();
    for sessile in [Sessile::start(&redis.url(), &[]), Sessile::embedded(&[])] {
        let mut client = sessile.client();
        let token = client.line("SESS.CREATE USER alice").text();
        let t = token.as_str();
        let refused: [&[&str]; 7] = [
            &["SESS.CREATE", "IDLE", "5", "idle", "5"],
            &["SESS.CREATE", "USER", "bob", "USER", "carol"],
            &["SESS.TOUCH", t, "LIFE", "5", "IDLE", "5", "LIFE", "6"],
            &["SESS.ROTATE", t, "GRACE", "0", "GRACE", "0"],
            &["SESS.LOGOUT", "alice", "EXCEPT", t, "EXCEPT", t],
            // Who knew the token before a login must not read the session after it.
            &["SESS.ROTATE", t, "USER", "bob", "GRACE", "5000"],
            &["SESS.ROTATE", t, "GRACE", "5000", "USER", "bob"],
        ];
        for args in refused {
            let reply = client.cmd(args);
            assert!(reply.is_error("ERR "), "{args:?}: {reply}");
        }
        assert_eq!(client.line("SESS.LIST alice").items().len(), 1);
        let new = client.cmd(&["SESS.ROTATE", t, "USER", "bob", "GRACE", "0"]);
        assert_eq!(
            client
                .cmd(&["SESS.INFO", &new.text()])
                .get("user")
                .to_string(),
            "\"bob\""
        );
        assert!(client.cmd(&["SESS.GET", t]).is_null(), "no grace");
    }
}

/// In its grace an old token reads and proves whose it is, but keeps nothing alive.
#[test]
fn a_token_in_its_grace_does_not_slide() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &TOUCH_ALWAYS);
    let (mut client, mut direct) = (sessile.client(), redis.client());
    let old = client.line("SESS.CREATE USER alice FIELDS a 1").text();
    let new = client.cmd(&["SESS.ROTATE", &old, "GRACE", "60000"]).text();
    let other = client.line("SESS.CREATE USER alice").text();

    direct.cmd(&["PEXPIRE", &key(&old), "50000"]);
    direct.cmd(&["PEXPIRE", &key(&other), "50000"]);
    let fields = client.cmd(&["SESS.GET", &old]).to_string();
    assert_eq!(fields, r#"["a", "1"]"#);
    // Touches are not awaited. This one leaves behind where the one above would have.
    client.cmd(&["SESS.GET", &other]);
    until("a current token slides", SOON, || {
        direct.cmd(&["PTTL", &key(&other)]).int() > 50_000
    });
    let ttl = direct.cmd(&["PTTL", &key(&old)]).int();
    assert!((1..=50_000).contains(&ttl), "{ttl}");

    let ended = client.cmd(&["SESS.LOGOUT", "alice", "EXCEPT", &old]);
    assert_eq!(ended, Value::Int(1), "the other one");
    assert!(client.cmd(&["SESS.GET", &other]).is_null());
    assert!(!client.cmd(&["SESS.GET", &new]).is_null());
}

/// The arity as Redis counts it, the name included: negative where more may follow.
#[test]
fn command_info_counts_arguments_as_redis_does() {
    let sessile = Sessile::embedded(&[]);
    let mut client = sessile.client();
    let reply = client.line("COMMAND INFO sess.set sess.info get");
    let arities: Vec<_> = reply
        .items()
        .iter()
        .map(|entry| entry.items()[1].int())
        .collect();
    assert_eq!(arities, [-4, 2, 2], "{reply}");
}

/// The key of the hash of a token's session.
fn key(token: &str) -> String {
    format!("sessile:{{{}}}", handle(token))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_millis() as i64
}
