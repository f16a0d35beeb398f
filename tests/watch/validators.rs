//! What a log of incidents promises, each promise by its name, as etcd's robustness tests have
//! them. Each takes what happened (of the incidents that were asked for) and what a watcher
//! saw, and tells the first place where that breaks the promise.

use std::collections::{BTreeSet, HashSet};

use crate::history::{Happening, History, between};

pub type Verdict = Result<(), String>;

/// A promise with its name.
pub type Validator = (&'static str, fn(&[Happening], &History) -> Verdict);

/// All of them.
pub const ALL: [Validator; 6] = [
    ("ordered", ordered),
    ("unique", unique),
    ("reliable", reliable),
    ("atomic", atomic),
    ("resumable", resumable),
    ("bookmarkable", bookmarkable),
];

fn check(holds: bool, broken: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(broken()) }
}

/// Events come in the order of the journal, and positions of messages never fall.
pub fn ordered(_truth: &[Happening], history: &History) -> Verdict {
    for stream in &history.streams {
        let events = stream.seen.iter().flat_map(|seen| &seen.events);
        let events: Vec<_> = events.map(|event| event.position).collect();
        let is_rising = events.is_sorted();
        check(is_rising, || format!("events are not in order: {events:?}"))?;
        let messages: Vec<_> = stream.seen.iter().map(|seen| seen.position).collect();
        let is_rising = messages.is_sorted();
        check(is_rising, || format!("positions fall: {messages:?}"))?;
    }
    Ok(())
}

/// No event comes twice, over all streams together.
pub fn unique(_truth: &[Happening], history: &History) -> Verdict {
    let mut known = BTreeSet::new();
    for event in history.events() {
        let is_new = known.insert(event.position);
        check(is_new, || format!("{event:?} came twice"))?;
    }
    Ok(())
}

/// What was seen, pieced together, is all that happened from the beginning of the first stream
/// to the end of the last, and nothing else.
pub fn reliable(truth: &[Happening], history: &History) -> Verdict {
    let expected = between(truth, history.begin(), history.end());
    let seen: HashSet<_> = history.events().collect();
    let is_missing = expected.iter().find(|one| !seen.contains(one));
    check(is_missing.is_none(), || format!("missing: {is_missing:?}"))?;
    let happened: HashSet<_> = expected.iter().copied().collect();
    let is_invented = seen.iter().find(|one| !happened.contains(one));
    check(is_invented.is_none(), || {
        format!("invented: {is_invented:?}")
    })
}

/// A message brings all that happened between the one before and its own position, and
/// nothing from elsewhere: what has one position is never torn apart.
pub fn atomic(truth: &[Happening], history: &History) -> Verdict {
    for (before, seen) in history.messages() {
        let inside = |event: &Happening| before < event.position && event.position <= seen.position;
        let is_inside = seen.events.iter().all(inside);
        let is_all = seen.events.len() == between(truth, before, seen.position).len();
        check(is_inside && is_all, || {
            format!("after {before} came {seen:?}")
        })?;
    }
    Ok(())
}

/// A stream goes on exactly where the token stands that it was opened with.
pub fn resumable(truth: &[Happening], history: &History) -> Verdict {
    for (number, stream) in history.streams.iter().enumerate() {
        let mut events = stream.seen.iter().flat_map(|seen| &seen.events);
        let Some(first) = events.next() else {
            continue;
        };
        let expected = between(truth, stream.after, u64::MAX).first();
        check(expected == Some(first), || {
            format!(
                "stream {number}, after {}: {first:?} is not {expected:?}",
                stream.after
            )
        })?;
    }
    Ok(())
}

