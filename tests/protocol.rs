//! The protocol itself: handshakes, pipelining, plain commands byte for byte, and bad input.

// A failing test may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;
use support::{Random, Redis, SOON, Sessile, Value, encode, handle, until};

fn simple(text: &str) -> Value {
    Value::Simple(text.into())
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

// ---------------------------------------------------------------- the handshake

#[test]
fn hello() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let mut client = sessile.client();
    let names = [
        "server", "version", "proto", "id", "mode", "role", "modules",
    ];

    let reply = client.line("HELLO");
    assert!(
        matches!(reply, Value::Array(_)),
        "a connection begins in RESP2: {reply}"
    );
    for protocol in ["3", "2", "3"] {
        let reply = client.cmd(&["HELLO", protocol]);
        let got: Vec<_> = reply.pairs().into_iter().map(|(name, _)| name).collect();
        assert_eq!(got, names);
        // Clients look for these words before they believe that it is a Redis.
        assert_eq!(reply.get("server").text(), "redis");
        assert_eq!(reply.get("proto").int().to_string(), protocol);
        assert_eq!(reply.get("mode").text(), "standalone");
        assert_eq!(reply.get("role").text(), "master");
        assert_eq!(reply.get("modules"), Value::Array(vec![]));
        assert_eq!(reply.get("id"), client.line("CLIENT ID"));
        assert_eq!(matches!(reply, Value::Map(_)), protocol == "3");
    }

    // What is refused leaves the connection as it was: here, in RESP3.
    assert!(client.line("HELLO 4").is_error("NOPROTO"));
    assert!(client.line("HELLO 1").is_error("NOPROTO"));
    assert!(client.line("HELLO three").is_error("ERR"));
    assert!(client.line("HELLO 3 NONSENSE").is_error("ERR"));
    assert!(client.line("HELLO 3 SETNAME").is_error("ERR"));
    assert_eq!(client.line("GET nothing"), Value::Null);

    let reply = client.line("HELLO 2 SETNAME web-1");
    assert_eq!(reply.get("proto").int(), 2);
    assert_eq!(client.line("CLIENT GETNAME"), bulk("web-1"));
    assert_eq!(client.line("GET nothing"), Value::NullBulk);
}

/// Each connection speaks its own protocol, whatever its neighbours on the lane speak.
#[test]
fn protocols_do_not_mix() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &["--workers", "1"]);
    redis.client().line("HSET h a 1");
    let (mut two, mut three) = (sessile.client(), sessile.client3());
    for _ in 0..20 {
        two.send(&["HGETALL", "h"]);
        three.send(&["HGETALL", "h"]);
        three.send(&["GET", "nothing"]);
        two.send(&["GET", "nothing"]);
        two.expect_bytes(b"*2\r\n$1\r\na\r\n$1\r\n1\r\n$-1\r\n");
        three.expect_bytes(b"%1\r\n$1\r\na\r\n$1\r\n1\r\n_\r\n");
    }
    // Also one that changes its mind in the middle of a pipeline.
    let mut both = sessile.client();
    both.send(&["GET", "nothing"]);
    both.send(&["HELLO", "3"]);
    both.send(&["GET", "nothing"]);
    both.send(&["HELLO", "2"]);
    both.send(&["GET", "nothing"]);
    assert_eq!(both.reply(), Value::NullBulk);
    assert!(matches!(both.reply(), Value::Map(_)));
    assert_eq!(both.reply(), Value::Null);
    assert!(matches!(both.reply(), Value::Array(_)));
    assert_eq!(both.reply(), Value::NullBulk);
}

