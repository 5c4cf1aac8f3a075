//! `loglake`: one binary, server and command line.
//!
//! The only crate that names what is outside: S3, HDFS, directories, etcd, environment, signals. The
//! others are handed traits.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;
mod client;
mod demo;
mod lake;
mod serve;
mod settings;
mod store;
mod system;
mod verify;

use std::process::ExitCode;

use clap::Parser;

/// Plans are walked recursively: room for the longest chain of operators that a query may have, in a build
/// that is not optimised. Only what is used of it takes memory.
const STACK_BYTES: usize = 32 << 20;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = cli::Cli::parse();
    if let Err(e) = start_runtime().and_then(|runtime| runtime.block_on(command.run())) {
        eprintln!("loglake: {e:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn start_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // One TLS implementation for the store, etcd and the clients, chosen before the first of them.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider was installed already"))?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    Ok(runtime.enable_all().thread_stack_size(STACK_BYTES).build()?)
}
