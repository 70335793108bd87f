//! The rules of locks, which are the same wherever they are kept: each is tried on one host, and in a
//! cluster of a real member of etcd, through the one trait of both. Where there is no etcd this says so,
//! and tries one host only.

#![forbid(unsafe_code)]

mod people;
mod place;
mod rules;

/// All of them, by their names.
mod all {
    pub(crate) use crate::people::*;
    pub(crate) use crate::rules::*;
}

/// Each rule is a test of one host; a cluster is started once for all of them.
macro_rules! everywhere {
    ($($rule:ident)*) => {
        mod on_one_host {
            $(
                #[test]
                fn $rule() {
                    crate::all::$rule(&crate::place::OneHost::new(stringify!($rule)));
                }
            )*
        }

        #[cfg(feature = "etcd")]
        #[test]
        fn in_a_cluster() {
            let Some(members) = ward_testkit::etcd::Members::start(1).expect("a cluster") else {
                return;
            };
            $(
                println!("{}", stringify!($rule));
                all::$rule(&place::Several::new(&members, stringify!($rule)));
            )*
        }
    };
}

everywhere! {
    one_at_a_time_and_the_next_one_when_it_goes
    many_wait_in_order_and_never_two_are_inside
    every_pair_of_modes
    slots_are_shared_and_their_number_is_agreed_on
    a_pool_tells_which_one
    what_is_above_and_below
    several_are_held_all_or_none
    several_in_any_order_do_not_deadlock
    numbers_are_given_once_and_on_trial_again
    times_are_given_once
    turns
    crowds
    who_holds_it_above_does_not_wait_for_himself
    who_must_not_be_the_first
    what_is_shown
    only_who_is_in_the_way_is_named
    what_a_person_holds
    what_a_person_holds_for_a_time
    who_frees_what_others_hold
    what_is_taken_from_others
    no_more_is_taken_than_is_needed
}