#[test]
fn a_password_guards_the_port() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &["--set", "listen.password=open sesame"]);
    let mut client = sessile.client();
    for refused in [
        "GET a",
        "SESS.GET token",
        "SESS.CREATE",
        "PING",
        "INFO",
        "SELECT 1",
        "HELLO 3",
    ] {
        assert!(client.line(refused).is_error("NOAUTH"), "{refused}");
    }
    assert!(client.cmd(&["AUTH", "wrong"]).is_error("WRONGPASS"));
    assert!(
        client
            .cmd(&["AUTH", "somebody", "open sesame"])
            .is_error("WRONGPASS")
    );
    assert!(
        client
            .cmd(&["HELLO", "3", "AUTH", "default", "wrong"])
            .is_error("WRONGPASS")
    );
    assert!(
        client.line("GET a").is_error("NOAUTH"),
        "still closed, and still RESP2"
    );
    assert_eq!(client.cmd(&["AUTH", "open sesame"]), simple("OK"));
    assert_eq!(client.line("PING"), simple("PONG"));
    assert_eq!(client.line("GET a"), Value::NullBulk);

    let mut client = sessile.client();
    assert_eq!(
        client.cmd(&["AUTH", "default", "open sesame"]),
        simple("OK")
    );
    assert_eq!(client.line("GET a"), Value::NullBulk);

    let mut client = sessile.client();
    let hello = client.cmd(&[
        "HELLO",
        "3",
        "AUTH",
        "default",
        "open sesame",
        "SETNAME",
        "web",
    ]);
    assert!(matches!(hello, Value::Map(_)), "{hello}");
    assert_eq!(client.line("CLIENT GETNAME"), bulk("web"));
    // RESET forgets who one is.
    assert_eq!(client.line("RESET"), simple("RESET"));
    assert!(client.line("GET a").is_error("NOAUTH"));

    assert!(
        !sessile.logs().contains("open sesame"),
        "a password in the log"
    );
}

#[test]
fn without_a_password_auth_says_so() {
    let sessile = Sessile::embedded(&[]);
    let mut client = sessile.client();
    assert!(
        client.line("AUTH anything").is_error("ERR"),
        "as Redis without a password"
    );
    client.assert_lives();
}

/// The sidecar's own password upstream is not the clients' affair.
#[test]
fn upstream_credentials_and_database() {
    let redis = Redis::start_with(&["--requirepass", "pw"]);
    let url = format!("redis://:pw@127.0.0.1:{}/2", redis.port);
    let sessile = Sessile::start(&url, &[]);
    let mut client = sessile.client();
    assert_eq!(client.line("SET here 1"), simple("OK"));
    let token = client.line("SESS.CREATE").text();

    let mut direct = redis.client();
    direct.line("AUTH pw");
    assert_eq!(direct.line("DBSIZE"), Value::Int(0));
    direct.line("SELECT 2");
    assert_eq!(direct.line("GET here"), bulk("1"));
    assert_eq!(
        direct.cmd(&["EXISTS", &format!("sessile:{{{}}}", handle(&token))]),
        Value::Int(1)
    );
}

#[test]
fn select_selects() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let mut client = sessile.client();
    let mut neighbour = sessile.client();
    assert_eq!(client.line("SELECT 5"), simple("OK"));
    assert_eq!(client.line("SET k five"), simple("OK"));
    assert_eq!(neighbour.line("SET k zero"), simple("OK"));
    assert_eq!(client.line("GET k"), bulk("five"));
    assert_eq!(neighbour.line("GET k"), bulk("zero"));

    let mut direct = redis.client();
    assert_eq!(direct.line("GET k"), bulk("zero"));
    direct.line("SELECT 5");
    assert_eq!(direct.line("GET k"), bulk("five"));

    // In one pipeline, each command goes where the SELECT before it says.
    client.raw(b"SELECT 0\r\nGET k\r\nSELECT 5\r\nGET k\r\n");
    let replies: Vec<_> = (0..4).map(|_| client.reply().text()).collect();
    assert_eq!(replies, ["OK", "zero", "OK", "five"]);

    for bad in [
        "SELECT 16",
        "SELECT -1",
        "SELECT 99999999999999999999",
        "SELECT one",
        "SELECT",
    ] {
        let got = client.line(bad);
        assert_eq!(got, direct.line(bad), "{bad}");
        assert!(got.is_error("ERR"));
    }
    assert_eq!(
        client.line("GET k"),
        bulk("five"),
        "a refused SELECT changes nothing"
    );
    assert_eq!(client.line("RESET"), simple("RESET"));
    assert_eq!(
        client.line("GET k"),
        bulk("zero"),
        "RESET goes back to the first database"
    );

    // Sessions do not move with SELECT: they live where the sidecar keeps them.
    let token = client.line("SESS.CREATE FIELDS a 1").text();
    client.line("SELECT 3");
    assert_eq!(client.cmd(&["SESS.GET", &token, "a"]).items()[0], bulk("1"));
}

