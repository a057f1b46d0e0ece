//! Real clients: what they send when they connect, and what they make of the replies, is up to them.
//! `tests/run` installs them.

// A failing test may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Ended, Redis, Sessile, run_command};

/// A file below `tests/clients`.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(path)
}

/// Runs a client's script against both upstreams, once with a password and once without.
#[track_caller]
fn run_script(interpreter: &Path, script: &str, needs: &Path) {
    assert!(
        needs.exists(),
        "{} is missing: tests/run installs it",
        needs.display()
    );
    let redis = Redis::start();
    let with_password = Sessile::start(&redis.url(), &["--set", "listen.password=open sesame"]);
    let embedded = Sessile::embedded(&[]);
    for (sessile, password) in [(with_password, Some("open sesame")), (embedded, None)] {
        let mut command = Command::new(interpreter);
        command
            .arg(file(script))
            .arg(sessile.port().to_string())
            .args(password);
        let ended = run(command);
        assert_eq!(ended.stdout, "ok\n", "{script}: {}", ended.stderr);
        assert_eq!(ended.code, Some(0), "{script}: {}", ended.stderr);
    }
}

#[track_caller]
fn run(mut command: Command) -> Ended {
    command.stdin(Stdio::null());
    run_command(command, Duration::from_secs(60))
}

#[test]
fn redis_py() {
    let python = file("python/.venv/bin/python");
    run_script(&python, "python/session.py", &python);
}

#[test]
fn node_redis() {
    let module = file("node/node_modules/redis");
    run_script(Path::new("node"), "node/node-redis.js", &module);
}

#[test]
fn ioredis() {
    let module = file("node/node_modules/ioredis");
    run_script(Path::new("node"), "node/ioredis.js", &module);
}

/// redis-cli, with the output that a person or a shell script sees.
#[test]
fn redis_cli() {
    let redis = Redis::start();
    let password = ["--set", "listen.password=pw"];
    let real = Sessile::start(&redis.url(), &password);
    let embedded = Sessile::embedded(&password);
    for sessile in [real, embedded] {
        let port = sessile.port().to_string();
        let cli = |args: &[&str]| {
            let mut command = Command::new("redis-cli");
            command
                .args(["-p", &port, "-a", "pw", "--no-auth-warning"])
                .args(args);
            let ended = run(command);
            assert_eq!(
                ended.code,
                Some(0),
                "{args:?}: {}{}",
                ended.stdout,
                ended.stderr
            );
            ended.stdout.trim_end().to_string()
        };
        for version in ["-2", "-3"] {
            let create = [
                "SESS.CREATE",
                "USER",
                "alice",
                "FIELDS",
                "cart",
                "[]",
                "theme",
                "dark",
            ];
            let token = cli(&[&[version], &create[..]].concat());
            assert_eq!(token.len(), 48, "{token}");
            let got = cli(&[version, "SESS.GET", &token]);
            let flat: Vec<_> = got.split_whitespace().collect();
            assert_eq!(flat, ["cart", "[]", "theme", "dark"]);
            assert_eq!(cli(&[version, "SESS.SET", &token, "theme", "light"]), "2");
            assert_eq!(cli(&[version, "SESS.GET", &token, "theme"]), "light");

            // With types: a map where the protocol has one, and null for what is not there.
            let shown = cli(&[version, "--no-raw", "SESS.GET", &token]);
            let map = "1# \"cart\" => \"[]\"\n2# \"theme\" => \"light\"";
            let array = "1) \"cart\"\n2) \"[]\"\n3) \"theme\"\n4) \"light\"";
            assert_eq!(shown, if version == "-3" { map } else { array });
            assert_eq!(cli(&[version, "--no-raw", "SESS.GET", "nothing"]), "(nil)");
            assert!(cli(&[version, "SESS.LIST", "alice"]).contains(&token[..16]));
            assert!(cli(&[version, "SESS.HELP"]).contains("SESS.ROTATE token"));
            assert!(cli(&[version, "SESS.EXPLAIN", "SESS.GET", &token]).contains(&token[..16]));
            assert!(cli(&[version, "INFO"]).contains("# Sessile"));
            assert_eq!(cli(&[version, "SESS.LOGOUT", "alice"]), "1");

            assert_eq!(cli(&[version, "-n", "3", "SET", "k", "v"]), "OK");
            assert_eq!(cli(&[version, "-n", "3", "GET", "k"]), "v");
            assert_eq!(cli(&[version, "GET", "k"]), "");
            assert_eq!(cli(&[version, "-n", "3", "--scan"]), "k");
            assert_eq!(cli(&[version, "-r", "3", "PING"]), "PONG\nPONG\nPONG");
            assert_eq!(cli(&[version, "-n", "3", "DEL", "k"]), "1");
        }
    }
}

/// `redis-cli --pipe`: the mass insertion of the manual, which counts replies and errors.
#[test]
fn redis_cli_pipe() {
    let redis = Redis::start();
    let sessile = Sessile::start(&redis.url(), &[]);
    let input = std::env::temp_dir().join(format!("sessile-pipe-{}", std::process::id()));
    let lines: String = (0..20_000)
        .map(|n| format!("SET pipe:{n} {n}\r\n"))
        .collect();
    std::fs::write(&input, lines).unwrap();
    let mut command = Command::new("redis-cli");
    command.args(["-p", &sessile.port().to_string(), "--pipe"]);
    command.stdin(std::fs::File::open(&input).unwrap());
    let ended = run_command(command, Duration::from_secs(60));
    std::fs::remove_file(&input).unwrap();
    assert!(
        ended.stdout.contains("errors: 0, replies: 20000"),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
    assert_eq!(redis.client().line("DBSIZE").int(), 20_000);
}
