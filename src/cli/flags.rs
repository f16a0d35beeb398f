//! Which flag says what a field of the API holds, so that a refusal names what was typed. The
//! server names fields, since most of its clients have no flags.

/// Fields by the end of their path, without places in lists; the first that fits.
const FLAGS: [(&str, &str); 45] = [
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
    ("resume_token", "--resume"),
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

/// Before the path of another value of the same list, in the rule that two values break together.
const CLASHES: &str = "cannot be added up with ";

/// A rule that a field breaks, as whoever typed it knows it.
pub fn told(field: &str, rule: &str) -> String {
    let typed = RULES.iter().find(|(known, _)| *known == rule);
    let rule = typed.map_or(rule, |(_, typed)| typed);
    let clash = rule.strip_prefix(CLASHES);
    match clash.and_then(|rest| rest.split_once(':')) {
        Some((other, why)) => format!("{}: {CLASHES}{}:{why}", name(field), name(other)),
        None => format!("{}: {rule}", name(field)),
    }
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
        return format!("{flag}{}", ordinal(field));
    }
    match path.strip_prefix(REPORT) {
        Some(last) if !last.contains('.') => {
            format!("--{}{}", last.replace('_', "-"), ordinal(field))
        }
        _ => field.to_owned(),
    }
}

/// Which of a flag's values: ` (number 3)` of `filter.lines[2]`, and nothing of what is no list.
fn ordinal(field: &str) -> String {
    let place = field
        .strip_suffix(']')
        .and_then(|path| path.rsplit_once('['));
    let place: Option<u32> = place.and_then(|(_, place)| place.parse().ok());
    match place {
        Some(place) => format!(" (number {})", place.saturating_add(1)),
        None => String::new(),
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
        check("question.filter.lines[0]", "--line (number 1)");
        check("filter.hours_of_day[2]", "--hour-of-day (number 3)");
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
    fn two_values_of_a_flag_that_clash_are_told_apart() {
        let rule = "cannot be added up with rates.feeds[0]: both tell the same taps";
        assert_eq!(
            told("rates.feeds[2]", rule),
            "--feed (number 3): cannot be added up with --feed (number 1): both tell the same taps"
        );
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
