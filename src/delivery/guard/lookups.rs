//! Look-ups that can't be called off: each runs on a thread of its own, and whoever asked waits no longer than they want to.
//!
//! Invariants:
//! * At most [`NAME_LOOKUPS_MAX`] threads, however many names have servers that never answer, and of them at most
//!   [`NAME_LOOKUPS_PER_ACCOUNT_MAX`] for one account, so that one with many such names does not keep the others from theirs. The last
//!   of them ([`NAME_LOOKUPS_LAST`]) are for accounts that have none, so that a few with many such names do not either. Whoever
//!   asks for one more waits for one of them to end.
//! * What the server lacks itself, be it a thread or one of these places, is told apart from what is wrong with a name.
//! * A name is looked up by one thread at a time. Others who ask for it meanwhile wait for the same answer, so that a name that hangs
//!   holds one thread and no more. It counts for the account that asked first.
//! * An answer that comes when nobody waits for it any more is kept for a moment: the next who asks has it at once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::accounts::AccountId;
use crate::limits::{NAME_CACHED_MS, NAME_LOOKUPS_LAST, NAME_LOOKUPS_MAX, NAME_LOOKUPS_PER_ACCOUNT_MAX};

/// `ask` blocks for as long as it takes.
pub struct Lookups<Ask> {
    ask: Ask,
    state: Mutex<State>,
    one_ended: Condvar,
}

struct State {
    under_way: BTreeMap<Box<str>, LookUp>,
    /// What came too late for all who asked, and when.
    late: BTreeMap<Box<str>, (Instant, Found)>,
}

struct LookUp {
    account: AccountId,
    answer: Arc<Answer>,
}

type Found = Result<Vec<IpAddr>, LookUpError>;

/// Empty until it is there.
type Answer = OnceLock<Found>;

/// Why a look-up brought no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookUpError {
    /// The name does not exist, or has no address.
    Absent(String),
    /// Those who should know of the name did not say, this time.
    Unanswered(String),
    TimedOut,
    /// The server had no thread, no descriptor or no memory for it: nobody is to blame for that but the server.
    Lack(String),
}

impl<Ask> Lookups<Ask>
where
    Ask: Fn(&str) -> Result<Vec<IpAddr>, LookUpError> + Send + Sync + 'static,
{
    pub const fn new(ask: Ask) -> Self {
        let state = State { under_way: BTreeMap::new(), late: BTreeMap::new() };
        Self { ask, state: Mutex::new(state), one_ended: Condvar::new() }
    }

    /// [`LookUpError::TimedOut`] where the answer does not come in time; [`LookUpError::Lack`] where others' names kept this one from
    /// being asked for until then, or nearly so.
    pub fn look_up(&'static self, account: AccountId, name: &str, patience: Duration) -> Found {
        let start = Instant::now();
        // None: whoever asks waits for as long as it takes.
        let deadline = start.checked_add(patience);
        let mut state = self.state.lock().expect("no holder panics");
        if let Some((at, found)) = state.late.remove(name)
            && at.elapsed() < Duration::from_millis(NAME_CACHED_MS)
        {
            return found;
        }
        let mut joined = None;
        let mut waited = None;
        loop {
            if joined.is_none() {
                joined = match state.under_way.get(name) {
                    Some(look_up) => Some(look_up.answer.clone()),
                    None if state.has_room(account) => Some(self.begin(account, name, &mut state)?),
                    None => None,
                };
                // Once it had to wait for a place.
                waited = match joined {
                    None => Some(Duration::ZERO),
                    Some(_) => waited.map(|_| start.elapsed()),
                };
            }
            if let Some(answer) = joined.as_ref().and_then(|answer| answer.get()) {
                return answer.clone();
            }
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                // Whose own names take all that it may have, has nobody else to thank for that.
                let is_own = joined.is_none() && state.own(account) >= NAME_LOOKUPS_PER_ACCOUNT_MAX;
                let had_time = joined.is_some() && waited.is_none_or(|waited| waited <= patience / 2);
                return Err(match is_own || had_time {
                    true => LookUpError::TimedOut,
                    false => LookUpError::Lack("too many names are being looked up that do not answer".to_owned()),
                });
            }
            state = self.one_ended.wait_timeout(state, left).expect("no holder panics").0;
        }
    }

    fn begin(&'static self, account: AccountId, name: &str, state: &mut State) -> Result<Arc<Answer>, LookUpError> {
        let name: Box<str> = name.into();
        let answer = Arc::new(Answer::new());
        let (asked, answered) = (name.clone(), answer.clone());
        // Named for whoever looks at the threads of a server whose names hang.
        let run = move || {
            let found = (self.ask)(&asked);
            let mut state = self.state.lock().expect("no holder panics");
            let _ = answered.set(found.clone());
            state.under_way.remove(&asked);
            // All others who have it wait for it.
            if Arc::strong_count(&answered) == 1 {
                state.keep_late(asked, found);
            }
            drop(state);
            self.one_ended.notify_all();
        };
        let lack = |error| LookUpError::Lack(format!("no thread: {error}"));
        thread::Builder::new().name("name-look-up".into()).spawn(run).map_err(lack)?;
        state.under_way.insert(name, LookUp { account, answer: answer.clone() });
        Ok(answer)
    }
}

