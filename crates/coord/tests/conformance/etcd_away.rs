//! etcd goes away, comes back, comes back empty, and is meddled with.

use std::time::Duration;

use etcd_client::{Client, DeleteOptions};
use loglake_coord::{Coordinator, Duty, EtcdSettings};
use loglake_model::ErrorKind;
use tokio::time::{Instant, sleep, timeout};

use crate::group::{EtcdGroup, LEASE, SOON, await_members, endpoints, member};
use crate::proxy::Proxy;

/// A group that reaches its first etcd through a proxy.
async fn behind_proxy(test: &str) -> Option<(EtcdGroup, Proxy, String)> {
    let direct = EtcdGroup::new(test)?;
    let real = direct.settings.endpoints[0].clone();
    let proxy = Proxy::to(&real).await;
    let settings = EtcdSettings { endpoints: vec![proxy.url.clone()], ..direct.settings };
    Some((EtcdGroup { settings }, proxy, real))
}

async fn win(coordinator: &dyn Coordinator, name: &str) -> Box<dyn Duty> {
    let until = Instant::now() + SOON;
    loop {
        match coordinator.try_duty(name).await {
            Ok(Some(duty)) => return duty,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
            Ok(None) => {}
        }
        assert!(Instant::now() < until, "{name} is held by somebody");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_keeps_the_members_and_ends_the_duties() {
    let Some((group, proxy, real)) = behind_proxy("outage").await else {
        return;
    };
    let (a, b) = (group.etcd().await, group.etcd().await);
    a.register(member("a", "1")).await.unwrap();
    b.register(member("b", "1")).await.unwrap();
    let both = [member("a", "1"), member("b", "1")];
    await_members(&a, &both).await;
    await_members(&b, &both).await;
    let duty = win(&a, "compact").await;

    proxy.cut();
    timeout(LEASE * 2, duty.lost()).await.expect("lost when the lease may have ended");
    let error = a.try_duty("other").await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    // New facts wait for etcd; this process knows them already, and of the others the last.
    let error = a.register(member("a", "2")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert_eq!(**a.members().borrow(), [member("a", "2"), member("b", "1")]);
    assert_eq!(**b.members().borrow(), both);
    // History is compacted meanwhile: what was seen last can't be resumed.
    let mut direct = Client::connect([&real], None).await.unwrap();
    let revision = direct.put("elsewhere", "", None).await.unwrap();
    direct.compact(revision.header().unwrap().revision(), None).await.unwrap();

    proxy.point_to(&real);
    let after = [member("a", "2"), member("b", "1")];
    await_members(&b, &after).await;
    await_members(&a, &after).await;
    drop(duty);
    let duty = win(&b, "compact").await;
    assert!(timeout(LEASE * 2, duty.lost()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_starts_while_etcd_is_away() {
    let Some((group, proxy, real)) = behind_proxy("start").await else {
        return;
    };
    proxy.cut();
    let a = group.etcd().await;
    assert_eq!(a.register(member("a", "1")).await.unwrap_err().kind(), ErrorKind::Retry);
    assert_eq!(**a.members().borrow(), [member("a", "1")]);
    proxy.point_to(&real);
    let onlooker = group.etcd().await;
    await_members(&onlooker, &[member("a", "1")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_comes_back_empty_is_filled_again() {
    let Some((group, proxy, _)) = behind_proxy("empty").await else {
        return;
    };
    let Some(other) = endpoints("LOGLAKE_TEST_ETCD_OTHER") else {
        println!("skipped: LOGLAKE_TEST_ETCD_OTHER is not set");
        return;
    };
    let (a, b) = (group.etcd().await, group.etcd().await);
    a.register(member("a", "1")).await.unwrap();
    b.register(member("b", "1")).await.unwrap();
    let both = [member("a", "1"), member("b", "1")];
    await_members(&a, &both).await;
    let duty = win(&a, "compact").await;

    let mut members = a.members();
    members.mark_unchanged();
    proxy.point_to(&other[0]);
    timeout(SOON, duty.lost()).await.expect("the lease is unknown there");
    let onlooker = group.etcd().await;
    await_members(&onlooker, &both).await;
    // Longer than the grace: whoever was known stayed known all the while.
    sleep(LEASE * 2).await;
    assert!(!members.has_changed().unwrap(), "{:?}", members.borrow());
    win(&b, "compact").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_lease_or_key_is_taken_away_comes_back() {
    let Some(group) = EtcdGroup::new("meddled") else {
        return;
    };
    let mut direct = Client::connect(&group.settings.endpoints, None).await.unwrap();
    let (a, b) = (group.etcd().await, group.etcd().await);
    a.register(member("a", "1")).await.unwrap();
    await_members(&b, &[member("a", "1")]).await;
    let key = format!("{}/members/a", group.settings.prefix);

    let (created, lease) = placed(&mut direct, &key, |_, _| true).await;
    direct.delete(key.clone(), None).await.unwrap();
    placed(&mut direct, &key, |now, _| now != created).await;

    let duty = win(&a, "compact").await;
    direct.lease_revoke(lease).await.unwrap();
    timeout(SOON, duty.lost()).await.expect("lost with its lease");
    placed(&mut direct, &key, |_, now| now != lease).await;
    await_members(&b, &[member("a", "1")]).await;
}

/// The revision at which a key was created and its lease, as soon as they are so.
async fn placed(etcd: &mut Client, key: &str, so: impl Fn(i64, i64) -> bool) -> (i64, i64) {
    let until = Instant::now() + SOON;
    loop {
        let got = etcd.get(key, None).await.unwrap();
        match got.kvs().first().map(|kv| (kv.create_revision(), kv.lease())) {
            Some((created, lease)) if so(created, lease) => return (created, lease),
            other => assert!(Instant::now() < until, "{key} is at {other:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duty_whose_key_is_deleted_is_lost() {
    let Some(group) = EtcdGroup::new("deleted") else {
        return;
    };
    let mut direct = Client::connect(&group.settings.endpoints, None).await.unwrap();
    let a = group.etcd().await;
    let duty = win(&a, "compact").await;
    let duties = format!("{}/duties/", group.settings.prefix);
    direct.delete(duties, Some(DeleteOptions::new().with_prefix())).await.unwrap();
    timeout(LEASE / 2, duty.lost()).await.expect("lost as soon as the key is gone");
    // Dropped late, it does not take the next holder's key with it.
    let next = win(&a, "compact").await;
    drop(duty);
    assert!(timeout(LEASE, next.lost()).await.is_err());
}

#[tokio::test]
async fn wrong_settings_are_refused() {
    let settings = |endpoints: &[&str], prefix: &str| EtcdSettings {
        endpoints: endpoints.iter().map(|&e| e.to_owned()).collect(),
        prefix: prefix.to_owned(),
        lease: LEASE,
        timeout: Duration::from_secs(1),
    };
    for wrong in [
        settings(&[], "/lake"),
        settings(&["not a url at all"], "/lake"),
        settings(&["http://127.0.0.1:1"], "/"),
    ] {
        let shown = format!("{wrong:?}");
        let error = loglake_coord::Etcd::connect(wrong).await.map(drop).expect_err(&shown);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{shown}: {error}");
    }
}
