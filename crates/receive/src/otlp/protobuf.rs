//! The protobuf form, read where it lies: a length or a count from the wire never reserves memory.
//! Source of the wire format: <https://protobuf.dev/programming-guides/encoding/>.

use super::{Any, Attributes, DEPTH_MAX, LogRecord, Logs, Resource, Scope, Text, hex};

/// The logs of an `ExportLogsServiceRequest` or `LogsData`.
///
/// # Errors
/// What is wrong with the bytes, in words.
pub fn parse_protobuf(bytes: &[u8]) -> Result<Logs<'_>, String> {
    let mut logs = Logs::default();
    fields(bytes, |number, value| {
        if number == 1 {
            logs.resources.push(resource(value.bytes()?)?);
        }
        Ok(())
    })?;
    logs.checked()
}

fn resource(bytes: &[u8]) -> Result<Resource<'_>, String> {
    let mut resource = Resource::default();
    fields(bytes, |number, value| {
        match number {
            1 => fields(value.bytes()?, |number, value| {
                if number == 1 {
                    resource.attributes.push(key_value(value.bytes()?, 0)?);
                }
                Ok(())
            })?,
            2 => resource.scopes.push(scope(value.bytes()?)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(resource)
}

fn scope(bytes: &[u8]) -> Result<Scope<'_>, String> {
    let mut scope = Scope::default();
    fields(bytes, |number, value| {
        match number {
            1 => fields(value.bytes()?, |number, value| {
                match number {
                    1 => scope.name = value.text()?,
                    2 => scope.version = value.text()?,
                    3 => scope.attributes.push(key_value(value.bytes()?, 0)?),
                    _ => {}
                }
                Ok(())
            })?,
            2 => scope.records.push(log_record(value.bytes()?)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(scope)
}

fn log_record(bytes: &[u8]) -> Result<LogRecord<'_>, String> {
    let mut record = LogRecord::default();
    fields(bytes, |number, value| {
        match number {
            1 => record.time = value.number()?,
            2 => record.severity = value.number()?.cast_signed(),
            3 => record.severity_text = value.text()?,
            5 => record.body = any(value.bytes()?, 0)?,
            6 => record.attributes.push(key_value(value.bytes()?, 0)?),
            8 => record.flags = value.number()?,
            9 => record.trace_id = hex(value.bytes()?).into(),
            10 => record.span_id = hex(value.bytes()?).into(),
            11 => record.observed = value.number()?,
            12 => record.event_name = value.text()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(record)
}

fn key_value(bytes: &[u8], depth: usize) -> Result<(Text<'_>, Any<'_>), String> {
    let (mut key, mut found) = (Text::default(), Any::Absent);
    fields(bytes, |number, value| {
        match number {
            1 => key = value.text()?,
            2 => found = any(value.bytes()?, depth)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, found))
}

fn any(bytes: &[u8], depth: usize) -> Result<Any<'_>, String> {
    if depth > DEPTH_MAX {
        return Err(format!("a value is more than {DEPTH_MAX} levels deep"));
    }
    let mut any_value = Any::Absent;
    fields(bytes, |number, value| {
        any_value = match number {
            1 => Any::Text(value.text()?),
            2 => Any::Bool(value.number()? != 0),
            3 => Any::Int(value.number()?.cast_signed()),
            4 => Any::Float(f64::from_bits(value.number()?)),
            5 => Any::List(list(value.bytes()?, depth)?),
            6 => Any::Map(map(value.bytes()?, depth)?),
            7 => Any::Bytes(value.bytes()?.into()),
            _ => return Ok(()),
        };
        Ok(())
    })?;
    Ok(any_value)
}

fn list(bytes: &[u8], depth: usize) -> Result<Vec<Any<'_>>, String> {
    let mut values = vec![];
    fields(bytes, |number, value| {
        if number == 1 {
            values.push(any(value.bytes()?, depth + 1)?);
        }
        Ok(())
    })?;
    Ok(values)
}

fn map(bytes: &[u8], depth: usize) -> Result<Attributes<'_>, String> {
    let mut entries = vec![];
    fields(bytes, |number, value| {
        if number == 1 {
            entries.push(key_value(value.bytes()?, depth + 1)?);
        }
        Ok(())
    })?;
    Ok(entries)
}

/// A field's value as the wire has it.
#[derive(Clone, Copy)]
enum Wire<'a> {
    /// A varint or one of the fixed widths.
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn number(self) -> Result<u64, String> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => Err("bytes stand where a number belongs".to_owned()),
        }
    }

    fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err("a number stands where bytes belong".to_owned()),
        }
    }

    fn text(self) -> Result<Text<'a>, String> {
        let text = simdutf8::basic::from_utf8(self.bytes()?);
        text.map(Text::from).map_err(|_| "a text is not UTF-8".to_owned())
    }
}

/// Calls `each` with every field's number and value, in their order.
fn fields<'a>(
    mut bytes: &'a [u8],
    mut each: impl FnMut(u64, Wire<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let cut = || "the message is cut off".to_owned();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Wire::Number(varint(&mut bytes)?),
            1 => {
                let (number, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
                bytes = rest;
                Wire::Number(u64::from_le_bytes(*number))
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).map_err(|_| cut())?;
                let (value, rest) = bytes.split_at_checked(length).ok_or_else(cut)?;
                bytes = rest;
                Wire::Bytes(value)
            }
            5 => {
                let (number, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
                bytes = rest;
                Wire::Number(u32::from_le_bytes(*number).into())
            }
            other => return Err(format!("{other} is no type of a protobuf field")),
        };
        match tag >> 3 {
            0 => return Err("0 is no number of a protobuf field".to_owned()),
            number => each(number, value)?,
        }
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or("the message is cut off")?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a varint has more than ten bytes".to_owned())
}
