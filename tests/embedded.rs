//! The embedded upstream against a real Redis: the same random commands on both, and the replies
//! compared byte for byte.
//!
//! A failure prints its seed; `SESSILE_SEED=<seed>` runs that one alone.

#![allow(clippy::expect_used)] // a test fails by panicking

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sessile::embedded::{Connection, Embedded};
use sessile::resp::write;

// ---------------------------------------------------------------- both sides

/// A real redis-server on a Unix socket, gone with this value.
struct Redis {
    child: Child,
    dir: PathBuf,
}

impl Redis {
    fn start() -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("sessile-embedded-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).expect("a directory for the socket");
        let child = Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--unixsocket",
            ])
            .arg(dir.join("redis.sock"))
            .arg("--dir")
            .arg(&dir)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let redis = Self { child, dir };
        redis.connect(); // waits until it listens
        redis
    }

    fn connect(&self) -> BufReader<UnixStream> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match UnixStream::connect(self.dir.join("redis.sock")) {
                Ok(stream) => {
                    stream
                        .set_read_timeout(Some(Duration::from_secs(20)))
                        .expect("a timeout");
                    return BufReader::new(stream);
                }
                Err(error) if Instant::now() > deadline => panic!("redis does not listen: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

/// One connection to each side.
struct Pair {
    real: BufReader<UnixStream>,
    embedded: Connection,
    /// What was queued since MULTI, to know which reply in EXEC's belongs to what.
    queued: Vec<String>,
}

type Args = Vec<Vec<u8>>;

impl Pair {
    fn new(redis: &Redis, engine: &Embedded) -> Self {
        Self {
            real: redis.connect(),
            embedded: engine.connect(),
            queued: Vec::new(),
        }
    }

    fn real(&mut self, args: &Args) -> Tree {
        let mut request = Vec::new();
        write::command(
            &mut request,
            &args.iter().map(Vec::as_slice).collect::<Vec<_>>(),
        );
        self.real
            .get_mut()
            .write_all(&request)
            .expect("redis reads");
        Tree::read(&mut self.real)
    }

    fn embedded(&mut self, args: &Args) -> Tree {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let mut reply = Vec::new();
        self.embedded
            .execute(&args, now.as_millis() as i64, &mut reply);
        let mut rest = reply.as_slice();
        let tree = Tree::read(&mut rest);
        assert!(
            rest.is_empty(),
            "more than one reply: {:?}",
            String::from_utf8_lossy(&reply)
        );
        tree
    }

    /// Executes on both sides; what differs, if the replies do.
    fn differ(&mut self, args: &Args) -> Option<String> {
        let (real, embedded) = (self.real(args), self.embedded(args));
        let name = text(&args[0]).to_ascii_uppercase();
        let queued = std::mem::take(&mut self.queued);
        let same = if name == "EXEC" && real.parts.len() == queued.len() {
            real.head == embedded.head
                && real.parts.len() == embedded.parts.len()
                && (queued.iter().zip(&real.parts).zip(&embedded.parts))
                    .all(|((name, real), embedded)| same(name, real, embedded))
        } else {
            same(&name, &real, &embedded)
        };
        if real.head == "+QUEUED" || !["EXEC", "DISCARD", "RESET"].contains(&name.as_str()) {
            self.queued = queued;
        }
        if real.head == "+QUEUED" {
            self.queued.push(name);
        }
        (!same).then(|| {
            format!(
                "{}\n  redis    {}\n  embedded {}",
                shown(args),
                real.show(),
                embedded.show()
            )
        })
    }

    /// Executes a line split at blanks on both sides, which must agree.
    fn agree(&mut self, line: &str) {
        let args = line
            .split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect();
        if let Some(difference) = self.differ(&args) {
            panic!("{difference}");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown(args: &Args) -> String {
    args.iter()
        .map(|arg| format!("{:?}", text(arg)))
        .collect::<Vec<_>>()
        .join(" ")
}

// ---------------------------------------------------------------- replies

/// A reply: its first line, the bytes of a bulk, the elements of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tree {
    head: String,
    bulk: Vec<u8>,
    parts: Vec<Tree>,
}

impl Tree {
    fn read(from: &mut impl BufRead) -> Self {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line).expect("a reply");
        let head = text(line.strip_suffix(b"\r\n").expect("a line ends with CRLF"));
        let (kind, number) = head.split_at_checked(1).expect("a reply has a type");
        let len = || number.parse::<i64>().expect("a length").max(0) as usize;
        let (mut bulk, mut parts) = (Vec::new(), Vec::new());
        match kind {
            "$" | "=" if number != "-1" => {
                bulk = vec![0; len() + 2];
                from.read_exact(&mut bulk).expect("a whole bulk");
                assert_eq!(bulk.split_off(bulk.len() - 2), b"\r\n");
            }
            "*" | "~" => parts.extend((0..len()).map(|_| Self::read(from))),
            "%" => parts.extend((0..2 * len()).map(|_| Self::read(from))),
            "+" | "-" | ":" | "," | "_" | "$" => {}
            _ => panic!("no reply begins with {head:?}"),
        }
        Self { head, bulk, parts }
    }

    fn sorted(&self) -> Self {
        let mut sorted = self.clone();
        sorted.parts.sort();
        sorted
    }

    fn number(&self) -> Option<i64> {
        self.head.strip_prefix(':')?.parse().ok()
    }

    fn show(&self) -> String {
        let mut shown = self.head.clone();
        if !self.bulk.is_empty() {
            shown += &format!(" {:?}", text(&self.bulk));
        }
        for part in &self.parts {
            shown += &format!(" [{}]", part.show());
        }
        shown
    }
}

/// Deadlines from here on are set absolutely by the test, and must be equal to the millisecond.
const EXACT_MS: i64 = 4_000_000_000_000;

/// How long the machine may hold us up between asking one side and asking the other. Relative
/// deadlines are a thousand seconds at least, so that this hides nothing.
const STALL_MS: i64 = 5_000;

/// Whether two replies say the same as far as Redis defines it.
fn same(name: &str, real: &Tree, embedded: &Tree) -> bool {
    let within = |tolerance: i64, exact: i64| match (real.number(), embedded.number()) {
        (Some(a), Some(b)) if a > 0 && a < exact => (a - b).abs() <= tolerance,
        _ => real == embedded,
    };
    match name {
        "SMEMBERS" | "KEYS" => real.sorted() == embedded.sorted(),
        "TTL" => within(STALL_MS / 1000, i64::MAX),
        "PTTL" => within(STALL_MS, i64::MAX),
        "EXPIRETIME" => within(STALL_MS / 1000, EXACT_MS / 1000),
        "PEXPIRETIME" => within(STALL_MS, EXACT_MS),
        // Neither which key is random nor the number of a connection is defined.
        "RANDOMKEY" if !real.bulk.is_empty() => !embedded.bulk.is_empty(),
        "CLIENT" if real.number().is_some() => embedded.number().is_some(),
        // Its order is each side's own: `scan_finds_what_redis_finds` compares whole scans.
        "SCAN" if real.parts.len() == 2 => embedded.parts.len() == 2,
        "HELLO" if real.parts.len() == 14 => {
            let without_id = |tree: &Tree| {
                let mut tree = tree.clone();
                tree.parts.remove(7);
                tree
            };
            without_id(real) == without_id(embedded)
        }
        _ => real == embedded,
    }
}

// ---------------------------------------------------------------- random commands

/// Xorshift: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % end as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// Commands with places to fill: `S H Z T` a key that mostly holds that type (T: a set), `K` any
/// key, `F` a field or member, `V` a value, `I` an integer or not (`J`: as a relative deadline),
/// `D` a double or not, `B` a score bound, `N` a rank, `P` a pattern, `R M A X` deadlines
/// (relative and absolute, in s and ms), `?x` an option of kind x or none.
#[rustfmt::skip]
const TEMPLATES: &[&str] = &[
    "GET S", "SET S V", "SET S V", "SET S V ?s", "SET S V ?s ?s", "SET S V ?s ?s ?s", "SETEX S R V",
    "SETEX S J V", "PSETEX S M V", "SETNX S V", "GETSET S V", "GETDEL S", "GETEX S", "GETEX S ?g",
    "GETEX S ?g ?g", "MGET K S S", "MSET S V S V", "MSET S V S", "APPEND S V", "STRLEN S", "INCR S",
    "DECR S", "INCRBY S I", "DECRBY S I", "HSET H F V", "HSET H F V F V", "HSET H F V F",
    "HMSET H F V F V", "HMSET H F V F", "HSETNX H F V", "HGET H F", "HMGET H F F F", "HGETALL H",
    "HGETALL H", "HDEL H F", "HDEL H F F", "HLEN H", "HEXISTS H F", "HKEYS H", "HVALS H",
    "HINCRBY H F I", "HSTRLEN H F", "HSCAN H 0", "HSCAN H 0 MATCH P", "HSCAN H x",
    "HSCAN H 0 COUNT I", "ZADD Z D F", "ZADD Z D F D F", "ZADD Z ?z D F", "ZADD Z ?z ?z D F D F",
    "ZADD Z ?z ?z ?z D F", "ZREM Z F F", "ZINCRBY Z D F", "ZSCORE Z F", "ZMSCORE Z F F F",
    "ZCARD Z", "ZCOUNT Z B B", "ZRANK Z F", "ZREVRANK Z F", "ZRANGE Z N N", "ZRANGE Z N N ?r",
    "ZRANGE Z N N ?r ?r", "ZRANGE Z B B BYSCORE", "ZRANGE Z B B BYSCORE ?r ?r",
    "ZREVRANGE Z N N ?w", "ZRANGEBYSCORE Z B B ?w ?w", "ZREVRANGEBYSCORE Z B B ?w ?w",
    "ZREMRANGEBYSCORE Z B B", "ZREMRANGEBYRANK Z N N", "ZPOPMIN Z", "ZPOPMAX Z", "ZPOPMIN Z N",
    "ZPOPMAX Z N", "ZPOPMAX Z N N", "SADD T F", "SADD T F F F", "SADD T V V", "SREM T F",
    "SREM T F F", "SMEMBERS T", "SISMEMBER T F", "SMISMEMBER T F F V", "SCARD T", "DEL K",
    "DEL K K", "UNLINK K", "EXISTS K K K", "TYPE K", "TOUCH K K", "RENAME K K", "RENAMENX K K",
    "KEYS P", "EXPIRE K R ?e", "PEXPIRE K M ?e", "EXPIREAT K A ?e", "PEXPIREAT K X ?e",
    "PEXPIREAT K X ?e ?e", "EXPIRE K J", "PEXPIREAT K I", "EXPIREAT K I", "PEXPIRE K J", "TTL K",
    "PTTL K", "EXPIRETIME K", "PEXPIRETIME K", "PEXPIRETIME K", "PERSIST K", "PING", "PING V",
    "ECHO V", "SELECT 0", "SELECT 1", "SELECT I", "RANDOMKEY", "PUBLISH K V", "UNWATCH", "MULTI",
    "EXEC", "DISCARD", "HELLO 2", "HELLO 3", "HELLO I", "HELLO 3 AUTH default V",
    "HELLO 3 AUTH V V", "HELLO 3 SETNAME V", "HELLO 2 V", "AUTH V", "AUTH default V", "AUTH V V",
    "AUTH V V V", "RESET", "CLIENT GETNAME", "CLIENT SETNAME F", "CLIENT SETNAME V",
    "CLIENT SETINFO LIB-NAME V", "CLIENT", "CLIENT ID", "CONFIG GET databases", "CONFIG GET Time*t",
    "CONFIG GET save", "CONFIG", "CONFIG SET databases 3", "CONFIG SET V V", "GET|S K", "CLIENT|ID",
    "FLUSHDB V", "FLUSHALL SYNC ASYNC", "SCAN abc", "SCAN 0 COUNT 0", "SCAN 0 MATCH",
    "SCAN 0 FOO V", "NOSUCH K V", "V V",
];

/// What fills a place, well-formed and not.
#[rustfmt::skip]
const INTEGERS: &[&str] = &[
    "0", "1", "-1", "7", "100", "-100", "9223372036854775807", "-9223372036854775808",
    "9223372036854775808", "9223372036854775", "9223372036854776", "abc", "", "1.5", " 1", "1 ",
    "01", "-0", "+3", "-", "2147483648",
];
#[rustfmt::skip]
const DOUBLES: &[&str] = &[
    "0", "1", "2", "3", "1.5", "-2", "0.1", "3.0", "1e3", "+4", ".5", "5.", "inf", "-inf", "+Inf",
    "1e17", "1e-7", "1700000000123", "123456789.125", "-1e300", "0.30000000000000004", "nan", "abc",
    "", "1e400", "1e-400", " 1", "1 ", "1x",
];
#[rustfmt::skip]
const VALUES: &[&str] = &[
    "", "a", "hello world", "0", "12", "-5", "007", "9223372036854775807", "1.5", "line\r\nbreak",
    "é", "\0nul", "{\"a\":1}", "a value that is long enough to matter and yet below the limit",
    "NX", "xx",
];
#[rustfmt::skip]
const PATTERNS: &[&str] = &[
    "*", "s*", "?0", "[a-h]*", "[^s]?", "h[02]", "*1", "f\\*", "nothing", "", "[", "*[z",
];

fn fill(random: &mut Random, place: &str, out: &mut Args) {
    let seconds = |random: &mut Random| 1000 + random.below(900_000);
    let key = |random: &mut Random, kind: &str| {
        let kind = if random.one_in(8) {
            random.pick(&["s", "h", "z", "t"])
        } else {
            kind
        };
        format!("{kind}{}", random.below(3))
    };
    let word = match place {
        "S" => key(random, "s"),
        "H" => key(random, "h"),
        "Z" => key(random, "z"),
        "T" => key(random, "t"),
        "K" => {
            let kind = random.pick(&["s", "h", "z", "t", "n"]);
            key(random, kind)
        }
        "F" => format!("f{}", random.below(10)),
        "V" => random.pick(VALUES).to_owned(),
        "I" => random.pick(INTEGERS).to_owned(),
        "J" => match random.pick(INTEGERS) {
            // Not so soon that it may expire meanwhile, nor as late as only exact deadlines are.
            "1" | "7" | "100" | "2147483648" | "9223372036854775" => "500000".to_owned(),
            other => other.to_owned(),
        },
        "D" if random.one_in(2) => format!("{}", random.below(20)),
        "D" => random.pick(DOUBLES).to_owned(),
        "B" => {
            let open = if random.one_in(4) { "(" } else { "" };
            let kind = random.pick(&["D", "D", "D", "inf", "-inf"]);
            let mut bound = Args::new();
            fill(random, kind, &mut bound);
            format!("{open}{}", text(&bound[0]))
        }
        "N" if random.one_in(10) => random.pick(INTEGERS).to_owned(),
        "N" => format!("{}", random.below(12) as i64 - 6),
        "P" => random.pick(PATTERNS).to_owned(),
        // Relative deadlines never tie, so that GT and LT decide alike on both sides.
        "R" => format!("{}", seconds(random)),
        "M" => format!("{}", seconds(random) * 1000 + random.below(1000)),
        "A" => format!("{}", EXACT_MS / 1000 + random.below(5) as i64),
        "X" => format!("{}", EXACT_MS + random.below(5) as i64),
        options if options.starts_with('?') => {
            let options: &[&str] = match options {
                "?s" => &[
                    "NX", "xx", "GET", "KEEPTTL", "EX R", "PX M", "EXAT A", "PXAT X", "EX J",
                    "PXAT I", "EX", "EXAT 1",
                ],
                "?g" => &[
                    "PERSIST", "EX R", "PX M", "EXAT A", "PXAT X", "PXAT I", "EX J", "PXAT 1",
                    "PX", "V",
                ],
                "?z" => &["NX", "XX", "gt", "LT", "CH", "INCR", ""],
                "?r" => &[
                    "REV",
                    "WITHSCORES",
                    "LIMIT 0 2",
                    "LIMIT N N",
                    "BYSCORE",
                    "LIMIT 1",
                    "V",
                ],
                "?w" => &[
                    "WITHSCORES",
                    "withscores",
                    "LIMIT 1 3",
                    "LIMIT N N",
                    "LIMIT 0 -1",
                    "",
                    "REV",
                ],
                _ => &["", "", "NX", "XX", "GT", "lt", "V"],
            };
            let option = random.pick(options);
            for place in option.split(' ').filter(|place| !place.is_empty()) {
                fill(random, place, out);
            }
            return;
        }
        literal => literal.to_owned(),
    };
    out.push(word.into_bytes());
}

fn from_template(random: &mut Random, template: &str) -> Args {
    let mut args = Args::new();
    let (name, places) = template.split_once(' ').unwrap_or((template, ""));
    fill(random, if name == "V" { "V" } else { "" }, &mut args);
    if name != "V" {
        args[0] = name.as_bytes().to_vec();
    }
    for place in places.split(' ').filter(|place| !place.is_empty()) {
        fill(random, place, &mut args);
    }
    args
}

fn any_command(random: &mut Random) -> Args {
    let template = random.pick(TEMPLATES);
    let mut args = from_template(random, template);
    if random.one_in(25) && args.len() > 1 {
        args.pop();
    } else if random.one_in(40) {
        args.push(random.pick(VALUES).as_bytes().to_vec());
    }
    if random.one_in(10) {
        args[0].make_ascii_lowercase();
    }
    args
}

/// What another connection does to a watched key.
#[rustfmt::skip]
const INTERFERENCES: &[&str] = &[
    "GET K", "SET K V", "DEL K", "HSET H F V", "SADD T F", "ZADD Z 1 F", "EXPIRE K R", "PERSIST K",
    "APPEND S V", "ZREM Z F",
];

// ---------------------------------------------------------------- the tests

fn run_seed(redis: &Redis, seed: u64, commands: usize) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let engine = Embedded::new();
    let (mut pair, mut other) = (Pair::new(redis, &engine), Pair::new(redis, &engine));
    pair.agree("FLUSHALL");
    if seed % 2 == 1 {
        pair.agree("HELLO 3");
    }
    let mut recent: Vec<String> = Vec::new();
    let mut step = |pair: &mut Pair, args: Args| {
        recent.push(shown(&args));
        if let Some(difference) = pair.differ(&args) {
            let history = recent[recent.len().saturating_sub(25)..].join("\n  ");
            panic!("SESSILE_SEED={seed}: replies differ after\n  {history}\n{difference}");
        }
    };
    for _ in 0..commands {
        if random.one_in(40) {
            // A transaction, mostly watching; sometimes somebody interferes.
            step(&mut pair, vec![b"DISCARD".to_vec()]);
            step(&mut pair, from_template(&mut random, "WATCH K K Z"));
            if random.one_in(2) {
                let template = random.pick(INTERFERENCES);
                step(&mut other, from_template(&mut random, template));
            }
            step(&mut pair, vec![b"MULTI".to_vec()]);
            for _ in 0..random.below(5) {
                // Without what makes the whole transaction abort, most of them are executed.
                let template = random.pick(TEMPLATES);
                if ![
                    "GET|S K",
                    "CLIENT|ID",
                    "NOSUCH K V",
                    "V V",
                    "CLIENT",
                    "CONFIG",
                ]
                .contains(&template)
                {
                    step(&mut pair, from_template(&mut random, template));
                }
            }
            let end = random.pick(&["EXEC", "EXEC", "EXEC", "DISCARD"]);
            step(&mut pair, vec![end.as_bytes().to_vec()]);
        } else {
            step(&mut pair, any_command(&mut random));
        }
    }
    // At the end both hold the same.
    step(&mut pair, vec![b"RESET".to_vec()]);
    for db in ["0", "1"] {
        step(&mut pair, vec![b"SELECT".to_vec(), db.into()]);
        step(&mut pair, vec![b"KEYS".to_vec(), b"*".to_vec()]);
        for (kind, command) in [
            ("s", "GET"),
            ("h", "HGETALL"),
            ("z", "ZRANGE"),
            ("t", "SMEMBERS"),
            ("n", "TYPE"),
        ] {
            for number in 0..3 {
                let key = format!("{kind}{number}").into_bytes();
                let mut args = vec![command.into(), key.clone()];
                if command == "ZRANGE" {
                    args.extend([b"0".to_vec(), b"-1".to_vec(), b"WITHSCORES".to_vec()]);
                }
                step(&mut pair, args);
                step(&mut pair, vec![b"PEXPIRETIME".to_vec(), key]);
            }
        }
    }
}

#[test]
fn random_commands_get_the_replies_of_redis() {
    let redis = Redis::start();
    let seeds = match std::env::var("SESSILE_SEED") {
        Ok(seed) => vec![seed.parse().expect("SESSILE_SEED is a number")],
        Err(_) => (1..=10).collect(),
    };
    for seed in seeds {
        run_seed(&redis, seed, 6000);
    }
}

#[test]
fn keys_expire_when_those_of_redis_have() {
    let redis = Redis::start();
    for hello in ["HELLO 2", "HELLO 3"] {
        let mut pair = Pair::new(&redis, &Embedded::new());
        pair.agree(hello);
        for line in [
            "FLUSHALL",
            "SET a 1 PX 80",
            "HSET b f v",
            "PEXPIRE b 90",
            "SADD c m",
            "SET stays v",
            "PSETEX d 100 v",
            "ZADD e 1 m",
            "PEXPIRE e 70",
            "SET f v EXAT 1",
            "GET f",
        ] {
            pair.agree(line);
        }
        for line in ["GET a", "HGETALL b", "GET d", "ZSCORE e m"] {
            let args: Args = line
                .split(' ')
                .map(|word| word.as_bytes().to_vec())
                .collect();
            let deadline = Instant::now() + Duration::from_secs(10);
            let gone = |tree: &Tree| {
                tree.bulk.is_empty() && tree.parts.is_empty() && !tree.head.starts_with(',')
            };
            while !gone(&pair.real(&args)) {
                assert!(Instant::now() < deadline, "{line} never expires");
                std::thread::sleep(Duration::from_millis(1));
            }
            // The embedded key was set a moment later and so may live for a moment longer.
            while !gone(&pair.embedded(&args)) {
                assert!(Instant::now() < deadline, "{line} expires in Redis only");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        for line in [
            "EXISTS a b c d e f stays",
            "TTL a",
            "PEXPIRETIME b",
            "HSET b g w",
            "HGETALL b",
            "TTL b",
            "KEYS *",
            "DBSIZE",
        ] {
            pair.agree(line);
        }
    }
}

#[test]
fn any_pattern_and_any_score_mean_the_same() {
    let redis = Redis::start();
    let mut pair = Pair::new(&redis, &Embedded::new());
    let mut random = Random(0x5E55_113E);
    pair.agree("FLUSHALL");
    let mut word = |letters: &[u8], max: usize| -> Vec<u8> {
        (0..random.below(max + 1))
            .map(|_| letters[random.below(letters.len())])
            .collect()
    };
    for _ in 0..40 {
        // Not the empty key: Redis 7.0 lets `*` match it, but `**` not.
        let key = [word(b"abc-]^\\", 1), word(b"abc-]^\\", 3), b"b".to_vec()].concat();
        assert_eq!(
            pair.differ(&vec![b"SET".to_vec(), key, b"v".to_vec()]),
            None
        );
    }
    for _ in 0..3000 {
        let pattern = word(b"aabbc*?[[]]^-\\", 8);
        assert_eq!(pair.differ(&vec![b"KEYS".to_vec(), pattern]), None);
    }
    for _ in 0..3000 {
        let number = word(b"0123456789012345678901234567890123456789..-+einf", 12);
        let score = [
            b"ZADD".to_vec(),
            b"z".to_vec(),
            number.clone(),
            b"m".to_vec(),
        ];
        // Redis's small sorted sets store -0 as 0, which only its own encoding can show.
        if text(&number).parse() != Ok(0.0) {
            assert_eq!(pair.differ(&score.to_vec()), None);
            assert_eq!(
                pair.differ(&vec![b"ZSCORE".to_vec(), b"z".to_vec(), b"m".to_vec()]),
                None
            );
        }
        assert_eq!(
            pair.differ(&vec![
                b"ZCOUNT".to_vec(),
                b"z".to_vec(),
                number.clone(),
                b"inf".to_vec()
            ]),
            None
        );
        assert_eq!(
            pair.differ(&vec![b"INCRBY".to_vec(), b"n".to_vec(), number]),
            None
        );
    }
    let mut bits = Random(7);
    for _ in 0..3000 {
        let score = f64::from_bits(bits.0.rotate_left(bits.below(64) as u32));
        if score.is_normal() {
            pair.agree(&format!("ZADD z {score:e} m"));
            pair.agree("ZSCORE z m");
        }
    }
}

#[test]
fn info_says_what_clients_wait_for() {
    let redis = Redis::start();
    let mut pair = Pair::new(&redis, &Embedded::new());
    for hello in ["HELLO 2", "HELLO 3"] {
        pair.agree(hello);
        for (section, facts) in [
            ("server", &["redis_version", "redis_mode"][..]),
            ("Replication", &["role", "connected_slaves"]),
            (
                "all",
                &["loading", "role", "maxmemory_policy", "cluster_enabled"],
            ),
        ] {
            let args = vec![b"INFO".to_vec(), section.into()];
            let (real, embedded) = (pair.real(&args), pair.embedded(&args));
            assert_eq!(real.head[..1], embedded.head[..1]);
            assert_eq!(real.bulk[..5], embedded.bulk[..5]);
            let fact = |tree: &Tree, name: &str| {
                let info = text(&tree.bulk);
                let line = info
                    .split("\r\n")
                    .find(|line| line.starts_with(&format!("{name}:")));
                line.map(str::to_owned)
            };
            for name in facts {
                assert!(fact(&real, name).is_some());
                assert_eq!(fact(&real, name), fact(&embedded, name));
            }
        }
    }
}

#[test]
fn no_arguments_and_no_time_cause_a_panic() {
    let mut random = Random(0xBAD_C0DE);
    let engine = Embedded::new();
    let mut connection = engine.connect();
    let ask = |connection: &mut Connection, args: &Args, now_ms: i64| {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let mut reply = Vec::new();
        connection.execute(&args, now_ms, &mut reply);
        let mut rest = reply.as_slice();
        let tree = Tree::read(&mut rest);
        assert!(
            rest.is_empty(),
            "{}: {:?}",
            shown(&args.iter().map(|a| a.to_vec()).collect()),
            text(&reply)
        );
        tree
    };
    connection.execute(&[], 0, &mut Vec::new());
    let table = ask(&mut connection, &vec![b"COMMAND".to_vec()], 0);
    let names: Vec<Vec<u8>> = table
        .parts
        .iter()
        .map(|row| row.parts[0].bulk.clone())
        .collect();
    let words = [INTEGERS, DOUBLES, VALUES, PATTERNS].concat();
    let options = [
        "k",
        "k",
        "k",
        "h",
        "z",
        "s",
        "nx",
        "ex",
        "px",
        "limit",
        "withscores",
        "byscore",
        "rev",
        "count",
        "match",
        "type",
        "setname",
        "auth",
        "info",
        "get",
        "set",
        "setname",
        "list",
        "docs",
        "incr",
        "gt",
        "ch",
        "keepttl",
    ];
    for _ in 0..100_000 {
        let mut args = vec![names[random.below(names.len())].clone()];
        for _ in 0..random.below(7) {
            let pool = if random.one_in(2) {
                &options[..]
            } else {
                &words
            };
            args.push(random.pick(pool).as_bytes().to_vec());
        }
        let now_ms = [0, 1, -1, i64::MIN, i64::MAX, 1_700_000_000_000][random.below(6)];
        ask(&mut connection, &args, now_ms);
    }
}

#[test]
fn the_table_says_what_redis_says() {
    let redis = Redis::start();
    let mut pair = Pair::new(&redis, &Embedded::new());
    pair.agree("COMMAND FOO");
    pair.agree("COMMAND INFO nosuch nosuch|either");
    let table = pair.embedded(&vec![b"COMMAND".to_vec()]);
    assert!(table.parts.len() > 80);
    let facts = |row: &Tree| {
        let flags: Vec<_> = row.parts[2]
            .parts
            .iter()
            .filter(|flag| ["+write", "+readonly"].contains(&flag.head.as_str()))
            .collect();
        // Name, arity, flags, first key, last key, step.
        format!(
            "{:?} {:?} {flags:?} {:?}",
            text(&row.parts[0].bulk),
            row.parts[1],
            &row.parts[3..6]
        )
    };
    for row in table
        .parts
        .iter()
        .flat_map(|row| row.parts[9].parts.iter().chain([row]))
    {
        let args = vec![
            b"COMMAND".to_vec(),
            b"INFO".to_vec(),
            row.parts[0].bulk.clone(),
        ];
        assert_eq!(facts(&pair.real(&args).parts[0]), facts(row));
    }
}

#[test]
fn scan_finds_what_redis_finds() {
    let redis = Redis::start();
    let mut pair = Pair::new(&redis, &Embedded::new());
    pair.agree("FLUSHALL");
    for number in 0..200 {
        pair.agree(&format!("SET sess:{number} v"));
        pair.agree(&format!("HSET other:{number} f v"));
    }
    pair.agree("DBSIZE");
    for options in [
        "",
        " COUNT 7",
        " MATCH sess:*",
        " MATCH *1? COUNT 1000",
        " TYPE hash",
        " TYPE nosuch COUNT 50",
    ] {
        let scan = |pair: &mut Pair, ask: fn(&mut Pair, &Args) -> Tree| {
            let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
            loop {
                let line = format!("SCAN {cursor}{options}");
                let args = line
                    .split(' ')
                    .map(|word| word.as_bytes().to_vec())
                    .collect();
                let reply = ask(pair, &args);
                found.extend(reply.parts[1].parts.iter().map(|key| key.bulk.clone()));
                cursor = text(&reply.parts[0].bulk);
                if cursor == "0" {
                    found.sort();
                    return found;
                }
            }
        };
        let real = scan(&mut pair, Pair::real);
        assert_eq!(real, scan(&mut pair, Pair::embedded), "SCAN 0{options}");
    }
}

#[test]
fn the_script_of_session_plans_does_what_it_does_in_lua() {
    let redis = Redis::start();
    let script = sessile::session::script::SET_IF_FIELD.as_bytes().to_vec();
    let mut pair = Pair::new(&redis, &Embedded::new());
    let eval = |pair: &mut Pair, line: &str| {
        let mut args: Args = vec![b"EVAL".to_vec(), script.clone(), b"1".to_vec()];
        args.extend(line.split(' ').map(|word| word.as_bytes().to_vec()));
        if let Some(difference) = pair.differ(&args) {
            panic!("{difference}");
        }
    };
    pair.agree("FLUSHALL");
    eval(&mut pair, "k @s old 100000 @s new");
    pair.agree("EXISTS k");
    eval(&mut pair, "k @s old 100000 @s new");
    pair.agree("HSET k @s old @v 3 f 1");
    eval(&mut pair, "k @s old 100000 @s new");
    pair.agree("HSET k @i 60000 @a 130000");
    eval(&mut pair, "k @s other 100000 @s new");
    pair.agree("HGETALL k");
    eval(&mut pair, "k @s old 100000 @s new f 2 g 3");
    pair.agree("HGETALL k");
    pair.agree("PTTL k");
    eval(&mut pair, "k @s old 100000 @s newer");
    pair.agree("HGETALL k");
    // An absurd timeout must not stop it half way.
    pair.agree("HSET k @i 9223372036854775807 @a 9223372036854775807");
    eval(&mut pair, "k @s new 100000 @s newest");
    pair.agree("HGET k @s");
}
