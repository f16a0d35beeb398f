//! How figures are made, told from the constants that they are made with.
//!
//! `docs/method.md` is this text, and a test holds the two together.

use std::fmt::Write;

use crate::domain::limits::{
    COUNTED_REPORTS_PER_MONTH_MAX, COVERED_DAYS_PERCENT_MIN, EDITION_CLOSES_ON_DAY,
    EDITION_RATED_REPORTS_MIN, INCIDENT_AGE_DAYS_MAX, INCIDENT_MONTHS_DEFAULT, LINE_DAYS_MAX,
    MATCHED_REPORTS_PERCENT_MIN, NEW_INSTALLATIONS_PER_PREFIX_MAX, OTHERS_LOOKED_AT_MAX,
    OTHERS_PER_PREFIX_MAX, OUTAGE_DAYS_MAX, PREFIX_BURST_MAX, PREFIX_CALLS_PER_SECOND_MAX,
    PUBLISHED_GROUP_MIN, RANKED_EXPECTED_MIN, RANKED_SCOPES_MAX, RANKED_SCOPES_MIN, RECENT_MINUTES,
    TAP_DAYS_DEFAULT, TOLD_AGAIN_MS_MAX,
};
use crate::domain::method::{BREAKS, Break, METHOD};
use crate::domain::taxonomy::Taxonomy;
use crate::domain::time::MINUTE_MS;
use crate::ledger::FOLD_VERSION;
use crate::stats::interval::Level;
use crate::stats::rate::REPORTS_PER_TAPS;
use crate::stats::staff::{HARMFUL, HELPING};

/// Lines of the Netherlands, roughly.
const LINES: u32 = 3_400;
/// Reports a day, and how many of the lines can then be expected to reach ten reports a month:
/// planning figures, for lines as unequal as they are.
const EXPECTED: [(u32, u32); 2] = [(80, 18), (800, 500)];

/// Where an edition has a report. The columns of downloads say the same.
pub const PLACED: &str = "A report is placed by its line, whatever its mode, or by its station where \
                          it is of a train or the metro and names no line";

/// One part of the method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Short name, which stays: `not-counted`.
    pub key: &'static str,
    /// Heading.
    pub title: &'static str,
    /// Paragraphs, with an empty line between them.
    pub text: String,
}

/// A number that figures are made with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// Short name, which stays.
    pub key: &'static str,
    /// The number.
    pub value: f64,
    /// Of what, in a few words.
    pub meaning: &'static str,
}

/// How figures are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// In the order of reading.
    pub sections: Vec<Section>,
    /// The numbers in it.
    pub parameters: Vec<Parameter>,
    /// What makes figures before and after hard to compare.
    pub breaks: Vec<Break>,
}

/// The method.
pub fn method() -> Method {
    Method {
        sections: sections(),
        parameters: parameters(),
        breaks: BREAKS.to_vec(),
    }
}

fn sections() -> Vec<Section> {
    let section = |key, title, text| Section { key, title, text };
    vec![
        section("counted", "What is counted", counted()),
        section("not-counted", "What is not counted", not_counted()),
        section("rates", "Rates", rates()),
        section("intervals", "Intervals", intervals()),
        section("rankings", "Rankings", rankings()),
        section("comparisons", "One period against another", comparisons()),
        section("outages", "Outages", outages()),
        section("staff", "What staff did", staff()),
        section("editions", "Editions: what everybody gets", editions()),
        section("coalitions", "What a coalition can do", coalitions()),
        section(
            "told-at-once",
            "What a reporter is told at once",
            told_at_once(),
        ),
        section("as-of", "Late reports, withdrawals, corrections", as_of()),
        section("volume", "How much can be expected", volume()),
        section("unfit", "What the figures are unfit for", unfit()),
        section("citing", "Citing", citing()),
    ]
}