/// The position of a message, also of one without events, is never ahead of what was told.
pub fn bookmarkable(truth: &[Happening], history: &History) -> Verdict {
    let mut told = BTreeSet::new();
    for (_, seen) in history.messages() {
        told.extend(seen.events.iter().map(|event| event.position));
        let due = between(truth, history.begin(), seen.position);
        let is_untold = due.iter().find(|one| !told.contains(&one.position));
        check(is_untold.is_none(), || {
            format!("at {} there was untold: {is_untold:?}", seen.position)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Kind, Seen, Stream};

    fn happening(position: u64) -> Happening {
        Happening {
            position,
            stamp: 0,
            kind: Kind::Recorded,
        }
    }

    fn truth() -> Vec<Happening> {
        [2, 3, 5, 7, 8, 11].map(happening).to_vec()
    }

    fn seen(position: u64, events: &[u64]) -> Seen {
        Seen {
            position,
            events: events.iter().copied().map(happening).collect(),
        }
    }

    /// Two streams that keep every promise.
    fn history() -> History {
        let first = [seen(0, &[]), seen(3, &[2, 3]), seen(6, &[5])];
        let second = [
            seen(6, &[]),
            seen(9, &[7, 8]),
            seen(10, &[]),
            seen(11, &[11]),
        ];
        History {
            streams: vec![
                Stream {
                    after: 0,
                    seen: first.to_vec(),
                },
                Stream {
                    after: 6,
                    seen: second.to_vec(),
                },
            ],
        }
    }

    /// The validators that a forged history fails.
    fn failed(forge: impl FnOnce(&mut History)) -> Vec<&'static str> {
        let mut forged = history();
        forge(&mut forged);
        let fails = |(_, validate): &&Validator| validate(&truth(), &forged).is_err();
        ALL.iter().filter(fails).map(|(name, _)| *name).collect()
    }

    #[test]
    fn history_that_keeps_every_promise_fails_none() {
        assert!(failed(|_| ()).is_empty());
    }

    #[test]
    fn each_broken_promise_fails_its_validator() {
        let check = |name: &str, forge: fn(&mut History)| {
            let failed = failed(forge);
            assert!(failed.contains(&name), "{name}: {failed:?}");
        };
        check("ordered", |it| it.streams[0].seen[1].events.swap(0, 1));
        check("ordered", |it| it.streams[1].seen.swap(1, 2));
        check("unique", |it| {
            it.streams[1].seen[1].events.insert(0, happening(5));
        });
        check("unique", |it| {
            it.streams[1] = Stream {
                after: 3,
                ..it.streams[0].clone()
            }
        });
        check("reliable", |it| it.streams[0].seen[1].events.truncate(1));
        check("reliable", |it| {
            it.streams[1].seen[1].events.push(happening(9));
        });
        check("reliable", |it| {
            it.streams[1].seen[1].events[0].kind = Kind::Withdrawn(2);
        });
        check("atomic", |it| {
            let late = it.streams[1].seen[1].events.remove(1);
            it.streams[1].seen[2].events.push(late);
        });
        check("resumable", |it| {
            it.streams[1].seen[1].events.remove(0);
        });
        check("resumable", |it| it.streams[1].after = 3);
        check("bookmarkable", |it| it.streams[1].seen[0].position = 7);
        check("bookmarkable", |it| it.streams[0].seen[0].position = 2);
    }

    #[test]
    fn what_an_operator_saw_is_held_to_the_same_promises() {
        let mut truth = truth();
        for (stamp, one) in (1_000..).zip(&mut truth) {
            one.stamp = stamp;
        }
        // Two answers of one incident within one millisecond.
        let answers = [12, 13].map(|position| Happening {
            position,
            stamp: 2_000,
            kind: Kind::Answered(11),
        });
        truth.extend(answers);
        let seen = Seen {
            position: 13,
            events: truth.clone(),
        };
        let stream = Stream {
            after: 0,
            seen: vec![seen],
        };
        let check = |forge: fn(&mut Vec<Happening>), expected: &[&str]| {
            let mut history = History {
                streams: vec![stream.clone()],
            };
            forge(&mut history.streams[0].seen[0].events);
            for event in history
                .streams
                .iter_mut()
                .flat_map(|it| &mut it.seen[0].events)
            {
                event.position = 0;
            }
            history.place(&truth);
            let fails = |(_, validate): &&Validator| validate(&truth, &history).is_err();
            let failed: Vec<_> = ALL.iter().filter(fails).map(|(name, _)| *name).collect();
            assert_eq!(failed, expected);
        };
        check(|_| (), &[]);
        check(|it| it.swap(0, 1), &["ordered", "resumable"]);
        check(|it| it.truncate(7), &["reliable", "atomic", "bookmarkable"]);
        check(|it| it.push(it[7]), &["ordered", "unique", "atomic"]);
        let invented = ["ordered", "reliable", "atomic", "bookmarkable"];
        check(|it| it[3].stamp += 500, &invented);
    }

    #[test]
    fn each_validator_is_needed_somewhere() {
        // Out of order within a message: only order is broken.
        let failed_here = failed(|it| it.streams[0].seen[1].events.swap(0, 1));
        assert_eq!(failed_here, ["ordered", "resumable"]);
        // Told once more by the resumed stream.
        let failed_here = failed(|it| {
            it.streams[1].after = 3;
            it.streams[1].seen.insert(1, seen(6, &[5]));
        });
        assert!(failed_here.contains(&"unique"), "{failed_here:?}");
        assert!(!failed_here.contains(&"reliable"), "{failed_here:?}");
        // Lost, and never told: the bookmark after it lies as well.
        let failed_here = failed(|it| it.streams[1].seen[1].events.truncate(1));
        assert_eq!(failed_here, ["reliable", "atomic", "bookmarkable"]);
    }
}
