//! The cache over a store in memory that counts.

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use proptest::prelude::*;

use super::pieces::PIECE_BYTES;
use super::*;
use crate::store::Bucket;
use crate::store::conformance;
use crate::store::counted::{Counted, StoreRequests};

const IN_MEMORY: CacheSettings = CacheSettings { memory_bytes: 8 << 20, disk: None };

struct Bench {
    objects: Arc<InMemory>,
    cached: Cached,
    reads: CacheReads,
}

async fn bench(settings: &CacheSettings) -> Bench {
    let objects = Arc::new(InMemory::new());
    bench_over(objects, settings).await
}

async fn bench_over(objects: Arc<InMemory>, settings: &CacheSettings) -> Bench {
    let reads = CacheReads::default();
    let counted =
        Counted::new(&Bucket::remote(Arc::clone(&objects) as _), StoreRequests::default());
    let cached = Cached::open(Arc::new(counted), settings, reads.clone()).await.unwrap();
    Bench { objects, cached, reads }
}

impl Bench {
    fn bytes_from(&self, from: &'static str) -> u64 {
        self.reads.0.get_or_create(&Labels { from }).get()
    }

    async fn read(&self, path: &Path, range: Range<u64>) -> object_store::Result<Bytes> {
        let mut slices = self.cached.get_ranges(path, std::slice::from_ref(&range)).await?;
        Ok(slices.remove(0))
    }
}

/// Bytes of which no two places look alike for long.
fn content(bytes: usize) -> Bytes {
    (0..bytes as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn file() -> Path {
    Path::from("default/logs/date=2026-11-01/hour=13/1.parquet")
}

fn slices(content: &Bytes, ranges: &[Range<u64>]) -> Vec<Bytes> {
    let end = |at: u64| (at as usize).min(content.len());
    ranges.iter().map(|range| content.slice(end(range.start)..end(range.end))).collect()
}

#[tokio::test]
async fn a_cached_store_keeps_to_the_rules() {
    conformance::check(&bench(&IN_MEMORY).await.cached).await.unwrap();
}

#[tokio::test]
async fn what_was_read_is_not_asked_for_again() {
    let bench = bench(&IN_MEMORY).await;
    let content = content(10 * PIECE_BYTES as usize + 17);
    bench.objects.put(&file(), content.clone().into()).await.unwrap();
    let ranges = [5..9, 3 * PIECE_BYTES - 1..5 * PIECE_BYTES + 1];
    assert_eq!(bench.cached.get_ranges(&file(), &ranges).await.unwrap(), slices(&content, &ranges));
    assert_eq!(bench.bytes_from("store"), 5 * PIECE_BYTES);

    // Nothing but what is kept can answer now.
    bench.objects.delete(&file()).await.unwrap();
    let ranges = [0..PIECE_BYTES, 3 * PIECE_BYTES + 7..3 * PIECE_BYTES + 8];
    assert_eq!(bench.cached.get_ranges(&file(), &ranges).await.unwrap(), slices(&content, &ranges));
    assert_eq!(bench.bytes_from("memory"), 2 * PIECE_BYTES);
    bench.read(&file(), PIECE_BYTES..PIECE_BYTES + 1).await.unwrap_err();
}

#[tokio::test]
async fn what_may_change_is_not_kept() {
    let bench = bench(&IN_MEMORY).await;
    let log = Path::from("default/logs/_delta_log/_last_checkpoint");
    for content in ["one", "two"] {
        bench.objects.put(&log, content.into()).await.unwrap();
        assert_eq!(bench.read(&log, 0..3).await.unwrap(), content);
    }
}

#[tokio::test]
async fn memory_is_bounded() {
    let bench = bench(&CacheSettings { memory_bytes: 1 << 20, disk: None }).await;
    let content = content(4 << 20);
    bench.objects.put(&file(), content.clone().into()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(bench.read(&file(), 0..4 << 20).await.unwrap(), content);
    }
    assert!(bench.cached.pieces.memory().usage() <= 1 << 20);
    assert!(bench.bytes_from("store") > 4 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DiskSettings { folder: folder.path().join("cache"), bytes: DISK_BYTES_MIN };
    let settings = CacheSettings { memory_bytes: 1 << 20, disk: Some(disk) };
    let content = content(3 * PIECE_BYTES as usize);
    let objects = {
        let bench = bench(&settings).await;
        bench.objects.put(&file(), content.clone().into()).await.unwrap();
        bench.read(&file(), 0..content.len() as u64).await.unwrap();
        let error = Cached::open(Arc::clone(&bench.objects) as _, &settings, CacheReads::default());
        let error = format!("{:#}", error.await.unwrap_err());
        assert!(error.contains("another process has it"), "{error}");
        bench.cached.close().await;
        bench.objects
    };
    objects.delete(&file()).await.unwrap();
    let bench = bench_over(objects, &settings).await;
    let read = bench.read(&file(), 1..content.len() as u64).await.unwrap();
    assert_eq!(read, content.slice(1..));
    assert_eq!(bench.bytes_from("disk"), content.len() as u64);
}

proptest! {
    /// Whatever is asked for in whatever order, it is what the store would have answered.
    #[test]
    fn answers_are_those_of_the_store(
        bytes in 1..6 * PIECE_BYTES as usize,
        asked in prop::collection::vec(prop::collection::vec((0.0..1.0, 0.0..1.0), 1..4), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bench = bench(&IN_MEMORY).await;
            let content = content(bytes);
            bench.objects.put(&file(), content.clone().into()).await.unwrap();
            for asked in asked {
                let range = |(start, part): (f64, f64)| {
                    let start = (start * bytes as f64) as u64;
                    start..start + 1 + (part * (bytes as u64 - start) as f64) as u64
                };
                let ranges: Vec<Range<u64>> = asked.into_iter().map(range).collect();
                let answer = bench.cached.get_ranges(&file(), &ranges).await.unwrap();
                prop_assert_eq!(answer, slices(&content, &ranges));
            }
            Ok(())
        })?;
    }
}