fn parameters() -> Vec<Parameter> {
    #[expect(clippy::cast_precision_loss, reason = "small whole numbers")]
    let whole = |value: usize| value as f64;
    #[expect(clippy::cast_precision_loss, reason = "small whole numbers")]
    let long = |value: u64| value as f64;
    let parameter = |key, value, meaning| Parameter {
        key,
        value,
        meaning,
    };
    vec![
        parameter("method-version", METHOD.into(), "this method"),
        parameter(
            "fold-version",
            FOLD_VERSION.into(),
            "how entries are counted",
        ),
        parameter(
            "reporters-min",
            whole(PUBLISHED_GROUP_MIN),
            "reporters behind what is published",
        ),
        parameter(
            "edition-closes-on-day",
            f64::from(EDITION_CLOSES_ON_DAY),
            "day of the next month",
        ),
        parameter(
            "reports-per-reporter-max",
            whole(COUNTED_REPORTS_PER_MONTH_MAX),
            "in an edition",
        ),
        parameter(
            "new-installations-per-prefix-max",
            whole(NEW_INSTALLATIONS_PER_PREFIX_MAX),
            "without a card, for an operator and day",
        ),
        parameter(
            "edition-rated-reports-min",
            long(EDITION_RATED_REPORTS_MIN),
            "of an operator and month",
        ),
        parameter(
            "covered-days-percent-min",
            long(COVERED_DAYS_PERCENT_MIN),
            "days with taps",
        ),
        parameter(
            "matched-reports-percent-min",
            long(MATCHED_REPORTS_PERCENT_MIN),
            "reports matched",
        ),
        parameter(
            "rate-per-taps",
            REPORTS_PER_TAPS,
            "taps that self-reports are told per",
        ),
        parameter(
            "level",
            Level::P95.get(),
            "of intervals, unless asked otherwise",
        ),
        parameter(
            "ranked-scopes-min",
            whole(RANKED_SCOPES_MIN),
            "scopes with enough data",
        ),
        parameter(
            "ranked-scopes-max",
            whole(RANKED_SCOPES_MAX),
            "scopes of one ranking",
        ),
        parameter(
            "ranked-expected-min",
            RANKED_EXPECTED_MIN,
            "events to be expected of a scope",
        ),
        parameter(
            "tap-days",
            TAP_DAYS_DEFAULT.into(),
            "days that tap counts are kept, by default",
        ),
    ]
}

fn counted() -> String {
    "One incident is one failed tap at check-in, check-out or transfer, or a failed inspection, \
     as somebody told it or a device observed it. Self-reports (of travellers and staff) and \
     observations are two bases, and are never added up. An incident counts once, however often \
     it is sent, from the moment that it is on stable storage until it is withdrawn.\n\n\
     Days, weekdays and hours are those of Europe/Amsterdam; the repeated hour of October \
     counts in one row. Who knows only the day tells the day: such an incident counts in figures \
     by day, and in none by hour. What was seen, what the traveller believes, what staff said and \
     what was confirmed are kept apart: causes are claims, and an incident may have several."
        .to_owned()
}

fn not_counted() -> String {
    format!(
        "Taps that failed and that nobody told of: nearly all of them. Incidents more than \
         {INCIDENT_AGE_DAYS_MAX} days old when they are told. Withdrawn incidents. What one \
         installation, or one card with one secret, tells again of the same reader (operator, line, stop, vehicle and kind, as told) within {} minutes of a tap told \
         before: both are one incident, counted as it was told first; where only hour or day is \
         told, the same one, told again within {} minutes. An incident \
         whose operator, line or stop could not be resolved is kept, counted in totals and left \
         out of rows that need what is not known; how many those are stands beside every \
         answer. An operator that neither the network nor the table of those of the Netherlands \
         knows is resolved only where a steward names it, or a token is bound to it; what was \
         not resolved stays so when a network or a token comes that knows it. Inspections are recorded, but are no taps, and stand in no exact rate.",
        TOLD_AGAIN_MS_MAX / MINUTE_MS,
        TOLD_AGAIN_MS_MAX / MINUTE_MS
    )
}

