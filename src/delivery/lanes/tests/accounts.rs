//! Workers, between accounts.

use super::*;

#[test]
fn a_hundred_lanes_of_one_account_that_hang_leave_a_worker_to_the_new_one_of_another() {
    let mut fixture = Fixture::new(options());
    (1..=100).for_each(|webhook| fixture.open_of(1, webhook, 2));
    let hanging: Vec<_> = (0..6).map(|_| fixture.next(T).expect("its part")).collect();
    assert_eq!(fixture.next(T), None, "six of the eight workers for slow lanes");
    (200..203).for_each(|webhook| fixture.open_of(2, webhook, 2));
    assert_eq!(fixture.drain(T), [200, 201], "at once");
    fixture.lanes.finish(hanging[0], FAILED, 10_000, T);
    assert_eq!(fixture.drain(T), [202], "two are fewer than five");
    fixture.open_of(3, 300, 1);
    fixture.lanes.finish(hanging[1], FAILED, 10_000, T);
    assert_eq!(fixture.drain(T), [300]);
    fixture.lanes.finish(hanging[2], FAILED, 10_000, T);
    assert_eq!(fixture.drain(T), [7], "the others have nothing that could go: its next, after the first six");
}

#[test]
fn accounts_that_hold_equally_many_workers_go_by_turns() {
    let mut fixture = Fixture::new(LaneOptions { workers: 12, ..options() });
    (1..=100).for_each(|webhook| fixture.open_of(1, webhook, 1));
    (201..=203).for_each(|webhook| fixture.open_of(2, webhook, 1));
    fixture.open_of(3, 301, 1);
    assert_eq!(fixture.drain(T), [1, 201, 301, 2, 202, 3]);
}

#[test]
fn a_single_worker_goes_to_accounts_by_turns_too() {
    let mut fixture = Fixture::new(LaneOptions { workers: 1, breaker_failures: 0, ..options() });
    fixture.open_prompt_of(3, 300);
    fixture.push(300, 9);
    (1..=100).for_each(|webhook| fixture.open_of(1, webhook, 9));
    fixture.open_of(2, 200, 9);
    let served = fixture.serve(10, |webhook| webhook == 300);
    assert_eq!(served, [300, 1, 300, 200, 300, 2, 300, 200, 300, 3]);
}

#[test]
fn an_account_whose_prompt_lanes_begin_to_hang_may_have_more_than_its_part_and_gets_no_more() {
    let mut fixture = Fixture::new(options());
    (100..102).for_each(|webhook| fixture.open_prompt_of(1, webhook));
    (100..102).for_each(|webhook| fixture.push(webhook, 4));
    let tickets: Vec<_> = (0..7).map(|_| fixture.next(T).expect("prompt")).collect();
    let hanging = T + limits::PROMPT_MS_MAX + 1;
    fixture.open_of(1, 1, 1);
    fixture.open_of(2, 2, 1);
    assert_eq!(fixture.drain(hanging), [2]);
    for ticket in &tickets[..2] {
        assert_eq!(fixture.next(hanging), None);
        fixture.lanes.finish(*ticket, FAILED, 5_000, hanging);
    }
    assert_eq!(fixture.drain(hanging).len(), 1, "one less than its part");
}

#[test]
fn what_hangs_of_a_lane_that_was_closed_or_reset_counts_for_its_account() {
    let mut fixture = Fixture::new(options());
    for webhook in 1..=3 {
        fixture.open_of(1, webhook, 2);
        assert_eq!(fixture.drain(T), [webhook]);
        fixture.lanes.reset(WebhookId(webhook));
        assert_eq!(fixture.drain(T), [webhook], "as a new one");
        fixture.lanes.close(WebhookId(webhook));
    }
    fixture.open_of(1, 4, 1);
    assert_eq!((fixture.next(T), fixture.lanes.shares()), (None, [vec![(AccountId(1), 6)], vec![(AccountId(1), 6)]]));
    fixture.open_of(2, 20, 1);
    assert_eq!(fixture.drain(T), [20]);
}

