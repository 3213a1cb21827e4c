//! The core by hand: a journal of the test's own, real databases, time as it likes, and workers that are the test itself.

mod deliveries;
mod health;
mod owners;
mod rig;
mod storm;