fn rates() -> String {
    format!(
        "Self-reports over taps are *reports per {REPORTS_PER_TAPS:.0} taps*: how often failing \
         is reported, never how often taps fail. Only refusals that devices observed give a \
         failure rate: f / (s + f) where the operator counts successes s, f / attempts where it \
         counts refused taps as well, none where that is not known, nor over taps of both kinds \
         together: each row goes by the feeds whose taps are in it. A failure rate of one signal, \
         cause, outcome or act of staff is over the same attempts as that of all of them: f of these, \
         and s and all refusals below the line.\n\n\
         Taps are told by operators, feed by feed, and are matched to reports interval by \
         interval. An exact figure adds up an operator's feeds of different kinds of tap, or of different \
         lines or stops. A line or stop that several feeds tell is set against the one that tells most of \
         its days, then most days in all, then the coarsest, then the first by name; their other lines and \
         stops count all the same. Where one tells lines and another stops, or one the operator as a whole, \
         nobody knows which taps they share: then all goes by one of them, the first in the same order. \
         A rate needs taps on {COVERED_DAYS_PERCENT_MIN} % of the days and \
         {MATCHED_REPORTS_PERCENT_MIN} % of the reports matched; exact figures print both, an edition \
         the days. Where a rule is broken there is a count, no rate, and the reason. Days with more \
         failures than taps are told as the contradiction that they are, where refused taps are among \
         the taps. Tap counts are kept \
         {TAP_DAYS_DEFAULT} days unless the instance is set otherwise.\n\n\
         A rate in an edition is made of what is published, and of taps. Its rules:\n\n\
         - Only operators with at least {EDITION_RATED_REPORTS_MIN} reports in the month have rates, \
         their lines included.\n\
         - Above the line stands the published count, inspections included.\n\
         - Below it stand taps that were told of the whole operator or line, and of the whole \
         day.\n\
         - Feeds of different kinds of tap are added up over the days that all of them tell. One that \
         would leave fewer than {COVERED_DAYS_PERCENT_MIN} % of the days is left out.\n\
         - Whether enough reports are matched is asked of all reports of the operator, twice: by the \
         kind and the time of taps, and by days. The two are judged apart, since together they would \
         tell what is hidden: up to a fifth may be of kinds or times that are not told, and up to a \
         fifth of days without taps, so that more than a fifth in all may not be matched.\n\
         - Kinds and times are read from the published kinds of tap and parts of the day, whose rests \
         count as not matched. Of what no table tells, fewer than {PUBLISHED_GROUP_MIN} count as so \
         many: else a rate would tell of a few reports what those tables hide.\n\
         - Reports of days without taps are not matched: as many as the day's published part says; of \
         a day without one {PUBLISHED_GROUP_MIN}, or the whole rest where that may be of one larger \
         day and a few others, or all where no day is published. What was recorded later is taken to \
         be of days as all else is.\n\
         - A quarter has rates where reports and matching suffice in each of its months; days are \
         asked of the quarter.\n\
         - Stations have counts and no rates: their rows have reports of trains and the metro alone, \
         and of these those that name no line, while taps of a stop are of all modes.\n\n\
         A tap has a mode and a card, but no feed tells them: by mode or by kind of card, and of \
         some modes or kinds of card only, there are counts and no rates.\n\n\
         An exact figure of a line says that it rests on few days, and is flagged `few-days` in \
         tables, CSV and JSON, if holding each of its days to three times its median day, at least \
         three, changes it by more than a fifth. Days without reports are among them from that on which \
         the record began to the last that has begun, and no others. Where lines with reports times \
         days of the window are more than {LINE_DAYS_MAX}, it is not told, and the flag is empty. \
         Editions carry no such flag: it would tell of days, which they do not."
    )
}