#[test]
fn small_talk() {
    let redis = Redis::start();
    for sessile in [Sessile::start(&redis.url(), &[]), Sessile::embedded(&[])] {
        let (mut client, mut direct) = (sessile.client(), redis.client());
        assert_eq!(client.line("PING"), simple("PONG"));
        assert_eq!(client.line("ping hello"), bulk("hello"));
        assert_eq!(client.line("ECHO hello"), bulk("hello"));
        for bad in ["PING a b", "ECHO", "ECHO a b"] {
            assert_eq!(client.line(bad), direct.line(bad));
        }

        let id = client.line("CLIENT ID").int();
        assert!(id > 0);
        assert_ne!(sessile.client().line("CLIENT ID").int(), id);
        assert_eq!(client.line("CLIENT GETNAME"), Value::NullBulk);
        assert_eq!(client.line("CLIENT SETNAME web-1"), simple("OK"));
        assert_eq!(client.line("CLIENT GETNAME"), bulk("web-1"));
        assert!(
            client
                .cmd(&["CLIENT", "SETNAME", "two words"])
                .is_error("ERR")
        );
        assert_eq!(
            client.line("CLIENT SETINFO LIB-NAME some-lib"),
            simple("OK")
        );
        assert_eq!(client.line("CLIENT SETINFO lib-ver 1.2"), simple("OK"));
        assert!(client.line("CLIENT SETINFO COLOUR red").is_error("ERR"));
        assert_eq!(client.line("CLIENT NO-EVICT on"), simple("OK"));
        assert_eq!(client.line("CLIENT NO-TOUCH on"), simple("OK"));

        let info = client.line("CLIENT INFO").text();
        for part in [
            format!("id={id} "),
            "name=web-1 ".into(),
            "lib-name=some-lib".into(),
        ] {
            assert!(info.contains(&part), "{part} in {info}");
        }
        let other = sessile.client3();
        let list = client.line("CLIENT LIST").text();
        assert!(
            list.lines()
                .any(|line| line.starts_with(&format!("id={id} "))),
            "{list}"
        );
        assert!(list.lines().count() >= 2, "{list}");
        drop(other);

        assert!(client.line("CLIENT MAINT_NOTIFICATIONS ON").is_error("ERR"));
        assert!(
            client
                .line("CLIENT")
                .is_error("ERR wrong number of arguments for 'client'")
        );
        client.assert_lives();

        assert_eq!(client.line("RESET"), simple("RESET"));
        assert_eq!(client.line("CLIENT GETNAME"), Value::NullBulk);
        let mut three = sessile.client3();
        assert_eq!(three.line("RESET"), simple("RESET"));
        assert_eq!(
            three.line("CLIENT GETNAME"),
            Value::NullBulk,
            "back in RESP2"
        );

        // What stands before QUIT is answered, what stands behind it is not read.
        client.raw(b"PING\r\nQUIT\r\nPING\r\n");
        assert_eq!(client.read_to_end(), b"+PONG\r\n+OK\r\n");
    }
}

#[test]
fn command_tables_know_the_sessions() {
    let redis = Redis::start();
    for sessile in [Sessile::start(&redis.url(), &[]), Sessile::embedded(&[])] {
        for protocol in [2, 3] {
            let mut client = sessile.client_speaking(protocol);
            let names: Vec<_> = client
                .line("COMMAND")
                .items()
                .iter()
                .map(|row| row.items()[0].text().to_lowercase())
                .collect();
            assert!(names.contains(&"sess.create".into()) && names.contains(&"get".into()));
            assert_eq!(client.line("COMMAND COUNT").int() as usize, names.len());

            let info = client.line("COMMAND INFO sess.get SESS.SET nothing get");
            let rows = info.items();
            assert_eq!(rows.len(), 4, "{info}");
            assert_eq!(rows[0].items()[0].text(), "sess.get");
            assert_eq!(rows[1].items()[0].text(), "sess.set");
            assert!(rows[2].is_null(), "{info}");
            assert_eq!(rows[3].items()[0].text(), "get");
            // Name, arity, flags, first, last, step, and what Redis 7 has added.
            assert!(rows[0].items().len() >= 6, "{info}");

            let docs = client.line("COMMAND DOCS sess.rotate");
            let pairs = docs.pairs();
            assert_eq!(pairs.len(), 1, "{docs}");
            assert_eq!(pairs[0].0, "sess.rotate");
            assert!(pairs[0].1.get("summary").text().len() > 5, "{docs}");
            assert!(
                client
                    .line("COMMAND DOCS")
                    .to_string()
                    .contains("sess.create")
            );
            client.assert_lives();
        }
    }
}

