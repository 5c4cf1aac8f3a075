use chrono::{Datelike, NaiveDateTime};
use loglake_model::Timestamp;
use proptest::prelude::*;

use super::*;

/// 2026-11-23T15:00:00Z.
const REFERENCE: Timestamp = Timestamp::from_nanos(1_795_446_000_000_000_000);

fn context() -> Context<'static> {
    Context { reference: REFERENCE, local: &as_utc }
}

fn json(line: &str, format: Format) -> serde_json::Value {
    serde_json::to_value(parse(line.as_bytes(), format, &context())).unwrap()
}

#[test]
fn the_reference_is_what_its_comment_says() {
    let time = chrono::DateTime::from_timestamp_nanos(REFERENCE.as_nanos());
    assert_eq!(time.to_rfc3339(), "2026-11-23T15:00:00+00:00");
}

#[test]
fn syslog_from_the_wire() {
    assert_eq!(
        json("<34>Oct 11 22:14:15 mymachine su[7]: 'su root' failed", Format::Syslog),
        serde_json::json!({
            "timestamp": "2026-10-11T22:14:15Z", "host": "mymachine", "service": "su", "pid": "7",
            "message": "'su root' failed", "facility": "auth", "severity": 2, "level": "FATAL",
        })
    );
}

#[test]
fn syslog_from_files() {
    let expected = serde_json::json!({
        "timestamp": "2026-11-01T12:00:00Z", "host": "web-1", "service": "kernel",
        "message": "[    0.1] Linux version 6",
    });
    assert_eq!(
        json("Nov  1 12:00:00 web-1 kernel: [    0.1] Linux version 6", Format::Syslog),
        expected
    );
    let iso = "2026-11-01T13:00:00.000000+01:00 web-1 kernel: [    0.1] Linux version 6";
    assert_eq!(json(iso, Format::Syslog), expected);
    let mark = json("Nov  1 12:00:00 web-1 -- MARK --", Format::Syslog);
    assert_eq!(mark["message"], "-- MARK --");
    assert_eq!(mark.get("service"), None);
    let with_year = json("Nov  1 2025 12:00:00 fw %ASA-6: built", Format::Syslog);
    assert_eq!(with_year["timestamp"], "2025-11-01T12:00:00Z");
}

#[test]
fn rfc_5424_with_structured_data() {
    let line = concat!(
        "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 ",
        r#"[ex@32473 iut="3" say="a \"b\" \\ \] \n"][empty] "#,
        "\u{feff}An application event"
    );
    assert_eq!(
        json(line, Format::Syslog),
        serde_json::json!({
            "timestamp": "2003-10-11T22:14:15.003Z", "host": "mymachine.example.com",
            "service": "evntslog", "msg_id": "ID47", "ex@32473.iut": "3",
            "ex@32473.say": r#"a "b" \ ] \n"#, "empty": "",
            "message": "An application event", "facility": "local4", "severity": 5, "level": "INFO",
        })
    );
    let bare = json("<0>1 - - - - - -", Format::Syslog);
    assert_eq!(bare["message"], "");
    assert_eq!(bare["severity"], 0);
}

#[test]
fn a_name_that_comes_twice_keeps_both_values() {
    let line = r#"<13>1 - h a - - [o ip="1" ip="2" ip="3"] m"#;
    assert_eq!(json(line, Format::Syslog)["o.ip"], serde_json::json!(["1", "2", "3"]));
}

#[test]
fn a_date_without_a_year_is_the_last_one_before_the_reference() {
    let year_of = |date: &str| {
        let line = format!("{date} 12:00:00 h a: m");
        let at = json(&line, Format::Syslog)["timestamp"].as_str().unwrap().to_owned();
        chrono::DateTime::parse_from_rfc3339(&at).unwrap().year()
    };
    assert_eq!(year_of("Nov 23"), 2026);
    // Tomorrow may be the clock of another zone, the day after is last year.
    assert_eq!(year_of("Nov 24"), 2026);
    assert_eq!(year_of("Nov 25"), 2025);
    assert_eq!(year_of("Dec 31"), 2025);
    assert_eq!(year_of("Feb 29"), 2024);
}

#[test]
fn new_years_eve_may_look_into_the_next_year() {
    let eve = as_utc("2026-12-31T23:59:59".parse::<NaiveDateTime>().unwrap()).unwrap();
    let context = Context { reference: eve, local: &as_utc };
    let record = parse(b"Jan  1 00:00:01 h a: m", Format::Syslog, &context);
    assert_eq!(record.get("timestamp"), Some(&"2027-01-01T00:00:01Z".into()));
}

