//! Latencies in log-linear buckets: recording is one shift and one addition, and the error stays below 1.6 %.

/// Buckets per power of two.
const STEPS: u64 = 64;
const STEPS_LOG2: u32 = STEPS.trailing_zeros();

/// Counts of latencies in nanoseconds.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// An empty histogram that can hold any `u64`.
    pub fn new() -> Self {
        Self {
            counts: vec![0; bucket(u64::MAX) + 1],
            total: 0,
        }
    }

    pub fn record(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        self.total += 1;
    }

    /// How many latencies were recorded.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency in microseconds that the share `quantile` (0 to 1) of all requests did not exceed.
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        let rank = (quantile * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                return middle(bucket as u64) / 1000.0;
            }
        }
        0.0
    }
}

/// Below `STEPS` each value has its own bucket; above, the leading bits after the highest one choose it.
fn bucket(ns: u64) -> usize {
    let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(STEPS_LOG2 + 1);
    (u64::from(shift) * STEPS + (ns >> shift)) as usize
}

/// The middle of the values that fall into a bucket, in nanoseconds.
fn middle(bucket: u64) -> f64 {
    // From the second power of two on, `ns >> shift` lies in STEPS..2*STEPS, so each shift owns STEPS buckets.
    let shift = (bucket / STEPS).saturating_sub(1);
    let lowest = (bucket - shift * STEPS) << shift;
    lowest as f64 + ((1_u64 << shift) - 1) as f64 / 2.0
}
