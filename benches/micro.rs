//! Micro-benchmarks of what every request pays: decode, reply scan, encode, token check.
//! `cargo bench --bench micro`.

#![allow(clippy::expect_used)] // A benchmark that cannot begin may panic.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redis_protocol::resp2::decode::decode_bytes;
use sessile::resp::request::{Decoder, RequestLimits};
use sessile::resp::scan::Scanner;
use sessile::resp::{Protocol, Reply, write};
use sessile::session::{NewToken, Record, Token};

const LIMITS: RequestLimits = RequestLimits {
    bytes_max: 1 << 20,
    args_max: 1024,
    inline_bytes_max: 1024,
};

/// A reply to HGETALL of `fields` fields of 30 bytes.
fn hash(fields: usize) -> Vec<u8> {
    let mut reply = Vec::new();
    write::array(&mut reply, 2 * fields);
    for field in 0..fields {
        write::bulk(&mut reply, format!("field{field}").as_bytes());
        write::bulk(&mut reply, &[b'v'; 30]);
    }
    reply
}

fn decode(c: &mut Criterion) {
    let mut request = Vec::new();
    let token = NewToken::from_random(&[7; 36]);
    write::command(&mut request, &[b"SESS.GET", token.text()]);
    let pipeline = request.repeat(16);
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(16));
    group.bench_function("16 SESS.GET", |b| {
        let mut decoder = Decoder::default();
        b.iter(|| {
            let mut rest = black_box(pipeline.as_slice());
            while let Ok(Some(len)) = decoder.decode(rest, &LIMITS) {
                black_box(decoder.request(rest, len).arg(1));
                rest = &rest[len..];
            }
        });
    });
    group.finish();
}

fn scan(c: &mut Criterion) {
    let reply = hash(10);
    let mut group = c.benchmark_group("reply of HGETALL, 10 fields of 30 B");
    group.throughput(Throughput::Bytes(reply.len() as u64));
    group.bench_function("scan for its end", |b| {
        b.iter(|| Scanner::default().advance(black_box(&reply)));
    });
    group.bench_function("walk as a view", |b| {
        b.iter(|| Reply::view(black_box(&reply)).items().count());
    });
    group.bench_function("decode as a tree (redis-protocol)", |b| {
        let reply = bytes::Bytes::from(reply.clone());
        b.iter(|| decode_bytes(black_box(&reply)).is_ok());
    });
    group.finish();
}

fn encode(c: &mut Criterion) {
    c.bench_function("encode a map of 10 fields of 30 B", |b| {
        let mut out = Vec::with_capacity(1024);
        b.iter(|| {
            out.clear();
            write::map(&mut out, Protocol::Resp3, 10);
            for _ in 0..10 {
                write::bulk(&mut out, black_box(b"field"));
                write::bulk(&mut out, black_box(&[b'v'; 30]));
            }
            black_box(out.len())
        });
    });
}

fn token(c: &mut Criterion) {
    let new = NewToken::from_random(&[7; 36]);
    let stored = new.token().hash;
    let mut record = Record::default();
    record.take(b"@s", stored.as_bytes());
    c.bench_function("check a token", |b| {
        b.iter(|| {
            let token = Token::parse(black_box(new.text())).expect("well formed");
            record.standing(&token.hash, 0)
        });
    });
}

criterion_group!(benches, decode, scan, encode, token);
criterion_main!(benches);
