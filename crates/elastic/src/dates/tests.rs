use super::*;
use proptest::prelude::*;

/// 2026-11-01T14:35:10.123Z.
const NOW: i64 = 1_793_543_710_123_000_000;

fn moment(text: &str, round: Round) -> String {
    let nanos = DateFormat::default().moment(text, Zone::UTC, NOW, round).unwrap();
    DateFormat::parse("strict_date_optional_time_nanos").unwrap().format(nanos, Zone::UTC)
}

#[test]
fn date_math_adds_and_rounds() {
    for (text, down, up) in [
        ("now", "2026-11-01T14:35:10.123000000Z", "2026-11-01T14:35:10.123000000Z"),
        ("now-1h/h", "2026-11-01T13:00:00.000000000Z", "2026-11-01T13:59:59.999999999Z"),
        ("now/d", "2026-11-01T00:00:00.000000000Z", "2026-11-01T23:59:59.999999999Z"),
        ("now-1M/M", "2026-10-01T00:00:00.000000000Z", "2026-10-31T23:59:59.999999999Z"),
        ("2026-11-01||+1M/d", "2026-12-01T00:00:00.000000000Z", "2026-12-01T23:59:59.999999999Z"),
        ("2026-11", "2026-11-01T00:00:00.000000000Z", "2026-11-30T23:59:59.999999999Z"),
        ("2026", "2026-01-01T00:00:00.000000000Z", "2026-12-31T23:59:59.999999999Z"),
        ("2026-11-01T10", "2026-11-01T10:00:00.000000000Z", "2026-11-01T10:59:59.999999999Z"),
        ("1793543710123", "2026-11-01T14:35:10.123000000Z", "2026-11-01T14:35:10.123000000Z"),
        (
            "2026-11-01T10:00:00+02:00",
            "2026-11-01T08:00:00.000000000Z",
            "2026-11-01T08:00:00.999999999Z",
        ),
    ] {
        assert_eq!(moment(text, Round::Down), down, "{text}");
        assert_eq!(moment(text, Round::Up), up, "{text}");
    }
    for text in
        ["", "yesterday", "now+", "now-1", "now/2d", "now-1x", "2026-13-01", "2026-11-01||?1d"]
    {
        let failed = DateFormat::default().moment(text, Zone::UTC, NOW, Round::Down);
        assert!(failed.is_err(), "{text}: {failed:?}");
    }
}

#[test]
fn formats_read_what_they_write() {
    for (format, text) in [
        ("yyyy-MM-dd HH:mm:ss", "2026-11-01 14:35:10"),
        ("yyyy/MM/dd", "2026/11/01"),
        ("dd/MMM/yyyy:HH:mm:ss Z", "01/Nov/2026:14:35:10 +0000"),
        ("epoch_second", "1793543710.123"),
        ("epoch_millis", "1793543710123"),
        ("basic_date", "20261101"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2026-11-01T14:35:10.123Z"),
        ("EEE, d MMM yyyy hh:mm a", "Sun, 1 Nov 2026 02:35 PM"),
        ("strict_date_optional_time", "2026-11-01T14:35:10.123Z"),
        ("date", "2026-11-01"),
        ("date_hour", "2026-11-01T14"),
        ("yyyy-MM-dd[ HH:mm]", "2026-11-01 14:35"),
    ] {
        let parsed = DateFormat::parse(format).unwrap();
        assert_eq!(parsed.format(NOW, Zone::UTC), text, "{format}");
        let nanos = parsed.moment(text, Zone::UTC, 0, Round::Down).unwrap();
        assert_eq!(parsed.format(nanos, Zone::UTC), text, "{format}");
    }
    let millis = DateFormat::parse("epoch_millis").unwrap();
    assert_eq!(millis.format(1_500_000, Zone::UTC), "1.5");
    assert_eq!(millis.format(-1_000_020, Zone::UTC), "-1.00002");
    assert!(DateFormat::parse("nosuch").is_err());
    let either = DateFormat::parse("yyyy/MM/dd||epoch_second").unwrap();
    assert_eq!(either.moment("60", Zone::UTC, 0, Round::Up).unwrap(), 60_000_000_000);
}

#[test]
fn a_zone_moves_dates_and_what_is_rounded() {
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    let format = DateFormat::default();
    let at = |text, round| format.moment(text, berlin, NOW, round).unwrap();
    assert_eq!(format.format(at("2026-07-01", Round::Down), Zone::UTC), "2026-06-30T22:00:00.000Z");
    assert_eq!(format.format(at("now/d", Round::Down), berlin), "2026-11-01T00:00:00.000+01:00");
}

proptest! {
    #[test]
    fn nothing_panics(text in ".{0,24}", format in "[yMdHhmsSaEXZ'\\[\\]./: -]{0,12}") {
        let _ = DateFormat::default().moment(&text, Zone::UTC, NOW, Round::Up);
        if let Ok(format) = DateFormat::parse(&format) {
            let _ = format.moment(&text, Zone::UTC, NOW, Round::Down);
            let _ = format.format(NOW, Zone::UTC);
        }
    }

    #[test]
    fn what_is_written_is_read(nanos in 0_i64..4_000_000_000_000_000_000) {
        let format = DateFormat::parse("strict_date_optional_time_nanos").unwrap();
        let text = format.format(nanos, Zone::UTC);
        prop_assert_eq!(format.moment(&text, Zone::UTC, 0, Round::Down).unwrap(), nanos);
    }
}
