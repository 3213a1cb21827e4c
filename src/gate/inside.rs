//! Counting who is inside: WebSockets by address and by holder, and those that have not said who they are.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::{ArcSwap, Guard};
use slab::Slab;

use super::host::Host;
use super::rate::Rate;
use super::recent::Recent;
use super::refused::{Refused, seconds};
use super::tally::{Tag, Tally};
use super::{Network, Policy};
use crate::accounts::KeyNumber;
use crate::clock::Nanos;
use crate::limits;
use crate::tokens::UserId;

/// Who may come in. One for the server.
///
/// All shards share it under one lock, which is held for a few look-ups (and, a dozen times in the server's life, while a
/// table doubles). It is touched a few times in a handshake, once when an `auth` message brings a good key or opens a user's
/// session, and once when a socket ends; for no other message. What it remembers is bounded by the sockets that are inside
/// and by [`RATED_ADDRESSES_MAX`](limits::RATED_ADDRESSES_MAX).
pub struct Gate {
    policy: ArcSwap<Policy>,
    inside: Mutex<Inside>,
}

struct Inside {
    handshakes: Recent<Host>,
    passes: Slab<Counted>,
    addresses: Tally<Host>,
    holders: Tally<Holder>,
    /// Passes whose standing is `Pending`, by address and together.
    strangers: Tally<Host>,
    pending: u32,
}

/// What one pass is counted under.
struct Counted {
    address: Tag,
    standing: Standing,
}

#[derive(Clone, Copy)]
enum Standing {
    /// In the middle of its handshake.
    Arriving,
    /// To say in a message who it is; counted among the strangers of its address.
    Pending(Tag),
    Known(Tag),
}

/// Whose connection it is, once that is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    Key(KeyNumber),
    User(UserId),
}

/// Proof that a connection was counted, small enough to lie in a socket's slot. There is one of each, and it has to come back
/// to [`Gate::leave`]: dropped, its connection counts for ever. Where that could happen it lives in an
/// [`Entry`](super::Entry).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a pass that is not given back counts for ever"]
pub struct Pass(NonZeroU32);

const _: () = assert!(size_of::<Option<Pass>>() == 4);

impl Pass {
    /// Of everybody who is exempt: nothing is counted, so nothing has to be kept or locked.
    const UNCOUNTED: NonZeroU32 = NonZeroU32::MAX;

    pub(super) const fn uncounted() -> Self {
        Self(Self::UNCOUNTED)
    }

    /// Where it is in the slab.
    fn index(&self) -> Option<usize> {
        (self.0 != Self::UNCOUNTED).then(|| self.0.get() as usize - 1)
    }
}

impl Gate {
    pub fn new(policy: Policy) -> Self {
        let rate = handshake_rate(&policy);
        let inside = Mutex::new(Inside {
            handshakes: Recent::new(rate, 1, limits::RATED_ADDRESSES_MAX),
            passes: Slab::new(),
            addresses: Tally::default(),
            holders: Tally::default(),
            strangers: Tally::default(),
            pending: 0,
        });
        Self { policy: ArcSwap::from_pointee(policy), inside }
    }

    /// The policy in force. Held for no longer than a decision takes.
    pub fn policy(&self) -> Guard<Arc<Policy>> {
        self.policy.load()
    }

    /// Puts another policy into force, for whoever comes from now on: nobody who is inside has to leave.
    pub fn follow(&self, policy: Policy) {
        self.inside().handshakes.set_rate(handshake_rate(&policy), 1);
        self.policy.store(Arc::new(policy));
    }

