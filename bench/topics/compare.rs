//! Three crowds of one cast that differ only in how many topics they receive, published to in turns.

use crate::crowd::{Cast, Crowd, Spread};
use crate::ends::{FarEnds, Wrong};

/// Events of one turn that count.
const EVENTS: usize = 50;
/// Events before them, which find the caches as another crowd left them. Besides, a receiver that got nothing yet, or nothing
/// for 200 ms, acknowledges the next 16 segments one by one (Linux's quick acknowledgements), and the sender pays for that.
const WARM_UP_EVENTS: usize = 20;

pub struct Crowds<F: FarEnds> {
    cast: Cast,
    members: Vec<Vec<usize>>,
    one: Crowd<F>,
    one_each: Crowd<F>,
    all: Crowd<F>,
    /// Events published so far, by way.
    published: [usize; 4],
}

/// What is published in a turn. A topic that is one of many is another one each time, so that looking it up finds nothing in
/// the processor's caches.
#[derive(Clone, Copy)]
enum Way {
    /// The one topic there is, to its one group.
    One = 0,
    /// Topics of one group, among all the topics.
    AllOneGroup,
    /// Each group's one topic, so that each event has other receivers.
    OneEach,
    /// Topics of every group in turn, among all the topics.
    AllEveryGroup,
}

/// Each way is measured twice a round.
const TURNS: [Way; 8] = [
    Way::One,
    Way::AllOneGroup,
    Way::One,
    Way::AllOneGroup,
    Way::OneEach,
    Way::AllEveryGroup,
    Way::OneEach,
    Way::AllEveryGroup,
];

/// What each turn cost in each round, in nanoseconds an event: the median of its events.
#[derive(Default)]
pub struct Costs([Vec<f64>; TURNS.len()]);

/// Two ways beside one another.
pub struct Comparison {
    /// Medians over the rounds, in nanoseconds an event; each way has been measured twice.
    pub few: [f64; 2],
    pub many: [f64; 2],
    /// The median over the rounds of many topics' cost to that of few.
    pub ratio: f64,
    /// The same of the second run with few topics to the first: what noise alone comes to.
    pub ratio_of_equals: f64,
}

impl<F: FarEnds> Crowds<F> {
    /// `assemble` makes a crowd of the spread that it is given.
    pub fn new(cast: Cast, mut assemble: impl FnMut(&Cast, Spread) -> Crowd<F>) -> Self {
        Self {
            one: assemble(&cast, Spread::One),
            one_each: assemble(&cast, Spread::OneEach),
            all: assemble(&cast, Spread::All),
            published: [0; 4],
            members: (0..cast.groups()).map(|group| cast.members(group)).collect(),
            cast,
        }
    }

    /// The crowd that receives everything.
    pub fn into_all(self) -> (Cast, Crowd<F>) {
        (self.cast, self.all)
    }

    pub fn run(&mut self, rounds: usize) -> Result<Costs, Wrong> {
        self.settle()?;
        let mut costs = Costs::default();
        for round in 0..rounds {
            for step in 0..TURNS.len() {
                // Every turn has every place in a round equally often.
                let turn = (round + step) % TURNS.len();
                costs.0[turn].push(self.turn(TURNS[turn])?);
            }
            for crowd in [&mut self.one, &mut self.one_each, &mut self.all] {
                crowd.expect_nothing()?;
            }
        }
        Ok(costs)
    }

    /// Lets every connection get over its beginning. One burst gives all receivers the same idea of how long a segment can be:
    /// how often they acknowledge depends on the longest so far, and the answers to many subscriptions are a long one.
    fn settle(&mut self) -> Result<(), Wrong> {
        let crowds =
            [(&mut self.one, Spread::One), (&mut self.one_each, Spread::OneEach), (&mut self.all, Spread::All)];
        for (crowd, spread) in crowds {
            for (group, members) in self.members.iter().enumerate() {
                let Some(name) = self.cast.names(group, spread).first() else { continue };
                crowd.publish_burst(name, 100, members)?;
                for _ in 0..WARM_UP_EVENTS {
                    crowd.publish(name, members)?;
                }
            }
        }
        Ok(())
    }

    fn turn(&mut self, way: Way) -> Result<f64, Wrong> {
        let groups = self.cast.groups();
        let mut costs = Vec::with_capacity(EVENTS);
        for number in 0..WARM_UP_EVENTS + EVENTS {
            let event = self.published[way as usize];
            self.published[way as usize] += 1;
            let (crowd, spread, group) = match way {
                Way::One => (&mut self.one, Spread::One, 0),
                Way::AllOneGroup => (&mut self.all, Spread::All, event / (WARM_UP_EVENTS + EVENTS) % groups),
                Way::OneEach => (&mut self.one_each, Spread::OneEach, event % groups),
                Way::AllEveryGroup => (&mut self.all, Spread::All, event % groups),
            };
            let names = self.cast.names(group, spread);
            // Every one of a group's names has its turn, whichever groups the events go to.
            let name = &names[(event / groups + event) % names.len()];
            let cost = crowd.publish(name, &self.members[group])?;
            if number >= WARM_UP_EVENTS {
                costs.push(cost as f64);
            }
        }
        Ok(median(&mut costs))
    }
}

impl Costs {
    /// One topic, and topics of one group among all.
    pub fn one_group(&self) -> Comparison {
        self.comparison([0, 2], [1, 3])
    }

    /// One topic a group, and topics of every group among all.
    pub fn every_group(&self) -> Comparison {
        self.comparison([4, 6], [5, 7])
    }

    /// One topic, and topics of every group among all.
    pub fn one_and_every_group(&self) -> Comparison {
        self.comparison([0, 2], [5, 7])
    }

    fn comparison(&self, few: [usize; 2], many: [usize; 2]) -> Comparison {
        let rounds = 0..self.0[0].len();
        let both = |turns: [usize; 2], round: usize| self.0[turns[0]][round] + self.0[turns[1]][round];
        let mut ratios: Vec<f64> = rounds.clone().map(|round| both(many, round) / both(few, round)).collect();
        let mut of_equals: Vec<f64> = rounds.map(|round| self.0[few[1]][round] / self.0[few[0]][round]).collect();
        Comparison {
            few: few.map(|turn| median(&mut self.0[turn].clone())),
            many: many.map(|turn| median(&mut self.0[turn].clone())),
            ratio: median(&mut ratios),
            ratio_of_equals: median(&mut of_equals),
        }
    }
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
