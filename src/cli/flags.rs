//! Which flag says what a field of the API holds, so that a refusal names what was typed. The
//! server names fields, since most of its clients have no flags.

/// Fields by the end of their path, without places in lists; the first that fits.
const FLAGS: [(&str, &str); 44] = [
    ("with_window.start", "the second period"),
    ("with_window.end", "the second period"),
    ("with_window", "the second period"),
    ("window.start", "the first day"),
    ("window.end", "the last day"),
    ("question.window", "--from and --to"),
    ("as_of_position", "--as-of"),
    ("by", "--by"),
    ("level", "--level"),
    ("feeds", "--feed"),
    ("operators", "--operator"),
    ("lines", "--line"),
    ("stops", "--stop"),
    ("states", "--state"),
    ("filter.modes", "--mode"),
    ("filter.causes", "--cause"),
    ("filter.card_kinds", "--card-kind"),
    ("filter.signals", "--signal"),
    ("filter.staff_acts", "--staff-act"),
    ("filter.outcomes", "--outcome"),
    ("filter.tap_kinds", "--tap-kind"),
    ("filter.hours_of_day", "--hour-of-day"),
    ("filter.weekdays", "--weekday"),
    ("filter.basis", "--observed"),
    ("incident.incident_id", "--id"),
    ("incident.incident_secret", "--secret"),
    ("incident.occurred_at", "the time (--at, --hour or --day)"),
    ("incident.precision", "the time (--at, --hour or --day)"),
    ("incident.tap_kind", "--tap"),
    ("incident.reader_kind", "--reader"),
    ("incident.others_got_through", "--others"),
    ("incident.card_kind", "--card"),
    ("incident.card_number", "the card's number"),
    ("incident.staff_acts", "--staff-act"),
    ("incident.cause_claims", "--cause"),
    ("cause_claims.cause", "--cause"),
    ("cause_claims.source", "--cause"),
    ("incident.outcomes", "--outcome"),
    ("outage.operator_code", "--operator"),
    ("outage.first_day", "the first day"),
    ("outage.last_day", "the last day"),
    ("from_time", "--from"),
    ("limit", "--limit"),
    ("page_size", "--limit"),
];
/// Before fields of a report that are named as their flags are.
const REPORT: &str = "incident.";

/// What the server advises where there is no such edition.
const LISTED: &str = "; ListEditions has those that there are";

/// Rules that name choices as the API does, and as they are typed.
const RULES: [(&str, &str); 4] = [
    ("needs signal to be GREEN", "needs --signal green"),
    (
        "must be given with CLOSED_UNFIXED",
        "must be given with closed-unfixed: say why with --reason",
    ),
    (
        "needs state to be CLOSED_UNFIXED",
        "goes with closed-unfixed only",
    ),
    (
        "must not be OBSERVED: devices tell nothing of staff",
        "cannot be given here: devices tell nothing of staff",
    ),
];

/// A rule that a field breaks, as whoever typed it knows it.
pub fn told(field: &str, rule: &str) -> String {
    let typed = RULES.iter().find(|(known, _)| *known == rule);
    let rule = typed.map_or(rule, |(_, typed)| typed);
    format!("{}: {rule}", name(field))
}

/// A sentence of the server without what it says of fields and calls: those have flags and
/// commands, which a hint names.
pub fn in_words(sentence: &str) -> String {
    let sentence = sentence.strip_suffix(LISTED).unwrap_or(sentence);
    sentence.replace("as_of_position", "--as-of")
}

fn name(field: &str) -> String {
    let path = without_places(field);
    let is_of = |end: &str| {
        let before = path.strip_suffix(end);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    if let Some((_, flag)) = FLAGS.iter().find(|(end, _)| is_of(end)) {
        return (*flag).to_owned();
    }
    match path.strip_prefix(REPORT) {
        Some(last) if !last.contains('.') => format!("--{}", last.replace('_', "-")),
        _ => field.to_owned(),
    }
}

/// `filter.lines` of `filter.lines[0]`.
fn without_places(field: &str) -> String {
    let mut is_place = false;
    let kept = field.chars().filter(|character| {
        match character {
            '[' => is_place = true,
            ']' => {
                is_place = false;
                return false;
            }
            _ => {}
        }
        !is_place
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn field_is_told_by_the_flag_that_says_it() {
        let check = |field: &str, expected: &str| {
            assert_eq!(told(field, "must be so"), format!("{expected}: must be so"));
        };
        check("question.filter.lines[0]", "--line");
        check("filter.hours_of_day[2]", "--hour-of-day");
        check("question.window.start", "the first day");
        check("with_window.end", "the second period");
        check("incident.stop", "--stop");
        check("incident.found_later", "--found-later");
        check("incident.cause_claims[1].cause", "--cause");
        check("incident.tap_kind", "--tap");
        check("counts[7].taps", "counts[7].taps");
        check("", "");
        let rule = told("incident.found_later", "needs signal to be GREEN");
        assert_eq!(rule, "--found-later: needs --signal green");
    }

    #[test]
    fn every_flag_that_is_named_is_one_of_a_command() {
        fn flags(command: &clap::Command, all: &mut Vec<String>) {
            let long = command.get_arguments().filter_map(|one| one.get_long());
            all.extend(long.map(|name| format!("--{name}")));
            for one in command.get_subcommands() {
                flags(one, all);
            }
        }
        let mut all = Vec::new();
        flags(&Cli::command(), &mut all);
        for (field, flag) in FLAGS {
            let words = flag.split([' ', ',', '(', ')']);
            for word in words.filter(|word| word.starts_with("--")) {
                assert!(all.iter().any(|one| one == word), "{field}: {word}");
            }
        }
    }
}
