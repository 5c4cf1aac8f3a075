use futures::TryStreamExt;
use hdfs_native::WriteOptions;
use loglake_wal::StoreFault;
use object_store::{GetRange, WriteMultipart};

use super::*;
use crate::store::conformance;

/// A folder of its own in the HDFS that `LOGLAKE_TEST_HDFS_URL` names, if any.
fn lake() -> Option<Hdfs> {
    let Ok(url) = std::env::var("LOGLAKE_TEST_HDFS_URL") else {
        eprintln!("skipped: LOGLAKE_TEST_HDFS_URL names no HDFS");
        return None;
    };
    let place = url.strip_prefix("hdfs://").unwrap();
    Some(open(&format!("{place}/{}", uuid::Uuid::new_v4())).unwrap())
}

fn path(name: &str) -> Path {
    Path::from(name)
}

async fn staged(hdfs: &Hdfs) -> Vec<String> {
    let files = hdfs.walk(&hdfs.root.staging(), list::Depth::Level).await.unwrap();
    files.into_iter().map(|file| file.path).collect()
}

async fn listed(hdfs: &Hdfs) -> Vec<Path> {
    hdfs.list(None).map_ok(|object| object.location).try_collect().await.unwrap()
}

#[test]
fn what_is_no_place_is_said() {
    for place in ["", "/path", "user@host:9000/path", "host:9000/a//b"] {
        assert!(open(place).is_err(), "{place:?}");
    }
    // A name without a port is one that the configuration must know.
    let told = format!("{:#}", open("somewhere/path").unwrap_err());
    assert!(told.contains("HADOOP_CONF_DIR"), "{told}");
}

#[test]
fn objects_and_paths_are_one_to_one() {
    for (root, at_root, there) in [("", "/", "/a/b=1/c.x"), ("/r/s", "/r/s", "/r/s/a/b=1/c.x")] {
        let root = Root::parse(root).unwrap();
        assert_eq!(root.path(&Path::default()), at_root);
        let location = path("a/b=1/c.x");
        assert_eq!(root.path(&location), there);
        assert_eq!(root.location(there), Some(location));
    }
    assert!(
        is_hidden(&path("_tmp/x")) && !is_hidden(&path("a/_tmp")) && !is_hidden(&path("_tmpx"))
    );
}

#[tokio::test]
async fn hdfs_keeps_to_the_rules() {
    let Some(hdfs) = lake() else { return };
    conformance::check(&hdfs).await.unwrap();
}

#[tokio::test]
async fn a_lost_race_leaves_nothing_behind() {
    let Some(hdfs) = lake() else { return };
    let (there, mode) = (path("a/b"), || PutOptions::from(PutMode::Create));
    let race = (0..16).map(|n| hdfs.put_opts(&there, format!("{n}").into(), mode()));
    let outcomes = futures::future::join_all(race).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(staged(&hdfs).await, [""; 0]);
    assert_eq!(listed(&hdfs).await, [there]);
}

#[tokio::test]
async fn what_a_dead_process_left_is_not_seen_and_swept_a_day_later() {
    let Some(hdfs) = lake() else { return };
    let (_, client) = hdfs.clients.current();
    let leave = async |age_ms: u64| {
        let left = hdfs.staged_path();
        client.create(&left, WriteOptions::default()).await.unwrap().close().await.unwrap();
        let made = client.get_file_info(&left).await.unwrap().modification_time;
        client.set_times(&left, made - age_ms, made).await.unwrap();
        left
    };
    let (old, young) = (leave(25 * 60 * 60 * 1_000).await, leave(60_000).await);
    assert_eq!(listed(&hdfs).await, []);
    let level = hdfs.list_with_delimiter(None).await.unwrap();
    assert!(level.common_prefixes.is_empty() && level.objects.is_empty(), "{level:?}");
    let fresh = hdfs.stage(&"x".into()).await.unwrap();
    hdfs.sweep(&fresh).await.unwrap();
    let mut stay = [young, fresh];
    stay.sort_unstable();
    let mut left = staged(&hdfs).await;
    left.sort_unstable();
    assert_eq!(left, stay, "and {old} is gone");
}

