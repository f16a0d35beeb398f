//! `mistap compare`: whether one period differs from another.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::ServerArgs;
use super::failure::Failure;
use super::outage;
use super::output::{Format, Sheet, place};
use super::question::{AsOfArgs, FilterArgs, LevelArgs, TapsArgs};
use super::rates::{no_rate, rounded};
use super::tidy;
use super::unknown;
use super::when::{Days, Period};
use super::with_progress;
use crate::api::pb::v1 as pb;

/// What is compared.
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// The period in question: `2026-10`, `last-month`, `2-months-ago`, `2026-10-03` or
    /// `2026-10-01..2026-10-14`
    period: Period,
    /// The period that it is compared with
    with: Period,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    taps: TapsArgs,
    #[command(flatten)]
    at: AsOfArgs,
    #[command(flatten)]
    sure: LevelArgs,
}

/// What lies below is for people only said to do so.
const P_TOLD_MIN: f64 = 0.000_1;

/// What of each period is in the ratio, and over how many taps, attempts or hours.
const COMPARED_COLUMNS: [&str; 2] = ["compared", "exposure"];

const RATIO_COLUMNS: [&str; 7] = [
    "compared_over",
    "ratio",
    "ratio_low",
    "ratio_high",
    "p_value",
    "ratio_dispersion",
    "verdict",
];

/// Runs `mistap compare`.
pub async fn compare(
    args: &CompareArgs,
    server: &ServerArgs,
    format: Format,
    now: Timestamp,
) -> Result<(), Failure> {
    let days = [args.period, args.with].map(|period| Days::of(period, now));
    let [days, with_days] = days;
    let days = [days?, with_days?];
    let request = pb::ComparePeriodsRequest {
        filter: Some(args.filter.to_wire()),
        window: Some(days[0].to_wire()?),
        with_window: Some(days[1].to_wire()?),
        rates: Some(pb::RatesRequest {
            feeds: args.taps.feed.clone(),
            level: args.sure.level,
            ..pb::RatesRequest::default()
        }),
        without_outages: args.taps.without_outages,
        as_of_position: args.at.as_of,
    };
    let channel = server.connect().await?;
    let mut client = pb::statistics_service_client::StatisticsServiceClient::new(channel);
    let answer = with_progress::comparison(&mut client, request).await?;
    print(args, days, &answer, format)?;
    match is_nothing(&answer) {
        true => unknown::warn(args.filter.places(), server).await,
        false => Ok(()),
    }
}

fn print(
    args: &CompareArgs,
    days: [Days; 2],
    answer: &pb::ComparePeriodsResponse,
    format: Format,
) -> Result<(), Failure> {
    let sheet = sheet(args, days, answer);
    let mut out = io::stdout().lock();
    match format {
        Format::Table => write_summary(args, days, answer, &mut out),
        Format::Csv => {
            sheet.print(format, &mut out)?;
            write_summary(args, days, answer, &mut io::stderr().lock())
        }
        Format::Json => {
            let object = json!({
                "verdict": verdict(answer),
                "statement": statement(answer),
                "level": answer.level,
                "position": place(answer.position),
                "fold_version": answer.fold_version,
                "citation": answer.citation,
                "without_outages": args.taps.without_outages,
                "outage_days": outage::listed(&outage_days(answer)),
                "periods": sheet.objects(),
            });
            Ok(writeln!(out, "{object:#}")?)
        }
    }
}

/// Both periods in the tidy columns, and the comparison beside the first.
fn sheet(args: &CompareArgs, days: [Days; 2], answer: &pb::ComparePeriodsResponse) -> Sheet {
    let columns = tidy::PERIOD.into_iter().chain(tidy::COUNT);
    let columns = columns.chain(tidy::RATE).chain(tidy::REPORTING);
    let columns = columns.chain(RATIO_COLUMNS).chain(COMPARED_COLUMNS);
    let mut sheet = Sheet::new(columns);
    let compared = ratio_cells(answer);
    let nothing = [const { Value::Null }; RATIO_COLUMNS.len()];
    let periods = [&answer.period, &answer.with_period];
    for ((period, days), last) in periods.into_iter().zip(days).zip([compared, nothing]) {
        let period = period.clone().unwrap_or_default();
        let rate = period.rate.as_ref();
        let cells = tidy::period_cells(args.filter.basis(), (days.first, days.last));
        let cells = cells
            .into_iter()
            .chain([json!(tidy::EXACT), json!(period.count)]);
        let cells = cells.chain(tidy::rate_cells(rate, &period.feeds));
        let cells = cells.chain(tidy::reporting_cells(rate));
        let cells = cells.chain(last);
        let cells = cells.chain([json!(period.compared), json!(period.exposure)]);
        sheet.push(cells.collect());
    }
    sheet
}

