//! Receipts over HTTP: the public keys at `/.well-known/jwks.json`, and `/receipt`, where
//! whoever has an incident's id and secret gets a page to print, in Dutch or English, for an
//! appeal.
//!
//! The secret comes in the body of a form and never stands in an address, which browsers
//! keep and servers on the way log. The page is kept by nobody and loads nothing.

use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Router, extract::DefaultBodyLimit};
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use super::receipt_rows;
use crate::auth::{Receipt, qr};
use crate::domain::limits::{CALL_MS_MAX, RECEIPT_FORM_BYTES_MAX};
use crate::domain::{Hour, IncidentId, IncidentSecret, UtcMillis};
use crate::ingest::{GetError, Ingest, StoredIncident};
use crate::network::Network;
use crate::network::advice::advice;

const JWKS: &str = "/.well-known/jwks.json";
const PAGE: &str = "/receipt";
const JWKS_TYPE: &str = "application/jwk-set+json";
/// Nothing is loaded, and the form goes nowhere else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";
/// As wide as a phone at least, whatever its words and its QR code would take.
const STYLE: &str = "*{box-sizing:border-box}body{font:16px/1.5 sans-serif;max-width:44em;\
                     margin:2em auto;padding:0 1em;overflow-wrap:anywhere}\
                     dt{font-weight:bold}dd{margin:0 0 .5em}label{display:block;margin:1em 0}\
                     input,button{width:100%;font:inherit;padding:.5em}code{font-size:.8em}\
                     svg{width:100%;max-width:24em;height:auto}\
                     @media print{nav,form{display:none}}";

/// The routes.
pub fn routes(ingest: Ingest) -> Router {
    Router::new()
        .route("/.well-known/jwks.json", get(jwks))
        .route("/receipt", get(form).post(page))
        .layer(middleware::from_fn(in_time))
        .layer(DefaultBodyLimit::max(RECEIPT_FORM_BYTES_MAX))
        .with_state(ingest)
}

