//! The whole server in one world that a seed decides: hub, journal and shards over a simulated kernel, disk and clock, on one thread
//! and without real time, against a shadow model of what every publisher and every client must be told.
//!
//! ```text
//!   publishers ─▶ hub (letter by letter) ─▶ window ─▶ shards (turn by turn) ─▶ simulated kernel ─▶ clients
//!        ▲                                   │  ▲                                                     │
//!        └────────── answers ◀── writer, reads (poll by poll) ─▶ simulated disk                       │
//!                                                 shadow model ◀───── every answer and message ───────┘
//! ```
//!
//! Each step moves one of them on by a little, in an order that the seed decides, and between any two the process may be killed or
//! the power go. Then the journal is recovered from what the disk still has, and the clients come back with the last number that they
//! know. What is checked stands in `client.rs`, `publisher.rs` and `ends.rs`.
//!
//! `STENTOR_SEED=n` repeats one seed; `scripts/sim` runs a range of them. `sabotage.rs` has bugs to put in, and each must be found.

mod cast;
mod client;
mod diary;
mod ends;
mod healing;
mod history;
mod publisher;
pub mod sabotage;
mod server;
mod setting;
mod tally;
mod tests;
mod visits;
mod world;

use self::tally::Tally;
use self::world::World;
use crate::clock;

/// Runs the world of a seed to its end. Panics where anything is not as it must be.
fn simulate(seed: u64) -> Tally {
    diary::begin();
    fastrand::seed(seed);
    clock::simulate(Some(0));
    let mut world = World::new(seed);
    let lives = world.rng.u32(1..=4);
    for _ in 0..lives {
        world.live();
        world.end_life();
    }
    world.live();
    world.finish();
    let tally = world.tally();
    clock::simulate(None);
    tally
}
