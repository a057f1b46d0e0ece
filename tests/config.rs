//! The configuration from outside: the real binary, asked to `check` and `ping`; and the manual in
//! `sidecar.toml`, compared with the table of options.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use sessile::config::options::{ROWS, Row};
use sessile::config::{Config, Overrides, load};

/// A working directory of its own for one test, removed when the test is over.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sessile-config-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    fn with_file(text: &str) -> Self {
        let dir = Dir::new();
        fs::write(dir.0.join("sidecar.toml"), text).unwrap();
        dir
    }

    /// Runs the program here, with these variables and no other `SESSILE_*`.
    fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
        command.args(args).current_dir(&self.0);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SESSILE_") {
                command.env_remove(name);
            }
        }
        command.envs(env.iter().copied());
        Outcome(command.output().unwrap())
    }

    /// The one line that `check` refuses this with.
    fn refused(&self, args: &[&str], env: &[(&str, &str)]) -> String {
        let args = [&["check"], args].concat();
        self.run(&args, env).failed(2)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Outcome(Output);

impl Outcome {
    /// Stdout of a run that went well and had nothing to complain about.
    fn succeeded(&self) -> String {
        let stderr = String::from_utf8_lossy(&self.0.stderr);
        assert!(self.0.status.success(), "{stderr}");
        assert_eq!(stderr, "");
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    /// The one line on stderr of a run that failed with `code`, without `sessile: `.
    fn failed(&self, code: i32) -> String {
        let stderr = String::from_utf8(self.0.stderr.clone()).unwrap();
        assert_eq!(self.0.status.code(), Some(code), "{stderr}");
        assert_eq!(self.0.stdout, b"");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let line = stderr.trim_end().strip_prefix("sessile: ");
        line.unwrap_or_else(|| panic!("{stderr}")).to_owned()
    }
}

#[test]
fn defaults_are_valid() {
    let out = Dir::new().run(&["check"], &[]).succeeded();
    assert_eq!(out, "configuration is valid: defaults\n");
}

#[test]
fn a_good_file_is_valid_wherever_it_is_named() {
    let dir = Dir::with_file("[listen]\nworkers = 2\n");
    fs::write(dir.0.join("other.toml"), "").unwrap();
    for (args, env, file) in [
        (&["check"][..], &[][..], "sidecar.toml"),
        (&["check"], &[("SESSILE_CONFIG", "")], "sidecar.toml"),
        (
            &["check"],
            &[("SESSILE_CONFIG", "other.toml")],
            "other.toml",
        ),
        (&["check", "--config", "other.toml"], &[], "other.toml"),
        (
            &["--config", "sidecar.toml", "check"],
            &[("SESSILE_CONFIG", "other.toml")],
            "sidecar.toml",
        ),
    ] {
        let out = dir.run(args, env).succeeded();
        assert_eq!(out, format!("configuration is valid: {file}\n"));
    }
}

#[test]
fn a_named_file_must_exist() {
    let error = Dir::new().refused(&["--config", "none.toml"], &[]);
    assert!(error.starts_with("none.toml: cannot be read: "), "{error}");
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let dir = Dir::with_file(
        "[listen]\nworkers = 2\nclients_max = 20\n[limits]\nlist_max = 5\nfields_max = 7\n",
    );
    let env = [
        ("SESSILE_LISTEN_WORKERS", "3"),
        ("SESSILE_LISTEN_CLIENTS_MAX", "30"),
        ("SESSILE_LISTEN_ADDRESSES", "localhost:1,unix:/run/s"),
        ("SESSILE_TEST_ANYTHING", "is not ours"),
    ];
    let args = [
        "check",
        "--print",
        "--workers",
        "4",
        "--set",
        "limits.list_max=6",
        "--log-level=debug",
    ];
    let out = dir.run(&args, &env).succeeded();
    for line in [
        "listen.workers = 4",
        "listen.clients_max = 30",
        "listen.addresses = [\"localhost:1\", \"unix:/run/s\"]",
        "limits.list_max = 6",
        "limits.fields_max = 7",
        "limits.user_bytes_max = 256",
        "log.level = \"debug\"",
    ] {
        assert!(out.lines().any(|l| l == line), "{line} is not in {out}");
    }
    let args = [
        "--listen=localhost:1",
        "--listen=localhost:2",
        "check",
        "--print",
    ];
    let out = dir.run(&args, &env).succeeded();
    assert!(
        out.contains("listen.addresses = [\"localhost:1\", \"localhost:2\"]"),
        "{out}"
    );
}

#[test]
fn printing_hides_passwords() {
    let env = [
        ("SESSILE_LISTEN_PASSWORD", "hunter2"),
        ("SESSILE_UPSTREAM_URL", "redis://app:hunter2@cache:6379"),
    ];
    let out = Dir::new().run(&["check", "--print"], &env).succeeded();
    assert!(!out.contains("hunter2"), "{out}");
    assert!(out.contains("listen.password = \"<hidden>\""), "{out}");
    assert!(
        out.contains("upstream.url = \"redis://app:<hidden>@cache:6379\""),
        "{out}"
    );
    assert_eq!(out.lines().count(), 1 + ROWS.len());
}

#[test]
fn errors_in_the_file_name_line_option_and_what_is_allowed() {
    for (text, error) in [
        (
            "\n[upstream]\ntimeout_ms = \"fast\"",
            "3: upstream.timeout_ms = \"fast\": a whole number from 1 to 600000 (milliseconds) is allowed",
        ),
        (
            "# one\n[listen]\nadress = []",
            "3: unknown option listen.adress (did you mean listen.addresses?); \
             [listen] has addresses, password, unix_mode, clients_max, workers, drain_ms",
        ),
        (
            "workers = 2",
            "1: unknown option workers (did you mean listen.workers?)",
        ),
        (
            "[listne]\nworkers = 2",
            "2: unknown section [listne] (did you mean [listen]?); \
             the sections are listen, upstream, session, limits, log",
        ),
        (
            "[listne]",
            "1: unknown section [listne] (did you mean [listen]?); \
             the sections are listen, upstream, session, limits, log",
        ),
        ("listen = 1", "1: listen is a section, written [listen]"),
        (
            "[listen]\nunix_mode = 600",
            "2: listen.unix_mode = 600: an octal file mode in quotes from \"000\" to \"777\" is allowed",
        ),
        (
            "[listen]\npassword = 7",
            "2: listen.password = \"<hidden>\": any text is allowed",
        ),
        (
            "[log.level]\n",
            "1: log.level = a table: one of \"error\", \"warn\", \"info\", \"debug\", \"trace\" is allowed",
        ),
        (
            "[session]\n\nidle_s = 99\ntimeout_s_max = 98",
            "3: session.idle_s = 99: at most session.timeout_s_max, which is 98, is allowed",
        ),
    ] {
        let found = Dir::with_file(text).refused(&[], &[]);
        assert_eq!(found, format!("sidecar.toml:{error}"));
    }
    let found = Dir::with_file("[listen]\nworkers = \n").refused(&[], &[]);
    assert!(
        found.starts_with("sidecar.toml:2: no valid TOML: "),
        "{found}"
    );
    assert_eq!(
        Dir::with_file("[listen]\n")
            .run(&["check"], &[])
            .0
            .status
            .code(),
        Some(0)
    );
}

#[test]
fn errors_elsewhere_name_the_variable_or_the_flag() {
    let dir = Dir::new();
    assert_eq!(
        dir.refused(&[], &[("SESSILE_LISTEN_WORKERS", "many")]),
        "SESSILE_LISTEN_WORKERS: listen.workers = \"many\": a whole number from 1 to 64 is allowed"
    );
    assert_eq!(
        dir.refused(&[], &[("SESSILE_LISTEN_WORKER", "1")]),
        "SESSILE_LISTEN_WORKER: unknown variable (did you mean SESSILE_LISTEN_WORKERS?)"
    );
    assert_eq!(
        dir.refused(&["--workers", "65"], &[]),
        "--workers: listen.workers = \"65\": a whole number from 1 to 64 is allowed"
    );
    let error = dir.refused(&["--set", "listen.pasword=hunter2"], &[]);
    assert!(
        error.starts_with("--set: unknown option listen.pasword (did you mean listen.password?)")
    );
    assert!(!error.contains("hunter2"));
    assert!(!dir.refused(&["--set", "hunter2"], &[]).contains("hunter2"));
}

#[test]
fn what_kubernetes_makes_of_a_service_of_our_name_is_no_mistake() {
    let env = [
        ("SESSILE_SERVICE_HOST", "10.0.0.7"),
        ("SESSILE_PORT", "tcp://10.0.0.7:6380"),
        ("SESSILE_PORT_6380_TCP_ADDR", "10.0.0.7"),
    ];
    let outcome = Dir::new().run(&["check"], &env);
    assert_eq!(outcome.0.status.code(), Some(0));
}

#[test]
fn other_machines_are_let_in_only_with_a_password() {
    let dir = Dir::with_file("[listen]\naddresses = [\"127.0.0.1:6380\", \"0.0.0.0:6380\"]\n");
    let error = dir.refused(&[], &[]);
    assert!(
        error.starts_with("sidecar.toml:2: listen.addresses = ["),
        "{error}"
    );
    assert!(
        error.contains("0.0.0.0:6380 can be reached from other machines"),
        "{error}"
    );
    dir.run(&["check"], &[("SESSILE_LISTEN_PASSWORD", "secret")])
        .succeeded();
}

#[test]
fn tls_to_the_upstream_is_refused_without_showing_the_password() {
    let error = Dir::new().refused(&["--upstream", "rediss://app:hunter2@cache"], &[]);
    assert!(
        error.starts_with(
            "--upstream: upstream.url = \"rediss://app:<hidden>@cache\": \
             TLS to the upstream is not there yet"
        ),
        "{error}"
    );
}

#[test]
fn ping_gives_the_password_and_wants_pong() {
    let asked = |answer: &'static [u8], env: &[(&str, &str)]| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 1000];
            let len = stream.read(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8(request[..len].to_vec()).unwrap()
        });
        let outcome = Dir::new().run(&["ping", "--listen", &address], env);
        (outcome, server.join().unwrap())
    };

    let (outcome, request) = asked(b"+PONG\r\n", &[]);
    assert_eq!(outcome.succeeded(), "PONG\n");
    assert_eq!(request, "*1\r\n$4\r\nPING\r\n");

    let password = [("SESSILE_LISTEN_PASSWORD", "pw")];
    let (outcome, request) = asked(b"+OK\r\n+PONG\r\n", &password);
    assert_eq!(outcome.succeeded(), "PONG\n");
    assert_eq!(
        request,
        "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n*1\r\n$4\r\nPING\r\n"
    );

    let (outcome, _) = asked(b"-WRONGPASS no\r\n", &password);
    assert!(outcome.failed(1).ends_with(": answered \"-WRONGPASS no\""));
    let (outcome, _) = asked(b"", &[]);
    assert!(
        outcome
            .failed(1)
            .ends_with(": the connection was closed without a reply")
    );
}

