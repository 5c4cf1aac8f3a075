//! `loglake verify`: is everything in the bucket as promised?

use std::path::PathBuf;
use std::time::Duration;

use crate::store;

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("bucket").required(true).args(["data", "store"])))]
pub struct VerifyArgs {
    /// The directory of an embedded lake (it may be running)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The bucket: s3://bucket/prefix or hdfs://host:port/path
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Minutes that a data file of an unfinished flush may lie about before it is a finding
    #[arg(long, value_name = "MINUTES", default_value_t = 3 * 24 * 60)]
    grace: u64,
}

pub async fn run(args: VerifyArgs) -> anyhow::Result<()> {
    let store = match (args.data, args.store) {
        (Some(directory), _) => store::read_directory(&directory).await?,
        (None, url) => store::open_url(&url.unwrap_or_default()).await?.store,
    };
    let report = crate::verify::verify(store, Duration::from_secs(args.grace * 60)).await?;
    println!("{report}");
    anyhow::ensure!(report.is_clean(), "the bucket is not as promised");
    Ok(())
}
