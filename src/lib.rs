#![doc = include_str!("ARCHITECTURE.md")]

pub mod accounts;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod contract;
pub mod database;
pub mod delivery;
pub mod demo;
pub mod desk;
pub mod doctor;
pub mod event;
pub mod executor;
pub mod gate;
pub mod hub;
pub mod journal;
pub mod limits;
pub mod logging;
pub mod mailbox;
pub mod metrics;
pub mod plan;
pub mod protocol;
pub mod ring;
pub mod server;
pub mod shard;
#[cfg(test)]
mod simulation;
pub mod tls;
pub mod tokens;
pub mod watchman;
pub mod ws;