#[test]
fn closing_and_opening_frees_no_worker_of_slow_lanes() {
    let mut fixture = Fixture::new(options());
    for _ in 0..20 {
        fixture.open(1, 1);
        fixture.drain(T);
        fixture.lanes.close(WebhookId(1));
    }
    assert_eq!(fixture.lanes.under_way(), 6, "an account's part");
    fixture.open_of(2, 2, 1);
    fixture.open_of(3, 3, 1);
    fixture.open_of(4, 4, 1);
    assert_eq!(fixture.drain(T), [2, 3]);
    fixture.lanes.close(WebhookId(2));
    assert_eq!(fixture.next(T), None);
}

#[test]
fn a_prompt_account_that_begins_to_hang_leaves_the_new_lane_of_another_a_worker_at_once() {
    let mut fixture = Fixture::new(LaneOptions { workers: 128, ..options() });
    (100..116).for_each(|webhook| fixture.open_prompt_of(1, webhook));
    (100..116).for_each(|webhook| fixture.push(webhook, 8));
    assert_eq!(fixture.drain(T).len(), 64, "as many as slow lanes may hold");
    let hanging = T + limits::PROMPT_MS_MAX + 1;
    assert_eq!((fixture.next(hanging), fixture.lanes.counts().0), (None, [64, 48]), "its part of them counts");
    (1..=20).for_each(|webhook| fixture.open(webhook, 1));
    assert_eq!(fixture.drain(hanging), Vec::from_iter(1..=16), "what is left");
}

#[test]
fn eight_attempts_of_an_account_that_hang_leave_another_two_of_the_eight_workers_for_slow_lanes() {
    let mut fixture = Fixture::new(options());
    (100..102).for_each(|webhook| fixture.open_prompt_of(1, webhook));
    (100..102).for_each(|webhook| fixture.push(webhook, 4));
    assert_eq!(fixture.drain(T).len(), 8);
    let hanging = T + limits::PROMPT_MS_MAX + 1;
    (1..=3).for_each(|webhook| fixture.open_of(2, webhook, 1));
    assert_eq!(fixture.drain(hanging), [1, 2]);
}

#[test]
fn a_prompt_account_that_holds_its_part_leaves_workers_to_the_prompt_lane_of_another() {
    let mut fixture = Fixture::new(LaneOptions { workers: 128, ..options() });
    (100..132).for_each(|webhook| fixture.open_prompt_of(1, webhook));
    fixture.open_prompt_of(2, 200);
    (100..132).for_each(|webhook| fixture.push(webhook, 4));
    assert_eq!(fixture.drain(T).len(), 96);
    fixture.open_of(1, 1, 1);
    assert_eq!(fixture.next(T), None, "nor for its new lane");
    fixture.push(200, 4);
    assert_eq!(fixture.drain(T), [200; 4]);
    fixture.open_of(2, 2, 1);
    assert_eq!(fixture.drain(T), [2], "a slow one that is not held up by the first account's");
}

#[test]
fn prompt_lanes_go_to_the_account_with_the_fewest_workers_and_by_turns_of_accounts() {
    let mut fixture = Fixture::new(LaneOptions { concurrency: 8, ..options() });
    (100..104).for_each(|webhook| fixture.open_prompt_of(1, webhook));
    fixture.open_prompt_of(2, 200);
    (100..104).for_each(|webhook| fixture.push(webhook, 1));
    assert_eq!(fixture.drain(T), [100, 101, 102, 103]);
    (100..104).for_each(|webhook| fixture.push(webhook, 2));
    fixture.push(200, 6);
    assert_eq!(fixture.drain(T), [200, 200, 200, 200, 100, 200, 101, 200, 102, 103, 100, 101]);
}

#[test]
fn slow_workers_of_an_account_count_for_its_prompt_lanes() {
    let mut fixture = Fixture::new(LaneOptions { workers: 8, ..options() });
    (100..102).for_each(|webhook| fixture.open_prompt_of(1, webhook));
    (1..=3).for_each(|webhook| fixture.open_of(1, webhook, 1));
    assert_eq!(fixture.drain(T), [1, 2, 3], "its part of those for slow lanes");
    (100..102).for_each(|webhook| fixture.push(webhook, 4));
    assert_eq!(fixture.drain(T), [100, 101, 100], "six of eight");
}
