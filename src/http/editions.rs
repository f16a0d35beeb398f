//! Editions over HTTP: the start page links them, `/editions.json` lists them,
//! `/editions/2026-10.json` has the canonical bytes of one, `/editions/2026-10.zip` its data package, and
//! `/editions/2026-10/gvb/line.csv` (or `.json`, or `.parquet` where the service was built with
//! it) one table of one operator, or with `all` in its place of every one; `2026-01..2026-10` in
//! place of a month has that table of all editions from one month through the other.
//!
//! The canonical bytes of a month never change. Packages and tables are made of them, and another
//! version of this program may give them another form: their entity tags tell which.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRef, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use futures_util::{Stream, StreamExt, stream};
use serde_json::json;
use tokio::sync::Semaphore;
use tower::limit::GlobalConcurrencyLimitLayer;

use super::{blocking, start};
use crate::domain::LocalMonth;
use crate::domain::limits::{DOWNLOADS_MADE_MAX, EDITIONS_PER_DOWNLOAD_MAX};
use crate::edition::download::{
    self, Selection, csv_header, csv_rows, entity_tag, json_head, json_rows, json_tail,
};
use crate::edition::format::{LICENCE, citation, path};
use crate::edition::library::{Closed, EditionError, Held, Library, citation_of};
use crate::edition::month;
#[cfg(feature = "parquet")]
use crate::edition::parquet::Table;

const JSON: &str = "application/json";
const CSV: &str = "text/csv; charset=utf-8";
const ZIP: &str = "application/zip";
const PARQUET: &str = "application/vnd.apache.parquet";
/// Canonical bytes never change.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// What is made of them may have another form later, and a span of months more editions.
const ASK_AGAIN: &str = "public, no-cache";
const CITATION: HeaderName = HeaderName::from_static("x-citation");
const SPAN: &str = "..";

/// Why a download is refused.
enum Refusal {
    /// No such address, or no edition there.
    NotFound(&'static str),
    /// More than is given at once.
    TooMuch(&'static str),
    /// The service failed; the log has the cause.
    Failed,
}

/// The routes.
pub fn routes(library: Arc<Library>) -> Router {
    let turns = Arc::new(Semaphore::new(DOWNLOADS_MADE_MAX));
    Router::new()
        .route("/editions.json", get(list))
        .route("/editions/{file}", get(whole))
        .route("/editions/{months}/{operator}/{file}", get(table))
        .layer(middleware::map_response(open_to_pages))
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(
            &turns,
        )))
        .route("/", get(start::page))
        .route(
            "/editions",
            get(|| async { Redirect::permanent("/#editions") }),
        )
        .with_state(Downloads { library, turns })
}

/// What downloads are made of.
#[derive(Clone)]
struct Downloads {
    library: Arc<Library>,
    /// For making a download, and its pieces while it goes on.
    turns: Arc<Semaphore>,
}

impl FromRef<Downloads> for Arc<Library> {
    fn from_ref(downloads: &Downloads) -> Self {
        Arc::clone(&downloads.library)
    }
}

/// Lets pages of anybody read what is published: a notebook in a browser, for one.
async fn open_to_pages(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let anybody = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anybody);
    let shown = HeaderValue::from_static("etag, x-citation");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, shown);
    response
}

async fn list(State(library): State<Arc<Library>>) -> impl IntoResponse {
    let editions: Vec<_> = library.list().iter().map(to_listed).collect();
    let text = format!("{}\n", json!({ "editions": editions }));
    let kept = (header::CACHE_CONTROL, ASK_AGAIN);
    ([(header::CONTENT_TYPE, JSON), kept], text)
}

fn to_listed(closed: &Closed) -> serde_json::Value {
    let month = closed.month.to_string();
    json!({
        "edition": month,
        "sha256": closed.hash.to_string(),
        // As a text, as the JSON mapping of protobuf has numbers of 64 bits.
        "position": closed.position.0.to_string(),
        "method_version": closed.method,
        "licence": LICENCE,
        "path": path(&month),
        "package": format!("/editions/{month}.zip"),
        "citation": citation(&month, closed.method, closed.hash, &path(&month)),
    })
}