/// Of `RATIO_COLUMNS`.
fn ratio_cells(answer: &pb::ComparePeriodsResponse) -> [Value; RATIO_COLUMNS.len()] {
    let ratio = answer.ratio.as_ref();
    let number = |value: Option<f64>| json!(value.map(rounded));
    [
        json!(over(answer)),
        number(ratio.and_then(|ratio| ratio.value)),
        number(ratio.map(|ratio| ratio.low)),
        number(ratio.and_then(|ratio| ratio.high)),
        number(ratio.map(|ratio| ratio.p_value)),
        number(ratio.map(|ratio| ratio.dispersion)),
        json!(verdict(answer)),
    ]
}

fn over(answer: &pb::ComparePeriodsResponse) -> Option<&'static str> {
    match answer.over() {
        pb::ComparedOver::Unspecified => None,
        pb::ComparedOver::Taps => Some("taps"),
        pb::ComparedOver::Time => Some("time"),
    }
}

fn verdict(answer: &pb::ComparePeriodsResponse) -> &'static str {
    match answer.verdict() {
        pb::ComparisonVerdict::Unspecified => "unknown",
        pb::ComparisonVerdict::NoDifference => "no-difference",
        pb::ComparisonVerdict::Higher => "higher",
        pb::ComparisonVerdict::Lower => "lower",
        pb::ComparisonVerdict::NoHours => "no-hours",
    }
}

fn outage_days(answer: &pb::ComparePeriodsResponse) -> Vec<pb::OutageDay> {
    let periods = answer.with_period.iter().chain(&answer.period);
    periods
        .flat_map(|period| period.outage_days.clone())
        .collect()
}

/// What can be said, in one sentence.
fn statement(answer: &pb::ComparePeriodsResponse) -> String {
    let count =
        |period: &Option<pb::ComparedPeriod>| period.as_ref().map_or(0, |period| period.compared);
    let (one, other) = (count(&answer.period), count(&answer.with_period));
    if is_nothing(answer) {
        return "nothing was reported in either".to_owned();
    }
    let said = match answer.verdict() {
        pb::ComparisonVerdict::Higher => "the rate is higher",
        pb::ComparisonVerdict::Lower => "the rate is lower",
        pb::ComparisonVerdict::NoHours => {
            "nothing can be said, as no hour of one of them is over and in the record"
        }
        pb::ComparisonVerdict::NoDifference | pb::ComparisonVerdict::Unspecified => {
            "no difference can be shown"
        }
    };
    let what = match answer.over() {
        pb::ComparedOver::Taps => "over their taps",
        _ => "over time, as their rates cannot be compared",
    };
    format!("{one} against {other}, {what}: {said}")
}

/// Whether neither period has a report, so that there is nothing to compare.
fn is_nothing(answer: &pb::ComparePeriodsResponse) -> bool {
    let mut periods = answer.period.iter().chain(&answer.with_period);
    periods.all(|period| period.count == 0)
}

fn write_summary(
    args: &CompareArgs,
    days: [Days; 2],
    answer: &pb::ComparePeriodsResponse,
    out: &mut impl Write,
) -> Result<(), Failure> {
    for (period, days) in [&answer.period, &answer.with_period].into_iter().zip(days) {
        let period = period.clone().unwrap_or_default();
        let rate = period.rate.unwrap_or_default();
        write!(out, "{} to {}: {}", days.first, days.last, period.count)?;
        match (rate.value, rate.low, rate.high) {
            (Some(value), Some(low), Some(high)) => {
                let [value, low, high] = [value, low, high].map(rounded);
                let unit = match rate.unit() {
                    pb::RateUnit::ShareOfAttempts => "of attempts failed",
                    _ => "per 100000 taps",
                };
                writeln!(out, ", {value} {unit} ({low} to {high})")?;
            }
            _ => {
                let reason = no_rate(rate.no_rate()).unwrap_or("no rate");
                writeln!(out, ", no rate: {reason}")?;
            }
        }
        let (compared, exposure) = (period.compared, period.exposure);
        match (answer.over(), rate.unit()) {
            (pb::ComparedOver::Time, _) => {
                writeln!(out, "  compared: {compared} in {exposure} hours that count")?;
            }
            (_, pb::RateUnit::ShareOfAttempts) => {
                writeln!(out, "  compared: {compared} of {exposure} attempts")?;
            }
            _ => writeln!(out, "  compared: {compared} over {exposure} taps")?,
        }
    }
    writeln!(out, "{}", statement(answer))?;
    let ratio = answer.ratio.as_ref().filter(|_| !is_nothing(answer));
    if let Some(ratio) = ratio {
        let or_none =
            |value: Option<f64>| value.map_or("none".into(), |value| rounded(value).to_string());
        writeln!(
            out,
            "ratio {} ({} to {}, {} %), p {}, widened for days that scatter {} times as chance has them",
            or_none(ratio.value),
            rounded(ratio.low),
            or_none(ratio.high),
            rounded(answer.level * 100.0),
            p_for_people(ratio.p_value),
            rounded(ratio.dispersion),
        )?;
    }
    outage::write_days(&outage_days(answer), args.taps.how_outages(), out)?;
    writeln!(out, "{}", answer.citation)?;
    Ok(())
}

