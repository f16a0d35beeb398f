//! Asks what may take as long as reading the record does, and shows how far it is.

use tonic::{Response, Status};

use super::failure::{Failure, Kind};
use super::progress;
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::query_figures_with_progress_response::Step;
use crate::api::pb::v1::statistics_service_client::StatisticsServiceClient;
use crate::client::Connection;

type Client = StatisticsServiceClient<Connection>;

/// Figures.
pub async fn figures(
    client: &mut Client,
    query: pb::QueryFiguresRequest,
) -> Result<pb::QueryFiguresResponse, Failure> {
    // Without rates there is nothing to read.
    if query.as_of_position.is_none() || query.rates.is_none() {
        return Ok(client.query_figures(query).await?.into_inner());
    }
    let request = pb::QueryFiguresWithProgressRequest {
        query: Some(query),
        ..pb::QueryFiguresWithProgressRequest::default()
    };
    with_progress(client, request, |step| match step {
        Step::Answer(answer) => Some(answer),
        _ => None,
    })
    .await
}

/// A ranking.
pub async fn ranking(
    client: &mut Client,
    ranking: pb::RankScopesRequest,
) -> Result<pb::RankScopesResponse, Failure> {
    if ranking.as_of_position.is_none() {
        return at_once("ranking", client.rank_scopes(ranking)).await;
    }
    let request = pb::QueryFiguresWithProgressRequest {
        ranking: Some(ranking),
        ..pb::QueryFiguresWithProgressRequest::default()
    };
    with_progress(client, request, |step| match step {
        Step::Ranking(answer) => Some(answer),
        _ => None,
    })
    .await
}

/// A comparison.
pub async fn comparison(
    client: &mut Client,
    comparison: pb::ComparePeriodsRequest,
) -> Result<pb::ComparePeriodsResponse, Failure> {
    if comparison.as_of_position.is_none() {
        return at_once("comparing", client.compare_periods(comparison)).await;
    }
    let request = pb::QueryFiguresWithProgressRequest {
        comparison: Some(comparison),
        ..pb::QueryFiguresWithProgressRequest::default()
    };
    with_progress(client, request, |step| match step {
        Step::Comparison(answer) => Some(answer),
        _ => None,
    })
    .await
}

/// What needs no more than the figures of now. Nothing is left on the screen, whatever comes of it.
pub async fn at_once<A>(
    doing: &'static str,
    call: impl Future<Output = Result<Response<A>, Status>>,
) -> Result<A, Failure> {
    let _spinner = progress::spinner(doing);
    Ok(call.await?.into_inner())
}

/// What may take as long as reading the record, of which `answer` takes the last step. Nothing is
/// left on the screen, whatever comes of it.
async fn with_progress<A>(
    client: &mut Client,
    request: pb::QueryFiguresWithProgressRequest,
    answer: impl Fn(Step) -> Option<A>,
) -> Result<A, Failure> {
    let steps = client.query_figures_with_progress(request).await?;
    let mut steps = steps.into_inner();
    let bar = progress::bar(0, "entries", "reading the record as it was");
    while let Some(message) = steps.message().await? {
        match message.step {
            Some(Step::Progress(progress)) => {
                bar.set_length(progress.entries_to_read);
                bar.set_position(progress.entries_read);
            }
            Some(step) => return answer(step).ok_or_else(unexpected),
            None => {}
        }
    }
    Err(unexpected())
}

fn unexpected() -> Failure {
    Failure::new(Kind::Unexpected, "the server ended without an answer")
}