    /// Counts a handshake and a connection of that client address. `now` must not go back by much.
    pub fn enter(&self, address: IpAddr, now: Nanos) -> Result<Pass, Refused> {
        let policy = self.policy();
        if Network::any_contains(&policy.exempt_addresses, address) {
            return Ok(Pass::uncounted());
        }
        let (host, max) = (Host::of(address), policy.connections_per_address);
        let mut inside = self.inside();
        // One that comes too often is told so even where its address is full as well: it has to learn to wait.
        inside
            .handshakes
            .admit(host, 1, now)
            .map_err(|wait| Refused::HandshakesTooFast { retry_after_s: seconds(wait) })?;
        let address = inside.addresses.add(host, max).map_err(|_| Refused::AddressFull { max })?;
        let index = inside.passes.insert(Counted { address, standing: Standing::Arriving });
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Ok(Pass(number.filter(|number| *number != Pass::UNCOUNTED).expect("fewer sockets than 32 bits count")))
    }

    /// Counts the pass as one that has yet to say who it is, until it is identified or leaves. No address has more than its
    /// share of what the server bears of them.
    pub fn await_authentication(&self, pass: &Pass) -> Result<(), Refused> {
        let Some(index) = pass.index() else { return Ok(()) };
        let policy = self.policy();
        let (max, share) = (policy.pending_authentications, policy.pending_authentications_per_address());
        let inside = &mut *self.inside();
        let Counted { address, standing } = &mut inside.passes[index];
        if let Standing::Arriving = standing {
            let host = *inside.addresses.key(*address);
            // An address whose share is used up is told so even where there is no room for anybody else either.
            let tag = inside.strangers.add(host, share).map_err(|_| Refused::AddressPending { max: share })?;
            if max != 0 && inside.pending >= max {
                inside.strangers.remove(tag);
                return Err(Refused::AuthenticationsPending);
            }
            *standing = Standing::Pending(tag);
            inside.pending += 1;
        }
        Ok(())
    }

    /// Counts the pass under its holder, in place of the one before, if any. The same one again changes nothing; where the
    /// new one is full, the pass stays what it was.
    pub fn identify(&self, pass: &Pass, holder: Holder) -> Result<(), Refused> {
        let Some(index) = pass.index() else { return Ok(()) };
        let max = self.policy().connections_per_key;
        let inside = &mut *self.inside();
        let standing = &mut inside.passes[index].standing;
        if let Standing::Known(tag) = *standing
            && *inside.holders.key(tag) == holder
        {
            return Ok(());
        }
        let full = match holder {
            Holder::Key(_) => Refused::KeyFull { max },
            Holder::User(_) => Refused::UserFull { max },
        };
        let tag = inside.holders.add(holder, max).map_err(|_| full)?;
        let before = std::mem::replace(standing, Standing::Known(tag));
        inside.take_back(before);
        Ok(())
    }

    /// Takes back everything that was counted for the pass.
    pub fn leave(&self, pass: Pass) {
        let Some(index) = pass.index() else { return };
        let inside = &mut *self.inside();
        let Counted { address, standing } = inside.passes.remove(index);
        inside.addresses.remove(address);
        inside.take_back(standing);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no holder panics")
    }
}

fn handshake_rate(policy: &Policy) -> Rate {
    Rate::per_second(policy.handshakes_per_second, policy.handshake_burst)
}

