//! The same seed gives the same run: within a process and in two.

use std::process::Command;

use loglake_sim::{Settings, run};

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 2, 3, 5, 8, 13, 21, 34] {
        let (one, other) = (run(seed, Settings::default()), run(seed, Settings::default()));
        assert!(one.events > 100, "seed {seed} did next to nothing: {one:?}");
        assert_eq!(one, other, "seed {seed}");
    }
    let (one, other) = (run(1, Settings::default()), run(2, Settings::default()));
    assert_ne!(one.trace_hash, other.trace_hash);
}

#[test]
fn two_processes_give_the_same_traces() {
    let traces = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_loglake-sim"));
        let output = program
            .args(["--seeds", "3", "--from", "40", "--trace", "--threads", "1"])
            .output()
            .expect("the program runs");
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().filter(|line| line.contains(" trace ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let one = traces();
    assert_eq!(one.len(), 3, "{one:?}");
    assert_eq!(one, traces());
}
