//! Encodes newline-delimited JSON and prints what each column costs.
//!
//! ```text
//! cargo run -p loglake-format --example encode_size -- logs.ndjson \
//!     [--level 1] [--row-group 1048576] [--page 16384] [--day] [--out folder]
//! ```
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufReader, Seek};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int16Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampNanosecondType};
use arrow::json::ReaderBuilder;
use arrow::json::reader::infer_json_schema;
use loglake_format::index::{ColumnIndex, IndexDirectory};
use loglake_format::{EncodedFile, EncoderSettings, encode};
use loglake_model::{NANOS, PartitionBy, TIMESTAMP, TableSchema, shape};
use parquet::file::reader::{FileReader, SerializedFileReader};

fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = EncoderSettings::default();
    let mut by = PartitionBy::Hour;
    let (mut input, mut out) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} has no value"));
        match argument.as_str() {
            "--level" => settings.zstd_level = value()?.parse()?,
            "--row-group" => settings.row_group_rows_max = value()?.parse()?,
            "--page" => settings.page_rows_max = value()?.parse()?,
            "--day" => by = PartitionBy::Day,
            "--out" => out = Some(PathBuf::from(value()?)),
            _ => input = Some(PathBuf::from(argument)),
        }
    }
    let batches = read(&input.ok_or("no file named")?)?;
    let proposed: Vec<_> =
        batches.iter().flat_map(|b| shape::proposals(b, &TableSchema::new(by))).collect();
    let schema = TableSchema::new(by);
    let schema = schema.with(&proposed, 100_000).unwrap_or(schema);

    let start = cpu_seconds()?;
    let files = encode(&batches, &schema, &settings)?;
    let seconds = cpu_seconds()? - start;
    report(&files, seconds)?;
    if let Some(folder) = out {
        for (number, file) in files.iter().enumerate() {
            fs::write(folder.join(format!("{number}.parquet")), &file.bytes)?;
        }
    }
    Ok(())
}

/// The file's records, `timestamp` split into microseconds and nanoseconds.
fn read(path: &PathBuf) -> Result<Vec<RecordBatch>, Box<dyn Error>> {
    let mut file = BufReader::new(File::open(path)?);
    let (inferred, _) = infer_json_schema(&mut file, Some(100_000))?;
    file.rewind()?;
    let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let fields = inferred.fields().iter().map(|f| match f.name().as_str() {
        TIMESTAMP => Arc::new(Field::new(TIMESTAMP, nanoseconds.clone(), false)),
        _ => Arc::clone(f),
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(schema).with_batch_size(8192).build(file)?;
    let mut batches = vec![];
    for batch in reader {
        batches.push(split_time(&batch?)?);
    }
    Ok(batches)
}

fn split_time(batch: &RecordBatch) -> Result<RecordBatch, Box<dyn Error>> {
    let times = batch[TIMESTAMP].as_primitive::<TimestampNanosecondType>().values();
    let micros = times.iter().map(|n| n.div_euclid(1000));
    let micros = TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC");
    let nanos = Int16Array::from_iter_values(times.iter().map(|n| n.rem_euclid(1000) as i16));
    let mut fields: Vec<Arc<Field>> = TableSchema::time_fields().map(Arc::new).into();
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(micros), Arc::new(nanos)];
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if field.name() != TIMESTAMP && field.name() != NANOS {
            fields.push(Arc::clone(field));
            arrays.push(Arc::clone(array));
        }
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// This thread's time on a CPU, as Linux counts it.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let counted = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = counted.split(' ').next().unwrap_or("0").parse()?;
    Ok(nanoseconds / 1e9)
}

fn report(files: &[EncodedFile], seconds: f64) -> Result<(), Box<dyn Error>> {
    let rows = files.iter().map(|f| f.rows).sum::<u64>() as f64;
    let total: usize = files.iter().map(|f| f.bytes.len()).sum();
    let mut columns: BTreeMap<String, (i64, i64, String)> = BTreeMap::new();
    let mut in_columns = 0;
    for file in files {
        let reader = SerializedFileReader::new(file.bytes.clone())?;
        let directory = IndexDirectory::of_file(&file.bytes);
        for (name, index) in directory.into_iter().flat_map(|directory| directory.columns) {
            let bytes = match index {
                ColumnIndex::Words { dictionary, filters } => {
                    dictionary.bytes + filters.map_or(0, |filters| filters.bytes)
                }
                ColumnIndex::Values { filters } => filters.bytes,
            };
            columns.entry(name).or_default().1 += bytes as i64;
            in_columns += bytes as i64;
        }
        for column in reader.metadata().row_groups().iter().flat_map(|group| group.columns()) {
            let entry = columns.entry(column.column_path().string()).or_default();
            entry.0 += column.compressed_size();
            entry.2 = column.encodings().map(|e| e.to_string()).collect::<Vec<_>>().join(" ");
            in_columns += column.compressed_size();
        }
    }
    println!("{:<20} {:>9} {:>9}", "column", "data B/row", "index B/row");
    for (name, (data, index, encodings)) in &columns {
        println!(
            "{name:<20} {:>9.3} {:>9.3}  {encodings}",
            *data as f64 / rows,
            *index as f64 / rows
        );
    }
    println!("{:<20} {:>9.3}", "the rest", (total as i64 - in_columns) as f64 / rows);
    println!(
        "{rows} rows, {} files, {:.3} bytes/row, {seconds:.2} CPU-s",
        files.len(),
        total as f64 / rows
    );
    Ok(())
}
