//! Which builds are kept: Jenkins' rules for discarding old ones, without their effects.

use ward_config::job::Keep;

use crate::api::Lasts;
use crate::history::builds::Candidate;

/// Milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// What is not kept any longer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Going {
    /// These builds, whole.
    pub builds: Vec<u32>,
    /// Artifacts of these, which stay themselves.
    pub artifacts: Vec<u32>,
}

/// What of a job's builds that are over (newest first) goes at `now` (milliseconds since the epoch), while
/// `running` newer ones run, which count among those that are kept.
///
/// A build goes if it is too far down the list or too old; never one that is kept for ever, nor the last
/// successful or the last stable one.
#[must_use]
pub fn what_goes(
    keep: &Keep,
    over: &[Candidate],
    running: usize,
    lasts: &Lasts,
    now: i64,
) -> Going {
    let is_beyond = |limit: Option<u32>, place: usize| {
        limit.is_some_and(|limit| place >= usize::try_from(limit).unwrap_or(usize::MAX))
    };
    let is_older = |days: Option<u32>, started_at: i64| {
        days.is_some_and(|days| started_at < now.saturating_sub(i64::from(days) * DAY))
    };
    let mut going = Going::default();
    for (place, build) in over.iter().enumerate() {
        let number = Some(build.number);
        if build.keep || number == lasts.successful || number == lasts.stable {
            continue;
        }
        let place = place.saturating_add(running);
        if is_beyond(keep.builds, place) || is_older(keep.days, build.started_at) {
            going.builds.push(build.number);
        } else if build.artifacts
            && (is_beyond(keep.artifact_builds, place)
                || is_older(keep.artifact_days, build.started_at))
        {
            going.artifacts.push(build.number);
        }
    }
    going
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ward_config::job::Keep;

    use super::{DAY, Going, what_goes};
    use crate::api::Lasts;
    use crate::history::builds::Candidate;

    fn builds(count: u32) -> Vec<Candidate> {
        (1..=count)
            .rev()
            .map(|number| Candidate {
                number,
                started_at: i64::from(number) * DAY,
                keep: number == 2,
                artifacts: true,
            })
            .collect()
    }

    fn lasts(stable: u32, successful: u32) -> Lasts {
        Lasts {
            stable: Some(stable),
            successful: Some(successful),
            ..Lasts::default()
        }
    }

    #[test]
    fn the_newest_the_good_and_the_marked_stay() {
        let keep = Keep {
            builds: Some(3),
            ..Keep::default()
        };
        let going = what_goes(&keep, &builds(10), 0, &lasts(4, 5), 10 * DAY);
        assert_eq!(going.builds, [7, 6, 3, 1]);
        let going = what_goes(&keep, &builds(10), 1, &lasts(4, 5), 10 * DAY);
        assert_eq!(going.builds, [8, 7, 6, 3, 1]);
    }

    #[test]
    fn age_counts_too_and_artifacts_have_limits_of_their_own() {
        let keep = Keep {
            builds: Some(8),
            days: Some(4),
            artifact_builds: Some(2),
            artifact_days: Some(1),
        };
        let going = what_goes(&keep, &builds(10), 0, &lasts(9, 9), 10 * DAY);
        assert_eq!(
            going,
            Going {
                builds: vec![5, 4, 3, 1],
                artifacts: vec![8, 7, 6]
            }
        );
        assert_eq!(
            what_goes(&Keep::default(), &builds(10), 0, &lasts(9, 9), i64::MAX),
            Going::default()
        );
    }

    proptest! {
        #[test]
        fn never_the_marked_nor_the_good(
            count in 0u32..50, limit in proptest::option::of(0u32..60), days in proptest::option::of(0u32..60),
            good in 0u32..50, running in 0usize..4, now in 0i64..60,
        ) {
            let keep = Keep { builds: limit, days, artifact_builds: limit, artifact_days: days };
            let going = what_goes(&keep, &builds(count), running, &lasts(good, good), now * DAY);
            for number in going.builds.iter().chain(&going.artifacts) {
                prop_assert!(*number != good && *number != 2);
            }
            prop_assert!(going.builds.iter().all(|number| !going.artifacts.contains(number)));
            if let (Some(limit), None) = (limit, days) {
                let left = count as usize - going.builds.len();
                prop_assert!(left + running <= limit as usize + running + 2);
            }
        }
    }
}
