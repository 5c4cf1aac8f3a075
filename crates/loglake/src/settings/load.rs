//! Loading: file, environment, flags, each over the one before. What is not a setting stops the
//! start and is named.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value as Schema;
use toml::{Table, Value};

use super::document::leaves;
use super::{IN_FLIGHT_CEILING, Settings};
use crate::store::DISK_BYTES_MIN;

/// What the flags say: dotted setting names with TOML values.
pub type Overrides = Vec<(String, Value)>;

/// # Errors
/// When the file cannot be read, or any source names an unknown setting or gives a wrong value.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: Overrides,
) -> anyhow::Result<Settings> {
    let mut settings = match file {
        Some(path) => read(path)?,
        None => Table::new(),
    };
    for (name, value) in from_environment(environment)? {
        set(&mut settings, &name, value);
    }
    for (name, value) in flags {
        set(&mut settings, &name, value);
    }
    let settings: Settings = settings.try_into().context("the settings are not usable")?;
    check(&settings)?;
    Ok(settings)
}

fn read(path: &Path) -> anyhow::Result<Table> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the settings file {} cannot be read", path.display()))?;
    let table = text
        .parse::<Table>()
        .with_context(|| format!("the settings file {} is not TOML", path.display()))?;
    // Checked alone first, so that the message names the file.
    Settings::deserialize_checked(&table)
        .with_context(|| format!("the settings file {} is not usable", path.display()))?;
    Ok(table)
}

/// `LOGLAKE_WAL_LINGER_MS=20` sets `wal.linger_ms`. Lists are comma separated.
fn from_environment(
    environment: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<Vec<(String, Value)>> {
    let known = leaves();
    let mut found = vec![];
    for (variable, text) in environment.filter(|(name, _)| name.starts_with("LOGLAKE_")) {
        let setting = known.iter().find(|leaf| leaf.variable() == variable);
        match setting {
            Some(leaf) => {
                let value = parse(&leaf.schema, &text)
                    .with_context(|| format!("the variable {variable} has the value {text:?}"))?;
                found.push((leaf.name.clone(), value));
            }
            None => tracing::debug!("the variable {variable} is not a setting"),
        }
    }
    Ok(found)
}

/// The text of a variable as the type that the setting has.
fn parse(schema: &Schema, text: &str) -> anyhow::Result<Value> {
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    Ok(match kind {
        Some("integer") => Value::Integer(text.trim().parse().context("not a whole number")?),
        Some("boolean") => Value::Boolean(text.trim().parse().context("not true or false")?),
        Some("object") => {
            let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
            let pair = |pair: &str| {
                let (name, value) = pair.split_once('=').context("not name=value,…")?;
                Ok((name.trim().to_owned(), Value::from(value.trim())))
            };
            Value::Table(pairs.map(pair).collect::<anyhow::Result<Table>>()?)
        }
        Some("array") => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(Value::from).collect())
        }
        _ => Value::from(text),
    })
}

fn set(settings: &mut Table, name: &str, value: Value) {
    match name.split_once('.') {
        None => drop(settings.insert(name.to_owned(), value)),
        Some((section, rest)) => {
            let inner = settings.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

fn check(settings: &Settings) -> anyhow::Result<()> {
    match (&settings.data, &settings.store) {
        (Some(_), Some(_)) => bail!("`data` and `store` are both set: a lake has one bucket"),
        (None, None) => {
            bail!(
                "where is the lake? Set `--data DIR` or `--store URL` (s3://bucket/prefix, hdfs://…)"
            )
        }
        _ => {}
    }
    if settings.roles.is_empty() {
        bail!("`roles` is empty: name at least one of ingest, query, maintain");
    }
    if settings.coordination.lease_s == 0 {
        bail!("`coordination.lease_s` is 0: a lease lasts at least a second");
    }
    if !(1..=22).contains(&settings.table.zstd_level) {
        bail!("`table.zstd_level` is {}, and zstd knows 1 to 22", settings.table.zstd_level);
    }
    if settings.wal.in_flight_max > IN_FLIGHT_CEILING {
        let wanted = settings.wal.in_flight_max;
        bail!("`wal.in_flight_max` is {wanted}, and is at most {IN_FLIGHT_CEILING}");
    }
    let (folder, bytes) = (&settings.query.cache_folder, settings.query.cache_disk_bytes);
    if folder.is_some() && bytes < DISK_BYTES_MIN {
        bail!("`query.cache_disk_bytes` is {bytes}, and must be at least {DISK_BYTES_MIN}");
    }
    if folder.is_some() && settings.query.cache_memory_bytes == 0 {
        bail!(
            "`query.cache_folder` is set, and `query.cache_memory_bytes` is 0: no cache without memory"
        );
    }
    settings.collect.kafka.source(&settings.limits()).context("`collect.kafka` is not usable")?;
    for (name, value) in [
        ("wal.segment_bytes_max", settings.wal.segment_bytes_max),
        ("wal.in_flight_max", settings.wal.in_flight_max),
        ("ingest.flush_bytes", settings.ingest.flush_bytes),
        ("ingest.buffer_bytes_max", settings.ingest.buffer_bytes_max),
        ("query.memory_bytes_max", settings.query.memory_bytes_max),
        ("table.row_group_rows_max", settings.table.row_group_rows_max),
        ("table.page_rows_max", settings.table.page_rows_max),
    ] {
        if value == 0 {
            bail!("`{name}` is 0, and must be more");
        }
    }
    Ok(())
}

impl Settings {
    fn deserialize_checked(table: &Table) -> Result<Self, toml::de::Error> {
        table.clone().try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    #[test]
    fn flags_weigh_more_than_the_environment_and_that_more_than_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("loglake.toml");
        std::fs::write(
            &file,
            "data = 'f'\nhttp = '127.0.0.1:1'\n[wal]\nlinger_ms = 1\nin_flight_max = 7\n",
        )
        .unwrap();
        let environment = variables(&[
            ("LOGLAKE_WAL_LINGER_MS", "2"),
            ("LOGLAKE_HTTP", "127.0.0.1:2"),
            ("LOGLAKE_ETCD", "http://a:1, http://b:2"),
            ("HOME", "x"),
        ]);
        let flags = vec![("http".to_owned(), Value::from("127.0.0.1:3"))];
        let settings = load(Some(&file), environment, flags).unwrap();
        assert_eq!(settings.http.port(), 3);
        assert_eq!(settings.wal.linger_ms, 2);
        assert_eq!(settings.wal.in_flight_max, 7);
        assert_eq!(settings.etcd, ["http://a:1", "http://b:2"]);
    }

    #[test]
    fn what_is_wrong_stops_the_start_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("loglake.toml");
        for (text, name) in [
            ("data = 'f'\n[wal]\nlingr_ms = 1", "lingr_ms"),
            ("data = 'f'\n[wal]\nlinger_ms = 'soon'", "linger_ms"),
            ("data = 'f'\nstore = 's3://b'", "data"),
            ("http = '127.0.0.1:2'", "--data"),
            ("data = 'f'\n[table]\nzstd_level = 40", "zstd_level"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = load(Some(&file), std::iter::empty(), vec![]).unwrap_err();
            assert!(format!("{error:#}").contains(name), "{error:#}");
        }
        let bad = variables(&[("LOGLAKE_WAL_LINGER_MS", "soon")]);
        let error = load(None, bad, vec![]).unwrap_err();
        assert!(format!("{error:#}").contains("LOGLAKE_WAL_LINGER_MS"));
    }
}
