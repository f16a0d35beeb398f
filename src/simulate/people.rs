//! What one traveller tells about one failed tap, and when.

use rand::rngs::StdRng;
use rand::{Rng, RngCore};

use super::weighted;
use super::world::{World, WorldLine};
use crate::api::pb::v1 as pb;
use crate::domain::UtcMillis;
use crate::domain::taxonomy::{
    CardKind, Cause, ClaimSource, ExtraCost, Mode, OthersGotThrough, Outcome, ReaderKind, Signal,
    StaffAct, StaffMinutes, StaffPresence, TapKind, Taxonomy, TimePrecision, WorkedLater,
};
use crate::domain::time::MINUTE_MS;

/// Installations that report; each reports now and then.
const INSTALLATIONS: u32 = 40_000;

/// A failed tap.
#[derive(Clone, Copy, Debug)]
pub struct Tap {
    /// The reader, by place.
    pub reader: usize,
    /// Whether the reader is broken.
    pub is_broken: bool,
}

/// Whether a client sends its report a second time.
pub fn sends_twice(random: &mut StdRng) -> bool {
    random.random_bool(0.03)
}

/// What a traveller tells about a tap, and how many milliseconds after it.
pub fn tell(
    world: &World,
    tap: Tap,
    tapped: UtcMillis,
    is_outage: bool,
    random: &mut StdRng,
) -> (i64, pb::Incident) {
    let (delay_ms, precision) = delay(random);
    let sent = UtcMillis(tapped.0 + delay_ms);
    let mut incident = identity(sent, random);
    incident.occurred_at = Some(to_wire(tapped));
    incident.precision = number(precision);
    let (reader, line) = world.reader(tap.reader);
    tell_place(&mut incident, line, reader.vehicle, random);
    tell_reader(&mut incident, line.mode, tap.is_broken || is_outage, random);
    tell_causes(&mut incident, tap.is_broken, is_outage, random);
    tell_card(&mut incident, random);
    tell_staff(&mut incident, random);
    (delay_ms, incident)
}

/// Most report at once, some in the evening, a few after days and know only the day.
fn delay(random: &mut StdRng) -> (i64, TimePrecision) {
    let precision = weighted(
        &[
            (TimePrecision::Exact, 82),
            (TimePrecision::Hour, 11),
            (TimePrecision::Day, 7),
        ],
        random,
    );
    let minutes = match precision {
        TimePrecision::Exact => random.random_range(1..15),
        TimePrecision::Hour => random.random_range(60..12 * 60),
        TimePrecision::Day => random.random_range(24 * 60..20 * 24 * 60),
    };
    (minutes * MINUTE_MS, precision)
}

fn identity(sent: UtcMillis, random: &mut StdRng) -> pb::Incident {
    let mut bytes = [0; 10];
    random.fill_bytes(&mut bytes);
    let millis = u64::try_from(sent.0).expect("after 1970");
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
    let mut secret = vec![0; 32];
    random.fill_bytes(&mut secret);
    let installation = random.random_range(0..INSTALLATIONS);
    pb::Incident {
        incident_id: id.to_string(),
        incident_secret: secret,
        installation_id: if random.random_bool(0.7) {
            format!("simulated-installation-{installation:06}")
        } else {
            String::new()
        },
        ..Default::default()
    }
}

fn tell_place(
    incident: &mut pb::Incident,
    line: &WorldLine,
    vehicle: Option<u32>,
    random: &mut StdRng,
) {
    incident.mode = number(line.mode);
    let knows_operator = random.random_bool(0.85);
    if knows_operator {
        incident.operator.clone_from(&line.operator);
    }
    incident.line = if random.random_bool(0.8) {
        line.id.clone()
    } else {
        line.number.clone()
    };
    if random.random_bool(0.85) {
        let (code, name) = World::any_stop(line, random);
        incident.stop = if random.random_bool(0.9) {
            code.clone()
        } else {
            name.clone()
        };
    }
    if let Some(vehicle) = vehicle.filter(|_| random.random_bool(0.3)) {
        incident.vehicle = vehicle.to_string();
    }
    let taps = [
        (TapKind::CheckIn, 70),
        (TapKind::CheckOut, 25),
        (TapKind::Transfer, 5),
    ];
    incident.tap_kind = number(weighted(&taps, random));
}

fn tell_reader(incident: &mut pb::Incident, mode: Mode, is_dead: bool, random: &mut StdRng) {
    let kind = match mode {
        Mode::Train => ReaderKind::PlatformPost,
        Mode::Metro => ReaderKind::Gate,
        _ => ReaderKind::OnboardValidator,
    };
    incident.reader_kind = number(kind);
    let signals: &[(Signal, u32)] = if is_dead {
        &[
            (Signal::NoReaction, 35),
            (Signal::DeadScreen, 30),
            (Signal::OutOfServiceText, 20),
            (Signal::RedBeep, 15),
        ]
    } else {
        &[
            (Signal::RedBeep, 35),
            (Signal::RedTripleBeep, 20),
            (Signal::RedLongBeep, 15),
            (Signal::RedCross, 10),
            (Signal::NoReaction, 8),
            (Signal::TextOnly, 7),
            (Signal::Green, 3),
            (Signal::Unknown, 2),
        ]
    };
    let signal = weighted(signals, random);
    incident.signal = number(signal);
    incident.found_later = signal == Signal::Green;
    incident.attempts = random.random_range(1..=4);
    let others = if is_dead {
        [
            (OthersGotThrough::Yes, 5),
            (OthersGotThrough::No, 65),
            (OthersGotThrough::NotSeen, 30),
        ]
    } else {
        [
            (OthersGotThrough::Yes, 60),
            (OthersGotThrough::No, 8),
            (OthersGotThrough::NotSeen, 32),
        ]
    };
    incident.others_got_through = number(weighted(&others, random));
    let later = [
        (WorkedLater::SameReader, 15),
        (WorkedLater::OtherReader, 30),
        (WorkedLater::No, 20),
        (WorkedLater::NotTried, 35),
    ];
    incident.worked_later = number(weighted(&later, random));
}

