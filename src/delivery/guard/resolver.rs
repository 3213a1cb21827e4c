//! The resolver that ureq connects by: names are looked up, every address is looked at, and only these are connected to.
//!
//! A name is asked for in its absolute form (`hooks.example.`): else the system would try it below the domains of its search list
//! (`search` in resolv.conf(5)), too, and `a.b` of a stranger could lead to `a.b.corp.internal`. Only where the operator lets
//! deliveries into some network, a name without a dot is asked for as it stands, for that is how a network's own machines are named:
//! in the search list's domains, in hosts(5), among containers. With glibc a line of hosts(5) counts for a name with a dot only if
//! the dot at the end is written there, too.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use rustix::io::Errno;

use super::lookups::{LookUpError, Lookups};
use super::{Allowed, GuardRefusal};
use crate::accounts::AccountId;
use crate::clock::{self, Nanos};
use crate::limits::{NAME_ADDRESSES_MAX, NAME_CACHED_MS, NAME_KEPT_MS, NAME_REFRESH_MS, NAMES_CACHED_MAX};

/// Where the addresses of a name come from.
pub trait Names: std::fmt::Debug + Send + Sync + 'static {
    /// [`LookUpError::TimedOut`] where that takes longer than `patience`, and [`LookUpError::Lack`] where for that long too many names
    /// are being looked up, of this account or in all.
    fn look_up(&self, account: AccountId, host: &str, patience: Duration) -> Result<Vec<IpAddr>, LookUpError>;
}

/// The system's resolver (getaddrinfo(3)).
#[derive(Debug, Default)]
pub struct SystemNames;

/// One for the process, as the system's resolver is.
static SYSTEM: Lookups<Ask> = Lookups::new(getaddrinfo);

type Ask = fn(&str) -> Result<Vec<IpAddr>, LookUpError>;

fn getaddrinfo(host: &str) -> Result<Vec<IpAddr>, LookUpError> {
    let addresses = (host, 0).to_socket_addrs().map_err(|error| why(&error))?;
    Ok(addresses.map(|address| address.ip()).take(NAME_ADDRESSES_MAX).collect())
}

/// The library tells its errors apart by their text alone, and a look-up that found no descriptor passes for one that had no answer, or
/// for an odd error of the system (EAI_SYSTEM).
fn why(error: &io::Error) -> LookUpError {
    let text = error.to_string();
    // gai_strerror(3) of glibc, then of musl.
    const LACKS: [&str; 2] = ["Memory allocation failure", "Out of memory"];
    const UNANSWERED: [&str; 4] = [
        "Temporary failure in name resolution",
        "Non-recoverable failure in name resolution",
        "Try again",
        "Non-recoverable error",
    ];
    let ends_with = |ends: &[&str]| ends.iter().any(|end| text.ends_with(end));
    if error.raw_os_error().is_some() || ends_with(&LACKS) {
        LookUpError::Lack(text)
    } else if let Some(lack) = lack_of_sockets() {
        LookUpError::Lack(lack.to_string())
    } else if ends_with(&UNANSWERED) {
        LookUpError::Unanswered(text)
    } else {
        LookUpError::Absent(text)
    }
}

/// Why this process could not ask anybody just now.
fn lack_of_sockets() -> Option<io::Error> {
    let error = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err()?;
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN];
    Errno::from_io_error(&error).is_some_and(|errno| lacks.contains(&errno)).then_some(error)
}

impl Names for SystemNames {
    fn look_up(&self, account: AccountId, host: &str, patience: Duration) -> Result<Vec<IpAddr>, LookUpError> {
        SYSTEM.look_up(account, host, patience)
    }
}

/// Why a host leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error(transparent)]
    Refused(#[from] GuardRefusal),
    #[error("the name {name} has no address ({reason})")]
    NoAddress { name: String, reason: String },
    #[error("the name {name} could not be looked up in time")]
    Timeout { name: String },
    /// The name has no part in it.
    #[error("the sender could not look up the name {name}")]
    Sender { name: String },
}