impl State {
    /// Counted where they are, so that nothing has to be given back: there are no more than [`NAME_LOOKUPS_MAX`].
    fn own(&self, account: AccountId) -> usize {
        self.under_way.values().filter(|look_up| look_up.account == account).count()
    }

    /// The last ones are for accounts that have none yet.
    fn has_room(&self, account: AccountId) -> bool {
        let own = self.own(account);
        let max = NAME_LOOKUPS_MAX - if own == 0 { 0 } else { NAME_LOOKUPS_LAST };
        self.under_way.len() < max && own < NAME_LOOKUPS_PER_ACCOUNT_MAX
    }

    /// As many as there may be look-ups.
    fn keep_late(&mut self, name: Box<str>, found: Found) {
        if self.late.len() >= NAME_LOOKUPS_MAX {
            self.late.retain(|_, (at, _)| at.elapsed() < Duration::from_millis(NAME_CACHED_MS));
        }
        if self.late.len() < NAME_LOOKUPS_MAX {
            self.late.insert(name, (Instant::now(), found));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const NONE: Duration = Duration::ZERO;
    const ONE: AccountId = AccountId(1);
    const OTHER: AccountId = AccountId(2);

    /// Names that begin with `hang` are answered once the gate opens.
    struct Gate {
        open: Mutex<bool>,
        opened: Condvar,
        asked: AtomicUsize,
    }

    type Ask = Box<dyn Fn(&str) -> Result<Vec<IpAddr>, LookUpError> + Send + Sync>;

    fn gated() -> (&'static Lookups<Ask>, &'static Gate) {
        let gate: &'static Gate =
            Box::leak(Box::new(Gate { open: Mutex::new(false), opened: Condvar::new(), asked: AtomicUsize::new(0) }));
        let ask: Ask = Box::new(|name| {
            gate.asked.fetch_add(1, Ordering::SeqCst);
            if name.starts_with("hang") {
                drop(gate.opened.wait_while(gate.open.lock().expect("a gate"), |open| !*open).expect("a gate"));
            }
            match name {
                "nowhere" => Err(absent()),
                _ => Ok(vec![[192, 0, 2, 1].into()]),
            }
        });
        (Box::leak(Box::new(Lookups::new(ask))), gate)
    }

    impl Gate {
        fn open(&self) {
            *self.open.lock().expect("a gate") = true;
            self.opened.notify_all();
        }
    }

    fn absent() -> LookUpError {
        LookUpError::Absent("no such name".to_owned())
    }

    fn timed_out(answer: Result<Vec<IpAddr>, LookUpError>) -> bool {
        answer == Err(LookUpError::TimedOut)
    }

    fn lacked(answer: Result<Vec<IpAddr>, LookUpError>) -> bool {
        matches!(answer, Err(LookUpError::Lack(_)))
    }

    #[test]
    fn an_answer_and_an_error_come_back() {
        let (lookups, _) = gated();
        assert_eq!(lookups.look_up(ONE, "somewhere", LONG).expect("an answer"), [IpAddr::from([192, 0, 2, 1])]);
        assert_eq!(lookups.look_up(ONE, "nowhere", LONG), Err(absent()));
    }

    #[test]
    fn whoever_has_all_the_time_there_is_gets_an_answer() {
        let (lookups, _) = gated();
        assert!(lookups.look_up(ONE, "somewhere", Duration::MAX).is_ok());
    }

    #[test]
    fn a_name_that_hangs_holds_one_thread_and_its_late_answer_goes_to_all_who_wait() {
        let (lookups, gate) = gated();
        for _ in 0..10 {
            assert!(timed_out(lookups.look_up(ONE, "hang", NONE)));
        }
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| lookups.look_up(ONE, "hang", LONG))).collect();
            gate.open();
            for waiting in waiting {
                assert!(waiting.join().expect("no panic").is_ok());
            }
        });
        // The threads that came late may have found it answered, and asked once more each; the ten before them did not.
        assert!(gate.asked.load(Ordering::SeqCst) <= 5);
    }

    #[test]
    fn an_answer_that_came_too_late_is_there_for_the_next_who_asks_once() {
        let (lookups, gate) = gated();
        assert!(timed_out(lookups.look_up(ONE, "hang", NONE)));
        gate.open();
        while lookups.state.lock().expect("no panic").late.is_empty() {
            thread::yield_now();
        }
        assert!(lookups.look_up(OTHER, "hang", NONE).is_ok());
        assert_eq!(gate.asked.load(Ordering::SeqCst), 1, "nobody was asked again");
        lookups.look_up(OTHER, "hang", LONG).expect("an answer");
        assert_eq!(gate.asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn whoever_has_waited_for_others_names_is_not_told_that_theirs_does_not_answer() {
        let (lookups, gate) = gated();
        let begun: usize = (0..2 * NAME_LOOKUPS_MAX as u64).map(|account| fill(lookups, AccountId(account))).sum();
        assert_eq!(begun, NAME_LOOKUPS_MAX);
        thread::scope(|scope| {
            let patience = Duration::from_millis(400);
            let waiting = scope.spawn(move || lookups.look_up(AccountId(u64::MAX), "hang-too", patience));
            // One place comes free when most of that is over, and the name takes it.
            thread::sleep(Duration::from_millis(300));
            let first = lookups.state.lock().expect("no panic").under_way.pop_first();
            lookups.one_ended.notify_all();
            assert!(first.is_some() && lacked(waiting.join().expect("no panic")));
        });
        gate.open();
    }

    /// Has an account ask for names that hang, for as long as each still gets a thread.
    fn fill(lookups: &'static Lookups<Ask>, account: AccountId) -> usize {
        let begun = |number: usize| {
            let before = lookups.state.lock().expect("no panic").under_way.len();
            let answer = lookups.look_up(account, &format!("hang-{}-{number}", account.0), NONE);
            let begun = lookups.state.lock().expect("no panic").under_way.len() > before;
            // Without a place nobody was asked; whose own names have taken the places, is told as if it had been.
            let own = lookups.state.lock().expect("no panic").own(account);
            assert!(if begun || own == NAME_LOOKUPS_PER_ACCOUNT_MAX { timed_out(answer) } else { lacked(answer) });
            begun
        };
        (0..2 * NAME_LOOKUPS_MAX).take_while(|number| begun(*number)).count()
    }

    #[test]
    fn names_that_hang_take_so_many_threads_and_no_more_and_the_next_waits_for_one_to_end() {
        let (lookups, gate) = gated();
        let begun: usize = (0..2 * NAME_LOOKUPS_MAX as u64).map(|account| fill(lookups, AccountId(account))).sum();
        assert_eq!(begun, NAME_LOOKUPS_MAX);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| lookups.look_up(AccountId(u64::MAX), "further", LONG));
            gate.open();
            assert!(waiting.join().expect("no panic").is_ok());
        });
        assert!(
            gate.asked.load(Ordering::SeqCst) <= NAME_LOOKUPS_MAX + 1,
            "those that gave up are not looked up later"
        );
    }

    #[test]
    fn one_account_s_names_that_hang_leave_threads_to_the_others_and_its_next_waits_for_one_of_its_own() {
        let (lookups, gate) = gated();
        assert_eq!(fill(lookups, ONE), NAME_LOOKUPS_PER_ACCOUNT_MAX);
        assert!(timed_out(lookups.look_up(ONE, "somewhere", NONE)), "its own names are in its way");
        assert!(lookups.look_up(OTHER, "somewhere", LONG).is_ok());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| lookups.look_up(ONE, "somewhere", LONG));
            gate.open();
            assert!(waiting.join().expect("no panic").is_ok());
        });
    }

    #[test]
    fn accounts_whose_names_hang_leave_the_last_threads_to_those_who_have_none() {
        let (lookups, gate) = gated();
        let many = NAME_LOOKUPS_MAX / NAME_LOOKUPS_PER_ACCOUNT_MAX;
        let begun: usize = (0..many as u64).map(|account| fill(lookups, AccountId(account))).sum();
        assert!(begun <= NAME_LOOKUPS_MAX - NAME_LOOKUPS_LAST + many, "{begun}");
        for account in 100..110 {
            assert!(lookups.look_up(AccountId(account), "somewhere", LONG).is_ok());
        }
        gate.open();
    }

    #[test]
    fn whoever_joins_another_account_s_look_up_takes_none_of_their_own() {
        let (lookups, gate) = gated();
        let others = fill(lookups, OTHER);
        for number in 0..others {
            assert!(timed_out(lookups.look_up(ONE, &format!("hang-{}-{number}", OTHER.0), NONE)));
        }
        assert_eq!(fill(lookups, ONE), NAME_LOOKUPS_PER_ACCOUNT_MAX);
        gate.open();
    }
}