#[test]
fn info_has_both_parts() {
    let mut redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    for protocol in [2, 3] {
        let mut client = sessile.client_speaking(protocol);
        let info = client.line("INFO").text();
        for part in ["# Server", "redis_version:", "role:master", "# Sessile"] {
            assert!(info.contains(part), "{part} in {info}");
        }
    }
    redis.kill();
    // ioredis asks INFO before it sends anything; without an answer it would never begin.
    let mut client = sessile.client();
    until("INFO alone", SOON, || {
        let info = client.line("INFO");
        matches!(info, Value::Bulk(_) | Value::Verbatim(_)) && info.text().contains("# Sessile")
    });

    let embedded = Sessile::embedded(&[]);
    let info = embedded.client().line("INFO").text();
    for part in ["redis_version:", "# Sessile", "loading:0", "role:master"] {
        assert!(info.contains(part), "{part} in {info}");
    }
}

// ---------------------------------------------------------------- requests

#[test]
fn inline_commands() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let mut client = sessile.client();
    client.raw(b"PING\r\n");
    client.expect_bytes(b"+PONG\r\n");
    client.raw(b"SET k \"two words\\r\\n\\x41\"\r\nGET k\n");
    client.expect_bytes(b"+OK\r\n$12\r\ntwo words\r\nA\r\n");
    client.raw(b"  SET   k   'it''s'  \r\n");
    let odd = client.reply();
    assert!(
        odd.is_error("ERR"),
        "quotes that touch a word, as Redis: {odd}"
    );

    // Redis closes after unbalanced quotes; here a new connection for what follows.
    let mut client = sessile.client();
    client.raw(b"SET k 'it\\'s'\r\nGET k\r\n");
    client.expect_bytes(b"+OK\r\n$4\r\nit's\r\n");
    // Empty lines are keep-alives, and say nothing.
    client.raw(b"\r\n\r\n\nPING\r\n");
    client.expect_bytes(b"+PONG\r\n");
    // Both forms in one write.
    client.raw(b"GET k\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n*1\r\n$4\r\nPING\r\n");
    client.expect_bytes(b"$4\r\nit's\r\n$4\r\nit's\r\n+PONG\r\n+PONG\r\n");
    // An empty array asks nothing.
    client.raw(b"*0\r\nPING\r\n");
    client.expect_bytes(b"+PONG\r\n");
    client.raw(b"SESS.CREATE FIELDS note 'a b'\r\n");
    let token = client.reply().text();
    client.raw(format!("sess.get {token} note\r\n").as_bytes());
    client.expect_bytes(b"*1\r\n$3\r\na b\r\n");
}

/// Every type, errors included. What Redis answers is what the client gets.
const PLAIN: &[&str] = &[
    "SET s hello",
    "GET s",
    "GET nothing",
    "GET",
    "GET a b",
    "APPEND s !",
    "STRLEN s",
    "GETRANGE s 1 3",
    "SETRANGE s 10 x",
    "GET s",
    "SET s v NX",
    "SET s v XX GET",
    "SET s v BOGUS",
    "GETSET s w",
    "GETDEL s",
    "MSET a 1 b 2 c 3",
    "MGET a nothing c",
    "INCR a",
    "INCRBYFLOAT a 1.5",
    "DECRBY b 5",
    "INCR c extra",
    "SETEX e 100 v",
    "EXPIRE e 200 GT",
    "TTL nothing",
    "PERSIST e",
    "TTL e",
    "EXISTS a b nothing a",
    "TYPE a",
    "TYPE nothing",
    "OBJECT ENCODING a",
    "HSET h f 1 g 2",
    "HGETALL h",
    "HGETALL nothing",
    "HMGET h f nothing",
    "HINCRBY h f 5",
    "HINCRBYFLOAT h g 0.5",
    "HRANDFIELD nothing",
    "HDEL h f nothing",
    "HKEYS h",
    "HGET s f",
    "HSET h odd",
    "LPUSH l 1 2 3",
    "LRANGE l 0 -1",
    "LPOP l 2",
    "LPOP nothing",
    "LPOP nothing 2",
    "LPOS l 1",
    "LINDEX l 5",
    "GET l",
    "SADD set only",
    "SMEMBERS set",
    "SISMEMBER set only",
    "SMISMEMBER set only other",
    "SPOP nothing",
    "ZADD z 1 a 2.5 b inf c",
    "ZRANGE z 0 -1 WITHSCORES",
    "ZSCORE z b",
    "ZSCORE z nothing",
    "ZMSCORE z a nothing",
    "ZINCRBY z 1 a",
    "ZRANK z c WITHSCORE",
    "ZPOPMIN z",
    "ZADD z notanumber a",
    "SETBIT bits 7 1",
    "BITCOUNT bits",
    "PFADD hll a b c",
    "PFCOUNT hll",
    "GEOADD geo 13.361389 38.115556 Palermo",
    "GEOPOS geo Palermo nothing",
    "GEODIST geo Palermo nothing",
    "XADD x 1-1 f v",
    "XRANGE x - +",
    "XLEN x",
    "XADD x 1-1 f v",
    "EVAL return{1,'two',{3},false,redis.status_reply('fine')} 0",
    "EVAL return{double=3.5} 0",
    "EVAL return{map={a=1}} 0",
    "EVAL bad 0",
    "SORT l",
    "SCAN 0 MATCH nothing* COUNT 1000",
    "HSCAN h 0",
    "DUMP nothing",
    "COPY a copied",
    "RENAME nothing other",
    "DEL a b nothing",
    "UNLINK copied",
    "DBSIZE",
    "NOSUCHCOMMAND a b c",
    "CONFIG GET databases",
    "OBJECT HELP",
    "FLUSHDB",
    "DBSIZE",
];

