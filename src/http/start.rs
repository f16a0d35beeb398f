//! The start page: what this server is for, and which editions can be had from it.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};

use crate::domain::LocalMonth;
use crate::edition::download::DIMENSIONS;
use crate::edition::format::path;
use crate::edition::library::Library;

const PAGE: &str = include_str!("start.html");
/// Nothing but what is in the page itself may be loaded.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
/// How many editions the page links; all are in the list that it names.
const EDITIONS_SHOWN_MAX: usize = 24;

pub(super) async fn page(State(library): State<Arc<Library>>) -> impl IntoResponse {
    let closed = library.list();
    let newest = closed.iter().rev().map(|closed| closed.month);
    let html = PAGE
        .replace("<!-- editions -->", &editions(newest))
        .replace("<!-- tables -->", &tables());
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(html))
}

fn editions(newest: impl Iterator<Item = LocalMonth>) -> String {
    let mut rows = String::new();
    for month in newest.take(EDITIONS_SHOWN_MAX) {
        let month = month.to_string();
        let whole = path(&month);
        writeln!(
            rows,
            "<tr><th>{month}</th>\
             <td><a href=\"/editions/{month}/all/operator.csv\">by operator</a></td>\
             <td><a href=\"/editions/{month}/all/line.csv\">by line</a></td>\
             <td><a href=\"/editions/{month}.zip\">all of it, as a data package</a></td>\
             <td><a href=\"{whole}\">its canonical bytes</a></td></tr>"
        )
        .expect("a string takes any text");
    }
    if rows.is_empty() {
        return "<p>None is published yet: a month closes on day 22 of the next.</p>".to_owned();
    }
    format!("<table>\n{rows}</table>")
}

fn tables() -> String {
    let names = DIMENSIONS.map(|name| format!("<code>{name}</code>"));
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_a_place_for_what_it_lists() {
        for place in ["<!-- editions -->", "<!-- tables -->"] {
            assert_eq!(PAGE.matches(place).count(), 1, "{place}");
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for word in [
            "http:", "https:", "src=", "url(", "@import", "<link", "<script",
        ] {
            assert!(!PAGE.contains(word), "{word}");
        }
    }

    #[test]
    fn editions_are_linked_newest_first_and_not_without_end() {
        let html = editions((2026 * 12..2030 * 12).rev().map(LocalMonth));
        assert!(html.starts_with("<table>\n<tr><th>2029-12</th>"), "{html}");
        assert_eq!(html.matches("<tr>").count(), EDITIONS_SHOWN_MAX);
        assert!(!html.contains("signed"), "nothing signs an edition");
        assert!(editions(std::iter::empty()).contains("None is published yet"));
    }
}
