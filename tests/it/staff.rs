//! What staff did, through the API: help, harm and promises kept, each on the base of who
//! answered.

use mistap::api::pb::v1 as pb;
use mistap::domain::taxonomy::CalledBack;
use mistap::domain::{IncidentId, IncidentSecret};
use mistap::ingest::Later;
use pb::statistics_service_client::StatisticsServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{SECRET, Service, founding_story, once_open, report, that_day};

async fn report_changed(channel: &Channel, change: impl FnOnce(&mut pb::Incident)) -> IncidentId {
    let mut incident = founding_story();
    change(&mut incident);
    let id = incident.incident_id.parse().expect("made here");
    report(channel, incident).await;
    id
}

fn request(as_of_position: Option<u64>) -> pb::GetStaffFiguresRequest {
    pb::GetStaffFiguresRequest {
        window: that_day(&[]).question.and_then(|question| question.window),
        as_of_position,
        ..pb::GetStaffFiguresRequest::default()
    }
}

async fn ask(
    channel: &Channel,
    request: pb::GetStaffFiguresRequest,
) -> Result<pb::GetStaffFiguresResponse, Status> {
    let mut client = StatisticsServiceClient::new(channel.clone());
    once_open(async || client.get_staff_figures(request.clone()).await).await
}

fn of(share: Option<&pb::StaffShare>) -> Option<(u64, u64)> {
    share.map(|share| (share.count, share.base))
}

fn act(figures: &pb::StaffFigures, act: pb::StaffAct) -> Option<(u64, u64)> {
    let mut acts = figures.acts.iter();
    of(acts
        .find(|one| one.act() == act)
        .and_then(|one| one.share.as_ref()))
}

#[tokio::test]
async fn help_harm_and_promises_stand_on_those_who_answered() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let none = ask(&channel, request(None)).await.expect("an answer");
    let none = none.figures.expect("there are figures");
    assert_eq!(
        (none.reports, none.help, none.promises_kept),
        (0, None, None)
    );

    report_changed(&channel, |_| ()).await;
    let promised = |incident: &mut pb::Incident| {
        incident.staff_acts = vec![pb::StaffAct::PromisedToCallBack.into()];
        incident.outcomes = vec![pb::Outcome::PaidAgain.into()];
    };
    let called = report_changed(&channel, promised).await;
    let forgotten = report_changed(&channel, promised).await;
    report_changed(&channel, promised).await;
    // No answer to how it ended, to what they did, and to whether they were there.
    report_changed(&channel, |incident| incident.outcomes.clear()).await;
    report_changed(&channel, |incident| incident.staff_acts.clear()).await;
    report_changed(&channel, |incident| incident.staff_present = 0).await;
    let before = ask(&channel, request(None)).await.expect("an answer");

    let secret = IncidentSecret::parse(&SECRET).expect("32 bytes");
    let secret = secret.expect("not empty");
    for (id, called_back) in [(called, CalledBack::Yes), (forgotten, CalledBack::No)] {
        let later = Later {
            called_back: Some(called_back),
            ..Later::default()
        };
        service
            .ingest()
            .amend(id, &secret, later)
            .await
            .expect("amended");
    }
    let answer = ask(&channel, request(None)).await.expect("an answer");
    let figures = answer.figures.as_ref().expect("there are figures");
    assert_eq!(
        (figures.reports, figures.acts_told, figures.both_told),
        (7, 5, 4)
    );
    assert_eq!(of(figures.help.as_ref()), Some((1, 4)));
    assert_eq!(of(figures.harm.as_ref()), Some((3, 4)));
    // Three were promised a call; one never told what became of it.
    assert_eq!(figures.promised, 3);
    assert_eq!(of(figures.promises_kept.as_ref()), Some((1, 2)));
    assert_eq!(act(figures, pb::StaffAct::LetRideFree), Some((2, 5)));
    assert_eq!(act(figures, pb::StaffAct::CalledBack), Some((1, 5)));
    assert_eq!(act(figures, pb::StaffAct::Referred), Some((0, 5)));
    let help = figures.help.as_ref().expect("a base");
    // Wilson of 1 in 4.
    assert!((help.low - 0.045_587_3).abs() < 1e-6 && (help.high - 0.699_358_2).abs() < 1e-6);
    assert_eq!(help.method, "wilson");

    // As of the position before, nobody had told what became of a promise.
    let then = ask(&channel, request(Some(before.position)))
        .await
        .expect("an answer");
    assert_eq!(then.figures, before.figures);
    let promises = then.figures.expect("there are figures");
    assert_eq!((promises.promised, promises.promises_kept), (3, None));
    // And after a restart.
    let again = Service::start_in(service.stop().await).await;
    let channel = again.connect().await;
    let found = ask(&channel, request(None)).await.expect("an answer");
    assert_eq!(found.figures, answer.figures);
    again.stop().await;
}

#[tokio::test]
async fn devices_tell_nothing_of_staff() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let observed = pb::GetStaffFiguresRequest {
        filter: Some(pb::Filter {
            basis: pb::Basis::Observed.into(),
            ..pb::Filter::default()
        }),
        ..request(None)
    };
    let refused = ask(&channel, observed).await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    service.stop().await;
}
