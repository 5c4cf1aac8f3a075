//! What loglake needs of a store, tried out on it. The promises rest on these rules: conditional
//! creates with one winner, and reads and listings that show at once what was written.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, WriteMultipart,
};

/// A rule and whether the store keeps it.
#[derive(Debug)]
pub struct Finding {
    pub rule: &'static str,
    pub outcome: Result<()>,
}

type Check = for<'a> fn(&'a Try<'a>) -> BoxFuture<'a, Result<()>>;

const RULES: [(&str, Check); 9] = [
    ("a conditional create has exactly one winner among 16 at once", |t| t.one_winner().boxed()),
    ("a conditional create that loses changes nothing and says so", |t| t.losers_lose().boxed()),
    ("what was written is read at once, also when overwritten", |t| t.read_after_write().boxed()),
    ("what was written or deleted shows in the next listing", |t| t.list_after_write().boxed()),
    ("ranges from the start, the middle and the end are exact", |t| t.ranges().boxed()),
    ("an object that is not there is reported as not found", |t| t.missing().boxed()),
    ("deleting what is not there does no harm", |t| t.delete_missing().boxed()),
    ("a listing keeps to its prefix and tells folders from objects", |t| t.prefixes().boxed()),
    ("an upload in parts appears whole, at its end", |t| t.multipart().boxed()),
];

/// Tries every rule, in a folder of its own below `_check/`, which is removed afterwards.
pub async fn findings(store: &dyn ObjectStore) -> Vec<Finding> {
    let mut findings = vec![];
    for (rule, check) in RULES {
        let folder = Path::from_iter(["_check".to_owned(), uuid::Uuid::new_v4().to_string()]);
        let t = Try { store, folder };
        let outcome = check(&t).await;
        let cleaned = t.clean().await;
        findings.push(Finding { rule, outcome: outcome.and(cleaned) });
    }
    findings
}

/// # Errors
/// The first rule that the store does not keep.
#[cfg(test)]
pub async fn check(store: &dyn ObjectStore) -> Result<()> {
    use anyhow::Context;
    for finding in findings(store).await {
        finding.outcome.with_context(|| format!("{store} breaks a rule: {}", finding.rule))?;
    }
    Ok(())
}

/// One rule being tried in a folder of its own.
struct Try<'a> {
    store: &'a dyn ObjectStore,
    folder: Path,
}

