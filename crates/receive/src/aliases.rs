//! The names under which senders bring the four fields that every table has.
//!
//! Names are the dotted ones after flattening, so `service.name` is both `{"service.name":"x"}` and
//! `{"service":{"name":"x"}}`. Of the names of a column that a record has, the first in its list
//! whose value suits fills the column and appears under the column's name; the others stay fields
//! of their own. A value suits `message`, `level` and `service` when it is a JSON string, and
//! `timestamp` when it is a time (see [`crate::timestamp`]). A field that has the column's own name
//! and a value that does not suit keeps its name in `attributes`; another name then fills the
//! column and stays a field of its own too, so that the record can be given back as it came.

use loglake_model::{LEVEL, MESSAGE, SERVICE, TIMESTAMP};

/// A column that may be filled from fields of other names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canonical {
    Timestamp,
    Message,
    Level,
    Service,
}

/// One column and the names that fill it.
#[derive(Clone, Copy, Debug)]
pub struct Aliases {
    pub column: Canonical,
    /// First come, first served; the column's own name is first.
    pub names: &'static [&'static str],
}

/// All aliases. Where the names come from: Elastic Common Schema (`@timestamp`, `log.level`,
/// `event.original`), Kubernetes and Docker shippers (`log`, `time`), Splunk (`_time`),
/// VictoriaLogs (`_msg`, `_time`), OpenTelemetry (`severity_text`, `service.name`), the loggers of
/// Go (`ts`, `msg`), Python (`levelname`), Java (`logLevel`), .NET (`Message`, `@t`, `@m`, `@l`),
/// AWS (`eventTime`), the journal (`MESSAGE`), Prometheus scrape labels (`job`).
pub const ALIASES: [Aliases; 4] = [
    Aliases {
        column: Canonical::Timestamp,
        names: &[
            TIMESTAMP,
            "@timestamp",
            "time",
            "ts",
            "_time",
            "datetime",
            "eventTime",
            "event_time",
            "Timestamp",
            "timeStamp",
            "@t",
            "date_time",
        ],
    },
    Aliases {
        column: Canonical::Message,
        names: &[
            MESSAGE,
            "msg",
            "_msg",
            "@message",
            "log",
            "body",
            "Message",
            "MESSAGE",
            "@m",
            "event.original",
        ],
    },
    Aliases {
        column: Canonical::Level,
        names: &[
            LEVEL,
            "severity",
            "lvl",
            "log.level",
            "loglevel",
            "log_level",
            "logLevel",
            "severity_text",
            "severityText",
            "levelname",
            "Level",
            "@l",
        ],
    },
    Aliases {
        column: Canonical::Service,
        names: &[
            SERVICE,
            "service.name",
            "service_name",
            "serviceName",
            "app",
            "application",
            "job",
            "appname",
            "app_name",
        ],
    },
];

impl Canonical {
    pub const fn column(self) -> &'static str {
        match self {
            Self::Timestamp => TIMESTAMP,
            Self::Message => MESSAGE,
            Self::Level => LEVEL,
            Self::Service => SERVICE,
        }
    }
}

/// The column that a field of this name may fill, and the name's place in its list.
pub fn alias_of(name: &str) -> Option<(Canonical, u8)> {
    ALIASES.iter().find_map(|aliases| {
        let rank = aliases.names.iter().position(|n| *n == name)?;
        Some((aliases.column, u8::try_from(rank).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_name_fills_one_column_and_the_columns_own_comes_first() {
        let mut seen = HashSet::new();
        for aliases in ALIASES {
            assert_eq!(aliases.names[0], aliases.column.column());
            assert!(aliases.names.iter().all(|name| seen.insert(*name)), "{aliases:?}");
        }
        assert_eq!(alias_of("log.level"), Some((Canonical::Level, 3)));
        assert_eq!(alias_of("host"), None);
    }
}
