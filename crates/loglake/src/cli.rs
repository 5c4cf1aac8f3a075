//! The command line: one file a command.

mod check_store;
mod configuration;
mod demo;
mod import;
mod sql;
mod verify;

use clap::{Parser, Subcommand};

/// A log database whose only durable state is a bucket.
#[derive(Parser)]
#[command(name = "loglake", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a lake: take logs in, keep them in the bucket, answer queries
    Serve(crate::serve::ServeArgs),
    /// Ask a lake, once or interactively
    Sql(sql::SqlArgs),
    /// Send log files to a lake
    Import(import::ImportArgs),
    /// Make realistic logs and send them to a lake
    Demo(demo::DemoArgs),
    /// Walk a bucket and check every promise that can be seen in it
    Verify(verify::VerifyArgs),
    /// Check that a store does what loglake needs of one
    CheckStore(check_store::CheckStoreArgs),
    /// Print every setting with its unit, default and cost, as Markdown
    Configuration(configuration::ConfigurationArgs),
}

impl Cli {
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(args) => crate::serve::run(args).await,
            Command::Sql(args) => sql::run(args).await,
            Command::Import(args) => import::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Verify(args) => verify::run(args).await,
            Command::CheckStore(args) => check_store::run(args).await,
            Command::Configuration(args) => configuration::run(args).await,
        }
    }
}
