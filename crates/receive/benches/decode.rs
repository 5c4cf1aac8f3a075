//! Newline-delimited JSON to a batch.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use loglake_model::{Limits, PartitionBy, TableSchema, Timestamp, shape};
use loglake_receive::{DecodeContext, decode_ndjson};

const RECORDS: u64 = 20_000;

/// Records as services write them: a few fixed columns, an id on every third, a message with numbers.
fn records() -> Vec<u8> {
    let mut lines = String::new();
    for n in 0..RECORDS {
        let id = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (service, host) = (["cart", "checkout", "search"][n as usize % 3], id % 200);
        let level = if id.is_multiple_of(50) { "ERROR" } else { "INFO" };
        lines.push_str(&format!(
            r#"{{"timestamp":"2026-11-01T00:00:{:02}.{:09}Z","service":"{service}","host":"ip-10-0-{host}","level":"{level}","message":"request {id:016x} of user {} took {} ms","status":{},"duration_ms":{}.{}"#,
            n / 1_000 % 60, id % 1_000_000_000, id % 20_000, id % 997, 200 + id % 300, id % 900, id % 10,
        ));
        if n.is_multiple_of(3) {
            lines.push_str(&format!(r#","trace_id":"{id:016x}{id:016x}""#));
        }
        lines.push_str("}\n");
    }
    lines.into_bytes()
}

fn decode(c: &mut Criterion) {
    let (body, limits) = (records(), Limits::default());
    let arrival = Timestamp::from_nanos(0);
    // The second time a record comes its columns are known, as they are for nearly all.
    let new = TableSchema::new(PartitionBy::Hour);
    let context = DecodeContext { schema: &new, limits: &limits, arrival };
    let first = decode_ndjson(&body, 1, &context);
    let known = new.with(&shape::proposals(&first.batch, &new), 1_000).expect("few columns");
    let context = DecodeContext { schema: &known, ..context };
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("ndjson", |b| b.iter(|| decode_ndjson(black_box(&body), 1, &context)));
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