#[test]
fn plain_commands_pass_byte_for_byte() {
    // Two servers, so that the same writes find the same state.
    let (through, beside) = (Redis::start(), Redis::start());
    let sessile = Sessile::start(&through.url(), &[]);
    for protocol in [2, 3] {
        let mut client = sessile.client_speaking(protocol);
        let mut direct = beside.client();
        if protocol == 3 {
            direct = direct.hello(3);
        }
        for line in PLAIN {
            let args: Vec<_> = line.split(' ').collect();
            client.send(&args);
            direct.send(&args);
            let (got, want) = (client.reply_bytes(), direct.reply_bytes());
            let shown = (
                got.escape_ascii().to_string(),
                want.escape_ascii().to_string(),
            );
            assert_eq!(shown.0, shown.1, "RESP{protocol}: {line}");
        }
        // The same as one pipeline.
        for line in PLAIN {
            let args: Vec<_> = line.split(' ').collect();
            client.send(&args);
            direct.send(&args);
        }
        for line in PLAIN {
            let (got, want) = (client.reply_bytes(), direct.reply_bytes());
            let shown = (
                got.escape_ascii().to_string(),
                want.escape_ascii().to_string(),
            );
            assert_eq!(shown.0, shown.1, "RESP{protocol}, pipelined: {line}");
        }
    }
}

/// Values larger than any buffer, of bytes that look like framing.
#[test]
fn large_values_pass() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let mut client = sessile.client();
    let mut random = Random::new();
    for len in [0, 1, 4095, 4096, 65_535, 65_536, 65_537, 3_000_000] {
        let value = random.bytes(len);
        let set: [&[u8]; 3] = [b"SET", b"k", &value];
        assert_eq!(client.cmd(&set), simple("OK"));
        // A small reply directly behind a large one finds its place.
        client.send(&["GET", "k"]);
        client.send(&["PING"]);
        assert!(client.reply() == Value::Bulk(value), "{len} bytes");
        assert_eq!(client.reply(), simple("PONG"));
    }
}

/// What needs a connection of its own says so, and does no harm to the shared one.
#[test]
fn commands_with_connection_state_are_refused() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &["--workers", "1"]);
    let (mut client, mut neighbour) = (sessile.client(), sessile.client());
    for line in [
        "MULTI",
        "EXEC",
        "DISCARD",
        "WATCH k",
        "UNWATCH",
        "SUBSCRIBE ch",
        "PSUBSCRIBE ch*",
        "SSUBSCRIBE ch",
        "BLPOP l 0",
        "BRPOP l 0",
        "BLMOVE a b LEFT LEFT 0",
        "BLMPOP 0 1 l LEFT",
        "BZPOPMIN z 0",
        "MONITOR",
        "CLIENT TRACKING ON",
        "CLIENT REPLY OFF",
        "CLIENT PAUSE 10000",
        "XREAD BLOCK 0 STREAMS x $",
        "XREADGROUP GROUP g c BLOCK 0 STREAMS x >",
        "WAIT 1 0",
        "SYNC",
        "PSYNC ? -1",
    ] {
        let reply = client.line(line);
        assert!(matches!(reply, Value::Error(_)), "{line}: {reply}");
        client.assert_lives();
        assert_eq!(neighbour.line("SET k v"), simple("OK"), "after {line}");
    }
    assert_eq!(redis.client().line("PING"), simple("PONG"));
}