#[test]
fn ping_fails_where_nobody_listens() {
    let dir = Dir::new();
    let listen = format!("unix:{}", dir.0.join("none.sock").display());
    let error = dir.run(&["ping", "--listen", &listen], &[]).failed(1);
    assert!(error.starts_with(&listen), "{error}");
    // A health probe has one way to fail, also when the configuration is at fault.
    dir.run(&["ping", "--listen", "nonsense"], &[]).failed(1);
}

#[test]
fn help_and_version_are_there() {
    let dir = Dir::new();
    assert!(
        dir.run(&["--help"], &[])
            .succeeded()
            .contains("Getting started:")
    );
    let version = format!("sessile {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(dir.run(&["--version"], &[]).succeeded(), version);
}

fn manual() -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sidecar.toml");
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

/// Each live line of the manual: its key with the section, its value as written, and the comment
/// that stands directly over it as one line.
fn live_lines(text: &str) -> Vec<(String, String, String)> {
    let (mut section, mut comment, mut found) = ("", String::new(), Vec::new());
    for line in text.lines() {
        if let Some(words) = line.strip_prefix('#') {
            comment = format!("{comment} {}", words.trim()).trim().to_owned();
            continue;
        }
        if let Some((name, value)) = line.split_once(" = ") {
            found.push((format!("{section}.{name}"), value.to_owned(), comment));
        } else if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
        }
        comment = String::new();
    }
    found
}

#[test]
fn the_manual_says_of_each_option_what_the_table_says() {
    let lines = live_lines(&manual().1);
    let keys: Vec<&str> = lines.iter().map(|(key, ..)| key.as_str()).collect();
    assert_eq!(keys, ROWS.iter().map(|row| row.key).collect::<Vec<_>>());

    for (
        Row {
            key,
            kind,
            default,
            meaning,
        },
        (_, value, comment),
    ) in ROWS.iter().zip(&lines)
    {
        let default = kind.show(kind.read(&(*default).into()).unwrap().as_ref());
        assert_eq!(*value, default, "the value of {key}");
        for sentence in [
            format!("{meaning}."),
            format!("Allowed: {}.", kind.allowed()),
            format!("Default: {default}."),
        ] {
            assert!(
                comment.contains(&sentence),
                "{key} lacks: {sentence}\nin: {comment}"
            );
        }
    }
}

#[test]
fn the_manual_loads_as_the_defaults() {
    let args = Overrides {
        file: Some(manual().0),
        ..Overrides::default()
    };
    let config = load(&args, std::iter::empty(), None).unwrap();
    assert_eq!(config.shown(), Config::default().shown());
}
