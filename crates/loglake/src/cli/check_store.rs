//! `loglake check-store`: does this store keep the rules that the promises rest on?

use crate::store;

#[derive(clap::Args)]
pub struct CheckStoreArgs {
    /// s3://bucket/prefix, hdfs://host:port/path or a directory; objects are made below `_check/` and removed again
    #[arg(value_name = "URL")]
    url: String,
}

pub async fn run(args: CheckStoreArgs) -> anyhow::Result<()> {
    let bucket = store::open_url(&args.url).await?;
    let mut broken = 0;
    for finding in store::conformance::findings(bucket.store.as_ref()).await {
        match finding.outcome {
            Ok(()) => println!("ok      {}", finding.rule),
            Err(problem) => {
                broken += 1;
                println!("BROKEN  {}\n        {problem:#}", finding.rule);
            }
        }
    }
    anyhow::ensure!(
        broken == 0,
        "{} breaks {broken} of the rules: loglake would lose logs there",
        args.url
    );
    println!("{} can hold a lake", args.url);
    Ok(())
}
