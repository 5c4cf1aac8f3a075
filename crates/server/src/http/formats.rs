//! The forms in which HTTP gives results back, one batch at a time.

use arrow::array::{RecordBatch, new_null_array};
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json;
use arrow::json::writer::LineDelimited;
use axum::http::{HeaderMap, StatusCode, header};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::failure::Failure;
use crate::plain_types::{plain_batch, plain_schema};

/// A form of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON object a line.
    Ndjson,
    /// One JSON array of objects.
    JsonArray,
    /// RFC 4180, with a line of names first.
    Csv,
    /// Arrow IPC stream.
    Arrow,
    Parquet,
}

const MEDIA_TYPES: [(&str, Format); 10] = [
    ("application/x-ndjson", Format::Ndjson),
    ("application/ndjson", Format::Ndjson),
    ("application/jsonl", Format::Ndjson),
    ("application/*", Format::Ndjson),
    ("*/*", Format::Ndjson),
    ("application/json", Format::JsonArray),
    ("text/csv", Format::Csv),
    ("text/*", Format::Csv),
    ("application/vnd.apache.arrow.stream", Format::Arrow),
    ("application/vnd.apache.parquet", Format::Parquet),
];

impl Format {
    /// What `Accept` asks for: the known type with the highest weight, the first among equals;
    /// NDJSON when nothing is asked (RFC 9110, 12.5.1).
    ///
    /// # Errors
    /// 406 when only unknown types are asked for.
    pub(crate) fn accepted(headers: &HeaderMap) -> Result<Self, Failure> {
        let Some(accept) = headers.get(header::ACCEPT) else { return Ok(Self::Ndjson) };
        let accept = accept.to_str().unwrap_or_default();
        let mut best: Option<(f32, Self)> = None;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let known = MEDIA_TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            let Some((_, format)) = known else { continue };
            let weight =
                parts.find_map(|p| p.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
            let weight = weight.unwrap_or(0.0);
            if weight > best.map_or(0.0, |(best, _)| best) {
                best = Some((weight, *format));
            }
        }
        best.map(|(_, format)| format).ok_or_else(|| not_acceptable(accept))
    }

    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::JsonArray => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// An encoder for results of this schema.
    ///
    /// # Errors
    /// 400 when this form cannot carry the schema.
    pub(crate) fn encoder(self, schema: &Schema) -> Result<Box<dyn Encoder>, Failure> {
        let schema = plain_schema(schema);
        let refused = |e: &dyn std::fmt::Display| {
            let name = self.media_type();
            Failure::invalid(format!("the result cannot be given as {name}: {e}"))
        };
        Ok(match self {
            Self::Ndjson => {
                Box::new(JsonLines { schema: json_schema(&schema).map_err(|e| refused(&e))? })
            }
            Self::JsonArray => {
                let schema = json_schema(&schema).map_err(|e| refused(&e))?;
                Box::new(JsonArray { schema, begun: false })
            }
            Self::Csv => {
                if let Some(field) = schema.fields().iter().find(|f| f.data_type().is_nested()) {
                    let (name, kind) = (field.name(), field.data_type());
                    return Err(refused(&format!("column {name:?} is nested ({kind})")));
                }
                Box::new(CsvLines { schema: in_utc(&schema), begun: false })
            }
            Self::Arrow => {
                let writer = StreamWriter::try_new(vec![], &schema).map_err(|e| refused(&e))?;
                Box::new(ArrowStream { schema, writer })
            }
            Self::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .build();
                let target = SchemaRef::clone(&schema);
                let writer = ArrowWriter::try_new(vec![], target, Some(properties));
                Box::new(ParquetFile { schema, writer: writer.map_err(|e| refused(&e))? })
            }
        })
    }
}

fn not_acceptable(accept: &str) -> Failure {
    let known: Vec<_> =
        MEDIA_TYPES.iter().map(|(name, _)| *name).filter(|n| !n.contains('*')).collect();
    Failure::invalid(format!("no form of results for {accept:?}: there are {}", known.join(", ")))
        .with_status(StatusCode::NOT_ACCEPTABLE)
}

/// Turns batches into bytes of one body. What each call gives follows what the calls before gave.
pub(crate) trait Encoder: Send {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError>;

    /// The end of a whole result.
    fn finish(&mut self) -> Result<Vec<u8>, ArrowError>;

    /// How this form says that the result ends early, if it can.
    fn broken(&mut self, _failure: &Failure) -> Option<Vec<u8>> {
        None
    }
}

struct JsonLines {
    schema: SchemaRef,
}

