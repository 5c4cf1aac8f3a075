//! Which querier reads which file: rendezvous hashing (Thaler and Ravishankar, "A name-based mapping
//! scheme for rendezvous", 1996). A pure function of the file's path and the queriers' addresses: all
//! queriers agree, whatever else a query reads, and when a querier comes or goes only the files move
//! that it takes or leaves.

use twox_hash::XxHash3_64;

/// The number of the querier, of at least one, that reads this file.
pub(crate) fn reader(path: &str, queriers: &[impl AsRef<str>]) -> usize {
    let path = XxHash3_64::oneshot(path.as_bytes());
    let weight = |querier: &str| XxHash3_64::oneshot_with_seed(path, querier.as_bytes());
    let weights = queriers.iter().map(|querier| (weight(querier.as_ref()), querier.as_ref()));
    weights.enumerate().max_by_key(|(_, weight)| *weight).map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<String> {
        (0..10_000)
            .map(|n| format!("default/logs/date=2026-11-01/hour=13/{n:032x}.parquet"))
            .collect()
    }

    fn queriers(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("http://10.0.0.{n}:9401/")).collect()
    }

    #[test]
    fn every_querier_has_its_share() {
        for count in 1..=9 {
            let queriers = queriers(count);
            let mut shares = vec![0; count];
            files().iter().for_each(|file| shares[reader(file, &queriers)] += 1);
            let even = 10_000 / count;
            let is_fair = |share: &usize| share.abs_diff(even) * 10 < even;
            assert!(shares.iter().all(is_fair), "{shares:?}");
        }
    }

    #[test]
    fn only_the_files_of_a_querier_that_goes_move() {
        let before = queriers(5);
        let gone = before[2].clone();
        let after: Vec<_> = before.iter().filter(|querier| **querier != gone).cloned().collect();
        for file in files() {
            let (was, is) = (&before[reader(&file, &before)], &after[reader(&file, &after)]);
            assert!(was == is || *was == gone, "{file} moved from {was} to {is}");
        }
    }

    #[test]
    fn the_order_in_which_queriers_are_listed_says_nothing() {
        let queriers = queriers(4);
        let mut reversed = queriers.clone();
        reversed.reverse();
        for file in files().iter().take(100) {
            let (a, b) = (&queriers[reader(file, &queriers)], &reversed[reader(file, &reversed)]);
            assert_eq!(a, b);
        }
    }
}
