//! A resolver for tests: what it says is scripted.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{LookUpError, Names};
use crate::accounts::AccountId;

/// Scripts are of names without a dot at their end, however they are asked for. Each look-up of a name gets the next answer that was
/// scripted for it; the last one goes on for ever. A name without a script does not exist.
#[derive(Debug, Default)]
pub(crate) struct FakeNames {
    scripts: Mutex<HashMap<String, VecDeque<Scripted>>>,
    asked: Mutex<Vec<(AccountId, String)>>,
    patience: Mutex<Duration>,
}

#[derive(Clone, Debug)]
enum Scripted {
    Addresses(Vec<IpAddr>),
    Failure(LookUpError),
}

impl FakeNames {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn answer(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        self.script(name, Scripted::Addresses(addresses));
    }

    pub(crate) fn fail(&self, name: &str, reason: &str) {
        self.script(name, Scripted::Failure(LookUpError::Absent(reason.to_owned())));
    }

    /// No answer in time; it is not waited for.
    pub(crate) fn hang(&self, name: &str) {
        self.script(name, Scripted::Failure(LookUpError::TimedOut));
    }

    /// Nobody who should know says anything of it.
    pub(crate) fn say_nothing(&self, name: &str) {
        self.script(name, Scripted::Failure(LookUpError::Unanswered("no answer".to_owned())));
    }

    /// The server can't ask anybody.
    pub(crate) fn lack(&self, name: &str) {
        self.script(name, Scripted::Failure(LookUpError::Lack("no thread".to_owned())));
    }

    /// How long the last one who asked would have waited.
    pub(crate) fn patience(&self) -> Duration {
        *self.patience.lock().expect("no holder panics")
    }

    /// Look-ups so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().expect("no holder panics").len()
    }

    /// The names that were asked for so far, as they were written.
    pub(crate) fn asked_for(&self) -> Vec<String> {
        self.asked.lock().expect("no holder panics").iter().map(|(_, name)| name.clone()).collect()
    }

    /// For whom.
    pub(crate) fn askers(&self) -> Vec<AccountId> {
        self.asked.lock().expect("no holder panics").iter().map(|(account, _)| *account).collect()
    }

    fn script(&self, name: &str, scripted: Scripted) {
        self.scripts.lock().expect("no holder panics").entry(name.to_owned()).or_default().push_back(scripted);
    }
}

impl Names for FakeNames {
    fn look_up(&self, account: AccountId, host: &str, patience: Duration) -> Result<Vec<IpAddr>, LookUpError> {
        *self.patience.lock().expect("no holder panics") = patience;
        self.asked.lock().expect("no holder panics").push((account, host.to_owned()));
        let mut scripts = self.scripts.lock().expect("no holder panics");
        let script = scripts.get_mut(host.strip_suffix('.').unwrap_or(host));
        let script = script.ok_or_else(|| LookUpError::Absent("no such name".to_owned()))?;
        let next = match script.len() {
            1 => script.front().cloned(),
            _ => script.pop_front(),
        };
        match next.expect("a script has an answer") {
            Scripted::Addresses(addresses) => Ok(addresses),
            Scripted::Failure(error) => Err(error),
        }
    }
}