/// However the bytes arrive, the same replies leave.
#[test]
fn input_cut_anywhere_means_the_same() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let token = sessile.client().line("SESS.CREATE FIELDS a 1").text();
    let mut input = b"PING\r\n".to_vec();
    input.extend(encode(&["SET", "k", "a\r\nb"]));
    input.extend(b"GET k\r\n\r\nECHO 'x y'\n");
    input.extend(encode(&["SESS.GET", &token, "a", "nothing"]));
    input.extend(encode(&["HGET", "k"]));
    input.extend(encode(&["SESS.SET", &token]));
    input.extend(encode(&["ECHO", ""]));

    let mut whole = sessile.client();
    whole.raw(&input);
    let expected: Vec<_> = (0..8).map(|_| whole.reply_bytes()).collect();
    let expected = expected.concat();

    for cut in 1..input.len() {
        let mut client = sessile.client();
        client.raw(&input[..cut]);
        client.raw(&input[cut..]);
        client.expect_bytes(&expected);
    }
    // In many pieces, down to single bytes.
    let mut random = Random::new();
    for longest in [1, 3, 20] {
        let mut client = sessile.client();
        let mut rest = &input[..];
        while !rest.is_empty() {
            let len = (1 + random.below(longest)).min(rest.len());
            client.raw(&rest[..len]);
            rest = &rest[len..];
        }
        client.expect_bytes(&expected);
    }
}

/// N requests in one write get N replies, each its own, in their order.
#[test]
fn pipelines_keep_their_order() {
    let redis = Redis::start();
    for sessile in [Sessile::start(&redis.url(), &[]), Sessile::embedded(&[])] {
        let mut random = Random::new();
        for round in 0..10 {
            let mut client = sessile.client_speaking(if round % 2 == 0 { 2 } else { 3 });
            let token = client.line("SESS.CREATE").text();
            let null = client.line("GET nothing");
            let count = 1 + random.below(400);
            let (mut input, mut expected) = (Vec::new(), Vec::new());
            for n in 0..count {
                let text = format!("{round}-{n}");
                let (args, reply): (Vec<&str>, _) = match random.below(8) {
                    0 => (vec!["ECHO", &text], bulk(&text)),
                    1 => (vec!["SET", "key", &text], simple("OK")),
                    2 => (vec!["PING", &text], bulk(&text)),
                    3 => (
                        vec!["SESS.GET", &token, "never"],
                        Value::Array(vec![null.clone()]),
                    ),
                    4 => (vec!["SESS.UNSET", &token, &text], Value::Int(0)),
                    5 => (vec!["DEL", &text], Value::Int(0)),
                    6 => (vec!["NOSUCH", &text], Value::Error(String::new())),
                    _ => (vec!["SESS.DESTROY", &text], Value::Int(0)),
                };
                input.extend(encode(&args));
                expected.push((args[0].to_string(), text.clone(), reply));
            }
            client.raw(&input);
            for (name, text, want) in expected {
                let got = client.reply();
                match want {
                    Value::Error(_) => {
                        assert!(got.is_error("ERR unknown command"), "{name} {text}: {got}");
                        assert!(got.text().contains(&text), "{name} {text}: {got}");
                    }
                    want => assert_eq!(got, want, "{name} {text}"),
                }
            }
            client.assert_lives();
        }
    }
}

/// A write is seen by what stands behind it in the same pipeline, also where the sidecar has never
/// met the session and must first read its secret.
#[test]
fn a_pipelined_write_is_seen_behind_it() {
    let redis = Redis::start();
    let first = Sessile::start(&redis.url(), &[]);
    let mut client = first.client();
    let tokens: Vec<_> = (0..20)
        .map(|_| client.line("SESS.CREATE FIELDS n 0").text())
        .collect();

    // A fresh process knows none of them.
    let cold = Sessile::start(&redis.url(), &[]);
    for (n, token) in tokens.iter().enumerate() {
        let key = format!("sessile:{{{}}}", handle(token));
        let mut client = cold.client_speaking(if n % 2 == 0 { 2 } else { 3 });
        let mut input = encode(&["SESS.SET", token, "n", "1", "m", "x"]);
        input.extend(encode(&["SESS.GET", token, "n"]));
        input.extend(encode(&["HGET", &key, "n"]));
        input.extend(encode(&["SESS.INCR", token, "n"]));
        input.extend(encode(&["HGET", &key, "n"]));
        input.extend(encode(&["SESS.POP", token, "m"]));
        input.extend(encode(&["SESS.GET", token, "n", "m"]));
        input.extend(encode(&["HSET", &key, "n", "7"]));
        input.extend(encode(&["SESS.GET", token, "n"]));
        input.extend(encode(&["SESS.DESTROY", token]));
        input.extend(encode(&["EXISTS", &key]));
        input.extend(encode(&["SESS.GET", token]));
        client.raw(&input);
        let replies: Vec<_> = (0..12).map(|_| client.reply().to_string()).collect();
        let null = if n % 2 == 0 {
            ("$-1", "*-1")
        } else {
            ("_", "_")
        };
        let gone = format!("[\"2\", {}]", null.0);
        let expected = [
            ":2", "[\"1\"]", "\"1\"", ":2", "\"2\"", "[\"x\"]", &gone, ":0", "[\"7\"]", ":1", ":0",
            null.1,
        ];
        assert_eq!(replies, expected, "session {n}");
    }
}

