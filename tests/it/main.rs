//! Black-box tests: one module for each promise.

mod as_of;
mod attack;
mod bench;
#[allow(dead_code, reason = "crash tests use the rest")]
mod child;
mod clients;
mod edition_commands;
mod editions;
mod ended;
mod method;
mod model;
mod outages;
mod people;
mod privacy;
mod process;
mod ranking;
mod rates;
mod recovery;
mod removal;
#[allow(dead_code, reason = "crash tests use the rest")]
mod reports;
mod roles;
mod service;
mod support;
mod taps;
mod tidy;
mod watching;
mod way_back;
mod worked_example;