/// The canonical bytes of an edition, or its package.
async fn whole(
    State(library): State<Arc<Library>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (month, kind) = file.rsplit_once('.').ok_or(NO_ADDRESS)?;
    let month = month::parse(month).ok_or(NO_ADDRESS)?;
    let is_packed = match kind {
        "json" => false,
        "zip" => true,
        _ => return Err(NO_ADDRESS),
    };
    let closed = library
        .list()
        .into_iter()
        .find(|closed| closed.month == month);
    let closed = closed.ok_or(NO_EDITION)?;
    let address = path(&month.to_string());
    let facts = if is_packed {
        Facts::of_made(&[closed], &address, ZIP)
    } else {
        Facts::of_bytes(closed, &address)
    };
    if facts.are_known(&headers) {
        return Ok(facts.not_modified());
    }
    let held = read(library, month).await?;
    let bytes = if is_packed {
        let packed = blocking(move || download::package(&held)).await;
        packed.map_err(failed)?.map_err(failed)?
    } else {
        held.bytes.clone()
    };
    Ok(facts.with(Body::from(bytes)))
}

/// One table, of one edition or of several.
async fn table(
    State(Downloads { library, turns }): State<Downloads>,
    Path((months, operator, file)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (dimension, kind) = file.rsplit_once('.').ok_or(NO_ADDRESS)?;
    let selection = Selection::parse(&operator, dimension).ok_or(NO_TABLE)?;
    let (first, last) = months.split_once(SPAN).unwrap_or((&months, &months));
    let first = month::parse(first).ok_or(NO_ADDRESS)?;
    let last = month::parse(last).ok_or(NO_ADDRESS)?;
    let content = match kind {
        "csv" => CSV,
        "json" => JSON,
        "parquet" if cfg!(feature = "parquet") => PARQUET,
        "parquet" => return Err(NO_PARQUET),
        _ => return Err(NO_ADDRESS),
    };
    let closed = chosen(library.list(), first, last)?;
    if !is_known(&library, &closed, &selection).await? {
        let message = "no edition of these months has figures of this operator alone\n";
        return Err(Refusal::NotFound(message));
    }
    let address = format!("/editions/{months}/{operator}/{file}");
    let facts = Facts::of_made(&closed, &address, content);
    if facts.are_known(&headers) {
        return Ok(facts.not_modified());
    }
    #[cfg(feature = "parquet")]
    if kind == "parquet" {
        let body = Body::from(parquet(&library, &closed, &selection, &facts.citation).await?);
        return Ok(facts.with(body));
    }
    let downloads = Downloads { library, turns };
    let rows = rows(downloads, closed.clone(), selection, kind == "csv");
    let (head, tail) = if kind == "csv" {
        (csv_header(), Vec::new())
    } else {
        let names: Vec<_> = closed
            .iter()
            .map(|closed| closed.month.to_string())
            .collect();
        (json_head(&names, &facts.citation), json_tail())
    };
    let whole = |bytes: Vec<u8>| stream::iter([Ok(Bytes::from(bytes))]);
    let body = Body::from_stream(whole(head).chain(rows).chain(whole(tail)));
    Ok(facts.with(body))
}

/// The editions from one month through another, in their order.
fn chosen(all: Vec<Closed>, first: LocalMonth, last: LocalMonth) -> Result<Vec<Closed>, Refusal> {
    let is_within = |closed: &Closed| first <= closed.month && closed.month <= last;
    let closed: Vec<_> = all.into_iter().filter(is_within).collect();
    if closed.is_empty() {
        return Err(NO_EDITION);
    }
    if EDITIONS_PER_DOWNLOAD_MAX < closed.len() {
        return Err(Refusal::TooMuch(
            "more than 120 editions; ask for fewer months\n",
        ));
    }
    Ok(closed)
}

/// The rows of editions, one piece for each, a few at once over all downloads. What fails ends the
/// download before its end.
fn rows(
    downloads: Downloads,
    closed: Vec<Closed>,
    selection: Selection,
    is_csv: bool,
) -> impl Stream<Item = Result<Bytes, io::Error>> {
    let months = stream::iter(closed.into_iter().map(|closed| closed.month));
    // Only one that has rows is the first.
    let has_rows = Arc::new(AtomicBool::new(false));
    months.then(move |month| {
        let (Downloads { library, turns }, selection) = (downloads.clone(), selection.clone());
        let has_rows = Arc::clone(&has_rows);
        async move {
            let _turn = turns.acquire_owned().await.map_err(io::Error::other)?;
            let made = made_of(library, month, move |held| {
                if is_csv {
                    return csv_rows(held, &selection);
                }
                let bytes = json_rows(&held.edition, &selection, !has_rows.load(Relaxed));
                has_rows.fetch_or(!bytes.is_empty(), Relaxed);
                bytes
            });
            let made = made.await;
            let bytes = made.map_err(|_| io::Error::other("an edition cannot be read"))?;
            Ok(Bytes::from(bytes))
        }
    })
}

/// A table of some editions as Parquet, which tells where its rows are at its end.
#[cfg(feature = "parquet")]
async fn parquet(
    library: &Arc<Library>,
    closed: &[Closed],
    selection: &Selection,
    citation: &str,
) -> Result<Vec<u8>, Refusal> {
    let mut table = Table::new(citation).map_err(failed)?;
    for closed in closed {
        let selection = selection.clone();
        let pushed = made_of(Arc::clone(library), closed.month, move |held| {
            table.push(&held.edition, &selection).map(|()| table)
        });
        table = pushed.await?.map_err(failed)?;
    }
    table.finish().map_err(failed)
}

/// Whether any of some editions says anything of the operator asked for.
async fn is_known(
    library: &Arc<Library>,
    closed: &[Closed],
    selection: &Selection,
) -> Result<bool, Refusal> {
    let months: Vec<_> = closed.iter().map(|closed| closed.month).collect();
    let (library, selection) = (Arc::clone(library), selection.clone());
    let looking = move || {
        for month in months.into_iter().rev() {
            let operators = library.operators(month)?;
            if operators.is_some_and(|operators| selection.is_known(&operators)) {
                return Ok(true);
            }
        }
        Ok::<_, EditionError>(false)
    };
    blocking(looking).await.map_err(failed)?.map_err(failed)
}

async fn read(library: Arc<Library>, month: LocalMonth) -> Result<Arc<Held>, Refusal> {
    made_of(library, month, Arc::clone).await
}

/// What is made of an edition, where that holds up nobody else.
async fn made_of<T: Send + 'static>(
    library: Arc<Library>,
    month: LocalMonth,
    make: impl FnOnce(&Arc<Held>) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let making = move || Ok::<_, EditionError>(library.get(month)?.map(|held| make(&held)));
    let made = blocking(making).await;
    made.map_err(failed)?.map_err(failed)?.ok_or(NO_EDITION)
}