impl Inside {
    /// Takes back what was counted for a standing that is no more.
    fn take_back(&mut self, standing: Standing) {
        match standing {
            Standing::Arriving => {}
            Standing::Pending(tag) => {
                self.strangers.remove(tag);
                self.pending -= 1;
            }
            Standing::Known(holder) => self.holders.remove(holder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    impl Gate {
        /// Sockets of that address.
        fn of_address(&self, text: &str) -> u32 {
            self.inside().addresses.count(&Host::of(address(text)))
        }

        fn of_holder(&self, holder: &Holder) -> u32 {
            self.inside().holders.count(holder)
        }

        pub(crate) fn is_empty(&self) -> bool {
            let inside = self.inside();
            inside.passes.is_empty()
                && [&inside.addresses, &inside.strangers].iter().all(|hosts| hosts.is_empty())
                && inside.holders.is_empty()
                && inside.pending == 0
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn key(number: u64) -> Holder {
        Holder::Key(KeyNumber(number))
    }

    /// A gate without any limit but those that `limit` sets.
    fn gate(limit: impl FnOnce(&mut Policy)) -> Gate {
        let mut policy = Policy {
            connections_per_key: 0,
            connections_per_address: 0,
            handshakes_per_second: 0,
            pending_authentications: 0,
            exempt_addresses: Vec::new(),
            ..Policy::default()
        };
        limit(&mut policy);
        Gate::new(policy)
    }

    #[test]
    fn an_address_has_so_many_connections_and_no_more_until_one_leaves() {
        let gate = gate(|policy| policy.connections_per_address = 2);
        let enter = |text| gate.enter(address(text), 0);
        let first = enter("192.0.2.1").expect("room");
        let _second = enter("::ffff:192.0.2.1").expect("room");
        assert_eq!(enter("192.0.2.1"), Err(Refused::AddressFull { max: 2 }));
        let _other = enter("192.0.2.2").expect("another address");
        gate.leave(first);
        let _third = enter("192.0.2.1").expect("room again");
        assert_eq!((gate.of_address("192.0.2.1"), gate.of_address("192.0.2.2")), (2, 1));
    }

    #[test]
    fn another_policy_counts_for_whoever_comes_and_those_inside_stay() {
        let gate = gate(|policy| (policy.handshakes_per_second, policy.handshake_burst) = (1, 2));
        let enter = |text, now| gate.enter(address(text), now);
        let [first, _second] = [(); 2].map(|()| enter("192.0.2.1", 0).expect("the burst"));
        assert!(enter("192.0.2.1", 0).is_err());
        let narrow = Policy { connections_per_address: 2, handshakes_per_second: 0, ..(**gate.policy()).clone() };
        gate.follow(narrow);
        assert_eq!(enter("192.0.2.1", 0), Err(Refused::AddressFull { max: 2 }), "the rate is none, the number counts");
        assert_eq!(gate.of_address("192.0.2.1"), 2, "nobody had to leave");
        gate.leave(first);
        let _third = enter("192.0.2.1", 0).expect("room");
        let rated =
            Policy { connections_per_address: 0, handshakes_per_second: 1, handshake_burst: 1, ..Policy::default() };
        gate.follow(rated);
        let _burst = enter("192.0.2.9", SECOND).expect("the burst");
        assert!(enter("192.0.2.9", SECOND).is_err(), "the rate counts again");
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client() {
        let gate = gate(|policy| policy.connections_per_address = 1);
        let _first = gate.enter(address("2001:db8:0:1::5"), 0).expect("room");
        assert!(gate.enter(address("2001:db8:0:1:ffff::9"), 0).is_err());
        let _other = gate.enter(address("2001:db8:0:2::5"), 0).expect("another network");
    }

    #[test]
    fn handshakes_have_a_rate_that_refused_ones_do_not_use_up() {
        let gate = gate(|policy| (policy.handshakes_per_second, policy.handshake_burst) = (2, 3));
        let at = |now| gate.enter(address("192.0.2.1"), now).map(|pass| gate.leave(pass));
        assert_eq!((0..3).try_for_each(|_| at(0)), Ok(()));
        assert_eq!(at(0), Err(Refused::HandshakesTooFast { retry_after_s: 1 }));
        assert_eq!(at(SECOND / 2), Ok(()));
        assert!(at(SECOND / 2).is_err());
        assert!(gate.is_empty());
    }

    #[test]
    fn a_key_and_a_user_have_so_many_connections_whatever_their_addresses() {
        let gate = gate(|policy| policy.connections_per_key = 1);
        let passes = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|text| gate.enter(address(text), 0).expect("room"));
        let user = Holder::User(UserId::new("7"));
        assert_eq!(gate.identify(&passes[0], key(7)), Ok(()));
        assert_eq!(gate.identify(&passes[0], key(7)), Ok(()), "it is counted once");
        assert_eq!(gate.identify(&passes[1], key(7)), Err(Refused::KeyFull { max: 1 }));
        assert_eq!(gate.identify(&passes[1], user.clone()), Ok(()));
        assert_eq!(gate.identify(&passes[2], user), Err(Refused::UserFull { max: 1 }));
        let [first, _, third] = passes;
        gate.leave(first);
        assert_eq!(gate.identify(&third, key(7)), Ok(()));
    }

    #[test]
    fn another_holder_takes_the_place_of_the_one_before() {
        let gate = gate(|policy| policy.connections_per_key = 1);
        let [pass, rival] = [0; 2].map(|_| gate.enter(address("192.0.2.1"), 0).expect("room"));
        gate.identify(&pass, key(1)).expect("room");
        gate.identify(&rival, key(2)).expect("room");
        assert!(gate.identify(&pass, key(2)).is_err());
        assert_eq!(gate.of_holder(&key(1)), 1, "it stays what it was");
        gate.identify(&pass, key(3)).expect("room");
        assert_eq!((gate.of_holder(&key(1)), gate.of_holder(&key(3))), (0, 1));
    }

    #[test]
    fn strangers_are_bounded_until_they_say_who_they_are_or_leave() {
        let gate = gate(|policy| policy.pending_authentications = 2);
        let mut last = 0;
        // Each from an address of its own.
        let mut enter = || {
            last += 1;
            gate.enter(IpAddr::from([192, 0, 2, last]), 0).expect("room")
        };
        let [first, second, third] = [(); 3].map(|()| enter());
        for pass in [&first, &first, &second] {
            assert_eq!(gate.await_authentication(pass), Ok(()), "each counts once");
        }
        let refused = gate.await_authentication(&third).expect_err("two are waiting");
        assert!(refused.is_overload() && refused.retry_after_s() == limits::RETRY_AFTER_S);
        gate.identify(&first, key(1)).expect("room");
        assert_eq!(gate.await_authentication(&third), Ok(()));
        assert_eq!(gate.await_authentication(&first), Ok(()), "it is no stranger any more");
        assert!(gate.await_authentication(&enter()).is_err());
        gate.leave(second);
        assert_eq!(gate.await_authentication(&enter()), Ok(()));
    }

    #[test]
    fn strangers_of_one_address_leave_room_for_those_of_others() {
        let gate = gate(|policy| policy.pending_authentications = 59);
        let enter = |text| gate.enter(address(text), 0).expect("room");
        let wait = |text| {
            let pass = enter(text);
            gate.await_authentication(&pass).map(|()| pass)
        };
        // A twentieth, rounded down.
        let [first, second] = ["2001:db8::1", "2001:db8::2"].map(|text| wait(text).expect("its share"));
        let refused = wait("2001:db8::3").expect_err("its share is used up");
        assert_eq!(refused, Refused::AddressPending { max: 2 });
        assert!(!refused.is_overload() && refused.retry_after_s() == limits::CROWD_RETRY_AFTER_S);
        let _other = wait("2001:db8:0:1::1").expect("another address has its own");
        // Whoever says who he is or leaves makes room.
        gate.identify(&first, key(1)).expect("room");
        let _third = wait("2001:db8::3").expect("room");
        assert!(wait("2001:db8::4").is_err());
        gate.leave(second);
        let _fourth = wait("2001:db8::4").expect("room");
    }

    #[test]
    fn one_stranger_of_an_address_may_always_wait_and_without_a_limit_any_number() {
        let limited = gate(|policy| policy.pending_authentications = 3);
        let wait = |gate: &Gate, last| {
            let pass = gate.enter(IpAddr::from([192, 0, 2, last]), 0).expect("room");
            gate.await_authentication(&pass)
        };
        assert_eq!([1, 2, 3].map(|last| wait(&limited, last)), [Ok(()); 3]);
        assert_eq!(wait(&limited, 4), Err(Refused::AuthenticationsPending));
        assert_eq!(wait(&limited, 1), Err(Refused::AddressPending { max: 1 }), "that is what it can mend");
        let unlimited = gate(|_| {});
        assert_eq!((0..1_000).try_for_each(|_| wait(&unlimited, 1)), Ok(()));
    }

    #[test]
    fn who_is_exempt_is_not_counted_at_all() {
        let gate = gate(|policy| {
            (policy.connections_per_address, policy.connections_per_key) = (1, 1);
            (policy.pending_authentications, policy.handshakes_per_second) = (1, 1);
            policy.exempt_addresses = vec![Network::LOOPBACK_V4];
        });
        for number in 0..500 {
            let pass = gate.enter(address(["127.0.0.1", "::ffff:127.9.9.9"][number % 2]), 0).expect("exempt");
            assert_eq!(gate.await_authentication(&pass), Ok(()));
            assert_eq!(gate.identify(&pass, key(1)), Ok(()));
            if number % 3 == 0 {
                gate.leave(pass);
            }
        }
        assert!(gate.is_empty());
    }

    #[test]
    fn a_flood_of_addresses_leaves_nothing_but_bounded_rates() {
        let gate = gate(|policy| (policy.handshakes_per_second, policy.handshake_burst) = (1, 1_000_000));
        for number in 0..limits::RATED_ADDRESSES_MAX as u32 * 3 {
            gate.leave(gate.enter(IpAddr::from(number.to_be_bytes()), number.into()).expect("no limit is reached"));
        }
        assert!(gate.is_empty());
        assert!(gate.inside().handshakes.len() <= 2 * limits::RATED_ADDRESSES_MAX);
    }

    /// Against a model that counts by walking over everybody who is inside.
    #[test]
    fn counts_are_exact_in_any_order_and_zero_when_all_have_left() {
        struct Guest {
            pass: Pass,
            address: u8,
            pending: bool,
            holder: Option<Holder>,
        }
        let mut random = fastrand::Rng::with_seed(42);
        let gate = gate(|policy| {
            (policy.connections_per_address, policy.connections_per_key) = (5, 4);
            policy.pending_authentications = 3;
        });
        let mut guests: Vec<Guest> = Vec::new();
        for step in 0..50_000 {
            // Now and then everybody leaves.
            let leaving = step % 5_000 > 4_800;
            let chosen = (!guests.is_empty()).then(|| random.usize(..guests.len()));
            match (random.u8(0..if leaving { 1 } else { 4 }), chosen) {
                (0, Some(chosen)) => gate.leave(guests.swap_remove(chosen).pass),
                (1, Some(chosen)) => {
                    let waiting: Vec<u8> =
                        guests.iter().filter(|guest| guest.pending).map(|guest| guest.address).collect();
                    let guest = &mut guests[chosen];
                    let arriving = !guest.pending && guest.holder.is_none();
                    // A twentieth of three is less than the one that each address may have.
                    let fits = waiting.len() < 3 && !waiting.contains(&guest.address);
                    assert_eq!(gate.await_authentication(&guest.pass).is_ok(), !arriving || fits);
                    guest.pending |= arriving && fits;
                }
                (2, Some(chosen)) => {
                    let name = random.u64(0..6);
                    let holder = if name < 3 { key(name) } else { Holder::User(UserId::new(&name.to_string())) };
                    let held = guests.iter().filter(|guest| guest.holder.as_ref() == Some(&holder)).count();
                    let guest = &mut guests[chosen];
                    let fits = guest.holder.as_ref() == Some(&holder) || held < 4;
                    assert_eq!(gate.identify(&guest.pass, holder.clone()).is_ok(), fits);
                    if fits {
                        (guest.holder, guest.pending) = (Some(holder), false);
                    }
                }
                _ if leaving => {}
                _ => {
                    let last = random.u8(0..4);
                    let there = guests.iter().filter(|guest| guest.address == last).count();
                    let entered = gate.enter(IpAddr::from([192, 0, 2, last]), 0);
                    assert_eq!(entered.is_ok(), there < 5);
                    guests.extend(entered.map(|pass| Guest { pass, address: last, pending: false, holder: None }));
                }
            }
            assert_eq!(gate.is_empty(), guests.is_empty());
        }
        guests.into_iter().for_each(|guest| gate.leave(guest.pass));
        assert!(gate.is_empty());
    }
}
