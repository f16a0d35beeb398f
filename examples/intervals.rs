//! Prints what the library makes of cases on its input, for `examples/recount/intervals.py`, which
//! computes the same with other people's programs.
//!
//! A line is a method, its numbers, the level and, perhaps, days as `count/exposure` that the
//! dispersion is of; what is told are both ends of the interval (`inf` for none) and the dispersion.
//!
//! ```text
//! garwood 15 400 0.95                  events, exposure
//! jeffreys-rate 15 400 0.95
//! wilson 4 20 0.95 1/9 3/11            successes, trials
//! clopper-pearson 4 20 0.95
//! jeffreys 4 20 0.95
//! ratio 40 300000 52 310000 0.95       events and exposure of both
//! ```

use std::io::{self, BufRead, Write};
use std::str::FromStr;

use mistap::stats::comparison::RateRatio;
use mistap::stats::dispersion::{Day, Dispersion};
use mistap::stats::interval::{EventRate, Interval, Level, Proportion};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let Some((low, high, dispersion)) = told(&line) else {
            let text = format!("no case: {line}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        writeln!(out, "{low:e} {high:e} {:e}", dispersion.factor())?;
    }
    Ok(())
}

/// The ends and the dispersion of a case; `None` if it is none.
fn told(line: &str) -> Option<(f64, f64, Dispersion)> {
    let mut words = line.split_whitespace();
    let method = words.next()?;
    let (mut words, is_share) = match method {
        "garwood" | "jeffreys-rate" | "ratio" => (words, false),
        "wilson" | "clopper-pearson" | "jeffreys" => (words, true),
        _ => return None,
    };
    let (first, over): (u64, f64) = (next(&mut words)?, next(&mut words)?);
    if method == "ratio" {
        let (second, other): (u64, f64) = (next(&mut words)?, next(&mut words)?);
        let level = Level::new(next(&mut words)?)?;
        let dispersion = dispersion(words, is_share)?;
        let (one, two) = (EventRate::new(first, over)?, EventRate::new(second, other)?);
        let ratio = RateRatio::new(one, two, level, dispersion);
        return Some((ratio.low, ratio.high.unwrap_or(f64::INFINITY), dispersion));
    }
    let level = Level::new(next(&mut words)?)?;
    let dispersion = dispersion(words, is_share)?;
    let interval = match is_share {
        true => of_share(
            method,
            Proportion::new(first, whole(over)?)?,
            level,
            dispersion,
        )?,
        false => of_rate(method, EventRate::new(first, over)?, level, dispersion)?,
    };
    Some((interval.low(), interval.high(), dispersion))
}

fn of_share(method: &str, share: Proportion, level: Level, of: Dispersion) -> Option<Interval> {
    match method {
        "wilson" => Some(share.wilson(level, of)),
        "clopper-pearson" => Some(share.clopper_pearson(level, of)),
        "jeffreys" => Some(share.jeffreys(level, of)),
        _ => None,
    }
}

fn of_rate(method: &str, rate: EventRate, level: Level, of: Dispersion) -> Option<Interval> {
    match method {
        "garwood" => Some(rate.garwood(level, of)),
        "jeffreys-rate" => Some(rate.jeffreys(level, of)),
        _ => None,
    }
}

fn dispersion<'a>(words: impl Iterator<Item = &'a str>, is_share: bool) -> Option<Dispersion> {
    let day = |word: &str| {
        let (count, exposure) = word.split_once('/')?;
        Some(Day {
            count: count.parse().ok()?,
            exposure: exposure.parse().ok()?,
        })
    };
    let days: Vec<Day> = words.map(day).collect::<Option<_>>()?;
    Some(match is_share {
        true => Dispersion::of_proportions(&days),
        false => Dispersion::of_counts(&days),
    })
}

fn next<'a, T: FromStr>(words: &mut impl Iterator<Item = &'a str>) -> Option<T> {
    words.next()?.parse().ok()
}

/// Trials are whole.
fn whole(value: f64) -> Option<u64> {
    format!("{value}").parse().ok()
}