impl Encoder for JsonLines {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        json_lines(batch, &self.schema)
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        Ok(vec![])
    }

    fn broken(&mut self, failure: &Failure) -> Option<Vec<u8>> {
        Some(error_line(failure))
    }
}

/// The last line of NDJSON that ends early: no row of a result is an object with only `error`, an
/// object in it, so it cannot be taken for one.
pub(crate) fn error_line(failure: &Failure) -> Vec<u8> {
    let mut line = failure.json().to_string().into_bytes();
    line.push(b'\n');
    line
}

struct JsonArray {
    schema: SchemaRef,
    begun: bool,
}

impl JsonArray {
    fn delimiter(&mut self) -> u8 {
        if std::mem::replace(&mut self.begun, true) { b',' } else { b'[' }
    }
}

impl Encoder for JsonArray {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let lines = json_lines(batch, &self.schema)?;
        let mut bytes = Vec::with_capacity(lines.len() + 1);
        // A line break within a string is escaped: those that are left end rows.
        for row in lines.split_inclusive(|b| *b == b'\n') {
            bytes.push(self.delimiter());
            bytes.extend_from_slice(row);
        }
        Ok(bytes)
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        Ok(if self.begun { b"]\n".to_vec() } else { b"[]\n".to_vec() })
    }
}

/// The schema of rows that are shown as JSON.
///
/// # Errors
/// When JSON cannot show a column of it, as a map whose keys are no texts.
fn json_schema(schema: &Schema) -> Result<SchemaRef, ArrowError> {
    let schema = in_utc(schema);
    if schema.fields().iter().any(|field| field.data_type().is_nested()) {
        // What is within a type shows where its writer is made: a row of nulls does.
        let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let nullable = SchemaRef::new(Schema::new(fields.collect::<Vec<_>>()));
        let nulls = nullable.fields().iter().map(|field| new_null_array(field.data_type(), 1));
        let nulls = RecordBatch::try_new(SchemaRef::clone(&nullable), nulls.collect())?;
        json_lines(&nulls, &nullable)?;
    }
    Ok(schema)
}

/// Rows as JSON, nulls shown, so that each row has every column of the query.
fn json_lines(batch: &RecordBatch, schema: &SchemaRef) -> Result<Vec<u8>, ArrowError> {
    let batch = plain_batch(batch, schema)?;
    let mut writer = json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format(ZONELESS_IS_UTC.to_owned())
        .build::<_, LineDelimited>(vec![]);
    writer.write(&batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

struct CsvLines {
    schema: SchemaRef,
    begun: bool,
}

impl CsvLines {
    fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let mut bytes = vec![];
        let header = !std::mem::replace(&mut self.begun, true);
        csv::WriterBuilder::new()
            .with_header(header)
            .with_timestamp_format(ZONELESS_IS_UTC.to_owned())
            .build(&mut bytes)
            .write(batch)?;
        Ok(bytes)
    }
}

impl Encoder for CsvLines {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let batch = plain_batch(batch, &self.schema)?;
        self.write(&batch)
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        if self.begun {
            return Ok(vec![]);
        }
        self.write(&RecordBatch::new_empty(SchemaRef::clone(&self.schema)))
    }
}

/// RFC 3339 for timestamps without a zone, which here are UTC.
const ZONELESS_IS_UTC: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// The schema with its timestamps in UTC, which JSON and CSV show with `Z`.
fn in_utc(schema: &Schema) -> SchemaRef {
    let field = |field: &Field| match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let utc = DataType::Timestamp(*unit, Some("UTC".into()));
            field.clone().with_data_type(utc)
        }
        _ => field.clone(),
    };
    SchemaRef::new(Schema::new(schema.fields().iter().map(|f| field(f)).collect::<Vec<_>>()))
}

struct ArrowStream {
    schema: SchemaRef,
    writer: StreamWriter<Vec<u8>>,
}

impl Encoder for ArrowStream {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.writer.write(&plain_batch(batch, &self.schema)?)?;
        Ok(std::mem::take(self.writer.get_mut()))
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        self.writer.finish()?;
        Ok(std::mem::take(self.writer.get_mut()))
    }
}

struct ParquetFile {
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
}

/// A row group is ended at this size, so that a large result takes little memory here.
const ROW_GROUP_BYTES: usize = 32 << 20;

impl Encoder for ParquetFile {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.writer.write(&plain_batch(batch, &self.schema)?)?;
        if self.writer.in_progress_size() > ROW_GROUP_BYTES {
            self.writer.flush()?;
        }
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        self.writer.finish()?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }
}

#[cfg(test)]
mod tests;
