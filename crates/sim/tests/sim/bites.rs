//! The promises notice when a mechanism is missing: each is switched off in turn, and some seed of a
//! bounded number must show it.

use loglake_sim::{Flavour, Promise, Sabotage, Settings, run};

/// The first seed that notices, and the promise that it finds broken.
fn caught(sabotage: Sabotage, seeds: u64) -> (u64, Promise) {
    let flavour = match sabotage {
        Sabotage::Fsync => Flavour::Directory,
        _ => Flavour::Bucket,
    };
    let settings = Settings { sabotage, flavour: Some(flavour), ..Settings::default() };
    for seed in 0..seeds {
        if let Some(broken) = run(seed, settings).broken {
            println!("{sabotage:?} off: seed {seed}, {:?}: {}", broken.promise, broken.what);
            return (seed, broken.promise);
        }
    }
    panic!("{seeds} seeds do not notice that {sabotage:?} is off");
}

#[test]
fn conditional_create() {
    caught(Sabotage::ConditionalCreate, 60);
}

#[test]
fn conflict_check() {
    caught(Sabotage::ConflictCheck, 100);
}

#[test]
fn ack_order() {
    assert_eq!(caught(Sabotage::AckOrder, 60).1, Promise::AckedIsVisible);
}

#[test]
fn fsync() {
    caught(Sabotage::Fsync, 60);
}

#[test]
fn watermark_in_the_snapshot() {
    assert_eq!(caught(Sabotage::Watermark, 20).1, Promise::NothingTwice);
}

#[test]
fn floor_before_trimming() {
    caught(Sabotage::Floor, 60);
}

#[test]
fn vacuum_mark() {
    assert_eq!(caught(Sabotage::VacuumMark, 60).1, Promise::FilesStay);
}