/// Longer than blocks are in the tests' HDFS.
#[tokio::test]
async fn ranges_over_several_blocks_are_exact() {
    let Some(hdfs) = lake() else { return };
    let bytes: Vec<u8> = (0..9_000_017u32).map(|n| (n % 253) as u8).collect();
    let mut upload = WriteMultipart::new_with_chunk_size(
        hdfs.put_multipart(&path("big")).await.unwrap(),
        1_000_003,
    );
    for part in bytes.chunks(700_001) {
        upload.write(part);
    }
    upload.finish().await.unwrap();
    let size = bytes.len() as u64;
    for range in [0..size, 0..1, size - 1..size, 1_048_575..1_048_577, 999_999..8_000_001] {
        let there = hdfs.get_range(&path("big"), range.clone()).await.unwrap();
        assert!(there == bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    let options = GetOptions::new().with_range(Some(GetRange::Offset(5_000_000)));
    let tail = hdfs.get_opts(&path("big"), options).await.unwrap().bytes().await.unwrap();
    assert!(tail == bytes[5_000_000..]);
    assert_eq!(staged(&hdfs).await, [""; 0]);
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing() {
    let Some(hdfs) = lake() else { return };
    let mut upload = hdfs.put_multipart(&path("a")).await.unwrap();
    upload.put_part("half".into()).await.unwrap();
    assert_eq!(listed(&hdfs).await, []);
    upload.abort().await.unwrap();
    assert!(upload.complete().await.is_err());
    drop(hdfs.put_multipart(&path("a")).await.unwrap());
    for _ in 0..100 {
        if staged(&hdfs).await.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(staged(&hdfs).await, [""; 0]);
    assert!(hdfs.head(&path("a")).await.is_err());
}

/// A reader of an object that is overwritten again and again gets one of its contents whole.
#[tokio::test]
async fn an_object_that_is_overwritten_is_read_as_it_was_or_is() {
    let Some(hdfs) = lake() else { return };
    let hint = path("_delta_log/_last_checkpoint");
    let content = |n: usize| vec![b'0' + n as u8; 10_000 * (9 - n) + 1];
    hdfs.put(&hint, content(0).into()).await.unwrap();
    let writing = async {
        for n in 0..30 {
            hdfs.put(&hint, content(n % 9).into()).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..100 {
            let there = hdfs.get(&hint).await.unwrap().bytes().await.unwrap();
            assert!((0..9).any(|n| there == content(n)), "{} bytes", there.len());
        }
    };
    tokio::join!(writing, reading);
}

#[tokio::test]
async fn a_write_that_cannot_be_named_is_definitely_not_stored() {
    let Some(hdfs) = lake() else { return };
    hdfs.put(&path("file"), "x".into()).await.unwrap();
    for name in ["file/below", "a:b", &"n".repeat(300)] {
        let error = hdfs.put(&path(name), "x".into()).await.unwrap_err();
        assert!(matches!(StoreFault::of(&error), Some(StoreFault::NotStored(_))), "{error}");
    }
    assert_eq!(staged(&hdfs).await, [""; 0]);
    assert_eq!(listed(&hdfs).await, [path("file")]);
}

#[tokio::test]
async fn without_a_namenode_nothing_is_stored_and_that_is_said() {
    let hdfs = open("127.0.0.1:1/lake").unwrap();
    let error = hdfs.put(&path("a"), "x".into()).await.unwrap_err();
    assert!(matches!(StoreFault::of(&error), Some(StoreFault::NotStored(_))), "{error}");
    let error = hdfs.get(&path("a")).await.unwrap_err();
    assert!(matches!(error, Error::Generic { .. }), "{error}");
}
