//! Look-ups that can't be called off: each runs on a thread of its own, and whoever asked waits no longer than they want to.
//!
//! Invariants:
//! * At most [`NAME_LOOKUPS_MAX`] threads, however many names have servers that never answer, and of them at most
//!   [`NAME_LOOKUPS_PER_ACCOUNT_MAX`] for one account, so that one with many such names does not keep the others from theirs. Whoever
//!   asks for one more waits for one of them to end.
//! * A name is looked up by one thread at a time. Others who ask for it meanwhile wait for the same answer, so that a name that hangs
//!   holds one thread and no more. It counts for the account that asked first.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::accounts::AccountId;
use crate::limits::{NAME_LOOKUPS_MAX, NAME_LOOKUPS_PER_ACCOUNT_MAX};

/// `ask` blocks for as long as it takes.
pub struct Lookups<Ask> {
    ask: Ask,
    under_way: Mutex<UnderWay>,
    one_ended: Condvar,
}

type UnderWay = BTreeMap<Box<str>, LookUp>;

struct LookUp {
    account: AccountId,
    answer: Arc<Answer>,
}

/// Empty until it is there.
type Answer = OnceLock<io::Result<Vec<IpAddr>>>;

impl<Ask> Lookups<Ask>
where
    Ask: Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
{
    pub const fn new(ask: Ask) -> Self {
        Self { ask, under_way: Mutex::new(BTreeMap::new()), one_ended: Condvar::new() }
    }

    /// [`TimedOut`](io::ErrorKind::TimedOut) where the answer does not come in time.
    pub fn look_up(&'static self, account: AccountId, name: &str, patience: Duration) -> io::Result<Vec<IpAddr>> {
        let deadline = Instant::now() + patience;
        let mut under_way = self.under_way.lock().expect("no holder panics");
        let mut joined = None;
        loop {
            if joined.is_none() {
                joined = match under_way.get(name) {
                    Some(look_up) => Some(look_up.answer.clone()),
                    None if has_room(&under_way, account) => Some(self.begin(account, name, &mut under_way)?),
                    None => None,
                };
            }
            if let Some(answer) = joined.as_ref().and_then(|answer| answer.get()) {
                return same(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            under_way = self.one_ended.wait_timeout(under_way, left).expect("no holder panics").0;
        }
    }

    fn begin(&'static self, account: AccountId, name: &str, under_way: &mut UnderWay) -> io::Result<Arc<Answer>> {
        let name: Box<str> = name.into();
        let answer = Arc::new(Answer::new());
        let (asked, answered) = (name.clone(), answer.clone());
        // Named for whoever looks at the threads of a server whose names hang.
        thread::Builder::new().name("name-look-up".into()).spawn(move || {
            let _ = answered.set((self.ask)(&asked));
            self.under_way.lock().expect("no holder panics").remove(&asked);
            self.one_ended.notify_all();
        })?;
        under_way.insert(name, LookUp { account, answer: answer.clone() });
        Ok(answer)
    }
}

/// Counted where they are, so that nothing has to be given back: there are no more than [`NAME_LOOKUPS_MAX`].
fn has_room(under_way: &UnderWay, account: AccountId) -> bool {
    let own = under_way.values().filter(|look_up| look_up.account == account).count();
    under_way.len() < NAME_LOOKUPS_MAX && own < NAME_LOOKUPS_PER_ACCOUNT_MAX
}

/// An error can't be cloned, and several may wait for it.
fn same(answer: &io::Result<Vec<IpAddr>>) -> io::Result<Vec<IpAddr>> {
    match answer {
        Ok(addresses) => Ok(addresses.clone()),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
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

    type Ask = Box<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

    fn gated() -> (&'static Lookups<Ask>, &'static Gate) {
        let gate: &'static Gate =
            Box::leak(Box::new(Gate { open: Mutex::new(false), opened: Condvar::new(), asked: AtomicUsize::new(0) }));
        let ask: Ask = Box::new(|name| {
            gate.asked.fetch_add(1, Ordering::SeqCst);
            if name.starts_with("hang") {
                drop(gate.opened.wait_while(gate.open.lock().expect("a gate"), |open| !*open).expect("a gate"));
            }
            match name {
                "nowhere" => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
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

    fn timed_out(answer: io::Result<Vec<IpAddr>>) -> bool {
        answer.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }

    #[test]
    fn an_answer_and_an_error_come_back() {
        let (lookups, _) = gated();
        assert_eq!(lookups.look_up(ONE, "somewhere", LONG).expect("an answer"), [IpAddr::from([192, 0, 2, 1])]);
        let error = lookups.look_up(ONE, "nowhere", LONG).expect_err("no answer");
        assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::NotFound, "no such name"));
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

    /// Has an account ask for names that hang, for as long as each still gets a thread.
    fn fill(lookups: &'static Lookups<Ask>, account: AccountId) -> usize {
        let begun = |number: usize| {
            let before = lookups.under_way.lock().expect("no panic").len();
            assert!(timed_out(lookups.look_up(account, &format!("hang-{}-{number}", account.0), NONE)));
            lookups.under_way.lock().expect("no panic").len() > before
        };
        (0..2 * NAME_LOOKUPS_MAX).take_while(|number| begun(*number)).count()
    }

    #[test]
    fn names_that_hang_take_so_many_threads_and_no_more_and_the_next_waits_for_one_to_end() {
        let (lookups, gate) = gated();
        let begun: usize = (0..10).map(|account| fill(lookups, AccountId(account))).sum();
        assert_eq!(begun, NAME_LOOKUPS_MAX);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| lookups.look_up(AccountId(11), "further", LONG));
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
        assert!(timed_out(lookups.look_up(ONE, "somewhere", NONE)));
        assert!(lookups.look_up(OTHER, "somewhere", LONG).is_ok());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| lookups.look_up(ONE, "somewhere", LONG));
            gate.open();
            assert!(waiting.join().expect("no panic").is_ok());
        });
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
