//! The two processes under test: the sidecar's own binary and a real redis-server.

use super::{Client, SOON, Value, holds_within, until};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Address {
    /// A port on 127.0.0.1.
    Tcp(u16),
    /// A socket's path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Address::Tcp(port) => write!(f, "127.0.0.1:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A port nobody listens on. Below the range the kernel takes for outgoing connections: there, a
/// client that keeps dialling a dead server could be given the server's own port and meet itself.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Test binaries that run side by side begin at different places.
        let offset = (std::process::id() as u16).wrapping_mul(97);
        let number = offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + number % COUNT;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A directory that is removed when the test ends.
pub struct TempDir(PathBuf);

impl TempDir {
    /// A fresh, empty one.
    pub fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "sessile-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary directory");
        TempDir(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn signal(child: &Child, signal: Signal) {
    // A child that ended meanwhile is what the signal was for.
    let _ = kill_process(Pid::from_child(child), signal);
}

/// A redis-server that keeps nothing on disk, on a port of its own and on a Unix socket.
pub struct Redis {
    child: Child,
    args: Vec<String>,
    pub port: u16,
    dir: TempDir,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub fn start() -> Redis {
        Redis::start_with(&[])
    }

    /// Starts one with further arguments.
    pub fn start_with(args: &[&str]) -> Redis {
        let args: Vec<String> = args.iter().map(|a| a.to_string()).collect();
        let (port, dir) = (free_port(), TempDir::new());
        let mut redis = Redis {
            child: Redis::spawn(port, &dir, &args),
            args,
            port,
            dir,
        };
        redis.wait_ready();
        redis
    }

    fn spawn(port: u16, dir: &TempDir, args: &[String]) -> Child {
        Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .arg("--unixsocket")
            .arg(dir.path().join("redis.sock"))
            .args(["--save", "", "--appendonly", "no", "--logfile", "redis.log"])
            .args(args)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is needed: tests/run installs it")
    }

    fn wait_ready(&mut self) {
        let address = self.address();
        let ready = holds_within(SOON, || {
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "redis-server ended: {}",
                self.log()
            );
            match Client::try_connect(&address).and_then(|mut c| c.try_cmd(&["PING"])) {
                Ok(reply) => reply == Value::Simple("PONG".into()) || reply.is_error("NOAUTH"),
                Err(_) => false,
            }
        });
        assert!(ready, "redis-server does not answer: {}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("redis.log")).unwrap_or_default()
    }

    /// Where it listens.
    pub fn address(&self) -> Address {
        Address::Tcp(self.port)
    }

    /// What the sidecar is given as its upstream.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The same, over the Unix socket.
    pub fn unix_url(&self) -> String {
        format!("unix://{}", self.dir.path().join("redis.sock").display())
    }

    /// A direct connection, past the sidecar.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(&self.address())
    }

    /// Stops it in the middle of whatever it does; its sockets stay open (SIGSTOP).
    pub fn pause(&self) {
        signal(&self.child, Signal::STOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        signal(&self.child, Signal::CONT);
    }

    /// Kills it; its port stays free for `restart`.
    pub fn kill(&mut self) {
        signal(&self.child, Signal::KILL);
        self.child.wait().unwrap();
    }

    /// A new, empty server on the same port.
    pub fn restart(&mut self) {
        self.kill();
        // A connection that is still being torn down can hold the port for a moment.
        until("the port is free again", SOON, || {
            self.child = Redis::spawn(self.port, &self.dir, &self.args);
            holds_within(Duration::from_millis(300), || {
                Client::try_connect(&Address::Tcp(self.port)).is_ok()
            }) && self.child.try_wait().unwrap().is_none()
        });
        self.wait_ready();
    }

    /// Every key of the current database with all that it holds, as one text to search in.
    pub fn dump(&self) -> String {
        let mut client = self.client();
        let mut keys: Vec<_> = client
            .line("KEYS *")
            .items()
            .iter()
            .map(Value::text)
            .collect();
        keys.sort();
        let mut out = String::new();
        for key in keys {
            let kind = client.cmd(&["TYPE", &key]).text();
            let content = match kind.as_str() {
                "hash" => client.cmd(&["HGETALL", &key]),
                "zset" => client.cmd(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]),
                "set" => client.cmd(&["SMEMBERS", &key]),
                "list" => client.cmd(&["LRANGE", &key, "0", "-1"]),
                "string" => client.cmd(&["GET", &key]),
                other => panic!("{key} is a {other}"),
            };
            out.push_str(&format!("{key} {kind} {content}\n"));
        }
        out
    }

    /// How often `command` (lower case) was called, from `INFO commandstats`.
    pub fn calls(&self, command: &str) -> i64 {
        let stats = self.client().line("INFO commandstats").text();
        let prefix = format!("cmdstat_{command}:calls=");
        stats
            .lines()
            .find_map(|line| line.strip_prefix(&prefix))
            .map_or(0, |rest| {
                rest.split(',')
                    .next()
                    .unwrap()
                    .parse()
                    .expect("a number of calls")
            })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A stopped process takes SIGKILL too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sidecar: the real binary, in an empty directory, with nothing from the environment.
pub struct Sessile {
    child: Child,
    address: Address,
    logs: Arc<Mutex<Vec<u8>>>,
    dir: TempDir,
}

/// The binary with no setting but `args`: no `SESSILE_*`, no `sidecar.toml`, no colour.
fn command(dir: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SESSILE_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
    // A busy machine may hold everything up for longer than the default. Tests of timeouts say which
    // they want, and a flag counts more than the environment.
    command.env("SESSILE_UPSTREAM_TIMEOUT_MS", "2000");
    command.args(args).current_dir(dir.path());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Sessile {
    /// Starts it in front of `upstream` and waits until it answers.
    #[track_caller]
    pub fn start(upstream: &str, args: &[&str]) -> Sessile {
        Sessile::start_on(Address::Tcp(free_port()), upstream, args)
    }

    /// With the in-process upstream.
    #[track_caller]
    pub fn embedded(args: &[&str]) -> Sessile {
        Sessile::start("embedded:", args)
    }

    /// Waits until it knows its upstream. Before that it cannot know whether `PEXPIREAT ... GT` may be
    /// used, and gives an index the longest TTL there is.
    #[track_caller]
    pub fn await_upstream(&self) {
        super::until("upstream is up", super::SOON, || {
            let info = self.client().line("INFO sessile").to_string();
            info.contains("sessile_upstream_state:up")
        });
    }

    /// On a Unix socket.
    #[track_caller]
    pub fn start_unix(upstream: &str, args: &[&str]) -> Sessile {
        // The socket's directory must outlive the process, so it is not the one it runs in.
        let path = std::env::temp_dir().join(format!("sessile-{}.sock", free_port()));
        Sessile::start_on(Address::Unix(path), upstream, args)
    }

    /// On the given address.
    #[track_caller]
    pub fn start_on(address: Address, upstream: &str, args: &[&str]) -> Sessile {
        let dir = TempDir::new();
        let listen = address.to_string();
        let mut all = vec!["--listen", listen.as_str(), "--upstream", upstream];
        all.extend_from_slice(args);
        let mut child = command(&dir, &all).spawn().expect("the binary");

        // Both outputs are read all the time, so that a talkative process never waits for us.
        let logs = Arc::new(Mutex::new(Vec::new()));
        collect(child.stderr.take().unwrap(), logs.clone());
        collect(child.stdout.take().unwrap(), logs.clone());
        let mut sessile = Sessile {
            child,
            address,
            logs,
            dir,
        };
        sessile.wait_ready();
        sessile
    }

    #[track_caller]
    fn wait_ready(&mut self) {
        let ready = holds_within(SOON, || {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "the sidecar ended, {ended:?}: {}",
                self.logs()
            );
            match Client::try_connect(&self.address).and_then(|mut c| c.try_cmd(&["PING"])) {
                Ok(reply) => reply == Value::Simple("PONG".into()) || reply.is_error("NOAUTH"),
                Err(_) => false,
            }
        });
        assert!(ready, "the sidecar does not answer: {}", self.logs());
    }

    /// A new connection in RESP2.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(&self.address)
    }

    /// A new connection in RESP3.
    #[track_caller]
    pub fn client3(&self) -> Client {
        self.client().hello(3)
    }

    /// A new connection that speaks the given protocol.
    #[track_caller]
    pub fn client_speaking(&self, protocol: u8) -> Client {
        if protocol == 3 {
            self.client3()
        } else {
            self.client()
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        let Address::Tcp(port) = self.address else {
            panic!("listens on {}", self.address)
        };
        port
    }

    /// What it wrote so far, stderr and stdout.
    pub fn logs(&self) -> String {
        String::from_utf8_lossy(&self.logs.lock().unwrap()).into_owned()
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        signal(&self.child, Signal::TERM);
    }

    /// Asks it to end as Ctrl-C does (SIGINT).
    pub fn interrupt(&self) {
        signal(&self.child, Signal::INT);
    }

    /// Whether it has ended.
    pub fn has_exited(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let mut status = None;
        until("the sidecar ends", deadline, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> i64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("VmRSS");
        line.trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number of kB")
    }
}

impl Drop for Sessile {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Address::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
        if std::thread::panicking() {
            let logs = self.logs();
            let tail = logs.len().saturating_sub(4000);
            let tail = (tail..logs.len())
                .find(|i| logs.is_char_boundary(*i))
                .unwrap_or(0);
            eprintln!("--- the sidecar's log\n{}---", &logs[tail..]);
        }
    }
}

/// Copies all that comes from `source` into `sink`, on a thread that ends with the source.
fn collect(mut source: impl Read + Send + 'static, sink: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = source.read(&mut chunk) {
            sink.lock().unwrap().extend_from_slice(&chunk[..count]);
        }
    })
}

/// How a run of the binary ended that was expected to end by itself.
pub struct Ended {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the binary with `args` until it ends; panics if it does not.
#[track_caller]
pub fn run_to_exit(args: &[&str]) -> Ended {
    let dir = TempDir::new();
    run_command(command(&dir, args), SOON)
}

/// Runs any command until it ends; panics if it does not within `deadline`.
#[track_caller]
pub fn run_command(mut command: Command, deadline: Duration) -> Ended {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (stdout, stderr) = (Arc::default(), Arc::default());
    let readers = [
        collect(child.stdout.take().unwrap(), Arc::clone(&stdout)),
        collect(child.stderr.take().unwrap(), Arc::clone(&stderr)),
    ];
    let mut status = None;
    let ended = holds_within(deadline, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
    }
    for reader in readers {
        reader.join().unwrap();
    }
    let text =
        |bytes: Arc<Mutex<Vec<u8>>>| String::from_utf8_lossy(&bytes.lock().unwrap()).into_owned();
    let (stdout, stderr) = (text(stdout), text(stderr));
    let status = status.unwrap_or_else(|| panic!("{command:?} does not end: {stdout}{stderr}"));
    Ended {
        code: status.code(),
        stdout,
        stderr,
    }
}