impl Try<'_> {
    fn at(&self, name: &str) -> Path {
        name.split('/').fold(self.folder.clone(), |path, part| path.join(part))
    }

    async fn put(&self, name: &str, bytes: impl Into<Bytes>, mode: PutMode) -> Result<(), Error> {
        let bytes: Bytes = bytes.into();
        self.store.put_opts(&self.at(name), bytes.into(), mode.into()).await.map(drop)
    }

    async fn get(&self, name: &str) -> Result<Bytes, Error> {
        self.store.get(&self.at(name)).await?.bytes().await
    }

    /// Names below the folder, in the order in which the store lists them.
    async fn list(&self, prefix: &Path) -> Result<Vec<String>, Error> {
        let objects: Vec<_> = self.store.list(Some(prefix)).try_collect().await?;
        let names = objects.iter().map(|object| {
            let below = object.location.prefix_match(&self.folder);
            let parts: Vec<_> =
                below.into_iter().flatten().map(|part| part.as_ref().to_owned()).collect();
            parts.join("/")
        });
        Ok(names.collect())
    }

    async fn clean(&self) -> Result<()> {
        let objects: Vec<_> = self.store.list(Some(&self.folder)).try_collect().await?;
        for object in objects {
            self.store.delete(&object.location).await?;
        }
        Ok(())
    }

    async fn one_winner(&self) -> Result<()> {
        for round in 0..4 {
            let name = format!("{round:020}");
            let runners = (0..16).map(|n| {
                let name = name.clone();
                async move { self.put(&name, format!("runner {n}"), PutMode::Create).await }
            });
            let outcomes = join_all(runners).await;
            let winners: Vec<_> = (0..16).filter(|n| outcomes[*n].is_ok()).collect();
            ensure!(winners.len() == 1, "{} of 16 won: {outcomes:?}", winners.len());
            let there = self.get(&name).await?;
            let winner = format!("runner {}", winners[0]);
            ensure!(there == winner.as_bytes(), "{winner} won, but {there:?} is there");
        }
        Ok(())
    }

    async fn losers_lose(&self) -> Result<()> {
        self.put("taken", "first", PutMode::Create).await?;
        let second = self.put("taken", "second", PutMode::Create).await;
        ensure!(
            matches!(second, Err(Error::AlreadyExists { .. })),
            "the second create answered {second:?}"
        );
        ensure!(self.get("taken").await? == "first", "the second create changed the object");
        Ok(())
    }

    async fn read_after_write(&self) -> Result<()> {
        for text in ["one", "a second and longer one", ""] {
            self.put("object", text, PutMode::Overwrite).await?;
            let there = self.get("object").await?;
            ensure!(there == text.as_bytes(), "wrote {text:?}, read {there:?}");
            let size = self.store.head(&self.at("object")).await?.size;
            ensure!(size == text.len() as u64, "{} bytes are reported as {size}", text.len());
        }
        Ok(())
    }

    async fn list_after_write(&self) -> Result<()> {
        let mut expected = BTreeSet::new();
        for n in 0..20 {
            let name = format!("log/{n:020}");
            self.put(&name, "x", PutMode::Create).await?;
            expected.insert(name);
            let listed: BTreeSet<_> = self.list(&self.folder).await?.into_iter().collect();
            ensure!(listed == expected, "listed {listed:?}, expected {expected:?}");
        }
        for n in [0, 19, 7] {
            let name = format!("log/{n:020}");
            self.store.delete(&self.at(&name)).await?;
            expected.remove(&name);
            let listed: BTreeSet<_> = self.list(&self.folder).await?.into_iter().collect();
            ensure!(listed == expected, "after a delete: {listed:?}, expected {expected:?}");
        }
        let listed = self.list(&self.folder).await?;
        ensure!(listed.is_sorted(), "names are not listed in order: {listed:?}");
        Ok(())
    }

    async fn ranges(&self) -> Result<()> {
        let bytes: Bytes = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let path = self.at("object");
        self.put("object", bytes.clone(), PutMode::Create).await?;
        for range in [0..10u64, 5_000..70_000, 99_999..100_000] {
            let there = self.store.get_range(&path, range.clone()).await?;
            let expected = bytes.slice(range.start as usize..range.end as usize);
            ensure!(there == expected, "bytes {range:?} are not what was written");
        }
        let several = [70_000..70_001u64, 0..10, 5..20_000];
        let there = self.store.get_ranges(&path, &several).await?;
        let expected = several.map(|range| bytes.slice(range.start as usize..range.end as usize));
        ensure!(there == expected, "several ranges at once are not what was written");
        for suffix in [1u64, 65_536, 1 << 20] {
            let options = GetOptions::new().with_range(Some(GetRange::Suffix(suffix)));
            let answer = self.store.get_opts(&path, options).await?;
            let size = answer.meta.size;
            ensure!(size == bytes.len() as u64, "a suffix says the object has {size} bytes");
            let there = answer.bytes().await?;
            let expected = bytes.slice(bytes.len().saturating_sub(suffix as usize)..);
            ensure!(there == expected, "the last {suffix} bytes are not what was written");
        }
        Ok(())
    }

    async fn missing(&self) -> Result<()> {
        let read = self.get("nothing").await;
        ensure!(matches!(read, Err(Error::NotFound { .. })), "reading answered {read:?}");
        let head = self.store.head(&self.at("nothing")).await;
        ensure!(matches!(head, Err(Error::NotFound { .. })), "asking answered {head:?}");
        let listed = self.list(&self.folder).await?;
        ensure!(listed.is_empty(), "an empty folder lists {listed:?}");
        Ok(())
    }

    async fn delete_missing(&self) -> Result<()> {
        self.put("there", "x", PutMode::Create).await?;
        let paths = ["nothing", "there"].map(|name| Ok(self.at(name)));
        let outcomes: Vec<_> =
            self.store.delete_stream(stream::iter(paths).boxed()).collect().await;
        for outcome in outcomes {
            let harmless = matches!(outcome, Ok(_) | Err(Error::NotFound { .. }));
            ensure!(harmless, "deleting answered {outcome:?}");
        }
        let read = self.get("there").await;
        ensure!(matches!(read, Err(Error::NotFound { .. })), "deleted, but read as {read:?}");
        Ok(())
    }

    async fn prefixes(&self) -> Result<()> {
        for name in ["a/1", "a/2", "a/deep/3", "ab/4", "b"] {
            self.put(name, "x", PutMode::Create).await?;
        }
        let listed = self.list(&self.at("a")).await?;
        ensure!(listed == ["a/1", "a/2", "a/deep/3"], "below a/: {listed:?}");
        let level = self.store.list_with_delimiter(Some(&self.folder)).await?;
        let expected = [self.at("a"), self.at("ab")];
        ensure!(level.common_prefixes == expected, "folders: {:?}", level.common_prefixes);
        let objects: Vec<_> = level.objects.into_iter().map(|object| object.location).collect();
        ensure!(objects == [self.at("b")], "objects: {objects:?}");
        self.store.delete(&self.at("ab/4")).await?;
        let level = self.store.list_with_delimiter(Some(&self.folder)).await?;
        let folders = level.common_prefixes;
        ensure!(folders == [self.at("a")], "an emptied folder still shows: {folders:?}");
        Ok(())
    }

    async fn multipart(&self) -> Result<()> {
        // Parts of S3 are at least 5 MiB, but for the last.
        let bytes = Bytes::from(vec![7u8; (5 << 20) + 17]);
        let upload = self.store.put_multipart(&self.at("object")).await?;
        let mut writer = WriteMultipart::new(upload);
        writer.put(bytes.clone());
        writer.wait_for_capacity(0).await?;
        let early = self.get("object").await;
        ensure!(early.is_err(), "the object was there before the end of its upload");
        writer.finish().await?;
        ensure!(self.get("object").await? == bytes, "the parts are not what was written");
        Ok(())
    }
}
