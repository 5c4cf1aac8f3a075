//! All objects below a folder, found by one thread in one go: each query looks for writers this way.

use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, Result};

use super::{STORE, is_hidden};

/// What is below the folder, which is the place of `location`, in the order of names.
pub(super) fn objects(folder: PathBuf, location: Path) -> Result<Vec<ObjectMeta>> {
    let (mut objects, mut folders) = (vec![], vec![(folder, location)]);
    while let Some((folder, location)) = folders.pop() {
        let failed = |error: io::Error| Error::Generic {
            store: STORE,
            source: format!("cannot list {}: {error}", folder.display()).into(),
        };
        // What is deleted meanwhile is not there.
        let Some(entries) = there(fs::read_dir(&folder)).map_err(failed)? else { continue };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let location = Path::parse(format!("{location}/{name}"))?;
            if is_hidden(&location) || is_half_written(&name) {
                continue;
            }
            let Some(metadata) = there(metadata(&entry)).map_err(failed)? else { continue };
            if metadata.is_dir() {
                folders.push((entry.path(), location));
            } else if metadata.is_file() {
                let last_modified: DateTime<Utc> = metadata.modified().map_err(failed)?.into();
                let size = metadata.len();
                objects.push(ObjectMeta {
                    location,
                    last_modified,
                    size,
                    e_tag: None,
                    version: None,
                });
            }
        }
    }
    objects.sort_unstable_by(|a, b| a.location.cmp(&b.location));
    Ok(objects)
}

fn metadata(entry: &DirEntry) -> io::Result<fs::Metadata> {
    match entry.file_type()?.is_symlink() {
        true => fs::metadata(entry.path()),
        false => entry.metadata(),
    }
}

fn there<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Ok(there) => Ok(Some(there)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether other programs that use the crate `object_store` are still at it: what they stage ends in `#` and
/// digits.
fn is_half_written(name: &str) -> bool {
    let number = name.rsplit_once('#').map_or("", |(_, number)| number);
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_below_a_folder_are_objects_but_for_those_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["b", "a/c/d", "a/b", "a/c/e#1", "a/c/f#1x", "_tmp/x", "_lock", "a/_tmp"] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), "12345").unwrap();
        }
        std::os::unix::fs::symlink(at("none"), at("a/broken")).unwrap();
        let list = |name: &str| {
            let objects = objects(at(name), Path::from(name)).unwrap();
            assert!(objects.iter().all(|object| object.size == 5));
            objects.into_iter().map(|object| object.location.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(list(""), ["a/_tmp", "a/b", "a/c/d", "a/c/f#1x", "b"]);
        assert_eq!(list("a/c"), ["a/c/d", "a/c/f#1x"]);
        assert!(list("none").is_empty() && list("b").is_empty());
    }
}
