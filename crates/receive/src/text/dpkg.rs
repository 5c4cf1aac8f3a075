//! dpkg's log: `2026-11-01 12:00:00 status installed libc6:amd64 2.36-9`, the forms of dpkg(1)
//! under "log". The time is without a zone.
//!
//! Fields: `timestamp`, `service` = `dpkg`, `message` (all after the time), `action`, and of
//! packages `package`, `arch`, `version` and `state` or `version_available`.

use loglake_model::{MESSAGE, SERVICE};

use super::{Context, Record, time};

/// `None` when the line is not of this form.
pub(super) fn parse<'a>(line: &'a str, context: &Context<'_>) -> Option<Record<'a>> {
    let (at, rest) = time::iso(line, context)?;
    let message = rest.strip_prefix(' ')?;
    let mut record = Record::default();
    record.push_time(at);
    record.push(SERVICE, "dpkg");
    record.push(MESSAGE, message);
    let words: Vec<&str> = message.split(' ').collect();
    match words[..] {
        ["startup", kind, command] => {
            record.push("action", "startup");
            record.push_some("kind", kind);
            record.push_some("command", command);
        }
        ["conffile", path, decision] => {
            record.push("action", "conffile");
            record.push_some("path", path);
            record.push_some("decision", decision);
        }
        ["status", state, package, version] => {
            record.push("action", "status");
            record.push_some("state", state);
            named(&mut record, package);
            version_of(&mut record, "version", version);
        }
        [
            action @ ("install" | "upgrade" | "remove" | "purge" | "trigproc" | "disappear"
            | "configure"),
            package,
            installed,
            available,
        ] => {
            record.push("action", action);
            named(&mut record, package);
            version_of(&mut record, "version", installed);
            version_of(&mut record, "version_available", available);
        }
        _ => return None,
    }
    Some(record)
}

fn named<'a>(record: &mut Record<'a>, package: &'a str) {
    match package.split_once(':') {
        Some((name, arch)) => {
            record.push_some("package", name);
            record.push_some("arch", arch);
        }
        None => record.push_some("package", package),
    }
}

fn version_of<'a>(record: &mut Record<'a>, field: &'static str, version: &'a str) {
    if version != "<none>" {
        record.push_some(field, version);
    }
}
