//! Black-box tests: one module for each promise.

mod as_of;
mod attack;
mod bench;
mod by_hand;
#[allow(dead_code, reason = "crash tests use the rest")]
mod child;
mod clients;
mod commands;
mod comparing;
mod edition_commands;
mod editions;
mod ended;
mod keys;
mod layers;
mod method;
mod mistakes;
mod model;
mod noise;
mod others;
mod outages;
mod people;
mod privacy;
mod process;
mod ranking;
mod rates;
mod raw;
mod recount;
mod recovery;
mod removal;
#[allow(dead_code, reason = "crash tests use the rest")]
mod reports;
mod requests;
mod restored;
mod roles;
mod service;
mod staff;
mod support;
mod taps;
mod tls;
mod tour;
mod unread;
mod watching;
mod way_back;
mod worked_example;
