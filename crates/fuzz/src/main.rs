//! libFuzzer over one decoder: the one that `LOGLAKE_FUZZ` names.

#![no_main]

use std::sync::LazyLock;

use loglake_fuzz::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("LOGLAKE_FUZZ").unwrap_or_default();
    loglake_fuzz::target(&name).unwrap_or_else(|| {
        let names: Vec<_> = loglake_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
        panic!("LOGLAKE_FUZZ names a decoder: {}", names.join(", "))
    })
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
