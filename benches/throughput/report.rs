//! Medians, ratios, and the two tables in Markdown.

use crate::footprint::Footprint;
use crate::workloads::Contender;

/// What one contender did in one round.
pub struct Sample {
    pub ops_per_s: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// CPU microseconds for each operation. `None`: no such process, or the kernel does not say.
    pub proxy_us: Option<f64>,
    pub redis_us: Option<f64>,
    pub generator_us: Option<f64>,
}

/// All rounds of one contender at one workload.
pub struct Row {
    pub workload: &'static str,
    pub in_flight: usize,
    pub contender: Contender,
    pub commands: &'static str,
    pub samples: Vec<Sample>,
}

impl Row {
    fn median(&self, number: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(number).collect())
    }

    fn ops_per_s(&self) -> f64 {
        self.median(|sample| sample.ops_per_s)
    }

    /// `None` if a round is without the number.
    fn cpu_us(&self, number: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        Some(median(
            self.samples.iter().map(number).collect::<Option<_>>()?,
        ))
    }

    fn proxy_us(&self) -> Option<f64> {
        self.cpu_us(|sample| sample.proxy_us)
    }

    fn redis_us(&self) -> Option<f64> {
        self.cpu_us(|sample| sample.redis_us)
    }

    /// How far the rounds are from each other, in percent of the median: what a difference must exceed to mean anything.
    fn spread_percent(&self) -> f64 {
        let all = || self.samples.iter().map(|sample| sample.ops_per_s);
        let (lowest, highest) = (
            all().fold(f64::INFINITY, f64::min),
            all().fold(0.0, f64::max),
        );
        (highest - lowest) / self.ops_per_s() * 100.0
    }

    /// How much of one core the generator, the proxy and Redis used: who is at 100 is the bottleneck.
    fn busy(&self) -> String {
        let percent = |cpu_us: Option<f64>| number(cpu_us.map(|us| us * self.ops_per_s() / 1e4), 0);
        let generator = percent(self.cpu_us(|sample| sample.generator_us));
        format!(
            "{generator} / {} / {}",
            percent(self.proxy_us()),
            percent(self.redis_us())
        )
    }
}

/// The middle of the numbers; 0 if there are none.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => 0.0,
        even if even % 2 == 0 => (numbers[even / 2 - 1] + numbers[even / 2]) / 2.0,
        odd => numbers[odd / 2],
    }
}

fn number(number: Option<f64>, decimals: usize) -> String {
    number.map_or("–".into(), |number| format!("{number:.decimals$}"))
}

/// The results of all rounds.
#[derive(Default)]
pub struct Results {
    rows: Vec<Row>,
}

impl Results {
    /// The row of these, made when it is asked for the first time.
    pub fn row(
        &mut self,
        workload: &'static str,
        in_flight: usize,
        contender: Contender,
        commands: &'static str,
    ) -> &mut Row {
        let found = self.rows.iter().position(|row| {
            (row.workload, row.in_flight, row.contender) == (workload, in_flight, contender)
        });
        let index = found.unwrap_or_else(|| {
            self.rows.push(Row {
                workload,
                in_flight,
                contender,
                commands,
                samples: Vec::new(),
            });
            self.rows.len() - 1
        });
        &mut self.rows[index]
    }

    fn find(&self, workload: &str, in_flight: usize, contender: Contender) -> Option<&Row> {
        self.rows.iter().find(|row| {
            (row.workload, row.in_flight, row.contender) == (workload, in_flight, contender)
        })
    }