fn intervals() -> String {
    format!(
        "Every rate has an interval of {} % unless another level is asked for: Garwood's for \
         counts over taps, Wilson's for shares, Jeffreys' where asked for. Days scatter more than \
         chance has them, because outages cluster: the dispersion max(1, X² / degrees of \
         freedom) of the days widens the interval, and is printed. In an edition the days are those of \
         the operator that have taps: each with its published count, and those of the rest as if the \
         rest were divided between them as their taps are. No division of it scatters less, so that \
         the dispersion of an edition is rather too small than too large. That of a row is 1 + (the \
         operator's − 1) times the row's share of the operator's reports on these days, as if good and \
         bad days were so on every line. What was recorded later is of no day where it has a row \
         of its own. Where no day is published, dispersion is `not estimated`, and a month of a \
         quarter of which that is so is left out. Intervals of an edition's shares of answers are as \
         wide as chance alone has them, and `not estimated` as well. An interval covers chance. It does \
         not cover that the few who report may differ from all who travel.\n\n\
         Self-reports for each refusal that devices observed have the exact interval of two counts \
         of the same period, as a comparison has. It is widened by the larger of the two dispersions \
         of their days, each day with as much of it as is asked about and has been, matched or not, but \
         for days before the record began of which nothing was told, which are left out: so it is the \
         same by whatever else the question is told apart, and whatever taps were told, except that of an operator whose feed has service days, reports are of these. In exact \
         figures, too, a dispersion of fewer than two days is `not estimated`, and taken as 1.",
        Level::P95.get() * 100.0
    )
}

fn rankings() -> String {
    format!(
        "The busiest line always has most reports, and the smallest has the wildest rate. So \
         scopes are ranked by rates drawn towards each other as far as their own data are few \
         (gamma-Poisson shrinkage by maximum likelihood). There is a ranking only if at least \
         {RANKED_SCOPES_MIN} scopes can expect {RANKED_EXPECTED_MIN} events each, once they are \
         divided by the dispersion; the others are listed apart, and of those with enough is told how \
         many there are. Where the scopes scatter no more than chance has them, the answer is that \
         no difference can be shown.\n\n\
         Self-reports are not ranked by how often taps fail, because nobody knows how readily \
         the travellers of each line report. Told are the probability that a line is reported \
         more often than the network, and the ratio of readiness to report that would turn the \
         statement round."
    )
}

fn comparisons() -> String {
    format!(
        "Whether one period differs from another is told as the ratio of their rates, with an \
         interval of {} % unless another level is asked for, and as how often chance alone would set \
         two equal rates at least this far apart. Both are of the exact conditional test: given how \
         many events both periods had together, how many fell to the first is binomial. Both tails \
         hold the same. Where the interval holds 1, *no difference can be shown*, which is not to \
         say that there is none. The dispersion of the period whose days scatter more widens it.\n\n\
         Rates are compared only over the same feeds, each line and stop over the same one in \
         both; shares of attempts as counts over attempts, which makes the interval a little too \
         wide where refusals are not rare. Where a period has no rate, the feeds are others, or a \
         line or stop is one feed's in the one and another's in the other, or where one began before \
         the record did, incidents are compared over hours, which says nothing of how much was \
         travelled, and is said. Hours count from that on in which the record began and once they are over, of stops in whole days alone; \
         what was reported late of hours before stands in no such comparison. Where no \
         hour of a period counts, no verdict is given. Taps of days before the record began, where \
         they were told, do stand in a rate by itself: what failed then is known only as far as it was \
         reported late. One thing is compared at a time: of twenty lines, one can be expected to \
         differ by chance alone.\n\n\
         Of each period is told what was compared and over what, so that the ratio can be computed \
         again. Over hours, a report of which only the day is known stands in it where all hours of \
         the day count, and else in the count of the period alone.",
        Level::P95.get() * 100.0
    )
}

