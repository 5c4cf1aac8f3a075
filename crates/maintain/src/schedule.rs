//! When a piece of upkeep is due: once a period, each at a moment of its own, the same for all
//! processes. So they need not agree on anything, and the work of many tables is spread.

use std::time::Duration;

use loglake_model::Timestamp;

/// Whether the moment of what is called `name` is in `(after, until]`.
pub(crate) fn is_due(name: &str, period: Duration, after: Timestamp, until: Timestamp) -> bool {
    let period = i64::try_from(period.as_nanos()).unwrap_or(i64::MAX).max(1);
    let moment = (twox_hash::XxHash3_64::oneshot(name.as_bytes()) >> 1) as i64 % period;
    let rounds = |at: Timestamp| (at.as_nanos() - moment).div_euclid(period);
    until > after && rounds(until) > rounds(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_nanos(500_000 * HOUR + hours * HOUR)
    }

    #[test]
    fn everything_is_due_once_a_day_and_not_all_at_once() {
        let names: Vec<String> = (0..200).map(|n| format!("table {n}")).collect();
        let due = |name: &str, hour| is_due(name, DAY, at(hour), at(hour + 1));
        for name in &names {
            let hours: Vec<i64> = (0..48).filter(|hour| due(name, *hour)).collect();
            assert!(hours.len() == 2 && hours[1] - hours[0] == 24, "{name}: {hours:?}");
        }
        for hour in 0..24 {
            let count = names.iter().filter(|name| due(name, hour)).count();
            assert!((1..30).contains(&count), "{count} in hour {hour}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_due_and_a_long_pause_makes_it_due_once() {
        assert!(!is_due("x", DAY, at(50), at(0)));
        assert!(is_due("x", DAY, at(0), at(1_000)));
        assert!(!is_due("x", DAY, at(0), at(0)));
    }
}
