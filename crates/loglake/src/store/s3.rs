//! S3 and what speaks its protocol. Conditional creates need `If-None-Match: *` on PUT, which AWS,
//! MinIO, R2, Ceph and others have; `loglake check-store` tells.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

/// Most servers that are not AWS have one region, and call it so.
const REGION_DEFAULT: &str = "us-east-1";

/// `place` is `bucket/prefix`. Nothing is asked of the server yet. A request is given up after 30
/// seconds and a connection after 5, unless `AWS_TIMEOUT` and `AWS_CONNECT_TIMEOUT` say otherwise.
pub(super) fn open(place: &str) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        bail!("s3://{place} names no bucket: expected s3://bucket/prefix");
    }
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retries());
    if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none() {
        builder = builder.with_region(REGION_DEFAULT);
    }
    let endpoints = [AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint];
    let mut endpoints = endpoints.iter().filter_map(|key| builder.get_config_value(key));
    if endpoints.any(|url| url.starts_with("http://")) {
        // Who names an endpoint without TLS means it.
        builder = builder.with_allow_http(true);
    }
    let store = builder.build().with_context(|| format!("s3://{place} cannot be used"))?;
    let prefix = Path::parse(prefix.trim_end_matches('/'))
        .with_context(|| format!("s3://{place} has a prefix that cannot be a path"))?;
    if prefix.as_ref().is_empty() {
        Ok(Arc::new(store))
    } else {
        Ok(Arc::new(PrefixStore::new(store, prefix)))
    }
}

/// Short: the log and the committer retry themselves, knowing what a lost answer means.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 5,
        retry_timeout: Duration::from_secs(10),
    }
}