const NO_ADDRESS: Refusal = Refusal::NotFound(
    "nothing here; a table is at /editions/MONTH/OPERATOR/TABLE.csv, and the start page has links\n",
);
const NO_TABLE: Refusal = Refusal::NotFound(
    "no such table; an operator's code stands in lower case, as gvb, `all` stands for every one, and \
     the start page has the names of tables\n",
);
const NO_PARQUET: Refusal =
    Refusal::NotFound("this service was built without Parquet; ask for csv or json\n");
const NO_EDITION: Refusal = Refusal::NotFound("no edition is published of this month\n");

fn failed(error: impl std::error::Error + 'static) -> Refusal {
    let error: &(dyn std::error::Error + 'static) = &error;
    tracing::error!(error, "edition cannot be downloaded");
    Refusal::Failed
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound(message) => (StatusCode::NOT_FOUND, message).into_response(),
            Self::TooMuch(message) => (StatusCode::BAD_REQUEST, message).into_response(),
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// What the headers of a download say.
struct Facts {
    tag: String,
    citation: String,
    content: &'static str,
    kept: &'static str,
}

impl Facts {
    /// Of canonical bytes.
    fn of_bytes(closed: Closed, address: &str) -> Self {
        Self {
            tag: format!("\"{}\"", closed.hash),
            citation: citation_of(&[closed], address),
            content: JSON,
            kept: FOR_EVER,
        }
    }

    /// Of what is made of some editions.
    fn of_made(closed: &[Closed], address: &str, content: &'static str) -> Self {
        let hashes: Vec<_> = closed.iter().map(|closed| closed.hash).collect();
        Self {
            tag: entity_tag(&hashes),
            citation: citation_of(closed, address),
            content,
            kept: ASK_AGAIN,
        }
    }

    fn are_known(&self, headers: &HeaderMap) -> bool {
        let tags = headers.get_all(header::IF_NONE_MATCH).iter();
        let mut tags = tags
            .filter_map(|tags| tags.to_str().ok())
            .flat_map(|tags| tags.split(','));
        tags.any(|tag| [self.tag.as_str(), "*"].contains(&tag.trim().trim_start_matches("W/")))
    }

    fn not_modified(self) -> Response {
        let mut response = self.with(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    }

    fn with(&self, body: Body) -> Response {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.kept));
        let texts = [(header::ETAG, &self.tag), (CITATION, &self.citation)];
        for (name, text) in texts {
            headers.extend(HeaderValue::from_str(text).ok().map(|value| (name, value)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Position;
    use crate::edition::format::{Hash, METHOD};

    fn closed(months: usize) -> Vec<Closed> {
        let first = 2026 * 12;
        let one = |month| Closed {
            month: LocalMonth(month),
            hash: Hash::of(&month.to_le_bytes()),
            method: METHOD,
            position: Position(1),
        };
        (first..).take(months).map(one).collect()
    }

    #[test]
    fn a_span_of_too_many_editions_is_refused_and_says_how_many_are_not() {
        let (first, last) = (LocalMonth(0), LocalMonth(i32::MAX));
        let all = chosen(closed(EDITIONS_PER_DOWNLOAD_MAX), first, last);
        assert_eq!(
            all.ok().map(|all| all.len()),
            Some(EDITIONS_PER_DOWNLOAD_MAX)
        );
        let refused = chosen(closed(EDITIONS_PER_DOWNLOAD_MAX + 1), first, last);
        let Err(refusal @ Refusal::TooMuch(message)) = refused else {
            panic!("not refused");
        };
        assert!(message.contains(&EDITIONS_PER_DOWNLOAD_MAX.to_string()));
        assert_eq!(refusal.into_response().status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn citation_of_a_span_names_its_first_and_last_month_and_a_hash_of_all() {
        let all = closed(3);
        let facts = Facts::of_made(&all, "/editions/somewhere", CSV);
        let lines = all.iter().map(|closed| format!("{}\n", closed.hash));
        let hash = Hash::of(lines.collect::<String>().as_bytes());
        assert_eq!(
            facts.citation,
            format!(
                "mistap, editions 2026-01 to 2026-03 (3): failed check-ins as reported or \
                 observed, method {METHOD}, CC0-1.0, sha256 of their sha256 lines {hash}, \
                 /editions/somewhere"
            )
        );
        let alone = Facts::of_made(&all[..1], "/editions/somewhere", CSV);
        let hash = all[0].hash;
        assert!(alone.citation.contains("edition 2026-01: failed"));
        assert!(alone.citation.contains(&format!("sha256 {hash}, ")));
    }

    #[test]
    fn a_span_has_the_editions_of_its_months_and_one_without_any_is_not_found() {
        let all = closed(24);
        let months = (all[3].month, all[7].month);
        let some = chosen(all.clone(), months.0, months.1).ok().expect("some");
        assert_eq!(some, all[3..=7]);
        let none = chosen(all, LocalMonth(1), LocalMonth(2));
        assert!(matches!(none, Err(Refusal::NotFound(_))));
    }
}
