//! The mathematics of figures: intervals, rates, rankings and screening.
//!
//! Plain numbers in, plain numbers out. Nothing here knows where a number came from, what
//! time it is, or who will read the result.

pub mod burst;
pub mod comparison;
pub mod dispersion;
mod distribution;
pub mod interval;
pub mod ranking;
pub mod rate;
pub mod screening;
pub mod staff;
