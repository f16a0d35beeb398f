//! A watcher of rates: what it makes of its messages, and what they promise.

use std::collections::BTreeMap;

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::watch_rates_response::Update;

use crate::validators::Verdict;

/// Counts by key.
pub type Counts = BTreeMap<Vec<String>, u64>;

/// Rates by key, of rows that have one.
pub type Rates = BTreeMap<Vec<String>, pb::Rate>;

/// The state as a client has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mirror {
    pub counts: Counts,
    pub rates: Rates,
    pub total_rate: Option<pb::Rate>,
    /// The whole hours that the rates are of.
    pub rated: Option<pb::Window>,
    pub total: u64,
    pub left_out: u64,
    pub position: u64,
    pub token: Vec<u8>,
}

/// Rows as counts.
pub fn counts(figures: &[pb::Figure]) -> Counts {
    figures
        .iter()
        .map(|figure| (key(figure), figure.count))
        .collect()
}

/// Rows as rates.
pub fn rates(figures: &[pb::Figure]) -> Rates {
    let rated = figures.iter().filter_map(|figure| {
        let rate = figure.rate.clone()?;
        Some((key(figure), rate))
    });
    rated.collect()
}

fn key(figure: &pb::Figure) -> Vec<String> {
    figure.keys.iter().map(|key| key.value.clone()).collect()
}

impl Mirror {
    /// Takes a message in; tells which promise it breaks. `is_first` is that of a stream that
    /// was opened with the newest token; every incident stands in one row at most. A snapshot may
    /// come at any time.
    pub fn take(&mut self, message: &pb::WatchRatesResponse, is_first: bool) -> Verdict {
        let before = self.clone();
        match &message.update {
            Some(Update::Snapshot(all)) => {
                self.counts = counts(&all.figures);
                self.rates = rates(&all.figures);
                check(!self.counts.values().any(|count| *count == 0), "a row of 0")?;
            }
            Some(Update::Changes(some)) => {
                check(!is_first, "initial: changes came first")?;
                self.change(&some.figures)?;
            }
            Some(Update::Resumed(_)) => {
                check(is_first, "initial: resumed came later than first")?;
                check(!before.token.is_empty(), "resumed: nothing was there")?;
                self.unchanged(message, "resumed")?;
            }
            Some(Update::Heartbeat(_)) => {
                check(!is_first, "initial: a heartbeat came first")?;
                self.unchanged(message, "heartbeat")?;
            }
            None => return Err("nothing came".into()),
        }
        (self.total, self.left_out) = (message.total, message.left_out);
        self.total_rate.clone_from(&message.total_rate);
        self.rated = message.rated_from.map(|start| pb::Window {
            start: Some(start),
            end: message.rated_until,
        });
        check(
            before.position <= message.position,
            "ordered: the position falls",
        )?;
        self.position = message.position;
        self.token.clone_from(&message.resume_token);
        let in_rows: u64 = self.counts.values().sum();
        check(
            in_rows + self.left_out == self.total,
            "atomic: rows and total are of different states",
        )
    }

    fn change(&mut self, figures: &[pb::Figure]) -> Verdict {
        let changed = rates(figures);
        for (key, count) in counts(figures) {
            let known = self.counts.get(&key).copied().unwrap_or(0);
            let is_news = known != count || self.rates.get(&key) != changed.get(&key);
            check(is_news, "changes: a row did not change")?;
            match changed.get(&key) {
                Some(rate) => self.rates.insert(key.clone(), rate.clone()),
                None => self.rates.remove(&key),
            };
            self.counts.insert(key, count);
        }
        self.counts.retain(|_, count| *count != 0);
        let counts = &self.counts;
        self.rates.retain(|key, _| counts.contains_key(key));
        Ok(())
    }

    fn unchanged(&self, message: &pb::WatchRatesResponse, what: &str) -> Verdict {
        let is_same = (self.total, self.left_out) == (message.total, message.left_out);
        check(is_same, &format!("{what}: but the totals changed"))
    }
}

fn check(holds: bool, broken: &str) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(broken.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rows: &[(&str, u64)]) -> Vec<pb::Figure> {
        let figure = |(value, count): &(&str, u64)| pb::Figure {
            keys: vec![pb::Key {
                dimension: 2,
                value: (*value).to_owned(),
            }],
            count: *count,
            rate: None,
            without_outages: None,
            rests_on_few_days: None,
        };
        rows.iter().map(figure).collect()
    }

    fn message(update: Update, total: u64) -> pb::WatchRatesResponse {
        pb::WatchRatesResponse {
            resume_token: vec![1],
            position: 5,
            total,
            update: Some(update),
            ..pb::WatchRatesResponse::default()
        }
    }

    fn snapshot(rows: &[(&str, u64)], total: u64) -> pb::WatchRatesResponse {
        let figures = figures(rows);
        message(Update::Snapshot(pb::Snapshot { figures }), total)
    }

    fn changes(rows: &[(&str, u64)], total: u64) -> pb::WatchRatesResponse {
        let figures = figures(rows);
        message(Update::Changes(pb::Changes { figures }), total)
    }

    #[test]
    fn everything_before_a_snapshot_is_forgotten_whenever_it_comes() {
        let mut mirror = Mirror::default();
        let first = snapshot(&[("a", 1), ("b", 2)], 3);
        assert_eq!(mirror.take(&first, true), Ok(()));
        let again = snapshot(&[("b", 3), ("c", 1)], 5);
        let torn = mirror.clone().take(&again, false);
        assert!(torn.is_err_and(|told| told.starts_with("atomic")));
        let again = snapshot(&[("b", 3), ("c", 1)], 4);
        assert_eq!(mirror.take(&again, false), Ok(()));
        assert_eq!(mirror.counts, counts(&figures(&[("b", 3), ("c", 1)])));
    }

    #[test]
    fn each_broken_promise_is_told() {
        let mut mirror = Mirror::default();
        assert_eq!(
            mirror.take(&snapshot(&[("a", 1), ("b", 2)], 3), true),
            Ok(())
        );
        assert_eq!(
            mirror.take(&changes(&[("a", 0), ("c", 1)], 3), false),
            Ok(())
        );
        assert_eq!(mirror.counts, counts(&figures(&[("b", 2), ("c", 1)])));
        let check = |message: pb::WatchRatesResponse, is_first, word: &str| {
            let verdict = mirror.clone().take(&message, is_first);
            assert!(
                verdict.clone().is_err_and(|told| told.starts_with(word)),
                "{verdict:?}"
            );
        };
        check(snapshot(&[("b", 2)], 3), false, "atomic");
        check(changes(&[("b", 3)], 4), true, "initial");
        check(changes(&[("b", 2)], 3), false, "changes");
        check(changes(&[("d", 0)], 3), false, "changes");
        check(changes(&[("b", 9)], 3), false, "atomic");
        check(message(Update::Resumed(pb::Resumed {}), 4), true, "resumed");
        check(
            message(Update::Heartbeat(pb::Heartbeat {}), 4),
            false,
            "heartbeat",
        );
        let earlier = pb::WatchRatesResponse {
            position: 4,
            ..changes(&[("b", 3)], 4)
        };
        check(earlier, false, "ordered");
    }
}
