//! The tools of the other tests, tried on redis-server alone: a test that fails should accuse the
//! sidecar, not its accuser.

// A failing test may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;
use support::{Address, Client, Random, Redis, Relay, SOON, Value, holds_within, matches, until};

#[test]
fn replies_of_every_type_are_told_apart() {
    let redis = Redis::start_with(&["--enable-debug-command", "yes"]);
    let mut client = redis.client().hello(3);
    let shown = [
        ("string", "\"Hello World\""),
        ("integer", ":12345"),
        ("double", ",3.141"),
        ("null", "_"),
        ("array", "[:0, :1, :2]"),
        ("set", "~[:0, :1, :2]"),
        ("map", "{:0: #false, :1: #true, :2: #false}"),
        ("bignum", "(1234567999999999999999999999999999999"),
        ("true", "#true"),
        ("verbatim", "=\"This is a verbatim\\nstring\""),
    ];
    for (kind, expected) in shown {
        assert_eq!(
            client.cmd(&["DEBUG", "PROTOCOL", kind]).to_string(),
            expected
        );
    }
    let mut client = redis.client();
    assert_eq!(client.line("GET nothing"), Value::NullBulk);
    assert_eq!(client.line("LPOP nothing 1"), Value::NullArray);
    assert!(client.line("NOSUCH").is_error("ERR unknown command"));
    assert_eq!(client.line("CONFIG GET save").pairs().len(), 1);
}

#[test]
fn transcripts_match_what_they_say() {
    let token = "A".repeat(48);
    let found = matches("<token:t>", &format!("\"{token}\"")).unwrap();
    assert_eq!(found["t"], token);
    assert!(matches("<token:t>", "\"short\"").is_none());
    assert!(matches("<token:t>", &format!("\"{}!\"", &token[..47])).is_none());
    let found = matches(
        "{\"handle\": \"<handle:h>\"}",
        "{\"handle\": \"BBBBBBBBBBBBBBBB\"}",
    )
    .unwrap();
    assert_eq!(found["h"], "BBBBBBBBBBBBBBBB");
    assert!(matches(":<int:1..10>", ":10").is_some());
    assert!(matches(":<int:1..10>", ":11").is_none());
    assert!(matches(":<int>", ":-5").is_some());
    assert!(matches("-ERR <any>@s<any>", "-ERR field '@s': no").is_some());
    assert!(matches("-ERR <any>@s<any>", "-ERR field 's': no").is_none());
    assert!(matches("a < b", "a < b").is_some());
    assert!(matches(":2", ":22").is_none());
}

#[test]
fn redis_can_be_paused_killed_and_restarted() {
    let mut redis = Redis::start();
    redis.client().line("SET k v");
    redis.pause();
    let mut client = redis.client();
    client.send(&["GET", "k"]);
    redis.resume();
    assert_eq!(client.reply().text(), "v");
    assert!(redis.dump().contains("k string \"v\""));
    assert!(redis.calls("get") >= 1);
    redis.kill();
    assert!(Client::try_connect(&redis.address()).is_err());
    redis.restart();
    assert!(redis.client().line("GET k").is_null(), "a new one is empty");
}

#[test]
fn a_relay_holds_and_cuts() {
    let redis = Redis::start();
    let relay = Relay::start(redis.port);
    let address = Address::Tcp(relay.port);
    let mut client = Client::connect(&address);
    assert_eq!(client.line("PING").text(), "PONG");

    relay.hold_replies();
    client.send(&["SET", "k", "v"]);
    // The request is through, and the reply is not.
    until("the request arrives", SOON, || {
        !redis.client().line("GET k").is_null()
    });
    relay.release();
    assert_eq!(client.reply().text(), "OK");

    relay.cut_after(5);
    client.send(&["GET", "k"]);
    assert_eq!(
        client.read_to_end(),
        b"$1\r\nv",
        "cut in the middle of a reply"
    );
    let mut client = Client::connect(&address);
    assert_eq!(client.line("GET k").text(), "v", "and only once");

    relay.cut_and_refuse();
    assert!(client.try_cmd(&["PING"]).is_err());
    let refused = Client::try_connect(&address).and_then(|mut c| c.try_cmd(&["PING"]));
    assert!(refused.is_err());
    relay.allow();
    until("it is open again", SOON, || {
        Client::try_connect(&address)
            .and_then(|mut c| c.try_cmd(&["PING"]))
            .is_ok()
    });
}

#[test]
fn waiting_has_an_end() {
    assert!(!holds_within(Duration::from_millis(20), || false));
    let mut asked = 0;
    until("the third time", SOON, || {
        asked += 1;
        asked == 3
    });
}

#[test]
fn chance_repeats() {
    let mut random = Random::new();
    let (mut one, mut two) = (random.fork(), random.fork());
    assert_ne!(one.next(), two.next());
    assert!((0..1000).all(|_| random.below(7) < 7));
    assert_eq!(random.bytes(33).len(), 33);
}