fn staff() -> String {
    let labels = |labels: Vec<&'static str>| labels.join(", ").to_lowercase();
    format!(
        "The *help rate* is the share of reports in which staff did one of: {}. The *harm rate* \
         is the share that ended in one of: {}. Both stand on the same base: reports in which \
         staff were present, and both what they did and how it ended was told. A missing answer \
         is never a \"no\". Each act has its share of the reports that tell what staff did. *Promises \
         kept* are of those who were promised a call and told later what became of it, those who \
         were called; who never came back to tell is left out. Intervals are Wilson's: of \
         exact shares widened as the shares of days scatter, in editions not widened.\n\n\
         Exact ones are for stewards: shares of few reports tell what staff did in single incidents. \
         Operators get those of editions. How many promises were kept stands in no edition: beside \
         the acts themselves it would tell too much. Who knows how many were promised, how many were \
         called back and how many of both can narrow down who did anything else, as attacks by \
         linear programming found.",
        labels(HELPING.iter().map(|act| act.label_en()).collect()),
        labels(HARMFUL.iter().map(|outcome| outcome.label_en()).collect()),
    )
}

fn editions() -> String {
    format!(
        "The public gets editions and nothing else. One covers a calendar month, closes on day \
         {EDITION_CLOSES_ON_DAY} of the next, and is never changed: what comes later is counted \
         as too late. Counts in it are exact, and never rounded. {PLACED}.\n\n\
         A class with fewer than {PUBLISHED_GROUP_MIN} reporters joins the rest of its table; \
         while the rest has fewer than {PUBLISHED_GROUP_MIN}, or is a single class, the smallest class \
         joins it, of equals the first by its key; with fewer than two parts left only the whole is \
         shown. A day's part closes at noon of the next day: what is recorded from then on is in the \
         class `recorded-later`. A line that is published in no month \
         of a quarter may appear for the quarter. Where one class lies inside another by its \
         meaning, the difference has {PUBLISHED_GROUP_MIN} reporters, too. Where several acts of staff \
         are published, what they tell more than the reports that told of any leaves room for \
         {PUBLISHED_GROUP_MIN} who met every one of them; else the smallest is not shown. So nobody can work out \
         a group of fewer.\n\n\
         That is said of people only where people told: nobody knows whose tap a device refused. Each \
         refused tap counts, and as a reporter of its own, whatever was refused before, so that a \
         published class of {PUBLISHED_GROUP_MIN} refusals may be of one person who tried so \
         often.\n\n\
         A reporter is a card, an installation, or both where one report names both; all reports \
         that name neither are of one reporter together. Of each reporter an edition counts one \
         self-report for each line and day (where the line is not known, for each operator and day, \
         and of trains and the metro for each station), and at most \
         {COUNTED_REPORTS_PER_MONTH_MAX} a month. \
         Cards and installations are told apart under a key, another one each quarter, and nobody can \
         be recognised under two. Where the key is replaced or lost within a month, of the reports that \
         name somebody only those told under one of both keys count, that of most reports, and a \
         line appears for a quarter only if its months count under the same one: else one person would \
         be two reporters. \
         Installations and card numbers can be invented, addresses less easily: of installations \
         without a card only the first {NEW_INSTALLATIONS_PER_PREFIX_MAX} from one address prefix \
         (24 bits of IPv4, 48 of IPv6) count for an operator and a day. Reports that bring a card \
         number are not bounded like that, and nobody can see whether a number was invented: each \
         is a reporter of its own. What bounds a flood of them is the limit of calls alone, which a \
         service has that gives out tokens: from one address without a token \
         {PREFIX_CALLS_PER_SECOND_MAX} reports a second in the long run, and {PREFIX_BURST_MAX} \
         at once. Prefixes are kept in \
         memory under a key of the day, and of a report only whether it counts. How many were \
         left out is printed, if they are of {PUBLISHED_GROUP_MIN} reporters or more; installations \
         that no report joins by a card are a reporter each there, too."
    )
}

