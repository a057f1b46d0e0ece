//! How fast is the sidecar, compared with no proxy and with another proxy, on this machine, in this hour?
//!
//! `cargo bench --bench throughput [workload]`: starts Redis, nutcracker and the sidecar, lets them take turns, and
//! prints medians and ratios. `benches/README.md` tells how to read them.

// This is a program for developers: what cannot go on may stop it, and its results belong on stdout.
#![allow(clippy::expect_used, clippy::print_stdout)]

mod footprint;
mod generator;
mod histogram;
mod processes;
mod replies;
mod report;
mod workloads;

use std::process::{Command, ExitCode};
use std::time::Duration;

use footprint::Footprint;
use generator::Generator;
use processes::{Peers, own_cpu_ns};
use report::{Results, Sample};
use workloads::{Contender, Entry, Workload};

/// Whatever goes wrong ends the bench with its message.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const CONNECTIONS: usize = 50;
const IN_FLIGHT: [usize; 2] = [1, 16];
const WARM_UP: Duration = Duration::from_millis(300);
/// Chosen on the command line like a workload.
const FOOTPRINT: &str = "FOOTPRINT";

fn main() -> ExitCode {
    // `cargo test --all-targets` starts benches too, without this flag: that is no time for measuring.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("run me with: cargo bench --bench throughput");
        return ExitCode::SUCCESS;
    }
    match Settings::read().and_then(|settings| bench(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(settings: &Settings) -> Outcome<()> {
    let peers = Peers::start(
        settings.contends(Contender::Nutcracker),
        settings.contends(Contender::Sidecar),
    )?;
    let mut workloads = Vec::new();
    for name in workloads::NAMES
        .into_iter()
        .filter(|name| settings.chosen(name))
    {
        workloads.push(Workload::prepare(name, &peers)?);
    }
    let mut results = Results::default();
    for round in 0..settings.rounds {
        eprintln!("round {} of {}", round + 1, settings.rounds);
        for workload in &workloads {
            for in_flight in IN_FLIGHT {
                take_turns(settings, &peers, workload, in_flight, round, &mut results)?;
            }
        }
    }
    let footprint = if settings.chosen(FOOTPRINT) {
        footprint::measure(&peers)?
    } else {
        None
    };
    print(settings, &results, footprint.as_ref());
    Ok(())
}

/// Every contender once. A machine that is shared slows down and speeds up all the time, so contenders that are
/// compared run within seconds of each other, and each is as often the first.
fn take_turns(
    settings: &Settings,
    peers: &Peers,
    workload: &Workload,
    in_flight: usize,
    round: usize,
    results: &mut Results,
) -> Outcome<()> {
    let entries = &workload.entries;
    for turn in 0..entries.len() {
        let entry = &entries[(round + turn) % entries.len()];
        let name = entry.contender.name();
        if !settings.contends(entry.contender) || entry.contender.process(peers).is_none() {
            continue;
        }
        let sample = measure(settings, peers, entry, in_flight).map_err(|error| {
            format!("{} ({}) of {name}: {error}", workload.name, entry.commands)
        })?;
        results
            .row(workload.name, in_flight, entry.contender, entry.commands)
            .samples
            .push(sample);
    }
    Ok(())
}

fn measure(settings: &Settings, peers: &Peers, entry: &Entry, in_flight: usize) -> Outcome<Sample> {
    let process = entry.contender.process(peers).ok_or("it does not run")?;
    // What Redis does for itself is not a proxy's.
    let proxy_cpu_ns = || {
        if entry.contender == Contender::Direct {
            None
        } else {
            process.cpu_ns()
        }
    };
    let cpu_ns = || [proxy_cpu_ns(), peers.redis.cpu_ns(), own_cpu_ns()];

    let mut generator =
        Generator::start(process.address, CONNECTIONS, in_flight, &entry.operation)?;
    generator.warm_up(WARM_UP)?;
    let before = cpu_ns();
    let elapsed = generator.measure(settings.window)?;
    let after = cpu_ns();
    let latencies = generator.finish()?;

    let operations = latencies.total() as f64;
    let us_per_op = |index: usize| Some((after[index]? - before[index]?) as f64 / 1e3 / operations);
    Ok(Sample {
        ops_per_s: operations / elapsed.as_secs_f64(),
        p50_us: latencies.quantile_us(0.5),
        p99_us: latencies.quantile_us(0.99),
        proxy_us: us_per_op(0),
        redis_us: us_per_op(1),
        generator_us: us_per_op(2),
    })
}

fn print(settings: &Settings, results: &Results, footprint: Option<&Footprint>) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{CONNECTIONS} connections over TCP on the loopback interface, {cores} cores for everything together; medians of {} \
         rounds of {:?} each.\n",
        settings.rounds, settings.window
    );
    println!("- {}", version("redis-server", "--version"));
    println!("- {}\n", version("nutcracker", "--version"));
    results.print();
    println!();
    results.print_targets(footprint);
}

/// The first line of what a program says about itself. Nutcracker says it on stderr.
fn version(program: &str, flag: &str) -> String {
    let Ok(output) = Command::new(program).arg(flag).output() else {
        return format!("no {program}");
    };
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said)
        .lines()
        .next()
        .unwrap_or(program)
        .to_owned()
}

/// What the environment and the command line say.
struct Settings {
    window: Duration,
    rounds: usize,
    /// Empty: all.
    contenders: Vec<String>,
    /// `None`: all.
    workload: Option<String>,
}

impl Settings {
    fn read() -> Outcome<Self> {
        let variable =
            |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        let seconds: f64 = variable("SESSILE_BENCH_SECONDS", "1.5").parse()?;
        let contenders = variable("SESSILE_BENCH_CONTENDERS", "");
        let settings = Self {
            window: Duration::try_from_secs_f64(seconds)?,
            rounds: variable("SESSILE_BENCH_ROUNDS", "5").parse()?,
            contenders: contenders
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            workload: std::env::args()
                .skip(1)
                .find(|argument| !argument.starts_with('-')),
        };
        settings.check()?;
        Ok(settings)
    }

    /// A word that means nothing would look like a bench that has nothing to say.
    fn check(&self) -> Outcome<()> {
        let known = Contender::ALL.map(Contender::name);
        if let Some(name) = self
            .contenders
            .iter()
            .find(|name| !known.contains(&name.as_str()))
        {
            return Err(format!(
                "no contender is called {name}: there are {}",
                known.join(", ")
            )
            .into());
        }
        let known = [&workloads::NAMES[..], &[FOOTPRINT]].concat();
        if !known.iter().any(|name| self.chosen(name)) {
            return Err(
                format!("there is no such workload: there are {}", known.join(", ")).into(),
            );
        }
        if self.rounds == 0 || self.window.is_zero() {
            return Err("at least one round and more than 0 seconds".into());
        }
        Ok(())
    }

    fn contends(&self, contender: Contender) -> bool {
        self.contenders.is_empty() || self.contenders.iter().any(|name| name == contender.name())
    }

    fn chosen(&self, workload: &str) -> bool {
        self.workload
            .as_ref()
            .is_none_or(|chosen| chosen.eq_ignore_ascii_case(workload))
    }
}
