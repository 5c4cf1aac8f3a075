//! The JSON form. Numbers of 64 bits may be texts, names may be those of the protobuf definition, ids
//! are hexadecimal, bytes base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::{Any, Attributes, DEPTH_MAX, LogRecord, Logs, Resource, Scope, Text};

/// The logs of an `ExportLogsServiceRequest` or `LogsData`.
///
/// # Errors
/// What is wrong with the bytes, in words.
pub fn parse_json(bytes: &[u8]) -> Result<Logs<'_>, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let Value::Object(request) = value else { return Err("not a JSON object".to_owned()) };
    let Some(resources) = take(&request, "resourceLogs", "resource_logs") else {
        return Err("it has no `resourceLogs`".to_owned());
    };
    let resources = objects(Some(resources), "resourceLogs")?.into_iter().map(resource);
    Logs { resources: resources.collect::<Result<_, _>>()? }.checked()
}

fn resource(of: &Map<String, Value>) -> Result<Resource<'static>, String> {
    let attributes = match of.get("resource") {
        Some(Value::Object(resource)) => attributes(resource, 0)?,
        _ => vec![],
    };
    let scopes = objects(take(of, "scopeLogs", "scope_logs"), "scopeLogs")?;
    let scopes = scopes.into_iter().map(scope).collect::<Result<_, _>>()?;
    Ok(Resource { attributes, scopes })
}

fn scope(of: &Map<String, Value>) -> Result<Scope<'static>, String> {
    let mut scope = Scope::default();
    if let Some(Value::Object(named)) = of.get("scope") {
        scope.name = text(named.get("name"));
        scope.version = text(named.get("version"));
        scope.attributes = attributes(named, 0)?;
    }
    let records = objects(take(of, "logRecords", "log_records"), "logRecords")?;
    scope.records = records.into_iter().map(log_record).collect::<Result<_, _>>()?;
    Ok(scope)
}

fn log_record(of: &Map<String, Value>) -> Result<LogRecord<'static>, String> {
    let number = |camel, snake| number(take(of, camel, snake), camel);
    let severity = take(of, "severityNumber", "severity_number");
    Ok(LogRecord {
        time: number("timeUnixNano", "time_unix_nano")?,
        observed: number("observedTimeUnixNano", "observed_time_unix_nano")?,
        severity: severity.and_then(severity_of).unwrap_or(0),
        severity_text: text(take(of, "severityText", "severity_text")),
        body: of.get("body").map_or(Ok(Any::Absent), |value| any(value, 0))?,
        attributes: attributes(of, 0)?,
        flags: number("flags", "flags")?,
        trace_id: text(take(of, "traceId", "trace_id")),
        span_id: text(take(of, "spanId", "span_id")),
        event_name: text(take(of, "eventName", "event_name")),
    })
}

/// An enum: its number, or its name `SEVERITY_NUMBER_<level>[2-4]`.
fn severity_of(value: &Value) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let name = value.as_str()?.strip_prefix("SEVERITY_NUMBER_")?;
    let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let at = levels.iter().position(|level| name.starts_with(level))?;
    let step = name[levels[at].len()..].parse().unwrap_or(1);
    Some(at as i64 * 4 + step)
}

fn attributes(of: &Map<String, Value>, depth: usize) -> Result<Attributes<'static>, String> {
    pairs(of.get("attributes"), depth)
}

fn pairs(list: Option<&Value>, depth: usize) -> Result<Attributes<'static>, String> {
    let pair = |pair: &Map<String, Value>| {
        let value = pair.get("value").map_or(Ok(Any::Absent), |value| any(value, depth))?;
        Ok((text(pair.get("key")), value))
    };
    objects(list, "attributes")?.into_iter().map(pair).collect()
}

fn any(value: &Value, depth: usize) -> Result<Any<'static>, String> {
    if depth > DEPTH_MAX {
        return Err(format!("a value is more than {DEPTH_MAX} levels deep"));
    }
    let Value::Object(of) = value else { return Err(format!("{value} is no AnyValue")) };
    let field = |camel, snake| take(of, camel, snake);
    let inner = |list: &Value| list.get("values").cloned();
    Ok(if let Some(value) = field("stringValue", "string_value") {
        Any::Text(text(Some(value)))
    } else if let Some(value) = field("boolValue", "bool_value") {
        Any::Bool(value.as_bool().ok_or("a `boolValue` is no boolean")?)
    } else if let Some(value) = field("intValue", "int_value") {
        let int = value.as_i64().or_else(|| value.as_str()?.parse().ok());
        Any::Int(int.ok_or("an `intValue` is no whole number")?)
    } else if let Some(value) = field("doubleValue", "double_value") {
        let float = value.as_f64().or_else(|| value.as_str()?.parse().ok());
        Any::Float(float.ok_or("a `doubleValue` is no number")?)
    } else if let Some(value) = field("bytesValue", "bytes_value") {
        let bytes = value.as_str().and_then(|text| BASE64.decode(text).ok());
        Any::Bytes(Cow::Owned(bytes.ok_or("a `bytesValue` is not base64")?))
    } else if let Some(value) = field("arrayValue", "array_value") {
        let Some(Value::Array(values)) = inner(value) else { return Ok(Any::List(vec![])) };
        Any::List(values.iter().map(|value| any(value, depth + 1)).collect::<Result<_, _>>()?)
    } else if let Some(value) = field("kvlistValue", "kvlist_value") {
        Any::Map(pairs(inner(value).as_ref(), depth + 1)?)
    } else {
        Any::Absent
    })
}

fn take<'v>(of: &'v Map<String, Value>, camel: &str, snake: &str) -> Option<&'v Value> {
    of.get(camel).or_else(|| of.get(snake)).filter(|value| !value.is_null())
}

fn objects<'v>(list: Option<&'v Value>, name: &str) -> Result<Vec<&'v Map<String, Value>>, String> {
    let Some(list) = list else { return Ok(vec![]) };
    let Value::Array(list) = list else { return Err(format!("`{name}` is no array")) };
    let object = |value: &'v Value| match value {
        Value::Object(object) => Ok(object),
        _ => Err(format!("`{name}` holds something other than objects")),
    };
    list.iter().map(object).collect()
}

fn text(value: Option<&Value>) -> Text<'static> {
    match value {
        None | Some(Value::Null) => Text::default(),
        Some(Value::String(text)) => text.clone().into(),
        Some(other) => other.to_string().into(),
    }
}

fn number(value: Option<&Value>, name: &str) -> Result<u64, String> {
    let Some(value) = value else { return Ok(0) };
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.ok_or_else(|| format!("`{name}` is {value}, not a whole number"))
}
