//! Asks what may take as long as reading the record does, and shows how far it is.

use super::failure::{Failure, Kind};
use super::progress;
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::query_figures_with_progress_response::Step;
use crate::api::pb::v1::statistics_service_client::StatisticsServiceClient;
use crate::client::Connection;

/// What an answer as of an earlier position is asked for by.
#[derive(Debug, clap::Args)]
pub struct AsOfArgs {
    /// As the figures were when this position of the record was the last
    #[arg(long, value_name = "POSITION")]
    pub as_of: Option<u64>,
}

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
    match last_step(client, request).await? {
        Step::Answer(answer) => Ok(answer),
        _ => Err(unexpected()),
    }
}

/// A ranking.
pub async fn ranking(
    client: &mut Client,
    ranking: pb::RankScopesRequest,
) -> Result<pb::RankScopesResponse, Failure> {
    if ranking.as_of_position.is_none() {
        let progress = progress::spinner("ranking");
        let answer = client.rank_scopes(ranking).await?.into_inner();
        progress.finish_and_clear();
        return Ok(answer);
    }
    let request = pb::QueryFiguresWithProgressRequest {
        ranking: Some(ranking),
        ..pb::QueryFiguresWithProgressRequest::default()
    };
    match last_step(client, request).await? {
        Step::Ranking(answer) => Ok(answer),
        _ => Err(unexpected()),
    }
}

/// A comparison.
pub async fn comparison(
    client: &mut Client,
    comparison: pb::ComparePeriodsRequest,
) -> Result<pb::ComparePeriodsResponse, Failure> {
    if comparison.as_of_position.is_none() {
        let progress = progress::spinner("comparing");
        let answer = client.compare_periods(comparison).await?.into_inner();
        progress.finish_and_clear();
        return Ok(answer);
    }
    let request = pb::QueryFiguresWithProgressRequest {
        comparison: Some(comparison),
        ..pb::QueryFiguresWithProgressRequest::default()
    };
    match last_step(client, request).await? {
        Step::Comparison(answer) => Ok(answer),
        _ => Err(unexpected()),
    }
}

async fn last_step(
    client: &mut Client,
    request: pb::QueryFiguresWithProgressRequest,
) -> Result<Step, Failure> {
    let steps = client.query_figures_with_progress(request).await?;
    let mut steps = steps.into_inner();
    let bar = progress::bar(0, "entries", "reading the record as it was");
    while let Some(message) = steps.message().await? {
        match message.step {
            Some(Step::Progress(progress)) => {
                bar.set_length(progress.entries_to_read);
                bar.set_position(progress.entries_read);
            }
            Some(answer) => {
                bar.finish_and_clear();
                return Ok(answer);
            }
            None => {}
        }
    }
    Err(unexpected())
}

fn unexpected() -> Failure {
    Failure::new(Kind::Unexpected, "the server ended without an answer")
}