fn coalitions() -> String {
    format!(
        "Who knows their own reports can subtract them. A coalition of c reporters who tell each \
         other what they reported lowers {PUBLISHED_GROUP_MIN} to {PUBLISHED_GROUP_MIN} − c: of a \
         class of {PUBLISHED_GROUP_MIN} reporters, {} who work together are left with one whom \
         they can single out. A coalition can also report together: c reporters can add up to \
         {COUNTED_REPORTS_PER_MONTH_MAX} × c reports to a month, on lines of their choice.",
        PUBLISHED_GROUP_MIN - 1
    )
}

fn told_at_once() -> String {
    format!(
        "Whoever reports may ask whether others reported the same. Told is the narrowest place and \
         time of which {PUBLISHED_GROUP_MIN} or more others told something: in the last hour the same \
         reader (in the same vehicle of the operator, or of the same kind at the same stop), stop or \
         line; the same in the last 24 hours; the operator in the last hour, then in 24 hours; \
         anything in 24 hours. Of fewer nothing is said, and of more not how many. It is told once, \
         with the answer to a report that was not recorded before.\n\n\
         Who is one reporter is told as for editions, from the latest {OTHERS_LOOKED_AT_MAX} reports of \
         the place: cards and installations are joined where one of these reports names both, all \
         reports that name neither are of one together, and so are those of new installations that an \
         edition leaves out. Because cards and installations can be invented, at most \
         {OTHERS_PER_PREFIX_MAX} reporters of one address prefix (24 bits of IPv4, 48 of IPv6) count, \
         whatever they name, and none of the prefix that the report itself comes from: else whoever \
         invents {} of them learns by the next whether a single other person reported. Who reports \
         from c prefixes beside the one that asks lowers {PUBLISHED_GROUP_MIN} to \
         {PUBLISHED_GROUP_MIN} − {OTHERS_PER_PREFIX_MAX} × c. Prefixes are kept for {} hours, in memory \
         and hashed under a key of the process. All reports of which none is known, as after a \
         restart, are of one reporter together. What comes from the machine of the instance itself \
         has none, and is not bounded.",
        PUBLISHED_GROUP_MIN - 1,
        RECENT_MINUTES / 60
    )
}

fn as_of() -> String {
    format!(
        "An instance counts from its first entry on; `DescribeMethod` and `mistap status` say when \
         that was, and the edition of the month in which it was, too. Since incidents may be told up to \
         {INCIDENT_AGE_DAYS_MAX} days late, figures of the time before that are incomplete, and a \
         month goes on growing until its edition closes.\n\n\
         Every answer names the position of the journal that it includes, to operators by a number \
         that stands for it. Asked again as of that position, counts, rates, rankings, comparisons, times \
         to reply and figures of staff are the same to the digit, whatever was reported late, withdrawn or counted again since, as \
         long as the fold version ({FOLD_VERSION}) is the same and the position is \
         kept. A correction is a withdrawal and a new report. What a reporter adds later counts \
         from the position on at which it was added.\n\n\
         Single incidents are kept for {INCIDENT_MONTHS_DEFAULT} months after the one in which they \
         were told, or shorter; positions of before are not kept. Then they count in totals \
         alone: of lines by the hour, stops by the day, and causes, cards, signals and what \
         staff did by operator and hour. What cannot be made of these is not \
         answered."
    )
}

