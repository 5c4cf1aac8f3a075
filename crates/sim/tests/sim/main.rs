//! The simulation keeps every promise, repeats by seed, and notices what is missing.

mod bites;
mod same_seed;
mod seeds;
