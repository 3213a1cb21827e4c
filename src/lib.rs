#![doc = include_str!("ARCHITECTURE.md")]

pub mod accounts;
pub mod cli;
pub mod demo;
pub mod desk;
pub mod doctor;
pub mod event;
pub mod hub;
pub mod journal;
pub mod limits;
pub mod plan;
pub mod protocol;
pub mod ring;
pub mod server;
pub mod shard;
pub mod ws;