    /// One number of the sidecar divided by the same number of another contender. `None` if either is missing.
    fn ratio(
        &self,
        workload: &str,
        in_flight: usize,
        other: Contender,
        number: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<Measured> {
        let numbers = |contender| -> Option<Vec<f64>> {
            self.find(workload, in_flight, contender)?
                .samples
                .iter()
                .map(&number)
                .collect()
        };
        let (sidecar, other) = (numbers(Contender::Sidecar)?, numbers(other)?);
        let rounds = sidecar
            .iter()
            .zip(&other)
            .map(|(sidecar, other)| sidecar / other)
            .collect();
        Some(Measured {
            value: median(sidecar) / median(other),
            rounds,
        })
    }

    /// One row for each contender, in the order of the first round.
    pub fn print(&self) {
        println!(
            "| workload | in flight | contender | commands | k ops/s | × direct | × nutcracker | p50 µs | p99 µs \
             | proxy CPU µs/op | Redis CPU µs/op | busy % generator / proxy / Redis | spread % |"
        );
        println!("|---|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
        for row in &self.rows {
            let times = |contender| {
                let other = self.find(row.workload, row.in_flight, contender);
                number(other.map(|other| row.ops_per_s() / other.ops_per_s()), 2)
            };
            println!(
                "| {} | {} | {} | {} | {:.1} | {} | {} | {:.0} | {:.0} | {} | {} | {} | {:.0} |",
                row.workload,
                row.in_flight,
                row.contender.name(),
                row.commands,
                row.ops_per_s() / 1e3,
                times(Contender::Direct),
                times(Contender::Nutcracker),
                row.median(|sample| sample.p50_us),
                row.median(|sample| sample.p99_us),
                number(row.proxy_us(), 2),
                number(row.redis_us(), 2),
                row.busy(),
                row.spread_percent(),
            );
        }
    }

    /// What we aim at, what we measured, and whether that is enough.
    pub fn print_targets(&self, footprint: Option<&Footprint>) {
        use Contender::{Direct, Nutcracker};
        let ops = |sample: &Sample| Some(sample.ops_per_s);
        let throughput = |workload, in_flight, other| self.ratio(workload, in_flight, other, ops);
        let proxy_cpu = self.ratio("HGETALL", 16, Nutcracker, |sample| sample.proxy_us);
        let redis_cpu = self.ratio("GET", 1, Direct, |sample| sample.redis_us);
        let idle = |number: fn(&Footprint) -> f64| {
            footprint.map(|footprint| Measured {
                value: number(footprint),
                rounds: Vec::new(),
            })
        };
        let clients = footprint.map_or(10_000, |footprint| footprint.clients);

        println!(
            "| target | wanted | measured | single rounds: median (lowest, highest) | reached |"
        );
        println!("|---|--:|--:|--:|---|");
        at_least(
            "GET, 1 in flight: × nutcracker",
            1.15,
            throughput("GET", 1, Nutcracker),
        );
        at_least(
            "GET, 1 in flight: × direct",
            0.85,
            throughput("GET", 1, Direct),
        );
        at_least(
            "HGETALL, 16 in flight: × nutcracker",
            2.0,
            throughput("HGETALL", 16, Nutcracker),
        );
        at_least(
            "HGETALL, 16 in flight: × direct",
            0.75,
            throughput("HGETALL", 16, Direct),
        );
        at_most(
            "HGETALL, 16 in flight: proxy CPU/op, × nutcracker",
            0.35,
            proxy_cpu,
        );
        at_least(
            "SESS.GET, 1 in flight: × direct HGETALL",
            0.65,
            throughput("SESS.GET", 1, Direct),
        );
        at_least(
            "SESS.GET, 16 in flight: × direct HGETALL",
            0.5,
            throughput("SESS.GET", 16, Direct),
        );
        at_least(
            "SESS.SET, 1 in flight: × direct HSET, then EXPIRE",
            1.0,
            throughput("SESS.SET", 1, Direct),
        );
        at_most("GET, 1 in flight: Redis CPU/op, × direct", 0.5, redis_cpu);
        at_most(
            "resident at start, MiB",
            12.0,
            idle(|footprint| footprint.resident_mib),
        );
        let per_client = idle(|footprint| footprint.client_kib);
        at_most(
            &format!("resident for each of {clients} idle clients, KiB"),
            4.0,
            per_client,
        );
        at_most(
            "start until first PONG, ms",
            50.0,
            idle(|footprint| footprint.start_ms),
        );
    }
}

/// What a target is compared with.
struct Measured {
    /// Of the medians.
    value: f64,
    /// Each round for itself; empty where there were no rounds.
    rounds: Vec<f64>,
}

fn at_least(name: &str, wanted: f64, measured: Option<Measured>) {
    target(name, "≥", wanted, measured, |value| value >= wanted);
}

fn at_most(name: &str, wanted: f64, measured: Option<Measured>) {
    target(name, "≤", wanted, measured, |value| value <= wanted);
}

fn target(
    name: &str,
    sign: &str,
    wanted: f64,
    measured: Option<Measured>,
    reached: impl Fn(f64) -> bool,
) {
    let Some(Measured { value, rounds }) = measured else {
        println!("| {name} | {sign} {wanted} | – | – | not measured |");
        return;
    };
    let lowest = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = rounds.iter().copied().fold(0.0, f64::max);
    let rounds = if rounds.is_empty() {
        "–".into()
    } else {
        format!("{:.2} ({lowest:.2}, {highest:.2})", median(rounds))
    };
    let verdict = if reached(value) { "yes" } else { "no" };
    println!("| {name} | {sign} {wanted} | {value:.2} | {rounds} | {verdict} |");
}