impl ResolveError {
    /// To whoever wants a webhook, a name that leads nowhere is a wrong URL, too. None: they are to come back.
    pub fn into_refusal(self) -> Option<GuardRefusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::NoAddress { name, reason } => Some(GuardRefusal::NoAddress { name, reason }),
            Self::Timeout { name } => Some(GuardRefusal::LookUpTimeout { name }),
            Self::Sender { .. } => None,
        }
    }
}

/// Names that were looked up lately, and what of their addresses may be reached.
#[derive(Debug)]
pub struct GuardedResolver {
    names: Arc<dyn Names>,
    allowed: ArcSwap<Allowed>,
    known: Mutex<Known>,
}

impl GuardedResolver {
    pub fn new(names: Arc<dyn Names>, allowed: Allowed) -> Self {
        Self { names, allowed: ArcSwap::from_pointee(allowed), known: Mutex::default() }
    }

    /// From now on this may be reached. Names that were looked up are looked at again each time.
    pub fn follow(&self, allowed: Allowed) {
        self.allowed.store(Arc::new(allowed));
    }

    /// What may be reached.
    pub fn allowed(&self) -> Guard<Arc<Allowed>> {
        self.allowed.load()
    }

    /// The addresses to connect to, each of which may be reached; at least one. `host` is as in a URL: a name, an IPv4 address, or an
    /// IPv6 address in brackets. One address that may not be reached refuses the whole name. `account` is whose webhook it is.
    pub fn resolve(
        &self,
        account: AccountId,
        host: &str,
        port: u16,
        patience: Duration,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let addresses = match literal(host) {
            Some(address) => {
                self.allowed().check(address)?;
                [address].into()
            }
            None => self.reachable(account, name(host), patience)?,
        };
        // An IPv4 address in IPv6's form is connected to as what it was taken for.
        Ok(addresses.iter().map(|address| SocketAddr::new(address.to_canonical(), port)).collect())
    }

    /// The addresses of a name, each of which may be reached. Whoever wrote the name is not told an address that it leads to: that
    /// would draw them a map of the network inside.
    fn reachable(&self, account: AccountId, name: String, patience: Duration) -> Result<Arc<[IpAddr]>, ResolveError> {
        let addresses = self.addresses(account, name.clone(), patience)?;
        for address in &*addresses {
            if let Some(kind) = self.allowed().forbids(*address) {
                tracing::debug!(name, %address, account = account.0, "a webhook's name leads to {kind}: refused");
                return Err(GuardRefusal::Name { name, kind }.into());
            }
        }
        Ok(addresses)
    }

    /// The first of its addresses: neither more are looked at, nor connected to.
    fn addresses(&self, account: AccountId, name: String, patience: Duration) -> Result<Arc<[IpAddr]>, ResolveError> {
        let known = || self.known.lock().expect("no holder panics");
        if let Some(addresses) = known().get(&name, clock::now()) {
            return Ok(addresses);
        }
        // An attempt is not to spend its time on a look-up that it can do without.
        let patience = match known().has_old(&name, clock::now()) {
            true => patience.min(Duration::from_millis(NAME_REFRESH_MS)),
            false => patience,
        };
        let answer = self.names.look_up(account, &self.as_asked_for(&name), patience);
        let failure = match answer {
            Ok(addresses) if addresses.is_empty() => LookUpError::Absent("none is known".to_owned()),
            Ok(addresses) => {
                let addresses: Arc<[_]> = addresses.into_iter().take(NAME_ADDRESSES_MAX).collect();
                known().insert(name, addresses.clone(), clock::now());
                return Ok(addresses);
            }
            Err(failure) => failure,
        };
        if let LookUpError::Lack(reason) = &failure {
            tracing::debug!(name, reason, "a webhook's name could not be looked up, for a lack of the server's own");
        }
        // No failure is remembered: whoever mends a name wants it to work at the next attempt.
        if let LookUpError::Absent(reason) = failure {
            known().forget(&name);
            return Err(ResolveError::NoAddress { name, reason });
        }
        if let Some(addresses) = known().fall_back(&name, clock::now()) {
            tracing::debug!(
                name,
                ?failure,
                "a webhook's name could not be looked up again: its older addresses are used"
            );
            return Ok(addresses);
        }
        Err(match failure {
            LookUpError::Absent(reason) | LookUpError::Unanswered(reason) => ResolveError::NoAddress { name, reason },
            LookUpError::TimedOut => ResolveError::Timeout { name },
            LookUpError::Lack(_) => ResolveError::Sender { name },
        })
    }

