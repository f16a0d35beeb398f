//! What becomes of a report whose id comes twice at once.

use super::*;
use crate::journal::{self, Settings, encode};

const WORDS: &str = "bij de gele kiosk";

fn tap(number: u64, vehicle: &str) -> Incident {
    Incident {
        occurred: Occurred::Exact(UtcMillis(NOON)),
        line_words: "10".into(),
        vehicle: vehicle.into(),
        ..incident(number)
    }
}

fn has_words(folder: &Path) -> bool {
    let mut has = false;
    visit_files(folder, &mut |_, bytes| {
        has |= bytes
            .windows(WORDS.len())
            .any(|window| window == WORDS.as_bytes());
    });
    has
}

#[tokio::test]
async fn report_that_is_refused_beside_another_of_its_id_takes_no_later_ones_place() {
    let place = Place::new();
    let running = place.start();
    let call = vec![tap(1, "2201"), tap(1, "2202"), tap(2, "2202")];
    let results = running.ingest.submit(call).await;
    assert_eq!(results[1].as_ref().err(), Some(&SubmitError::Conflict));
    assert!(!results[2].as_ref().expect("accepted").told_again);
    let written = results[2].as_ref().expect("accepted").position.0
        - results[0].as_ref().expect("accepted").position.0;
    assert_eq!((written, counted(&running)), (1, 2));
    stop(running);
    // Nor does it after a start.
    let running = place.start();
    let again = submit_one(&running, tap(3, "2202"))
        .await
        .expect("accepted");
    assert!(again.told_again);
    assert_eq!(counted(&running), 2);
    stop(running);
}

/// The second of two reports of one id, as earlier versions wrote it, holds `WORDS`.
async fn place_with_twin(is_erased: bool) -> Place {
    let place = Place::new();
    let running = place.start();
    let first = submit_one(&running, incident(1)).await.expect("accepted");
    let record = running.reader.entry(first.position).expect("readable");
    let stamp = running.ledger.read().stamp();
    stop(running);
    let Some(Entry::Incident { facts, personal }) = record.map(|record| record.entry) else {
        panic!("a report");
    };
    let twin = |note: &str| {
        let (mut facts, mut personal) = (facts.clone(), personal.clone().expect("kept"));
        facts.id = id(2);
        personal.note = note.into();
        let personal = Some(personal);
        encode(&Entry::Incident { facts, personal })
    };
    let settings = Settings {
        segment_bytes: SEGMENT_BYTES_MIN,
        sync: false,
    };
    let (mut writer, reader, _) =
        journal::open(&place.path().join("journal"), settings).expect("whole");
    let incident = reader.last().next();
    let batch = [twin("ach, meisje"), encode(&Entry::Tick), twin(WORDS)];
    writer.append(&batch, stamp).expect("room");
    if is_erased {
        let id = id(2);
        let erased = encode(&Entry::Erased { id, incident });
        writer.append(&[erased], stamp).expect("room");
    }
    assert!(has_words(place.path()), "the control");
    place
}

#[tokio::test]
async fn words_of_a_report_that_was_written_twice_go_when_it_is_erased() {
    let place = place_with_twin(false).await;
    let running = place.start();
    assert!(has_words(place.path()), "not asked for yet");
    let erased = running.ingest.erase(id(2), &secret(1)).await;
    assert!(erased.expect("erased").personal.is_none());
    assert!(!has_words(place.path()));
    let other = running.ingest.get(id(1), &secret(1)).await.expect("kept");
    assert!(other.personal.is_some());
    stop(running);
}

#[tokio::test]
async fn words_of_a_report_that_was_written_twice_and_is_erased_go_at_the_next_start() {
    let place = place_with_twin(true).await;
    let running = place.start();
    assert!(!has_words(place.path()));
    let other = running.ingest.get(id(1), &secret(1)).await.expect("kept");
    assert!(other.personal.is_some());
    stop(running);
}
