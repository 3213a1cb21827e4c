//! What worlds have seen, to be told and summed.

/// What a world has seen, so that a run can tell whether it saw enough.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub lives: u64,
    pub events: u64,
    pub lost: u64,
    pub delivered: u64,
    pub acknowledged: u64,
    pub sessions: u64,
    pub fell_behind: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        let Self { lives, events, lost, delivered, acknowledged, sessions, fell_behind } = other;
        self.lives += lives;
        self.events += events;
        self.lost += lost;
        self.delivered += delivered;
        self.acknowledged += acknowledged;
        self.sessions += sessions;
        self.fell_behind += fell_behind;
    }
}
