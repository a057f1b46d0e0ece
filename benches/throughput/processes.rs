//! The processes under test: started on free loopback ports, watched through `/proc`, ended with the bench.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// Everything that the bench starts, and the directory where it does so.
pub struct Peers {
    pub redis: Process,
    pub nutcracker: Option<Process>,
    pub sidecar: Option<Process>,
    // Last, so that it goes after the processes that write into it.
    pub directory: Directory,
}

impl Peers {
    /// Redis must start; a proxy that cannot be started is left out, and that is said.
    pub fn start(with_nutcracker: bool, with_sidecar: bool) -> Outcome<Self> {
        let directory = Directory::create()?;
        let redis = redis(&directory)?;
        let nutcracker = with_nutcracker.then(|| nutcracker(&directory, &redis));
        let sidecar = with_sidecar.then(|| sidecar(&directory, &redis, &[]));
        Ok(Self {
            redis,
            nutcracker: nutcracker.and_then(|started| or_skip("nutcracker", started)),
            sidecar: sidecar.and_then(|started| or_skip("sidecar", started)),
            directory,
        })
    }
}

fn or_skip(name: &str, started: Outcome<Process>) -> Option<Process> {
    match started {
        Ok(process) => Some(process),
        Err(error) => {
            eprintln!("skipping {name}: {error}");
            None
        }
    }
}

fn redis(directory: &Directory) -> Outcome<Process> {
    let address = free_address()?;
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--port").arg(address.port().to_string());
    command.arg("--dir").arg(&directory.0);
    Process::start("redis-server", command, address, directory)
}

/// Its own defaults, except what makes it speak RESP to one server over a connection that is there from the start.
fn nutcracker(directory: &Directory, redis: &Process) -> Outcome<Process> {
    let address = free_address()?;
    let config = directory.0.join("nutcracker.yml");
    let upstream = redis.address;
    fs::write(
        &config,
        format!(
            "bench:\n  listen: {address}\n  redis: true\n  preconnect: true\n  servers:\n   - {upstream}:1\n"
        ),
    )?;
    let mut command = Command::new("nutcracker");
    command.arg("--conf-file").arg(config);
    // Its statistics would listen on every interface.
    command
        .args(["--stats-addr", "127.0.0.1", "--stats-port"])
        .arg(free_address()?.port().to_string());
    Process::start("nutcracker", command, address, directory)
}

/// The sidecar as it is shipped, with one worker: the peers have one thread too.
pub fn sidecar(directory: &Directory, redis: &Process, more: &[&str]) -> Outcome<Process> {
    let address = free_address()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    command.arg("--listen").arg(address.to_string());
    command
        .arg("--upstream")
        .arg(format!("redis://{}", redis.address));
    command.args(["--workers", "1"]).args(more);
    // Settings of the bench, or of the user's own sidecar, are not for this one.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SESSILE_") {
            command.env_remove(name);
        }
    }
    Process::start("sidecar", command, address, directory)
}

/// A child that is killed when this is dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// From the start until the first PONG.
    pub ready_after: Duration,
}

impl Process {
    /// Starts it and waits until it answers PING.
    fn start(
        name: &str,
        mut command: Command,
        address: SocketAddr,
        directory: &Directory,
    ) -> Outcome<Self> {
        let log = directory.0.join(format!("{name}.log"));
        let output = File::create(&log)?;
        command.current_dir(&directory.0).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let began = Instant::now();
        let child = command
            .spawn()
            .map_err(|error| format!("{name} cannot be started: {error}"))?;
        let mut process = Self {
            child,
            address,
            ready_after: Duration::ZERO,
        };
        match process.wait_for_pong(began) {
            Ok(ready_after) => process.ready_after = ready_after,
            Err(error) => {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("{name} {error}\n{said}").trim_end().into());
            }
        }
        Ok(process)
    }

    fn wait_for_pong(&mut self, began: Instant) -> Outcome<Duration> {
        while began.elapsed() < Duration::from_secs(5) {
            if ping(self.address).is_ok() {
                return Ok(began.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("ended at once ({status})").into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Err("did not answer PING within 5 s".into())
    }

    /// Nanoseconds on a CPU since its start, all threads.
    pub fn cpu_ns(&self) -> Option<u64> {
        cpu_ns(&self.child.id().to_string())
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about either result.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nanoseconds that this process spent on a CPU.
pub fn own_cpu_ns() -> Option<u64> {
    cpu_ns("self")
}

/// From `schedstat`, which counts nanoseconds (`stat` counts hundredths of a second). It knows one thread per file.
/// `None` where the kernel keeps no such statistics.
fn cpu_ns(process: &str) -> Option<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let schedstat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        sum += schedstat.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(sum)
}

/// One connection, one PING, one PONG.
pub fn ping(address: SocketAddr) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut reply = [0; 7];
    stream.read_exact(&mut reply)?;
    if &reply == b"+PONG\r\n" {
        Ok(stream)
    } else {
        Err("the reply to PING was no PONG".into())
    }
}

/// A port that was free a moment ago. Whoever takes it in between makes the start fail, not the measurement wrong.
fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A temporary directory that is removed when this is dropped.
pub struct Directory(PathBuf);

impl Directory {
    fn create() -> Outcome<Self> {
        let path: &Path =
            &std::env::temp_dir().join(format!("sessile-bench-{}", std::process::id()));
        fs::create_dir(path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // At worst a few log files stay behind.
        let _ = fs::remove_dir_all(&self.0);
    }
}
