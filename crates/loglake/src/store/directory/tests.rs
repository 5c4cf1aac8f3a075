use object_store::ObjectStoreExt;

use super::*;

fn path(name: &str) -> Path {
    Path::from(name)
}

fn fault(error: &Error) -> &StoreFault {
    StoreFault::of(error).unwrap_or_else(|| panic!("no fault in {error}"))
}

#[test]
fn a_second_process_is_kept_out_and_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let first = Directory::open(folder.path()).unwrap();
    let told = format!("{:#}", Directory::open(folder.path()).unwrap_err());
    assert!(told.contains(&folder.path().display().to_string()), "{told}");
    assert!(told.contains("stop the loglake"), "{told}");
    drop(first);
    Directory::open(folder.path()).unwrap();
}

#[tokio::test]
async fn what_a_dead_process_left_is_swept_and_never_seen() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(STAGING)).unwrap();
    fs::write(folder.path().join("_tmp/write#3"), "half").unwrap();
    fs::write(folder.path().join("_tmp/odd"), "half").unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path().join(STAGING)).unwrap().count(), 0);
    directory.put(&path("a/b"), "x".into()).await.unwrap();
    assert_eq!(fs::read_dir(folder.path().join(STAGING)).unwrap().count(), 0);
    let all: Vec<_> = directory.list(None).map_ok(|o| o.location).try_collect().await.unwrap();
    assert_eq!(all, [path("a/b")]);
    let top = directory.list_with_delimiter(None).await.unwrap();
    assert_eq!((top.common_prefixes, top.objects), (vec![path("a")], vec![]));
}

#[tokio::test]
async fn a_reader_beside_the_owner_reads_and_never_writes() {
    let folder = tempfile::tempdir().unwrap();
    let owner = Directory::open(folder.path()).unwrap();
    owner.put(&path("a"), "x".into()).await.unwrap();
    let reader = Directory::read(folder.path()).unwrap();
    assert_eq!(reader.get(&path("a")).await.unwrap().bytes().await.unwrap(), "x");
    assert!(reader.put(&path("b"), "x".into()).await.is_err());
    assert!(reader.delete(&path("a")).await.is_err());
    assert!(Directory::read(&folder.path().join("none")).is_err());
}

#[tokio::test]
async fn a_write_that_cannot_be_named_is_definitely_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    directory.put(&path("file"), "x".into()).await.unwrap();
    let error = directory.put(&path("file/below"), "x".into()).await.unwrap_err();
    assert!(matches!(fault(&error), StoreFault::NotStored(_)), "{error}");
    let long = directory.put(&path(&"n".repeat(300)), "x".into()).await.unwrap_err();
    assert!(matches!(fault(&long), StoreFault::NotStored(_)), "{long}");
    assert_eq!(fs::read_dir(folder.path().join(STAGING)).unwrap().count(), 0);
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_written_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    let Access::Writes { files, .. } = &directory.access else { panic!("opened to write") };
    files.break_as_if_by_fsync();
    let error = directory.put(&path("a"), "x".into()).await.unwrap_err();
    assert!(matches!(fault(&error), StoreFault::SyncFailed(_)), "{error}");
    assert!(!folder.path().join("a").exists());
}

#[tokio::test]
async fn folders_that_vanish_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    directory.put(&path("a/b/c"), "x".into()).await.unwrap();
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    directory.put(&path("a/b/c"), "y".into()).await.unwrap();
    assert_eq!(directory.get(&path("a/b/c")).await.unwrap().bytes().await.unwrap(), "y");
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    let mut upload = directory.put_multipart(&path("a")).await.unwrap();
    upload.put_part("half".into()).await.unwrap();
    upload.abort().await.unwrap();
    assert!(upload.complete().await.is_err());
    assert!(directory.get(&path("a")).await.is_err());
    assert_eq!(fs::read_dir(folder.path().join(STAGING)).unwrap().count(), 0);
}