/// A client that stops sending still gets all it asked for.
#[test]
fn a_half_closed_client_gets_its_replies() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let mut client = sessile.client();
    let mut input = Vec::new();
    for n in 0..500 {
        input.extend(encode(&["ECHO", &n.to_string()]));
        input.extend(encode(&["SET", "k", &n.to_string()]));
    }
    client.raw(&input);
    client.close_sending();
    for n in 0..500 {
        assert_eq!(client.reply(), bulk(&n.to_string()));
        assert_eq!(client.reply(), simple("OK"));
    }
    assert_eq!(client.read_to_end(), b"");
}

// ---------------------------------------------------------------- bad input

/// Sends `input` and expects one protocol error and the end, while a neighbour is served.
#[track_caller]
fn assert_closes(sessile: &Sessile, name: &str, input: &[u8]) {
    let mut neighbour = sessile.client();
    neighbour.assert_lives();
    let mut client = sessile.client();
    // The peer may close while we still send.
    let _ = client.try_raw(input);
    let got = client.read_to_end();
    let text = String::from_utf8_lossy(&got);
    // A close with unread input is a reset, which may swallow the error on its way: then nothing
    // came. What must not come is anything else.
    if !got.is_empty() {
        assert!(text.starts_with("-ERR Protocol error"), "{name}: {text}");
        assert_eq!(text.matches("\r\n").count(), 1, "{name}: one error: {text}");
    }
    neighbour.assert_lives();
    assert_eq!(neighbour.line("SET neighbour fine"), simple("OK"));
}

#[test]
fn broken_framing_closes_one_connection() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &["--workers", "1"]);
    let cases: [(&str, &[u8]); 12] = [
        ("a count that is none", b"*x\r\n"),
        ("a huge count", b"*2147483648\r\n"),
        ("a count beyond 64 bits", b"*99999999999999999999999\r\n"),
        ("a length that is none", b"*1\r\n$x\r\n"),
        ("a negative length", b"*1\r\n$-1\r\n"),
        ("a very negative length", b"*1\r\n$-9223372036854775808\r\n"),
        (
            "a length beyond the limit",
            b"*2\r\n$4\r\nECHO\r\n$1073741824\r\n",
        ),
        ("no length", b"*2\r\n$4\r\nECHO\r\nhello\r\n"),
        ("an integer for a string", b"*1\r\n:1\r\n"),
        ("no line end behind a string", b"*1\r\n$4\r\nPINGxx\r\n"),
        ("unbalanced quotes", b"GET \"open\r\n"),
        ("quotes inside a word", b"GET \"a\"b\r\n"),
    ];
    for (name, input) in cases {
        if name == "no line end behind a string" {
            // Redis itself does not look at these two bytes; what comes then must be an error or
            // a close, and never another command's reply.
            continue;
        }
        // Sent exactly, so that nothing is left unread: the error must arrive.
        let mut client = sessile.client();
        client.raw(input);
        let got = client.read_to_end();
        let text = String::from_utf8_lossy(&got);
        assert!(
            text.starts_with("-ERR Protocol error: "),
            "{name}: {text:?}"
        );
        assert_eq!(text.matches("\r\n").count(), 1, "{name}: {text:?}");
        assert_closes(&sessile, name, input);
    }

    // Good requests before the broken one are answered first.
    let mut client = sessile.client();
    client.raw(b"SET k v\r\nGET k\r\n*1\r\n$x\r\n");
    let got = client.read_to_end();
    let text = String::from_utf8_lossy(&got);
    assert!(
        text.starts_with("+OK\r\n$1\r\nv\r\n-ERR Protocol error: "),
        "{text:?}"
    );
}

