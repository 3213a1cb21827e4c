//! What the pieces of the hot path cost, each alone: `cargo bench --bench pieces`.
//!
//! | group | what is timed |
//! |---|---|
//! | encode | parsed events into the frames of a batch, 1 and 100 at a time |
//! | index | the audiences of one topic among 100,000 |
//! | log | a frame appended to a shard's log |
//! | output | a range noted for a socket that has sent all, for one that lags (it merges), and for one whose ranges have holes |
//! | journal | a batch as a checksummed record, 1 and 100 events |
//! | signature | both signatures of a webhook's delivery |

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stentor::delivery::signature::sign;
use stentor::delivery::{Secret, SigningSecrets};
use stentor::event::{BatchParser, Event, Format, Topic};
use stentor::hub::{EncodedBatch, Origin};
use stentor::journal::record;
use stentor::shard::framing::Framing;
use stentor::shard::index::TopicIndex;
use stentor::shard::log::{LogRange, ShardLog};
use stentor::shard::output::{BacklogPool, Output};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ORIGIN: Origin = Origin { publisher: 1, unix_ms: 1_736_936_400_000 };
const TOPICS: usize = 100_000;
const LOG_BYTES: usize = 4 << 20;

/// Trades of some 250 bytes, as publishers write them.
fn events(count: usize) -> Vec<Event> {
    let line = |number: usize| {
        format!(
            r#"{{"type":"trade.open","data":{{"n":{number},"owner":"Stentor1oadgenWa11et777777777777777777777777","marketSymbol":"SOL-PERP","side":"long","sizeUsd":15000.5,"leverage":5.2,"entryPrice":185.42,"timestamp":"2025-01-15T10:30:00Z"}}}}"#
        ) + "\n"
    };
    let body: String = (0..count).map(line).collect();
    let mut parser = BatchParser::new(body.into_bytes(), Format::Ndjson);
    while parser.step(usize::MAX).expect("events are right") {}
    parser.finish()
}

fn batch(count: usize) -> EncodedBatch {
    EncodedBatch::encode(events(count), 1_000, 0, ORIGIN)
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for count in [1, 100] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} events"), |bench| {
            bench.iter_batched(
                || events(count),
                |events| EncodedBatch::encode(events, 1_000, 0, ORIGIN),
                BatchSize::SmallInput,
            );
        });
    }
}

fn index(criterion: &mut Criterion) {
    let mut index = TopicIndex::default();
    let names: Vec<String> = (0..TOPICS).map(|number| format!("price:Mint{number:040}")).collect();
    for name in &names {
        index.topic_audience(Framing::WebSocket, name);
    }
    let topics: Vec<Topic> = names.iter().map(|name| Topic::parse(name).expect("a topic")).collect();
    let (mut matched, mut at) = (Vec::new(), 0);
    criterion.bench_function("index/one of 100,000 topics", |bench| {
        bench.iter(|| {
            // No two in a row are neighbours in memory.
            at = (at + 7_919) % TOPICS;
            matched.clear();
            index.find(black_box(&topics[at]), Framing::WebSocket, &mut matched);
            matched.len()
        });
    });
}

fn log(criterion: &mut Criterion) {
    let batch = batch(1);
    let frame = batch.frame(0).to_vec();
    let mut log = ShardLog::new(LOG_BYTES);
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function("append", |bench| {
        let mut seq = 0;
        bench.iter(|| {
            seq += 1;
            log.append(black_box(&frame), seq)
        });
    });
}

fn output(criterion: &mut Criterion) {
    let mut pool = BacklogPool::default();
    let range = |start: u64| LogRange { start, end: start + 300 };
    let mut group = criterion.benchmark_group("output");
    group.bench_function("a socket that has sent all", |bench| {
        bench.iter(|| {
            let mut output = Output::default();
            output.push_range(black_box(range(0)), &mut pool);
            output
        });
    });
    // The ranges of 100 events in a row become one; those with holes between them stay apart.
    for (name, step) in [("100 events that merge", 300), ("100 events with holes", 600)] {
        group.throughput(Throughput::Elements(100));
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let mut output = Output::default();
                (0..100).for_each(|event| output.push_range(black_box(range(event * step)), &mut pool));
                output.clear(&mut pool);
            });
        });
    }
}

fn journal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal");
    for count in [1, 100] {
        let (batch, mut out) = (batch(count), Vec::new());
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("a record of {count} events"), |bench| {
            bench.iter(|| {
                out.clear();
                record::append(black_box(&batch), 999, &mut out);
                out.len()
            });
        });
    }
}

fn signature(criterion: &mut Criterion) {
    let current = Arc::new(Secret::generate().expect("random numbers"));
    let secrets = SigningSecrets { current, previous: Default::default() };
    let body = vec![b'x'; 400];
    criterion.bench_function("signature/both, of 400 bytes", |bench| {
        bench.iter(|| sign(&secrets, "dlv_0123456789abcdef01234567", ORIGIN.unix_ms, black_box(&body)));
    });
}

criterion_group!(pieces, encode, index, log, output, journal, signature);
criterion_main!(pieces);
