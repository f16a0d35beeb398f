//! `NetworkService`: what there is to choose from, of the network in use.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::blocking;
use super::convert::network::{
    parse_lines, parse_nearby, parse_search, to_lines, to_near_stops, to_operators, to_stops,
};
use super::pb::v1 as pb;
use super::pb::v1::network_service_server::NetworkService;
use super::status::Problem;
use crate::domain::limits::SEARCHES_MAX;
use crate::ingest::Ingest;
use crate::network::LineFilter;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Networks {
    ingest: Ingest,
    searches: Arc<Semaphore>,
}

impl Networks {
    /// Of the network that incidents are resolved against.
    pub fn new(ingest: Ingest) -> Self {
        Self {
            ingest,
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
        }
    }
}

#[tonic::async_trait]
impl NetworkService for Networks {
    async fn search_stops(
        &self,
        request: Request<pb::SearchStopsRequest>,
    ) -> Result<Response<pb::SearchStopsResponse>, Status> {
        let asked = parse_search(request.get_ref()).map_err(Problem::from)?;
        let network = self.ingest.network();
        let place = Arc::clone(&self.searches).acquire_owned().await;
        // Takes milliseconds where all of it is misspelt.
        let search = move || {
            let _place = place;
            to_stops(&network.search(&asked.query, asked.limit))
        };
        Ok(Response::new(blocking(search).await?))
    }

    async fn nearby_stops(
        &self,
        request: Request<pb::NearbyStopsRequest>,
    ) -> Result<Response<pb::NearbyStopsResponse>, Status> {
        let asked = parse_nearby(request.get_ref()).map_err(Problem::from)?;
        let network = self.ingest.network();
        let stops = network.nearby(
            asked.latitude,
            asked.longitude,
            asked.radius_metres,
            asked.limit,
        );
        Ok(Response::new(to_near_stops(&stops)))
    }

    async fn list_lines(
        &self,
        request: Request<pb::ListLinesRequest>,
    ) -> Result<Response<pb::ListLinesResponse>, Status> {
        let asked = parse_lines(request.into_inner()).map_err(Problem::from)?;
        let network = self.ingest.network();
        let filter = LineFilter {
            operator: &asked.operator,
            stop: &asked.stop,
            number: &asked.number,
            after: asked.after.as_ref().map_or("", |line| line.as_str()),
        };
        let page = network.lines(&filter, asked.rows);
        Ok(Response::new(to_lines(&page, &network, asked.with_stops)))
    }

    async fn list_operators(
        &self,
        _request: Request<pb::ListOperatorsRequest>,
    ) -> Result<Response<pb::ListOperatorsResponse>, Status> {
        Ok(Response::new(to_operators(&self.ingest.network())))
    }
}
