//! Messages with slots: `user {user} signed in from {ip}`.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::record::Record;

const SKUS: [&str; 8] =
    ["MUG-BLU", "TEE-M-BLK", "LAMP-01", "SOCK-3P", "BOOK-77", "CHAIR-OAK", "KIT-TEA", "PEN-GEL"];
const TABLES: [&str; 5] = ["orders", "order_items", "customers", "payments", "stock"];
const USERS: u32 = 50_000;

/// Writes `template` into the record's message with each slot drawn. Slots that are ids become
/// fields too, so that they can be searched for.
pub(super) fn fill(record: &mut Record, template: &str, rng: &mut ChaCha8Rng) {
    let mut rest = template;
    while let Some((literal, slot, after)) = next_slot(rest) {
        record.message.push_str(literal);
        let value = draw(slot, record, rng);
        record.message.push_str(&value);
        rest = after;
    }
    record.message.push_str(rest);
}

fn next_slot(text: &str) -> Option<(&str, &str, &str)> {
    let (literal, rest) = text.split_once('{')?;
    let (slot, after) = rest.split_once('}')?;
    Some((literal, slot, after))
}

fn draw(slot: &str, record: &mut Record, rng: &mut ChaCha8Rng) -> String {
    match slot {
        "user" => {
            let user = format!("u{:06}", few_often(USERS, rng));
            record.user_id.insert(user).clone()
        }
        "order" => {
            let order = format!("o-{:010}", rng.random_range(0..10_000_000_000_u64));
            record.order_id.insert(order).clone()
        }
        "ip" => ip(rng),
        "sku" => SKUS[rng.random_range(0..SKUS.len())].to_owned(),
        "table" => TABLES[rng.random_range(0..TABLES.len())].to_owned(),
        "ms" => milliseconds(1.0, rng).to_string(),
        "slow_ms" => milliseconds(40.0, rng).to_string(),
        "amount" => format!("{}.{:02}", rng.random_range(3..400), rng.random_range(0..100)),
        "digit" => rng.random_range(1..10).to_string(),
        "count" => few_often(5_000, rng).to_string(),
        "big" => rng.random_range(100_000..90_000_000).to_string(),
        "hex" => format!("{:08x}", rng.random::<u32>()),
        "uptime" => format!("{:>12.6}", rng.random_range(10.0..9_000_000.0_f64)),
        // The test that fills every template finds this.
        unknown => format!("{{{unknown}}}"),
    }
}

pub(super) fn ip(rng: &mut ChaCha8Rng) -> String {
    // The addresses set aside for documentation and benchmarks (RFC 5737, RFC 2544).
    match rng.random_range(0..4) {
        0 => format!("203.0.113.{}", rng.random::<u8>()),
        1 => format!("198.51.100.{}", rng.random::<u8>()),
        _ => format!(
            "198.{}.{}.{}",
            rng.random_range(18..20),
            rng.random::<u8>(),
            rng.random::<u8>()
        ),
    }
}

/// Mostly a few, seldom many: in milliseconds, to the microsecond.
pub(super) fn milliseconds(scale: f64, rng: &mut ChaCha8Rng) -> f64 {
    let drawn: f64 = rng.random();
    // Powers by multiplication: the same bits on every machine.
    let skewed = drawn * drawn * drawn * drawn;
    let microseconds = (scale * (0.8 + 250.0 * skewed) * 1_000.0).round();
    microseconds / 1_000.0
}

/// A number below `end`, small ones far more often.
pub(super) fn few_often(end: u32, rng: &mut ChaCha8Rng) -> u32 {
    let drawn: f64 = rng.random();
    (drawn * drawn * drawn * f64::from(end)) as u32
}
