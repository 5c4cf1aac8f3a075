#!/bin/sh
# rustc, with what libFuzzer sees by which code ran: for our own crates (RUSTC_WORKSPACE_WRAPPER).
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
