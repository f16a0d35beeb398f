//! Pages, and whom each lets in.

use super::*;

/// The status of a page.
async fn page(guarded: &Guarded, path: &str, token: Option<&str>) -> u16 {
    let header = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let start = format!("GET {path} HTTP/1.1\r\n{}", header.unwrap_or_default());
    answered(guarded, &start).await.0
}

/// The status of an answer by HTTP, and all of it. `start` is the first line of the request and
/// some of its headers.
pub(super) async fn answered(guarded: &Guarded, start: &str) -> (u16, String) {
    let address = guarded.service.address();
    let request = format!("{start}host: mistap.example\r\nconnection: close\r\n\r\n");
    let answer = exchange(address, request.as_bytes()).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).expect("a status");
    (status.parse().expect("a number"), answer)
}

#[tokio::test]
async fn every_page_lets_in_whom_the_table_says() {
    let guarded = Guarded::start().await;
    for (route, roles) in table::PAGES {
        let path = route.replace("{file}", "2026-10.json");
        let path = path
            .replace("{months}", "2026-10")
            .replace("{operator}", "GVB");
        for role in CALLERS {
            let token = guarded.tokens.get(&role).map(Token::expose);
            let status = page(&guarded, &path, token).await;
            let expected = match role {
                _ if roles.admits(role) => None,
                Role::Public => Some(401),
                _ => Some(403),
            };
            let found = [401, 403].contains(&status).then_some(status);
            assert_eq!(found, expected, "{route} as {role}: {status}");
        }
        assert_eq!(
            page(&guarded, &path, Some("nonsense")).await,
            401,
            "{route}"
        );
    }
}

#[test]
fn every_route_has_its_row() {
    let mut routes = BTreeSet::new();
    for file in [
        "src/http/mod.rs",
        "src/http/editions.rs",
        "src/http/receipts.rs",
    ] {
        let text = std::fs::read_to_string(file).expect("a source file");
        for part in text.split(".route(").skip(1) {
            let route = part
                .split('"')
                .nth(1)
                .expect("a route begins with its path");
            routes.insert(route.to_owned());
        }
    }
    let known: BTreeSet<_> = table::PAGES
        .iter()
        .map(|(route, _)| (*route).to_owned())
        .collect();
    assert_eq!(routes, known);
}