/// How likely chance alone has such a difference; nobody counts the zeros of one in a million.
fn p_for_people(p_value: f64) -> String {
    if p_value < P_TOLD_MIN {
        return format!("below {P_TOLD_MIN}");
    }
    rounded(p_value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn very_small_p_is_said_to_be_one_and_stays_a_number_for_programs() {
        assert_eq!(p_for_people(0.043_21), "0.04321");
        assert_eq!(p_for_people(0.000_123), "0.000123");
        for p_value in [0.000_099, 1.234e-200, 0.0] {
            assert_eq!(p_for_people(p_value), "below 0.0001");
        }
        let answer = pb::ComparePeriodsResponse {
            ratio: Some(pb::PeriodRatio {
                p_value: 1.234_56e-200,
                ..pb::PeriodRatio::default()
            }),
            ..pb::ComparePeriodsResponse::default()
        };
        assert_eq!(ratio_cells(&answer)[4].to_string(), "1.235e-200");
    }

    #[test]
    fn statement_names_what_was_counted_and_what_can_be_said() {
        let period = |count, compared| {
            Some(pb::ComparedPeriod {
                count,
                compared,
                ..pb::ComparedPeriod::default()
            })
        };
        let check = |over: pb::ComparedOver, verdict: pb::ComparisonVerdict, expected: &str| {
            let answer = pb::ComparePeriodsResponse {
                period: period(41, 40),
                with_period: period(53, 52),
                over: over.into(),
                verdict: verdict.into(),
                ..pb::ComparePeriodsResponse::default()
            };
            assert_eq!(statement(&answer), expected);
        };
        check(
            pb::ComparedOver::Taps,
            pb::ComparisonVerdict::NoDifference,
            "40 against 52, over their taps: no difference can be shown",
        );
        check(
            pb::ComparedOver::Time,
            pb::ComparisonVerdict::Lower,
            "40 against 52, over time, as their rates cannot be compared: the rate is lower",
        );
        check(
            pb::ComparedOver::Time,
            pb::ComparisonVerdict::NoHours,
            "40 against 52, over time, as their rates cannot be compared: nothing can be \
             said, as no hour of one of them is over and in the record",
        );
    }

    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: CompareArgs,
    }

    #[test]
    fn of_two_periods_without_a_report_only_that_is_said() {
        let days = Days::of("2026-10".parse().expect("a month"), Timestamp::UNIX_EPOCH);
        let days = [days.expect("days"); 2];
        let typed = <Typed as clap::Parser>::parse_from(["compare", "2026-10", "2026-10"]);
        let answer = |count| pb::ComparePeriodsResponse {
            period: Some(pb::ComparedPeriod::default()),
            with_period: Some(pb::ComparedPeriod {
                count,
                ..pb::ComparedPeriod::default()
            }),
            ratio: Some(pb::PeriodRatio::default()),
            ..pb::ComparePeriodsResponse::default()
        };
        let told = |count| {
            let mut out = Vec::new();
            let written = write_summary(&typed.args, days, &answer(count), &mut out);
            written.expect("room");
            String::from_utf8(out).expect("text")
        };
        assert!(told(0).contains("\nnothing was reported in either\n"));
        assert!(!told(0).contains("ratio"), "{}", told(0));
        assert!(told(1).contains("ratio"), "{}", told(1));
    }
}