#[test]
fn local_times_go_through_the_zone_that_is_handed_in() {
    let two_hours_east =
        |naive| as_utc(naive).map(|t| Timestamp::from_nanos(t.as_nanos() - 7_200_000_000_000));
    let context = Context { reference: REFERENCE, local: &two_hours_east };
    let local = parse(b"Nov  1 12:00:00 h a: m", Format::Syslog, &context);
    assert_eq!(local.get("timestamp"), Some(&"2026-11-01T10:00:00Z".into()));
    let zoned = parse(b"2026-11-01T12:00:00+00:00 h a: m", Format::Syslog, &context);
    assert_eq!(zoned.get("timestamp"), Some(&"2026-11-01T12:00:00Z".into()));
}

#[test]
fn combined_access_log() {
    let line = concat!(
        r#"203.0.113.7 - frank [01/Nov/2026:13:55:36 +0100] "GET /a b?q=\"x\" HTTP/1.1" 503 2326 "#,
        r#""https://example.com/start" "Mozilla/5.0 (\"quoted\")" rt=0.1"#
    );
    assert_eq!(
        json(line, Format::Access),
        serde_json::json!({
            "timestamp": "2026-11-01T12:55:36Z", "client_ip": "203.0.113.7", "user": "frank",
            "method": "GET", "path": r#"/a b?q=\"x\""#, "protocol": "HTTP/1.1", "status": 503,
            "bytes": 2326, "referer": "https://example.com/start",
            "user_agent": r#"Mozilla/5.0 (\"quoted\")"#, "level": "ERROR", "message": line,
        })
    );
}

#[test]
fn common_access_log_and_what_was_no_http() {
    let line = r#"::1 - - [01/Nov/2026:13:55:36 +0000] "\x16\x03\x01" 400 -"#;
    assert_eq!(
        json(line, Format::Access),
        serde_json::json!({
            "timestamp": "2026-11-01T13:55:36Z", "client_ip": "::1", "status": 400,
            "level": "WARN", "message": line,
        })
    );
    let vhost = r#"www.example.com:443 10.0.0.1 - - [01/Nov/2026:13:55:36 +0000] "GET / HTTP/2.0" 200 5 "-" "-""#;
    let vhost = json(vhost, Format::Access);
    assert_eq!(
        (&vhost["host"], &vhost["client_ip"]),
        (&"www.example.com".into(), &"10.0.0.1".into())
    );
}

#[test]
fn dpkg_lines() {
    assert_eq!(
        json("2025-06-24 14:36:25 upgrade libsystemd0:amd64 252.36-1 252.38-1", Format::Dpkg),
        serde_json::json!({
            "timestamp": "2025-06-24T14:36:25Z", "service": "dpkg", "action": "upgrade",
            "package": "libsystemd0", "arch": "amd64", "version": "252.36-1",
            "version_available": "252.38-1",
            "message": "upgrade libsystemd0:amd64 252.36-1 252.38-1",
        })
    );
    let status = json("2025-06-24 14:36:25 status not-installed a:all <none>", Format::Dpkg);
    assert_eq!(status["state"], "not-installed");
    assert_eq!(status.get("version"), None);
}

#[test]
fn logfmt_lines() {
    let line = r#"ts=2026-11-01T12:00:00Z level=info msg="it \"is\" up" port=80 took=0.5 id=007"#;
    assert_eq!(
        json(line, Format::Logfmt),
        serde_json::json!({
            "timestamp": "2026-11-01T12:00:00Z", "level": "info", "message": "it \"is\" up",
            "port": 80, "took": 0.5, "id": "007",
        })
    );
    let both = json("message=a msg=b n=1", Format::Logfmt);
    assert_eq!((&both["message"], &both["msg"]), (&"a".into(), &"b".into()));
    assert_eq!(json("a=1 b=2 c=3", Format::Logfmt)["message"], "a=1 b=2 c=3");
}

#[test]
fn plain_lines_with_a_time_and_a_level() {
    let line = "2026-11-01 12:00:00,123 [main] ERROR c.e.App - failed";
    assert_eq!(
        json(line, Format::Plain),
        serde_json::json!({"timestamp": "2026-11-01T12:00:00.123Z", "level": "ERROR", "message": line})
    );
    let nginx = "2026/11/01 12:00:00 [warn] 7#7: low";
    assert_eq!(json(nginx, Format::Plain)["timestamp"], "2026-11-01T12:00:00Z");
    let prose = json("There was an ERROR far behind these words: ERROR", Format::Plain);
    assert_eq!(prose["level"], "ERROR");
    assert_eq!(json("no error here", Format::Plain).get("level"), None);
}

