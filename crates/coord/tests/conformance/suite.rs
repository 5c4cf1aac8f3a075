//! What every coordinator does.

use std::time::Duration;

use loglake_coord::{CoordError, Coordinator, Duty};
use loglake_model::ErrorKind;
use tokio::time::{Instant, sleep, timeout};

use crate::group::{Group, LEASE, SOON, await_members, member};

/// Tries until the duty is won.
async fn win(coordinator: &dyn Coordinator, name: &str) -> Box<dyn Duty> {
    let until = Instant::now() + SOON;
    loop {
        if let Some(duty) = coordinator.try_duty(name).await.unwrap() {
            return duty;
        }
        assert!(Instant::now() < until, "{name} is held by somebody");
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn members_see_each_other_and_their_new_facts(group: &dyn Group) {
    let (a, b, onlooker) = (group.join().await, group.join().await, group.join().await);
    b.register(member("b", "1")).await.unwrap();
    a.register(member("a", "1")).await.unwrap();
    let both = [member("a", "1"), member("b", "1")];
    for coordinator in [&a, &b, &onlooker] {
        await_members(coordinator.as_ref(), &both).await;
    }
    b.register(member("b", "2")).await.unwrap();
    // One sees its own facts at once.
    assert_eq!(b.members().borrow().last(), Some(&member("b", "2")));
    for coordinator in [&a, &b, &onlooker] {
        await_members(coordinator.as_ref(), &[member("a", "1"), member("b", "2")]).await;
    }
}

pub(crate) async fn who_leaves_is_gone_at_once(group: &dyn Group) {
    let (a, b) = (group.join().await, group.join().await);
    a.register(member("a", "1")).await.unwrap();
    b.register(member("b", "1")).await.unwrap();
    await_members(a.as_ref(), &[member("a", "1"), member("b", "1")]).await;
    b.leave().await.unwrap();
    let took = await_members(a.as_ref(), &[member("a", "1")]).await;
    assert!(took < LEASE / 2, "{took:?}: not before the lease ended");
    await_members(b.as_ref(), &[member("a", "1")]).await;
}

pub(crate) async fn a_duty_has_one_holder(group: &dyn Group) {
    let members = [group.join().await, group.join().await, group.join().await];
    for round in 0..5 {
        let name = format!("recover/{round}");
        let tries = (0..9).map(|i| members[i % 3].try_duty(&name));
        let won = futures::future::join_all(tries).await;
        let holders: Vec<_> = won.into_iter().filter_map(|duty| duty.unwrap()).collect();
        assert_eq!(holders.len(), 1, "round {round}");
        // Another name is another duty.
        assert!(members[0].try_duty(&format!("{name}/more")).await.unwrap().is_some());
    }
}

pub(crate) async fn a_dropped_duty_can_be_won_again(group: &dyn Group) {
    let (a, b) = (group.join().await, group.join().await);
    let duty = win(a.as_ref(), "compact").await;
    assert!(b.try_duty("compact").await.unwrap().is_none());
    assert!(a.try_duty("compact").await.unwrap().is_none());
    drop(duty);
    let began = Instant::now();
    let again = win(b.as_ref(), "compact").await;
    assert!(began.elapsed() < LEASE / 2, "not before the lease ended");
    // The first holder's end is not the second's.
    assert!(timeout(Duration::from_millis(200), again.lost()).await.is_err());
}

pub(crate) async fn a_held_duty_is_not_lost(group: &dyn Group) {
    let (a, b) = (group.join().await, group.join().await);
    a.register(member("a", "1")).await.unwrap();
    let duty = win(a.as_ref(), "vacuum").await;
    // Longer than the lease, with others coming and going.
    b.register(member("b", "1")).await.unwrap();
    b.leave().await.unwrap();
    assert!(timeout(LEASE + LEASE / 2, duty.lost()).await.is_err());
    assert!(a.try_duty("vacuum").await.unwrap().is_none());
}

pub(crate) async fn leaving_loses_the_duties_until_the_next_registration(group: &dyn Group) {
    let (a, b) = (group.join().await, group.join().await);
    a.register(member("a", "1")).await.unwrap();
    let duty = win(a.as_ref(), "recover").await;
    a.leave().await.unwrap();
    timeout(SOON, duty.lost()).await.expect("a lost duty");
    win(b.as_ref(), "recover").await;
    let refused = a.try_duty("other").await.map(drop).unwrap_err();
    assert!(matches!(refused, CoordError::Left), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::NotAllowed);
    a.register(member("a", "2")).await.unwrap();
    let other = win(a.as_ref(), "other").await;
    // The duty of the life before neither comes back nor takes the new one with it.
    timeout(SOON, duty.lost()).await.expect("a lost duty");
    drop(duty);
    assert!(timeout(Duration::from_millis(200), other.lost()).await.is_err());
    await_members(b.as_ref(), &[member("a", "2")]).await;
}

pub(crate) async fn who_dies_is_gone_after_a_while(group: &dyn Group) {
    let (a, b) = (group.join().await, group.join().await);
    a.register(member("a", "1")).await.unwrap();
    b.register(member("b", "1")).await.unwrap();
    await_members(a.as_ref(), &[member("a", "1"), member("b", "1")]).await;
    let duty = win(b.as_ref(), "retain").await;
    drop(b);
    await_members(a.as_ref(), &[member("a", "1")]).await;
    win(a.as_ref(), "retain").await;
    timeout(SOON, duty.lost()).await.expect("a lost duty");
}