#[test]
fn abusive_input_costs_no_memory() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    // Warm up, so that what is measured is the abuse.
    sessile.client().line("SET k v");
    let before = sessile.rss_kib();

    let nested = b"*1\r\n".repeat(10_000);
    let endless_line = vec![b'a'; 4 << 20];
    let endless_count = [b"*1".to_vec(), vec![b'0'; 4 << 20]].concat();
    let mut empty_arguments = b"*1000000\r\n".to_vec();
    empty_arguments.extend(b"$0\r\n\r\n".repeat(10));
    empty_arguments.extend(b"$x\r\n");
    for _ in 0..5 {
        assert_closes(&sessile, "nested arrays", &nested);
        assert_closes(&sessile, "an endless line", &endless_line);
        assert_closes(&sessile, "an endless count", &endless_count);
        assert_closes(&sessile, "a million arguments, announced", &empty_arguments);
    }
    // Promises are cheap: a hundred clients announce what they never send.
    let mut idle: Vec<_> = (0..100).map(|_| sessile.client()).collect();
    for client in &mut idle {
        client.raw(b"*1000000\r\n$3\r\nSET\r\n$500000\r\nx");
    }
    sessile.client().assert_lives();
    let grown = sessile.rss_kib() - before;
    assert!(grown < 8 * 1024, "grew by {grown} KiB");
}

/// Random bytes do no harm to anybody else, and nothing hangs.
#[test]
fn noise_is_survived() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let mut random = Random::new();
    let mut neighbour = sessile.client();
    let valid = encode(&["SET", "noise", "value"]);
    for _ in 0..200 {
        let mut client = sessile.client();
        let mut input = if random.below(2) == 0 {
            // A valid request with some bytes changed comes further than pure noise.
            let mut bytes = valid.repeat(1 + random.below(3));
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = *random.pick(b"*$:+-0123456789\r\n\0 x\"'");
            }
            bytes
        } else {
            let len = 1 + random.below(200);
            random.bytes(len)
        };
        input.extend(b"\r\n");
        let _ = client.try_raw(&input);
        neighbour.assert_lives();
    }
    assert_eq!(neighbour.line("SET neighbour fine"), simple("OK"));
}

/// A client that asks and never reads is held back, and does not fill the memory.
#[test]
fn a_client_that_never_reads_is_bounded() {
    let redis = Redis::start();
    let limit = ["--set", "limits.client_output_bytes_max=1048576"];
    let sessile = Sessile::start(&redis.url(), &limit);
    let value = vec![b'v'; 10_000];
    let set: [&[u8]; 3] = [b"SET", b"big", &value];
    redis.client().cmd(&set);
    sessile.client().line("GET big");
    let before = sessile.rss_kib();

    // 200 MB of replies are asked for; what the sockets hold, and the requests that were already
    // sent on, is all that should be on its way.
    let mut glutton = sessile.client();
    let ask = encode(&["GET", "big"]).repeat(20_000);
    glutton.write_within(&ask, Duration::from_millis(300));
    let mut neighbour = sessile.client();
    let mut most = 0;
    for _ in 0..50 {
        assert_eq!(
            neighbour.line("SET k v"),
            simple("OK"),
            "a neighbour is served"
        );
        most = most.max(sessile.rss_kib() - before);
    }
    assert!(most < 32 * 1024, "grew by {most} KiB");
    drop(glutton);
    neighbour.assert_lives();
}

/// Many connections come and go; the process keeps nothing of them.
#[test]
fn connections_leave_nothing_behind() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let round = || {
        let mut clients: Vec<_> = (0..200).map(|_| sessile.client()).collect();
        for client in &mut clients {
            client.send(&["SET", "k", "v"]);
        }
        // Half of them leave without reading.
        for client in clients.iter_mut().step_by(2) {
            assert_eq!(client.reply(), simple("OK"));
        }
    };
    round();
    let before = sessile.rss_kib();
    for _ in 0..10 {
        round();
    }
    until("all have left", SOON, || {
        let list = sessile.client().line("CLIENT LIST").text();
        list.lines().filter(|line| line.starts_with("id=")).count() <= 1
    });
    let grown = sessile.rss_kib() - before;
    assert!(grown < 4 * 1024, "grew by {grown} KiB");
}

#[test]
fn it_listens_on_a_unix_socket() {
    let redis = Redis::start();
    let sessile = Sessile::start_unix(&redis.unix_url(), &[]);
    let mut client = sessile.client3();
    let token = client.line("SESS.CREATE FIELDS a 1").text();
    assert_eq!(client.cmd(&["SESS.GET", &token]).get("a"), bulk("1"));
    assert_eq!(client.line("SET k v"), simple("OK"));
    assert_eq!(redis.client().line("GET k"), bulk("v"));
}