/// Waits for a form no longer than for a call: whoever has lost its client would for ever.
async fn in_time(request: Request, next: Next) -> Response {
    let longest = Duration::from_millis(CALL_MS_MAX);
    let answered = tokio::time::timeout(longest, next.run(request)).await;
    answered.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

async fn jwks(State(ingest): State<Ingest>) -> impl IntoResponse {
    let kept = (header::CACHE_CONTROL, "public, max-age=3600");
    // So that a page of anybody can check a receipt.
    let open = (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    let keys = ingest.receipt_keys().jwks();
    ([(header::CONTENT_TYPE, JWKS_TYPE), kept, open], keys)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    #[default]
    Nl,
    En,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    lang: Language,
}

/// What a form brings. Never printed.
#[derive(Deserialize)]
struct Key {
    id: String,
    secret: String,
    #[serde(default)]
    lang: Language,
}

impl Drop for Key {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

async fn form(asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let lang = asked.map_or(Language::default(), |Query(asked)| asked.lang);
    answer(StatusCode::OK, lang, &form_html(lang, ""))
}

async fn page(State(ingest): State<Ingest>, form: Result<Form<Key>, FormRejection>) -> Response {
    let no_key = |status, lang: Language| {
        let told = lang.of(
            "Dit is geen nummer en geheim van een melding.",
            "This is no id and secret of a report.",
        );
        answer(status, lang, &form_html(lang, told))
    };
    // What axum would say of a form that is none repeats some of it.
    let key = match form {
        Ok(Form(key)) => key,
        Err(rejection) => return no_key(rejection.status(), Language::default()),
    };
    let lang = key.lang;
    let refused = |status, nl, en| {
        let told = lang.of(nl, en);
        answer(status, lang, &form_html(lang, told))
    };
    let Some((id, secret)) = parse(&key) else {
        return no_key(StatusCode::BAD_REQUEST, lang);
    };
    match ingest.receipt(id, &secret).await {
        Ok((kept, receipt)) => {
            let network = ingest.network();
            let now = ingest.time().now;
            let html = receipt_html(lang, &kept, &receipt, &network, now);
            answer(StatusCode::OK, lang, &html)
        }
        Err(GetError::NotFound) => refused(
            StatusCode::NOT_FOUND,
            "Er is geen melding met dit nummer en geheim.",
            "There is no report with this id and secret.",
        ),
        Err(GetError::Busy) => refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "Het is nu te druk. Probeer het zo weer.",
            "Too busy now. Try again in a moment.",
        ),
        Err(GetError::Journal(error)) => {
            tracing::error!(%error, "incident cannot be read");
            refused(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Er ging hier iets mis.",
                "Something went wrong here.",
            )
        }
    }
}

fn parse(key: &Key) -> Option<(IncidentId, IncidentSecret)> {
    let bytes = base16ct::mixed::decode_vec(key.secret.trim()).ok()?;
    let bytes = Zeroizing::new(bytes);
    let secret = IncidentSecret::parse(&bytes[..]).ok()??;
    Some((key.id.trim().parse().ok()?, secret))
}

fn answer(status: StatusCode, lang: Language, body: &str) -> Response {
    let title = lang.of("Bewijs van een melding", "Receipt of a report");
    let code = lang.of("nl", "en");
    let html = format!(
        "<!doctype html><html lang=\"{code}\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style><h1>{title}</h1>{body}</html>\n"
    );
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    (status, headers, Html(html)).into_response()
}

impl Language {
    /// Of two texts, the one in this language.
    pub(super) fn of(self, nl: &'static str, en: &'static str) -> &'static str {
        match self {
            Self::Nl => nl,
            Self::En => en,
        }
    }
}

fn form_html(lang: Language, told: &str) -> String {
    let (code, other) = (lang.of("nl", "en"), lang.of("en", "nl"));
    let other_name = lang.of("English", "Nederlands");
    format!(
        "<nav><a href=\"{PAGE}?lang={other}\">{other_name}</a></nav><p><strong>{told}</strong></p>\
         <form method=\"post\" action=\"{PAGE}\" autocomplete=\"off\">\
         <input type=\"hidden\" name=\"lang\" value=\"{code}\">\
         <label>{} <input name=\"id\" required></label>\
         <label>{} <input name=\"secret\" type=\"password\" required></label>\
         <button>{}</button></form>",
        lang.of("Nummer van de melding", "Id of the report"),
        lang.of("Geheim", "Secret"),
        lang.of("Toon het bewijs", "Show the receipt"),
    )
}

fn receipt_html(
    lang: Language,
    kept: &StoredIncident,
    receipt: &Receipt,
    network: &Network,
    now: UtcMillis,
) -> String {
    let claims = receipt_rows::claims(&receipt.jws);
    let mut html = String::new();
    for notice in receipt_rows::notices(lang, &claims) {
        write!(html, "<p><strong>{notice}</strong></p>").expect("a string takes any text");
    }
    html.push_str("<dl>");
    for (name, value) in receipt_rows::rows(lang, &claims, network) {
        let value = escaped(&value);
        write!(html, "<dt>{name}</dt><dd>{value}</dd>").expect("a string takes any text");
    }
    html.push_str("</dl>");
    if let Some(drawn) = qr::svg(&receipt.jws) {
        html.push_str(&drawn);
    }
    let is_erasure = kept.erased.is_some();
    let proves = if is_erasure {
        lang.of(
            "De handtekening hieronder bewijst dat dit is gewist.",
            "The signature below proves that it was erased.",
        )
    } else {
        lang.of(
            "De handtekening hieronder bewijst dat dit zo is ontvangen.",
            "The signature below proves that it was received like this.",
        )
    };
    let check = lang.of(
        "Controleer haar met elk programma voor JOSE, of met <code>mistap receipt verify</code>, \
         en de sleutels op",
        "Check it with any program for JOSE, or with <code>mistap receipt verify</code>, and the \
         keys at",
    );
    let jws = escaped(&receipt.jws);
    write!(
        html,
        "<p>{proves} {check} <code>{JWKS}</code>.</p><p><code>{jws}</code></p>"
    )
    .expect("a string takes any text");
    if !is_erasure {
        html.push_str(&advice_html(lang, kept, now));
    }
    html
}

fn advice_html(lang: Language, kept: &StoredIncident, now: UtcMillis) -> String {
    let facts = &kept.told;
    let day = facts.time.day();
    let today = now.hour().map_or(day, Hour::local_day);
    let operator = facts.operator.as_ref().map(|code| code.as_str());
    let mut html = String::new();
    for one in advice(operator, facts.tap_kind, facts.outcomes) {
        let told = one.told(day, today);
        let text = match lang {
            Language::Nl => &told.nl,
            Language::En => &told.en,
        };
        let deadline = told.deadline.map(|day| {
            let until = lang.of("uiterlijk", "at the latest");
            format!(" ({until} {day})")
        });
        write!(
            html,
            "<li>{}{} <small>{} {}: {}</small></li>",
            escaped(text),
            deadline.unwrap_or_default(),
            lang.of("gelezen op", "read on"),
            one.as_of,
            escaped(&one.source),
        )
        .expect("a string takes any text");
    }
    let title = lang.of("Wat nu?", "What now?");
    format!("<h2>{title}</h2><ul>{html}</ul>")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::{Body, Bytes};
    use axum::routing::post;
    use futures_util::stream;
    use tokio::time::Instant;
    use tower::ServiceExt as _;

    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
    }

    #[tokio::test(start_paused = true)]
    async fn form_that_never_ends_is_waited_for_no_longer_than_a_call() {
        let read = |_: Bytes| async { StatusCode::OK };
        let router = Router::new().route("/receipt", post(read));
        let router = router.layer(middleware::from_fn(in_time));
        let begun = Instant::now();
        let unended = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let request = Request::post(PAGE).body(unended).expect("a request");
        let answered = router.oneshot(request).await.expect("an answer");
        assert_eq!(answered.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(begun.elapsed(), Duration::from_millis(CALL_MS_MAX));
    }

    #[test]
    fn key_that_is_none_is_refused_without_a_panic() {
        let key = |id: &str, secret: &str| Key {
            id: id.to_owned(),
            secret: secret.to_owned(),
            lang: Language::Nl,
        };
        let good = "01932b6c-0000-7000-8000-000000000000";
        assert!(parse(&key(good, &"0a".repeat(32))).is_some());
        for (id, secret) in [
            (good, "é".repeat(32)),
            (good, "g".repeat(64)),
            (good, String::new()),
            ("x", "0a".repeat(32)),
        ] {
            assert!(parse(&key(id, &secret)).is_none());
        }
    }
}
