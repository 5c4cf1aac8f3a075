//! Decodes a file of NDJSON and prints rows per second: `decode_speed FILE [ROUNDS]`.

use std::time::Instant;

use loglake_model::{Limits, PartitionBy, TableSchema, Timestamp};
use loglake_receive::{BodyReader, DecodeContext, Encoding, decode_ndjson};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: decode_speed FILE [ROUNDS]")?;
    let rounds: u32 = arguments.next().map_or(Ok(1), |rounds| rounds.parse())?;
    let bytes = std::fs::read(path)?;
    let limits = Limits { body_bytes_max: u64::MAX, ..Limits::default() };
    let schema = TableSchema::new(PartitionBy::Hour);
    let context = DecodeContext { schema: &schema, limits: &limits, arrival: Timestamp::EPOCH };
    for _ in 0..rounds {
        let begun = Instant::now();
        let (mut rows, mut rejected) = (0, 0);
        let mut body = BodyReader::new(Encoding::Identity, &limits);
        for piece in bytes.chunks(256 << 10) {
            body.push(piece);
            while let Some(block) = body.next_block()? {
                let decoded = decode_ndjson(&block.bytes, block.first_line, &context);
                rows += decoded.batch.num_rows();
                rejected += decoded.rejections.len();
            }
        }
        body.finish();
        while let Some(block) = body.next_block()? {
            let decoded = decode_ndjson(&block.bytes, block.first_line, &context);
            rows += decoded.batch.num_rows();
            rejected += decoded.rejections.len();
        }
        let seconds = begun.elapsed().as_secs_f64();
        let per_million = seconds * 1e6 / rows as f64;
        println!("{rows} rows, {rejected} rejected: {per_million:.3} s per 1,000,000 rows");
    }
    Ok(())
}