    fn as_asked_for<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match name.contains('.') || self.allowed().is_empty() {
            true => format!("{name}.").into(),
            false => name.into(),
        }
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// One text for a name, however it is written.
fn name(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// What names lead to, for a while. In two generations: where the newer one is full it becomes the older one, so that room is made
/// without a search for what is out of date.
#[derive(Debug, Default)]
struct Known {
    newer: HashMap<String, Answer>,
    older: HashMap<String, Answer>,
}

#[derive(Debug)]
struct Answer {
    addresses: Arc<[IpAddr]>,
    /// When they were the name's.
    at: Nanos,
    /// When they were last asked for, perhaps in vain.
    asked: Nanos,
}

const GENERATION_MAX: usize = NAMES_CACHED_MAX / 2;
const NANOS_PER_MS: Nanos = 1_000_000;

impl Known {
    fn get(&self, name: &str, now: Nanos) -> Option<Arc<[IpAddr]>> {
        let answer = self.newer.get(name).or_else(|| self.older.get(name))?;
        let is_good = answer.is_usable(now) && now.saturating_sub(answer.asked) < NAME_CACHED_MS * NANOS_PER_MS;
        is_good.then(|| answer.addresses.clone())
    }

    /// Whether there is something to fall back to.
    fn has_old(&self, name: &str, now: Nanos) -> bool {
        self.newer.get(name).or_else(|| self.older.get(name)).is_some_and(|answer| answer.is_usable(now))
    }

    /// What the name led to lately, where it can't be found out again. It is good for a while, so that not every delivery waits for a
    /// look-up in vain.
    fn fall_back(&mut self, name: &str, now: Nanos) -> Option<Arc<[IpAddr]>> {
        let answer =
            self.newer.get_mut(name).or_else(|| self.older.get_mut(name)).filter(|answer| answer.is_usable(now))?;
        answer.asked = now;
        Some(answer.addresses.clone())
    }

    fn forget(&mut self, name: &str) {
        self.newer.remove(name);
        self.older.remove(name);
    }

    fn insert(&mut self, name: String, addresses: Arc<[IpAddr]>, now: Nanos) {
        if self.newer.len() >= GENERATION_MAX && !self.newer.contains_key(&name) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(name, Answer { addresses, at: now, asked: now });
    }
}

impl Answer {
    fn is_usable(&self, now: Nanos) -> bool {
        now.saturating_sub(self.at) < NAME_KEPT_MS * NANOS_PER_MS
    }
}

#[cfg(test)]
mod tests {
    use super::super::AddressKind;
    use super::super::fake_names::FakeNames;
    use super::*;
    use crate::limits::NAME_CACHED_MS;

    const PATIENCE: Duration = Duration::from_secs(1);
    const ONE: AccountId = AccountId(1);
    const CACHED: Nanos = NAME_CACHED_MS * NANOS_PER_MS;

    fn resolver(names: &Arc<FakeNames>, allow: &[&str]) -> GuardedResolver {
        let allowed = allow.iter().map(|network| network.parse().expect("a network")).collect();
        GuardedResolver::new(names.clone(), Allowed { allow: allowed, deny: Vec::new() })
    }

    fn refused(address: &str, kind: AddressKind) -> Result<Vec<SocketAddr>, ResolveError> {
        Err(GuardRefusal::Address { address: address.parse().expect("an address"), kind }.into())
    }

    fn refused_name(name: &str, kind: AddressKind) -> Result<Vec<SocketAddr>, ResolveError> {
        Err(GuardRefusal::Name { name: name.to_owned(), kind }.into())
    }

    fn reached(addresses: &[&str]) -> Result<Vec<SocketAddr>, ResolveError> {
        Ok(addresses.iter().map(|address| address.parse().expect("an address with a port")).collect())
    }

    #[test]
    fn all_addresses_of_a_public_name_are_reached_and_one_that_is_not_public_refuses_it() {
        let names = FakeNames::new();
        names.answer("public.example", &["8.8.8.8", "2606:4700::1", "::ffff:9.9.9.9"]);
        names.answer("mixed.example", &["8.8.8.8", "10.0.0.1"]);
        names.answer("v6.example", &["2606:4700::1", "64:ff9b::7f00:1"]);
        names.answer("inside.example", &["192.168.1.1"]);
        let open = resolver(&names, &[]);
        let resolve = |host| open.resolve(ONE, host, 443, PATIENCE);
        assert_eq!(resolve("public.example"), reached(&["8.8.8.8:443", "[2606:4700::1]:443", "9.9.9.9:443"]));
        assert_eq!(resolve("mixed.example"), refused_name("mixed.example", AddressKind::Private));
        assert_eq!(resolve("v6.example"), refused_name("v6.example", AddressKind::Loopback));
        assert_eq!(resolve("inside.example"), refused_name("inside.example", AddressKind::Private));
        assert_eq!(
            resolver(&names, &["192.168.0.0/16"]).resolve(ONE, "inside.example", 80, PATIENCE),
            reached(&["192.168.1.1:80"])
        );
    }

    #[test]
    fn addresses_are_looked_at_and_never_looked_up() {
        let names = FakeNames::new();
        let open = resolver(&names, &[]);
        let resolve = |host| open.resolve(ONE, host, 80, PATIENCE);
        assert_eq!(resolve("8.8.8.8"), reached(&["8.8.8.8:80"]));
        assert_eq!(resolve("[2606:4700::1]"), reached(&["[2606:4700::1]:80"]));
        for (host, address, kind) in [
            ("127.0.0.1", "127.0.0.1", AddressKind::Loopback),
            ("[::1]", "::1", AddressKind::Loopback),
            ("::1", "::1", AddressKind::Loopback),
            ("[::ffff:169.254.169.254]", "::ffff:169.254.169.254", AddressKind::Metadata),
        ] {
            assert_eq!(resolve(host), refused(address, kind), "{host}");
        }
        assert_eq!(names.asked(), 0);
    }

    #[test]
    fn what_only_the_system_takes_for_an_address_is_looked_at_all_the_same() {
        // getaddrinfo(3) reads these where no dot follows them, and so would read them here.
        let allowed = Allowed { allow: vec!["10.0.0.0/8".parse().expect("a network")], deny: Vec::new() };
        let inside = GuardedResolver::new(Arc::new(SystemNames), allowed);
        for host in ["2130706433", "0x7f000001", "017700000001"] {
            assert_eq!(
                inside.resolve(ONE, host, 80, PATIENCE * 60),
                refused_name(host, AddressKind::Loopback),
                "{host}"
            );
        }
    }

    #[test]
    fn a_name_that_turns_to_a_private_address_is_refused_once_it_is_looked_up_again() {
        clock::simulate(Some(0));
        let names = FakeNames::new();
        names.answer("rebinds.example", &["8.8.8.8"]);
        names.answer("rebinds.example", &["127.0.0.1"]);
        let open = resolver(&names, &[]);
        let resolve = || open.resolve(ONE, "rebinds.example", 443, PATIENCE);
        assert_eq!(resolve(), reached(&["8.8.8.8:443"]));
        clock::simulate(Some(CACHED - 1));
        assert_eq!(resolve(), reached(&["8.8.8.8:443"]));
        assert_eq!(names.asked(), 1);
        clock::simulate(Some(CACHED));
        assert_eq!(resolve(), refused_name("rebinds.example", AddressKind::Loopback));
        assert_eq!(
            resolve(),
            refused_name("rebinds.example", AddressKind::Loopback),
            "what is remembered is looked at again"
        );
        assert_eq!(names.asked(), 2);
    }

    #[test]
    fn a_name_is_the_same_with_capitals_and_with_a_dot_at_its_end() {
        clock::simulate(Some(0));
        let names = FakeNames::new();
        names.answer("hooks.example", &["8.8.8.8"]);
        let open = resolver(&names, &[]);
        for host in ["hooks.example", "HOOKS.example", "hooks.example.", "Hooks.Example."] {
            assert_eq!(open.resolve(ONE, host, 80, PATIENCE), reached(&["8.8.8.8:80"]), "{host}");
        }
        assert_eq!(names.asked(), 1);
    }

    #[test]
    fn a_name_is_asked_for_with_a_dot_at_its_end_but_for_short_ones_where_networks_are_allowed() {
        for (allow, asked) in [
            (&[][..], ["a.b.", "hooks.example.", "billing."]),
            (&["10.0.0.0/8"], ["a.b.", "hooks.example.", "billing"]),
        ] {
            let names = FakeNames::new();
            for host in ["a.b", "hooks.example.", "Billing"] {
                let _ = resolver(&names, allow).resolve(ONE, host, 80, PATIENCE);
            }
            assert_eq!(names.asked_for(), asked, "{allow:?}");
        }
    }

    #[test]
    fn a_name_that_is_refused_does_not_tell_its_address() {
        let names = FakeNames::new();
        names.answer("inside.example", &["10.77.88.99"]);
        let error = resolver(&names, &[]).resolve(ONE, "inside.example", 80, PATIENCE).expect_err("a refusal");
        let told = error.into_refusal().expect("a refusal").to_string();
        assert!(told.starts_with("the name inside.example leads to a private address: "), "{told}");
        assert!(!told.contains("10.77.88.99"), "{told}");
    }

    #[test]
    fn a_name_is_looked_up_for_the_account_whose_webhook_it_is() {
        let names = FakeNames::new();
        for account in [AccountId(3), AccountId(4)] {
            let _ = resolver(&names, &[]).resolve(account, "hooks.example", 80, PATIENCE);
        }
        assert_eq!(names.askers(), [AccountId(3), AccountId(4)]);
    }

    #[test]
    fn a_failure_is_told_apart_and_not_remembered() {
        clock::simulate(Some(0));
        let names = FakeNames::new();
        let name = || "late.example".to_owned();
        names.hang("late.example");
        names.fail("late.example", "Name or service not known");
        names.answer("late.example", &[]);
        names.answer("late.example", &["8.8.8.8"]);
        let open = resolver(&names, &[]);
        let resolve = || open.resolve(ONE, "late.example", 80, PATIENCE);
        assert_eq!(resolve(), Err(ResolveError::Timeout { name: name() }));
        let reason = "Name or service not known".to_owned();
        assert_eq!(resolve(), Err(ResolveError::NoAddress { name: name(), reason }));
        assert_eq!(resolve(), Err(ResolveError::NoAddress { name: name(), reason: "none is known".to_owned() }));
        assert_eq!(resolve(), reached(&["8.8.8.8:80"]));
    }

    #[test]
    fn a_name_that_can_t_be_looked_up_again_leads_where_it_did_lately_and_no_longer_than_that() {
        let kept = NAME_KEPT_MS * NANOS_PER_MS;
        type Fail = fn(&FakeNames);
        for (fail, told) in [
            ((|names| names.hang("hooks.example")) as Fail, ResolveError::Timeout { name: "hooks.example".to_owned() }),
            (|names| names.lack("hooks.example"), ResolveError::Sender { name: "hooks.example".to_owned() }),
            (
                |names| names.say_nothing("hooks.example"),
                ResolveError::NoAddress { name: "hooks.example".to_owned(), reason: "no answer".to_owned() },
            ),
        ] {
            clock::simulate(Some(0));
            let names = FakeNames::new();
            names.answer("hooks.example", &["8.8.8.8"]);
            fail(&names);
            let open = resolver(&names, &[]);
            let resolve = || open.resolve(ONE, "hooks.example", 80, PATIENCE);
            assert_eq!(resolve(), reached(&["8.8.8.8:80"]));
            for (now, asked) in [(CACHED, 2), (2 * CACHED - 1, 2), (2 * CACHED, 3), (kept - 1, 4)] {
                clock::simulate(Some(now));
                assert_eq!(resolve(), reached(&["8.8.8.8:80"]), "{told}");
                assert_eq!(names.asked(), asked, "not every attempt waits");
                assert_eq!(
                    names.patience(),
                    if asked == 1 { PATIENCE } else { Duration::from_millis(NAME_REFRESH_MS) }
                );
            }
            clock::simulate(Some(kept));
            assert_eq!(resolve(), Err(told));
            assert_eq!(names.patience(), PATIENCE);
        }
    }

    #[test]
    fn a_name_that_is_no_more_does_not_lead_where_it_did_also_where_it_hangs_afterwards() {
        clock::simulate(Some(0));
        let names = FakeNames::new();
        names.answer("gone.example", &["8.8.8.8"]);
        names.fail("gone.example", "Name or service not known");
        names.hang("gone.example");
        let open = resolver(&names, &[]);
        let resolve = || open.resolve(ONE, "gone.example", 80, PATIENCE);
        assert_eq!(resolve(), reached(&["8.8.8.8:80"]));
        clock::simulate(Some(CACHED));
        assert!(matches!(resolve(), Err(ResolveError::NoAddress { .. })));
        assert_eq!(resolve(), Err(ResolveError::Timeout { name: "gone.example".to_owned() }));
    }

    #[test]
    fn failures_of_the_library_are_told_apart() {
        let failed = |text: &str| why(&io::Error::other(format!("failed to lookup address information: {text}")));
        for text in ["Name or service not known", "No address associated with hostname", "Name does not resolve"] {
            assert!(matches!(failed(text), LookUpError::Absent(_)), "{text}");
        }
        for text in ["Temporary failure in name resolution", "Try again"] {
            assert!(matches!(failed(text), LookUpError::Unanswered(_)), "{text}");
        }
        assert!(matches!(failed("Memory allocation failure"), LookUpError::Lack(_)));
        assert!(matches!(why(&Errno::MFILE.into()), LookUpError::Lack(_)));
    }

    /// The limit is a process's, so this test runs itself in one of its own.
    #[test]
    fn a_look_up_without_descriptors_is_put_down_to_the_server() {
        const INNER: &str = "STENTOR_TEST_WITHOUT_DESCRIPTORS";
        if std::env::var_os(INNER).is_some() {
            let taken: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
            let told = getaddrinfo("hooks.example.");
            drop(taken);
            assert!(matches!(told, Err(LookUpError::Lack(_))), "{told:?}");
            return;
        }
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().expect("this program"))
            .args([
                "--exact",
                "delivery::guard::resolver::tests::a_look_up_without_descriptors_is_put_down_to_the_server",
            ])
            .env(INNER, "1")
            .output()
            .expect("this program again");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
    }

    #[test]
    fn of_many_addresses_only_the_first_are_used() {
        let names = FakeNames::new();
        let many: Vec<_> = (0..NAME_ADDRESSES_MAX).map(|number| format!("8.8.8.{number}")).collect();
        let mut many: Vec<_> = many.iter().map(String::as_str).collect();
        many.push("10.0.0.1");
        names.answer("many.example", &many);
        let addresses = resolver(&names, &[]).resolve(ONE, "many.example", 80, PATIENCE).expect("the first are public");
        assert_eq!(addresses.len(), NAME_ADDRESSES_MAX);
        assert!(!addresses.contains(&"10.0.0.1:80".parse().expect("an address with a port")));
    }

    #[test]
    fn the_names_that_are_remembered_are_bounded_and_the_newest_are_among_them() {
        let mut known = Known::default();
        let addresses: Arc<[IpAddr]> = [IpAddr::from([8, 8, 8, 8])].into();
        for number in 0..3 * NAMES_CACHED_MAX {
            known.insert(number.to_string(), addresses.clone(), 0);
            assert!(known.newer.len() + known.older.len() <= NAMES_CACHED_MAX);
        }
        let newest = 3 * NAMES_CACHED_MAX - GENERATION_MAX..3 * NAMES_CACHED_MAX;
        assert!(newest.into_iter().all(|number| known.get(&number.to_string(), 0).is_some()));
        assert!(known.get("0", 0).is_none());
    }
}
