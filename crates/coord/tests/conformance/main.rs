//! What every coordinator does, run against each; and what etcd's does when etcd is away.
//!
//! The runs against etcd need `LOGLAKE_TEST_ETCD` (endpoints, comma separated) and are skipped with
//! a message without it; one needs a second, unrelated etcd in `LOGLAKE_TEST_ETCD_OTHER`.

#![allow(clippy::unwrap_used)]

mod etcd_away;
mod group;
mod proxy;
mod suite;

use group::{EtcdGroup, InProcessGroup};

macro_rules! conformance {
    ($($test:ident),* $(,)?) => {
        mod in_process {
            $(#[tokio::test]
            async fn $test() {
                super::suite::$test(&super::InProcessGroup::new()).await;
            })*
        }
        mod etcd {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(group) = super::EtcdGroup::new(stringify!($test)) {
                    super::suite::$test(&group).await;
                }
            })*
        }
    };
}

conformance!(
    members_see_each_other_and_their_new_facts,
    who_leaves_is_gone_at_once,
    a_duty_has_one_holder,
    a_dropped_duty_can_be_won_again,
    a_held_duty_is_not_lost,
    leaving_loses_the_duties_until_the_next_registration,
    who_dies_is_gone_after_a_while,
);