#[test]
fn what_a_parser_does_not_understand_stays_a_plain_line() {
    for format in [Format::Syslog, Format::Access, Format::Dpkg, Format::Logfmt] {
        let line = "12 monkeys and = \" a [quote";
        assert_eq!(json(line, format), serde_json::json!({"message": line}));
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_kept_beside_the_readable_text() {
    let record = parse(b"caf\xe9", Format::Plain, &context());
    assert_eq!(record.get("message"), Some(&"caf\u{fffd}".into()));
    assert_eq!(record.get(RAW_BASE64), Some(&"Y2Fm6Q==".into()));
    assert_eq!(parse("café".as_bytes(), Format::Plain, &context()).get(RAW_BASE64), None);
}

#[test]
fn formats_are_told_from_samples() {
    let of = |text: &str| detect(text.lines().map(str::as_bytes));
    assert_eq!(of("{\"a\":1}\n{ \"b\":2}\n"), Detected::Ndjson);
    assert_eq!(
        of("Nov  1 12:00:00 h a: m\n\tat x\n\tat y\n\tat z\n"),
        Detected::Text(Format::Syslog)
    );
    assert_eq!(of("2026-11-01T12:00:00.1+00:00 h a[1]: m"), Detected::Text(Format::Syslog));
    assert_eq!(of("2025-06-24 14:36:25 startup archives unpack"), Detected::Text(Format::Dpkg));
    assert_eq!(of("a=1 b=2 c=\"3 4\""), Detected::Text(Format::Logfmt));
    assert_eq!(
        of(r#"::1 - - [01/Nov/2026:13:55:36 +0000] "GET / HTTP/1.1" 200 -"#),
        Detected::Text(Format::Access)
    );
    assert_eq!(of("Nov  1 12:00:00 h a: m\nwhat\nis\nthis\n"), Detected::Text(Format::Plain));
    assert_eq!(of(""), Detected::Text(Format::Plain));
    assert_eq!(of("{not json}"), Detected::Text(Format::Plain));
}

/// The records of a text, by [`continues`].
fn joined(text: &str, format: Format) -> Vec<String> {
    let mut records: Vec<String> = vec![];
    let mut before = Before::Nothing;
    for line in text.lines() {
        if continues(before, line.as_bytes(), format) {
            let record = records.last_mut().unwrap();
            record.push('\n');
            record.push_str(line);
            before = Before::Continuation;
        } else {
            records.push(line.to_owned());
            before = begins(line.as_bytes());
        }
    }
    records
}

#[test]
fn stack_traces_stay_with_their_line() {
    let text = "ERROR boom\n\tat a.B.c(B.java:1)\nCaused by: x\n\t... 3 more\nINFO next";
    let records = joined(text, Format::Plain);
    assert_eq!(records.len(), 2);
    assert!(records[0].ends_with("3 more"));
    assert_eq!(joined(text, Format::Access).len(), 5);
}

#[test]
fn what_is_not_clearly_a_continuation_is_a_record() {
    assert_eq!(joined(" a\n b\n c", Format::Plain).len(), 3);
    assert_eq!(joined("a\n\n b", Format::Plain).len(), 3);
    assert_eq!(joined("a\nCaused by: b", Format::Plain).len(), 2);
}

const ALL: [Format; 5] =
    [Format::Syslog, Format::Access, Format::Dpkg, Format::Logfmt, Format::Plain];

/// Lines that look like the formats, and then anything.
fn lines() -> impl Strategy<Value = String> {
    let head = prop::sample::select(vec![
        "",
        "<34>Oct 11 22:14:15 m su[7]: ",
        "<34>1 2026-11-01T12:00:00Z h a - - [x y=\"",
        "Nov  1 12:00:00 ",
        "2026-11-01 12:00:00",
        "a=1 b=\"",
        "::1 - - [01/Nov/2026:13:55:36 +0000] \"",
    ]);
    (head, "[ -~é\u{feff}\n\"\\\\=:\\[\\]]{0,40}").prop_map(|(head, tail)| head.to_owned() + &tail)
}

proptest! {
    #[test]
    fn any_bytes_make_a_record(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for format in ALL {
            let record = parse(&bytes, format, &context());
            prop_assert!(record.get("message").is_some());
            prop_assert_eq!(record.get(RAW_BASE64).is_some(), str::from_utf8(&bytes).is_err());
        }
    }

    /// Either the whole line is the message, or it ends with the message (but for logfmt, whose
    /// message stands between its other fields).
    #[test]
    fn the_end_of_the_line_is_never_lost(line in lines()) {
        for format in ALL {
            let record = parse(line.as_bytes(), format, &context());
            match record.get("message") {
                Some(Value::Text(message)) => prop_assert!(
                    format == Format::Logfmt || line.ends_with(message.as_ref()),
                    "{format:?}: {message:?}"
                ),
                other => prop_assert!(format == Format::Logfmt, "{other:?}"),
            }
            let object = serde_json::to_string(&record).unwrap();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&object).is_ok());
        }
    }
}
