//! What happened, and what a watcher saw of it.

/// Something that happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Happening {
    /// Its place in the journal. 0 where an operator saw it, until `History::place`.
    pub position: u64,
    /// When it became durable, in milliseconds.
    pub stamp: i64,
    /// What it was.
    pub kind: Kind,
}

/// What can happen to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Recorded,
    /// With the place where it was recorded.
    Withdrawn(u64),
    /// With the place where it was recorded.
    Amended(u64),
    /// With the place where it was recorded.
    Answered(u64),
}

/// One message to a watcher.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Everything through here was told.
    pub position: u64,
    /// None in a bookmark.
    pub events: Vec<Happening>,
}

/// One stream, from its opening to its end.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Everything through here is known to whoever opened it.
    pub after: u64,
    /// In the order in which they came.
    pub seen: Vec<Seen>,
}

/// All streams of one watcher from one beginning on, each resumed after the last message of the
/// one before.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub streams: Vec<Stream>,
}

impl History {
    /// All messages, each with the position before it.
    pub fn messages(&self) -> impl Iterator<Item = (u64, &Seen)> {
        self.streams.iter().flat_map(|stream| {
            let before = stream.seen.iter().map(|seen| seen.position);
            let before = std::iter::once(stream.after).chain(before);
            before.zip(&stream.seen)
        })
    }

    /// All events, pieced together.
    pub fn events(&self) -> impl Iterator<Item = Happening> {
        self.messages()
            .flat_map(|(_, seen)| seen.events.iter().copied())
    }

    /// How many streams began after something that one before had told.
    pub fn continued(&self) -> usize {
        let begin = self.begin();
        let later = self.streams.iter().filter(|stream| begin < stream.after);
        later.count()
    }

    /// Gives each event that an operator saw, who is told no places, the one that it has: of those
    /// of the same incident, kind and instant the first that comes next. What never happened keeps
    /// none.
    pub fn place(&mut self, truth: &[Happening]) {
        for stream in &mut self.streams {
            let mut last = 0;
            for event in stream.seen.iter_mut().flat_map(|seen| &mut seen.events) {
                let is_it = |one: &&Happening| (one.kind, one.stamp) == (event.kind, event.stamp);
                let begin = truth.partition_point(|one| one.position <= last);
                let next = truth[begin..].iter().find(is_it);
                let found = next.or_else(|| truth.iter().find(is_it));
                if event.position == 0 {
                    event.position = found.map_or(0, |one| one.position);
                }
                last = event.position;
            }
        }
    }

    /// Where it begins.
    pub fn begin(&self) -> u64 {
        self.streams.first().map_or(0, |stream| stream.after)
    }

    /// Through where everything was told.
    pub fn end(&self) -> u64 {
        let last = self.messages().last();
        last.map_or(self.begin(), |(_, seen)| seen.position)
    }
}

/// What happened after one place and through another.
pub fn between(truth: &[Happening], after: u64, through: u64) -> &[Happening] {
    let begin = truth.partition_point(|one| one.position <= after);
    let end = truth.partition_point(|one| one.position <= through);
    &truth[begin..end.max(begin)]
}
