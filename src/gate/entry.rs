//! A pass that gives itself back, for wherever a connection may end at any moment.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Gate, Holder, Pass, Refused};
use crate::clock::Nanos;

/// A connection's stay inside; it ends when this is dropped.
pub struct Entry {
    gate: Arc<Gate>,
    /// Always there but after [`Entry::into_pass`], which ends the entry.
    pass: Option<Pass>,
}

impl Entry {
    /// [`Gate::enter`], held.
    pub fn enter(gate: &Arc<Gate>, address: IpAddr, now: Nanos) -> Result<Self, Refused> {
        Ok(Self::resume(gate.clone(), gate.enter(address, now)?))
    }

    /// An entry that counts nowhere.
    pub fn uncounted(gate: &Arc<Gate>) -> Self {
        Self::resume(gate.clone(), Pass::uncounted())
    }

    /// Holds a pass again that was taken out with [`Entry::into_pass`].
    pub fn resume(gate: Arc<Gate>, pass: Pass) -> Self {
        Self { gate, pass: Some(pass) }
    }

    /// Takes the pass out: from now on somebody else has to see to [`Gate::leave`].
    pub fn into_pass(mut self) -> Pass {
        self.pass.take().expect("it is taken out once")
    }

    /// [`Gate::await_authentication`].
    pub fn await_authentication(&self) -> Result<(), Refused> {
        self.gate.await_authentication(self.pass())
    }

    /// [`Gate::identify`].
    pub fn identify(&self, holder: Holder) -> Result<(), Refused> {
        self.gate.identify(self.pass(), holder)
    }

    fn pass(&self) -> &Pass {
        self.pass.as_ref().expect("it is taken out once")
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.gate.leave(pass);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Policy;

    #[test]
    fn an_entry_counts_until_it_is_dropped_and_a_pass_until_it_is_given_back() {
        let gate = Arc::new(Gate::new(Policy { connections_per_address: 1, ..Policy::default() }));
        let address = IpAddr::from([192, 0, 2, 1]);
        let entry = Entry::enter(&gate, address, 0).expect("room");
        assert!(Entry::enter(&gate, address, 0).is_err());
        let pass = entry.into_pass();
        assert!(Entry::enter(&gate, address, 0).is_err(), "it went into a slot");
        let entry = Entry::resume(gate.clone(), pass);
        assert!(Entry::enter(&gate, address, 0).is_err(), "and came back");
        drop(entry);
        assert!(gate.is_empty());
        drop((Entry::enter(&gate, address, 0).expect("room"), Entry::uncounted(&gate)));
        assert!(gate.is_empty());
    }
}