fn tell_causes(incident: &mut pb::Incident, is_broken: bool, is_outage: bool, random: &mut StdRng) {
    let cause = if is_outage {
        Cause::SystemOutage
    } else if is_broken {
        Cause::ReaderFault
    } else {
        let causes = [
            (Cause::Unknown, 40),
            (Cause::CardUnreadable, 14),
            (Cause::InsufficientBalance, 12),
            (Cause::ProductNotValid, 9),
            (Cause::ProductNotLoaded, 8),
            (Cause::AlreadyCheckedIn, 6),
            (Cause::ReadInterrupted, 5),
            (Cause::CardBlocked, 4),
            (Cause::CardClash, 2),
        ];
        weighted(&causes, random)
    };
    let sources = [
        (ClaimSource::Traveller, 60),
        (ClaimSource::Staff, 20),
        (ClaimSource::Display, 20),
    ];
    let mut claim = |cause: Cause| pb::CauseClaim {
        cause: number(cause),
        source: number(weighted(&sources, random)),
    };
    incident.cause_claims = vec![claim(cause)];
    if random.random_bool(0.1) && cause != Cause::Unknown {
        let staff = pb::CauseClaim {
            cause: number(Cause::Unknown),
            source: number(ClaimSource::Staff),
        };
        incident.cause_claims.push(staff);
    }
}

fn tell_card(incident: &mut pb::Incident, random: &mut StdRng) {
    let kinds = [
        (CardKind::Personal, 34),
        (CardKind::Student, 22),
        (CardKind::Anonymous, 12),
        (CardKind::BankCard, 14),
        (CardKind::SeasonTicket, 9),
        (CardKind::OvPas, 5),
        (CardKind::PhoneOrWatch, 4),
    ];
    incident.card_kind = number(weighted(&kinds, random));
    if random.random_bool(0.15) {
        incident.card_number = format!("3528{:012}", random.random_range(0..1_000_000_u64));
    }
}

fn tell_staff(incident: &mut pb::Incident, random: &mut StdRng) {
    let presence = [
        (StaffPresence::Yes, 45),
        (StaffPresence::No, 40),
        (StaffPresence::NotSeen, 15),
    ];
    let presence = weighted(&presence, random);
    incident.staff_present = number(presence);
    let mut outcome = Outcome::TravelledOn;
    if presence == StaffPresence::Yes {
        let acts = [
            (StaffAct::LetRideFree, 0.42),
            (StaffAct::WaitedOrHelped, 0.35),
            (StaffAct::Sympathised, 0.40),
            (StaffAct::KnewTheProblem, 0.22),
            (StaffAct::LetTryAgain, 0.25),
            (StaffAct::PromisedToCallBack, 0.04),
            (StaffAct::CouldNotHelp, 0.15),
            (StaffAct::Referred, 0.12),
        ];
        let done = acts
            .into_iter()
            .filter(|(_, share)| random.random_bool(*share));
        let done: Vec<StaffAct> = done.map(|(act, _)| act).collect();
        if done.contains(&StaffAct::LetRideFree) {
            outcome = Outcome::FreeRide;
        }
        incident.staff_acts = done.into_iter().map(number).collect();
        let minutes = [
            (StaffMinutes::None, 40),
            (StaffMinutes::OneToFive, 50),
            (StaffMinutes::SixToFifteen, 10),
        ];
        incident.staff_minutes = number(weighted(&minutes, random));
    }
    if outcome != Outcome::FreeRide {
        let outcomes = [
            (Outcome::TravelledOn, 55),
            (Outcome::PaidAgain, 25),
            (Outcome::MissedRide, 12),
            (Outcome::Surcharged, 4),
            (Outcome::Refused, 4),
        ];
        outcome = weighted(&outcomes, random);
    }
    incident.outcomes = vec![number(outcome)];
    let cost = match outcome {
        Outcome::PaidAgain => ExtraCost::Under5,
        Outcome::Surcharged => ExtraCost::From20To70,
        _ => ExtraCost::Nothing,
    };
    incident.extra_cost = number(cost);
}

fn number<T: Taxonomy>(value: T) -> i32 {
    i32::from(value.number())
}

fn to_wire(at: UtcMillis) -> prost_types::Timestamp {
    let nanos = i32::try_from(at.0.rem_euclid(1_000) * 1_000_000).expect("below a second");
    prost_types::Timestamp {
        seconds: at.0.div_euclid(1_000),
        nanos,
    }
}
