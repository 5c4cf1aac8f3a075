//! Naming a staged file, and knowing whether it was named.
//!
//! An answer to a rename may be lost, and `hdfs-native` repeats a call whose connection broke, so that
//! its answer may be about a rename that was made before: *no such source* or *the target exists* may
//! mean success. But a staged file's name is its own: only our rename takes it away (and, a day later, a
//! sweep). So after every error one look tells whether it was renamed, and a staged file that we deleted
//! never gets another name.

use super::clients::Patience;
use super::failure::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placing {
    /// Only where nothing is: one of many wins.
    Create,
    Overwrite,
}

/// What is asked of a NameNode. Every call is made once: an error may mean that it was done, is not
/// done, or will be done later.
pub(super) trait Namespace: Sync {
    fn rename(
        &self,
        from: &str,
        to: &str,
        placing: Placing,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
    fn is_there(&self, path: &str) -> impl Future<Output = Result<bool, Failure>> + Send;
    /// Whether it was there. `false` may also mean that an earlier call removed it.
    fn remove(&self, path: &str) -> impl Future<Output = Result<bool, Failure>> + Send;
    /// With those above it. One that is there is fine.
    fn make_folder(&self, path: &str) -> impl Future<Output = Result<(), Failure>> + Send;
}

#[derive(Debug)]
pub(super) enum Placed {
    Stored,
    /// Somebody else's object was at the target, and ours will not be.
    Exists,
    /// It is not stored, and will not be.
    NotStored(Failure),
    /// The staged file is gone, or may be: what the target holds tells.
    Compare(Failure),
    /// It may be stored, or be so later.
    Unknown(Failure),
}

/// Names `staged`, which nobody else names. It is removed when it came to nothing.
pub(super) async fn place(
    namespace: &impl Namespace,
    staged: &str,
    target: &str,
    placing: Placing,
) -> Placed {
    let mut patience = Patience::new();
    let mut folder_made = false;
    loop {
        let Err(failure) = namespace.rename(staged, target, placing).await else {
            return Placed::Stored;
        };
        let staged_is_there = namespace.is_there(staged).await.ok();
        let retry = match next(&failure, staged_is_there) {
            Next::Compare => return Placed::Compare(failure),
            Next::Exists => {
                // An earlier rename may still be on its way.
                return match namespace.remove(staged).await {
                    Ok(true) => Placed::Exists,
                    Ok(false) | Err(_) => Placed::Compare(failure),
                };
            }
            Next::GiveUp => Err(failure),
            Next::Again => patience.wait(failure).await,
            Next::MakeFolder => match namespace.make_folder(parent(target)).await {
                Ok(()) if !folder_made => {
                    folder_made = true;
                    Ok(())
                }
                Err(refused) if refused.is_final() => Err(refused),
                _ => patience.wait(failure).await,
            },
        };
        if let Err(failure) = retry {
            return give_up(namespace, staged, failure).await;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Compare,
    Exists,
    MakeFolder,
    Again,
    GiveUp,
}

/// What to do after a rename that failed; the staged file was there or not when it was looked for since.
fn next(failure: &Failure, staged_is_there: Option<bool>) -> Next {
    match staged_is_there {
        Some(false) => Next::Compare,
        None => Next::Again,
        Some(true) if failure.is_taken() => Next::Exists,
        Some(true) if failure.is_absent() => Next::MakeFolder,
        Some(true) if failure.is_final() => Next::GiveUp,
        Some(true) => Next::Again,
    }
}

/// A rename that is still on its way finds nothing to name once the staged file is deleted.
async fn give_up(namespace: &impl Namespace, staged: &str, failure: Failure) -> Placed {
    match namespace.remove(staged).await {
        Ok(true) => Placed::NotStored(failure),
        Ok(false) | Err(_) => Placed::Unknown(failure),
    }
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((parent, _)) if !parent.is_empty() => parent,
        _ => "/",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard};
    use std::time::Duration;

    use hdfs_native::HdfsError;
    use proptest::prelude::*;

    use super::*;

    /// What happens to one call.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fate {
        Answered,
        /// Done, and the answer lost.
        Lost,
        NotDone,
        /// Done after so many other calls, or at the end; no answer.
        Late(usize),
        /// The client repeats what was done, and gives the second answer.
        Repeated,
        /// Somebody makes the target before.
        Rival,
        /// Somebody deletes the target before.
        Removal,
    }

    #[derive(Debug, Default)]
    struct State {
        fates: Vec<Fate>,
        late: Vec<(usize, Act)>,
        staged: bool,
        folder: bool,
        target: Option<&'static str>,
        /// Our file got its name, whatever came later.
        moved: bool,
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Rename(Placing),
        Look,
        Remove,
        MakeFolder,
    }

    #[derive(Debug)]
    struct Fake(Mutex<State>);

    impl Fake {
        fn new(fates: Vec<Fate>, folder: bool) -> Self {
            Self(Mutex::new(State { fates, folder, staged: true, ..State::default() }))
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.0.lock().unwrap()
        }

        fn call(&self, act: Act) -> Result<bool, Failure> {
            let mut state = self.state();
            state.pass_time(1);
            let silent = || Failure::Silent(Duration::from_secs(10));
            match state.fates.pop().unwrap_or(Fate::Answered) {
                Fate::Answered => state.act(act),
                Fate::Lost => {
                    let _ = state.act(act);
                    Err(silent())
                }
                Fate::NotDone => Err(silent()),
                Fate::Late(calls) => {
                    state.late.push((calls, act));
                    Err(silent())
                }
                Fate::Repeated => {
                    let _ = state.act(act);
                    state.act(act)
                }
                Fate::Rival => {
                    if state.folder {
                        state.target.get_or_insert("theirs");
                    }
                    state.act(act)
                }
                Fate::Removal => {
                    state.target = None;
                    state.act(act)
                }
            }
        }
    }

    impl State {
        fn pass_time(&mut self, calls: usize) {
            for (left, _) in &mut self.late {
                *left = left.saturating_sub(calls);
            }
            let late = std::mem::take(&mut self.late);
            for (left, act) in late {
                match left {
                    0 => drop(self.act(act)),
                    _ => self.late.push((left, act)),
                }
            }
        }

        /// As a NameNode does it: the source first, then the folder, then the target.
        fn act(&mut self, act: Act) -> Result<bool, Failure> {
            let absent = || HdfsError::RPCError("java.io.FileNotFoundException".into(), "".into());
            match act {
                Act::Look => Ok(self.staged),
                Act::Remove => Ok(std::mem::take(&mut self.staged)),
                Act::MakeFolder => {
                    self.folder = true;
                    Ok(true)
                }
                Act::Rename(_) if !self.staged || !self.folder => Err(absent().into()),
                Act::Rename(Placing::Create) if self.target.is_some() => {
                    Err(HdfsError::AlreadyExists("target".into()).into())
                }
                Act::Rename(_) => {
                    (self.staged, self.moved, self.target) = (false, true, Some("ours"));
                    Ok(true)
                }
            }
        }
    }

    impl Namespace for Fake {
        async fn rename(&self, _: &str, _: &str, placing: Placing) -> Result<(), Failure> {
            self.call(Act::Rename(placing)).map(drop)
        }
        async fn is_there(&self, _: &str) -> Result<bool, Failure> {
            self.call(Act::Look)
        }
        async fn remove(&self, _: &str) -> Result<bool, Failure> {
            self.call(Act::Remove)
        }
        async fn make_folder(&self, _: &str) -> Result<(), Failure> {
            self.call(Act::MakeFolder).map(drop)
        }
    }

    fn run(fates: Vec<Fate>, folder: bool, placing: Placing) -> (Placed, Fake) {
        let fake = Fake::new(fates, folder);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let placed = runtime.unwrap().block_on(place(&fake, "/_tmp/1", "/a/b", placing));
        (placed, fake)
    }

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            4 => Just(Fate::Answered),
            2 => Just(Fate::Lost),
            2 => Just(Fate::NotDone),
            2 => (1..60usize).prop_map(Fate::Late),
            2 => Just(Fate::Repeated),
            1 => Just(Fate::Rival),
            1 => Just(Fate::Removal),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_is_said_is_so_whatever_comes_late(
            fates in prop::collection::vec(fate(), 0..80),
            folder in any::<bool>(),
            create in any::<bool>(),
        ) {
            let placing = if create { Placing::Create } else { Placing::Overwrite };
            let (placed, fake) = run(fates, folder, placing);
            let mut state = fake.state();
            match placed {
                Placed::Stored => prop_assert!(state.moved),
                Placed::Exists | Placed::NotStored(_) => {
                    state.pass_time(1_000);
                    prop_assert!(!state.moved, "named after it was said not to be");
                }
                Placed::Compare(_) | Placed::Unknown(_) => {}
            }
        }

        #[test]
        fn a_namespace_that_answers_in_the_end_leaves_no_doubt(
            fates in prop::collection::vec(fate(), 0..6),
            folder in any::<bool>(),
        ) {
            let (placed, _) = run(fates, folder, Placing::Create);
            prop_assert!(!matches!(placed, Placed::Unknown(_)), "{placed:?}");
        }
    }

    #[test]
    fn a_rename_whose_answer_was_lost_is_not_taken_for_a_loss() {
        for fates in [vec![Fate::Repeated], vec![Fate::Lost]] {
            let (placed, fake) = run(fates, true, Placing::Create);
            assert!(matches!(placed, Placed::Compare(_)), "{placed:?}");
            assert_eq!(fake.state().target, Some("ours"));
        }
    }

    #[test]
    fn the_loser_of_a_race_leaves_nothing() {
        let (placed, fake) = run(vec![Fate::Rival], true, Placing::Create);
        assert!(matches!(placed, Placed::Exists), "{placed:?}");
        let state = fake.state();
        assert_eq!((state.target, state.staged), (Some("theirs"), false));
    }

    #[test]
    fn a_folder_is_made_when_it_is_missed() {
        let (placed, fake) = run(vec![], false, Placing::Create);
        assert!(matches!(placed, Placed::Stored), "{placed:?}");
        assert_eq!(fake.state().target, Some("ours"));
        assert_eq!((parent("/a/b/c"), parent("/a")), ("/a/b", "/"));
    }
}