fn outages() -> String {
    format!(
        "On a day when an operator's service, or everybody's, was down, reports say little about \
         readers. Whoever runs the instance declares such days, of an operator or of the whole \
         network, at most {OUTAGE_DAYS_MAX} at once, and can withdraw them; nothing is inferred \
         from reports. Both are entries of the journal, so that answers as of a position know what \
         was declared by then.\n\n\
         An exact figure counts every day. Where outages were declared in its window, of the whole \
         network or of an operator that the question may take in, their days are listed, and a \
         second figure leaves them out: of every row, whosever outage it was, so that rows stay \
         about the same days, and of reports, taps and days alike. A row without other days has \
         none. A ranking leaves them out where asked to. Where a feed's service days begin later \
         than at midnight, a rate leaves out its service days.\n\n\
         Editions list the days that were declared after the month had begun and before they \
         closed, and count them like any other: a second table, less a few days, would tell those \
         days' groups of fewer than {PUBLISHED_GROUP_MIN}."
    )
}

fn volume() -> String {
    let mut text = format!(
        "Of the about {LINES} lines of the Netherlands, few can have figures of their own. \
         Expected to reach ten reports in a month:"
    );
    for (reports, lines) in EXPECTED {
        let _ = write!(text, " at {reports} reports a day, about {lines} lines;");
    }
    text.pop();
    text.push_str(
        ". These are planning figures, and the reporters must be different. A national outage \
         brings six reports a second, and says little about any line.",
    );
    text
}

fn unfit() -> String {
    [
        "How often taps fail: self-reports are a numerator only, of those who chose to report.",
        "League tables of operators by counts: who is larger, or has keener travellers, has more.",
        "Comparing lines by self-reports without saying that their travellers may report \
         differently readily.",
        "What any single person, driver or conductor did.",
        "Causes: nobody at the reader can know a blocked card from a broken one. Claims are \
         claims.",
        "Trends across a break in the list below, and trends of a young instance: more reports may \
         only mean that more people know of it.",
        "That a line without reports has no failures.",
    ]
    .map(|point| format!("- {point}"))
    .join("\n")
}

fn citing() -> String {
    "Every answer and every download carries one line that names its source, its period, its \
     method, of an exact figure what it is restricted to and, of an edition, its hash; a watch \
     tells it with its first figures and anew each minute. Whoever prints a figure prints that \
     line with it. \
     Editions are CC0: they belong to everybody."
        .to_owned()
}

impl Method {
    /// The whole as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut out = format!(
            "# Method\n\nHow the figures of mistap are made. Method {METHOD}, fold {FOLD_VERSION}. \
             This page is printed by `mistap method` from the numbers that the program counts \
             with.\n"
        );
        for section in &self.sections {
            let _ = write!(out, "\n## {}\n\n{}\n", section.title, section.text);
        }
        out.push_str("\n## Known breaks\n\n");
        for Break { since, what } in &self.breaks {
            let _ = writeln!(out, "- {since}: {what}");
        }
        out.push_str("\n## Numbers\n\n| number | value | of what |\n|---|---|---|\n");
        for Parameter {
            key,
            value,
            meaning,
        } in &self.parameters
        {
            let _ = writeln!(out, "| `{key}` | {value} | {meaning} |");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_in_docs_is_what_the_program_says() {
        let page = include_str!("../../docs/method.md");
        let told = method().to_markdown();
        assert!(page == told, "run `mistap method > docs/method.md`");
    }

    #[test]
    fn every_number_stands_in_the_page() {
        let told = method().to_markdown();
        for text in [
            format!("at least {RANKED_SCOPES_MIN} scopes can expect {RANKED_EXPECTED_MIN} events"),
            format!("fewer than {PUBLISHED_GROUP_MIN} reporters"),
            format!("closes on day {EDITION_CLOSES_ON_DAY} of"),
            format!("on {COVERED_DAYS_PERCENT_MIN} % of the days"),
            format!("`fold-version` | {FOLD_VERSION} |"),
            "at 80 reports a day, about 18 lines; at 800 reports a day, about 500 lines.".into(),
        ] {
            assert!(told.contains(&text), "{text}");
        }
        let keys: Vec<_> = method().sections.iter().map(|one| one.key).collect();
        let mut distinct = keys.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), keys.len());
    }
}
