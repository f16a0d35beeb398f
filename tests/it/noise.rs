//! Random bytes as messages, ids, secrets, tokens, receipts and headers, over every way in: each
//! is refused, and nothing panics.

use mistap::auth::{NewToken, Role, TokenFile, table};
use mistap::client::Bearer;
use mistap::domain::LocalDay;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use crate::raw::Call;
use crate::reports;
use crate::requests::{self, Named};
use crate::support::{START, Service, founding_story, new_id};

const ROUNDS: usize = 12;

/// Bytes of no shape, of nearly a right one, or of a right one with nonsense in it.
fn bytes(random: &mut StdRng) -> Vec<u8> {
    let length = match random.random_range(0..4) {
        0 => 32,
        1 => 16,
        _ => random.random_range(0..120),
    };
    let mut bytes = vec![0; length];
    random.fill(&mut bytes[..]);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match random.random_range(0..7) {
        0 => hex.into_bytes(),
        1 => format!("mistap_{hex}").into_bytes(),
        2 => format!("eyJhbGciOiJFZERTQSJ9.{hex}.{hex}").into_bytes(),
        3 => format!("01939d3e-7b3c-7a1e-8b2d-{hex:.12}").into_bytes(),
        4 => String::from_utf8_lossy(&bytes).into_owned().into_bytes(),
        _ => bytes,
    }
}

/// The status line of an answer; empty if the connection was cut.
async fn send(service: &Service, request: &[u8]) -> String {
    let connected = TcpStream::connect(service.address()).await;
    let mut connection = connected.expect("it listens");
    let _ = connection.write_all(request).await;
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    text.lines().next().unwrap_or_default().to_owned()
}

/// A request by HTTP with bytes for its token, its cookie, its address and its body.
fn by_http(path: &[u8], kind: &str, noise: [&[u8]; 3]) -> Vec<u8> {
    let [token, header, body] = noise;
    let mut request = b"POST ".to_vec();
    request.extend_from_slice(path);
    request.extend_from_slice(b" HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ");
    request.extend_from_slice(token);
    request.extend_from_slice(b"\r\nx-forwarded-for: ");
    request.extend_from_slice(header);
    let rest = format!(
        "\r\ncontent-type: {kind}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    request.extend_from_slice(rest.as_bytes());
    request.extend_from_slice(body);
    request
}

/// Without what would end a header.
fn in_header(bytes: &[u8]) -> Vec<u8> {
    let is_taken = |byte: &&u8| ![0, b'\r', b'\n'].contains(byte);
    bytes.iter().filter(is_taken).copied().collect()
}

#[tokio::test]
async fn random_bytes_are_refused_wherever_they_come_and_nothing_panics() {
    let folder = TempDir::new().expect("a folder");
    let new = NewToken {
        label: "us".into(),
        role: Role::Steward,
        operators: Vec::new(),
    };
    let today = LocalDay::parse("2026-11-23").expect("a date");
    let token = TokenFile::add(folder.path(), new, today).expect("made");
    let service = Service::start_with(folder, |settings| {
        settings.callers.are_behind_proxy = true;
    })
    .await;
    let random = &mut StdRng::seed_from_u64(reports::seed());
    let bearer = Bearer::new(token.expose()).expect("it can be sent");
    let connection = bearer.over(service.connect().await);
    for _ in 0..ROUNDS {
        for (method, described) in requests::methods() {
            let named = Named {
                incident: mistap::api::pb::v1::Incident {
                    incident_id: new_id(),
                    ..founding_story()
                },
                case_number: String::new(),
                now: START,
            };
            let mut messages = vec![bytes(random)];
            for path in requests::texts(&described.input()) {
                let request = requests::request(&method, &named);
                let noise = bytes(random);
                messages.extend(requests::with(&request, described.input(), &path, &noise));
            }
            for message in messages {
                let call = async {
                    Call::open(connection.clone(), &method, message)
                        .await?
                        .next()
                        .await
                };
                if let Err(status) = call.await {
                    assert_ne!(status.code(), Code::Internal, "{method}: {status:?}");
                }
            }
            let [token, header, body] = [(); 3].map(|()| in_header(&bytes(random)));
            let path = format!("/mistap.v1.{method}");
            for kind in [
                "application/grpc-web+proto",
                "application/grpc-web-text",
                "text/plain",
            ] {
                let request = by_http(path.as_bytes(), kind, [&token, &header, &body]);
                let status = send(&service, &request).await;
                assert!(!status.contains(" 500"), "{method}: {status}");
            }
        }
        for (route, _) in table::PAGES {
            let [token, header, body] = [(); 3].map(|()| in_header(&bytes(random)));
            let form = [b"id=", &body[..], b"&secret=", &token[..]].concat();
            for path in [route.as_bytes(), &[b"/receipt?lang=", &header[..]].concat()] {
                let kind = "application/x-www-form-urlencoded";
                let request = by_http(path, kind, [&token, &header, &form]);
                let status = send(&service, &request).await;
                assert!(!status.contains(" 500"), "{route}: {status}");
            }
        }
    }
    check_no_panic(&service, token.expose()).await;
    service.stop().await;
}

async fn check_no_panic(service: &Service, token: &str) {
    let connected = TcpStream::connect(service.address()).await;
    let mut connection = connected.expect("it listens");
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\n\r\n"
    );
    let sent = connection.write_all(request.as_bytes()).await;
    sent.expect("sent");
    let mut metrics = String::new();
    let read = connection.read_to_string(&mut metrics).await;
    read.expect("text");
    assert!(metrics.contains("panics_total 0\n"), "{metrics}");
}
