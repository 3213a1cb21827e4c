//! The core by hand: a journal of the test's own, real databases, time as it likes, and workers that are the test itself.

mod clock;
mod deliveries;
mod disk;
mod health;
mod journal;
mod leftovers;
mod owners;
mod rig;
mod storm;
