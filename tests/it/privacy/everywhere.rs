//! The same through every call, field, page, header and command that there is: found by the
//! descriptors of the API, the table of pages and the parser of arguments, so that a new one is
//! looked through as well.

use std::path::Path;
use std::process::{Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::CommandFactory as _;
use futures_util::{StreamExt as _, stream};
use mistap::api::pb::v1 as pb;
use mistap::auth::{TokenFile, table};
use mistap::cli::Cli;
use mistap::client::{Bearer, Connection};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tonic::Code;

use super::{Forbidden, INSTALLATION, NUMBERS, content, files};
use crate::child::{self, PATIENCE, Server};
use crate::raw::Call;
use crate::reports::{self, Reporter};
use crate::requests::{self, Named};

/// In every text that a traveller may write freely. Kept, and told to whom it concerns, but in no
/// refusal and no line of a log.
const WORD: &str = "zoutwaterhagedis";
/// Commands that go on until they are ended.
const ENDLESS: [&str; 3] = ["watch", "tail", "follow"];
/// Commands that serve, or that write where they are told to.
const LONG: [&str; 5] = ["serve", "demo", "bench", "simulate", "completions"];
/// How the numbers are written here: the other writings are tried by the report's own test.
const BETWEEN: [&str; 2] = ["", " "];

fn numbers() -> impl Iterator<Item = String> {
    NUMBERS[..2].iter().flat_map(|number| {
        let digits = number.to_string();
        let group = |group: usize| digits[4 * group..4 * group + 4].to_owned();
        let groups: Vec<_> = (0..4).map(group).collect();
        BETWEEN.map(|between| groups.join(between))
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A run of digits like an OV-chipkaart number's, whatever number it is.
fn has_card(bytes: &[u8]) -> bool {
    let mut starts = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, it)| *it == b"3528");
    starts.any(|(start, _)| {
        let mut digits = 0;
        let mut between = 0;
        for byte in &bytes[start..] {
            match byte {
                b'0'..=b'9' => (digits, between) = (digits + 1, 0),
                b' ' | b'-' | b'.' if between < 3 => between += 1,
                _ => break,
            }
        }
        let before = start.checked_sub(1).map(|before| bytes[before]);
        digits == 16 && !before.is_some_and(|before| before.is_ascii_digit())
    })
}

/// What is looked for, and where each of it may be.
struct Hidden {
    everywhere: Forbidden,
    /// What a traveller wrote.
    words: Forbidden,
    /// Keys, each in the file that holds it.
    keys: Vec<(&'static str, Forbidden)>,
}

impl Hidden {
    fn new(secret: [u8; 32], tokens: &[String], folder: &Path) -> Self {
        let mut everywhere = Forbidden::new(&[secret]);
        for token in tokens {
            everywhere.add("a token", token);
            let digits = token.trim_start_matches("mistap_");
            everywhere.add("the digits of a token", digits);
        }
        everywhere.add("a secret in base64", STANDARD.encode(secret));
        everywhere.add("a secret in base64url", URL_SAFE_NO_PAD.encode(secret));
        let keys = ["keys", "receipt-keys"].map(|file| {
            let mut forbidden = Forbidden(Vec::new());
            let text = std::fs::read_to_string(folder.join(file)).expect("it has keys");
            for word in text.split_whitespace().filter(|word| 40 <= word.len()) {
                forbidden.add("a key", word);
                let bytes = match word.len() {
                    64 => (0..32)
                        .map(|place| u8::from_str_radix(&word[2 * place..2 * place + 2], 16))
                        .collect::<Result<Vec<_>, _>>()
                        .ok(),
                    _ => URL_SAFE_NO_PAD.decode(word).ok(),
                };
                forbidden.add(
                    "the bytes of a key",
                    bytes.expect("keys are hexadecimal or base64url"),
                );
            }
            assert!(!forbidden.0.is_empty(), "{file} has no keys");
            (file, forbidden)
        });
        let mut words = Forbidden(Vec::new());
        words.add("a word of a traveller", WORD);
        Self {
            everywhere,
            words,
            keys: keys.into(),
        }
    }

    /// Checks what leaves the service.
    fn check(&self, place: &str, bytes: &[u8]) {
        self.everywhere.check(place, bytes);
        for (_, keys) in &self.keys {
            keys.check(place, bytes);
        }
        assert!(!has_card(bytes), "a number like a card's is in {place}");
    }

    fn check_folder(&self, folder: &Path) {
        for path in files(folder) {
            let (place, bytes) = (path.display().to_string(), content(&path));
            self.everywhere.check(&place, &bytes);
            assert!(!has_card(&bytes), "a number like a card's is in {place}");
            for (home, keys) in &self.keys {
                if !path.ends_with(home) {
                    keys.check(&place, &bytes);
                }
            }
        }
    }
}

/// Arguments, and a token if not the steward's.
type Run = (Vec<String>, Option<String>);

/// A server that asks for tokens, and what is to be found nowhere.
struct Watched {
    server: Server,
    folder: TempDir,
    /// Where commands are run: files that hold numbers are its user's own.
    elsewhere: TempDir,
    hidden: Hidden,
    tokens: Vec<String>,
    named: Named,
    reporter: Reporter,
}

impl Watched {
    async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let data = folder.path().join("data");
        let mut tokens = Vec::new();
        for role in ["steward", "operator", "device", "steward"] {
            let mut command = child::mistap();
            command.args(["token", "new", "--role", role, "--label"]);
            command.arg(format!("{role} {}", tokens.len()));
            if role != "steward" {
                command.args(["--operator", "GVB"]);
            }
            let output = command.arg("--data").arg(&data).output().await;
            let output = output.expect("it can be run");
            let text = String::from_utf8(output.stdout).expect("text");
            let token = text
                .split_whitespace()
                .find(|word| word.starts_with("mistap_"));
            tokens.push(
                token
                    .unwrap_or_else(|| panic!("no token: {text}"))
                    .to_owned(),
            );
        }
        let revoked = child::mistap()
            .args(["token", "revoke", "4", "--data"])
            .arg(&data)
            .output()
            .await;
        assert!(revoked.expect("it can be run").status.success());
        let mut command = child::serve(&data);
        command.env("MISTAP_LOG", "trace");
        let server = Server::start(command).await.expect("it starts");
        let now = mistap::app::system_clock()();
        let secret: [u8; 32] = StdRng::seed_from_u64(reports::seed()).random();
        let mut reporter = Reporter::new(reports::seed() + 2, now);
        let named = Named {
            incident: pb::Incident {
                incident_secret: secret.to_vec(),
                installation_id: INSTALLATION.into(),
                card_number: NUMBERS[0].to_string(),
                operator: "GVB".into(),
                line: "10".into(),
                direction: WORD.into(),
                stop: WORD.into(),
                display_text: WORD.into(),
                note: WORD.into(),
                note_to_operator: true,
                reporter: pb::ReporterKind::Traveller.into(),
                ..reporter.next()
            },
            case_number: String::new(),
            now,
        };
        let hidden = Hidden::new(secret, &tokens, &data);
        let mut watched = Self {
            server,
            folder,
            elsewhere: TempDir::new().expect("a folder"),
            hidden,
            tokens,
            named,
            reporter,
        };
        watched.call("ReportingService/ReportIncident").await;
        let page = watched.call("OperationsService/ListIncidents").await;
        let page = pb::ListIncidentsResponse::decode(&*page.expect("listed")).expect("a page");
        watched.named.case_number = page.cases[0].case_number.clone();
        watched
    }

    async fn with(&self, token: &str) -> Connection {
        let bearer = Bearer::new(token).expect("it can be sent");
        bearer.over(self.server.connect().await)
    }

    /// Calls a method as it should be; the first answer.
    async fn call(&self, method: &str) -> Option<Vec<u8>> {
        let connection = self.with(&self.tokens[0]).await;
        loop {
            let request = requests::request(method, &self.named);
            match self.ask(connection.clone(), method, request).await {
                Err(Code::Unavailable) => tokio::task::yield_now().await,
                Err(Code::NotFound) if method.contains("Edition") => return None,
                Err(code) => panic!("{method}: {code:?}"),
                Ok(answer) => return answer,
            }
        }
    }

    /// The first answer, or the code of the refusal. Both are looked through.
    async fn ask(
        &self,
        connection: Connection,
        method: &str,
        request: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Code> {
        let answer = async { Call::open(connection, method, request).await?.next().await };
        let place = format!("the answer of {method}");
        match answer.await {
            Ok(answer) => {
                let answer = answer.map(|bytes| bytes.to_vec());
                let told = answer.as_deref().unwrap_or_default();
                self.hidden.check(&place, told);
                // They tell of refusals within their answers.
                if method.contains("/ReportIncidents") || method.contains("/StreamIncidents") {
                    self.hidden.words.check(&place, told);
                }
                Ok(answer)
            }
            Err(status) => {
                self.hidden.check(&place, format!("{status:?}").as_bytes());
                self.hidden.check(&place, status.details());
                let words = &self.hidden.words;
                words.check(&place, format!("{status:?}").as_bytes());
                words.check(&place, status.details());
                assert_ne!(status.code(), Code::Internal, "{place}: {status:?}");
                Err(status.code())
            }
        }
    }

    /// Every call as it should be, and then with a number in each of its fields.
    async fn call_everything(&mut self) {
        let methods = requests::methods();
        assert!(20 < methods.len());
        // An erased report can be asked for no more.
        let is_end = |method: &str| method.contains("Erase") || method.contains("Withdraw");
        for (method, _) in methods.iter().filter(|(method, _)| !is_end(method)) {
            self.call(method).await;
        }
        let connection = self.with(&self.tokens[0]).await;
        for (method, described) in &methods {
            for path in requests::texts(&described.input()) {
                for number in numbers() {
                    let mut named = self.named.clone();
                    if method.contains("/Report") || method.contains("/StreamIncidents") {
                        named.incident.incident_id = self.reporter.next().incident_id;
                    }
                    let request = requests::request(method, &named);
                    let kind = described.input();
                    let request = requests::with(&request, kind, &path, number.as_bytes());
                    let request = request.expect("a number is a text");
                    // Whether it is taken is another test's concern.
                    let _ = self.ask(connection.clone(), method, request).await;
                }
            }
        }
        for method in [
            "ReportingService/WithdrawIncident",
            "ReportingService/EraseIncident",
        ] {
            self.call(method).await;
        }
    }

    /// A request by HTTP, as it is; the answer is looked through.
    async fn send(&self, request: &[u8]) -> Vec<u8> {
        let connected = TcpStream::connect(self.server.address).await;
        let mut connection = connected.expect("it listens");
        let _ = connection.write_all(request).await;
        let mut answer = Vec::new();
        // It may be cut off instead of answered.
        let _ = connection.read_to_end(&mut answer).await;
        let asked = String::from_utf8_lossy(request);
        let asked = asked.lines().next().unwrap_or_default();
        let told = String::from_utf8_lossy(&answer);
        let told = told.lines().next().unwrap_or_default();
        self.hidden
            .check(&format!("the answer to {asked}: {told}"), &answer);
        answer
    }

    /// Every page, with numbers and tokens wherever a client can write something.
    async fn ask_every_page(&self) {
        let steward = &self.tokens[0];
        let wrong = [
            self.tokens[3].clone(),
            NUMBERS[0].to_string(),
            hex(&[7; 32]),
        ];
        for (route, _) in table::PAGES {
            for number in numbers().map(|number| number.replace(' ', "%20")) {
                let path = route
                    .replace("{file}", &format!("{number}.csv"))
                    .replace("{months}", &number)
                    .replace("{operator}", &number);
                for method in ["GET", "POST"] {
                    for token in wrong.iter().chain([steward]) {
                        let body =
                            format!("id={number}&secret={number}&lang={number}&{number}={number}");
                        let request = format!(
                            "{method} {path}?q={number}&token={token} HTTP/1.1\r\nhost: localhost\r\n\
                             authorization: Bearer {token}\r\nx-card: {number}\r\ncookie: card={number}\r\n\
                             referer: /{number}\r\nuser-agent: {number}\r\nif-none-match: \"{number}\"\r\n\
                             range: bytes={number}\r\naccept-language: {number}\r\n\
                             content-type: application/x-www-form-urlencoded\r\n\
                             content-length: {}\r\nconnection: close\r\n\r\n{body}",
                            body.len()
                        );
                        self.send(request.as_bytes()).await;
                    }
                }
            }
        }
        let secret = hex(&self.named.incident.incident_secret);
        let body = format!("id={}&secret={secret}", self.named.incident.incident_id);
        let request = format!(
            "POST /receipt HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
            body.len()
        );
        let answer = self.send(request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "the receipt as a page");
        for path in ["/metrics", "/.well-known/jwks.json"] {
            let request = format!(
                "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {steward}\r\n\
                 connection: close\r\n\r\n"
            );
            let answer = self.send(request.as_bytes()).await;
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}");
        }
    }

    fn command(&self, args: &[String], token: Option<&str>) -> Command {
        let mut command = child::mistap();
        command
            .env("MISTAP_SERVER", format!("http://{}", self.server.address))
            .env("MISTAP_DATA", self.folder.path().join("data"))
            .env("MISTAP_TOKEN", token.unwrap_or(&self.tokens[0]))
            .env("MISTAP_LOG", "trace")
            .current_dir(self.elsewhere.path())
            .kill_on_drop(true)
            .args(args);
        command
    }

    /// Runs a command to its end; what it prints is looked through.
    async fn run(&self, args: Vec<String>, token: Option<&str>) {
        let mut command = self.command(&args, token);
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("mistap {} does not end", args.join(" ")));
        self.check_output(&args, &output.expect("it can be run"));
    }

    /// A token that was just made is shown, this once.
    fn check_output(&self, args: &[String], output: &Output) {
        let place = format!("what mistap {} prints", args.join(" "));
        self.hidden.check(&place, &output.stdout);
        self.hidden.check(&place, &output.stderr);
    }

    /// Starts commands that go on until they are ended.
    fn start_all(&self, runs: &[Run]) -> Vec<Child> {
        let started = runs.iter().map(|(args, token)| {
            let mut command = self.command(args, token.as_deref());
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("it can be run")
        });
        started.collect()
    }

    /// Ends those that still run; what all of them printed is looked through.
    async fn end_all(&self, runs: &[Run], started: Vec<Child>) {
        for ((args, _), mut child) in runs.iter().zip(started) {
            // It may have refused what was asked and ended.
            let _ = child.start_kill();
            let output = child.wait_with_output().await.expect("it ends");
            self.check_output(args, &output);
        }
    }

    /// Every command with a number in each of its arguments, and with what is almost a secret.
    async fn run_every_command(&self) {
        let mut runs: Vec<Run> = Vec::new();
        for args in arguments(&Cli::command()) {
            for number in numbers().take(1) {
                runs.push((
                    args.iter().map(|arg| arg.replace("{}", &number)).collect(),
                    None,
                ));
            }
        }
        assert!(60 < runs.len(), "{}", runs.len());
        let secret = hex(&self.named.incident.incident_secret);
        let id = self.named.incident.incident_id.clone();
        for secret in [format!("{secret}0"), format!("{secret} ")] {
            runs.push((vec!["get".into(), id.clone(), secret.clone()], None));
            runs.push((vec!["report".into(), "--secret".into(), secret], None));
        }
        for token in [
            format!("{}\n", self.tokens[1]),
            format!("{}\u{e9}", self.tokens[1]),
        ] {
            runs.push((
                vec![
                    "cases".into(),
                    "list".into(),
                    "--token".into(),
                    token.clone(),
                ],
                None,
            ));
            runs.push((vec!["cases".into(), "list".into()], Some(token)));
        }
        for column in 0..4 {
            let name = format!("taps-{column}.csv");
            let mut cells = ["2026-10-03", "7", "GVB:02320", "12"].map(str::to_owned);
            cells[column] = NUMBERS[0].to_string();
            let text = format!("date,hour,stop,count\n{}\n", cells.join(","));
            std::fs::write(self.elsewhere.path().join(&name), text).expect("written");
            let words =
                "--date date --hour hour --stop stop --count count --feed gvb --operator GVB";
            let mut args: Vec<_> = ["taps", "import", &name].map(str::to_owned).into();
            args.extend(words.split(' ').map(str::to_owned));
            runs.push((args, None));
        }
        let label = ["token", "new", "--role", "steward", "--label"].map(str::to_owned);
        runs.push(([&label[..], &[NUMBERS[0].to_string()]].concat(), None));
        let is_endless = |(args, _): &Run| args.iter().any(|arg| ENDLESS.contains(&arg.as_str()));
        let (endless, runs): (Vec<_>, Vec<_>) = runs.into_iter().partition(is_endless);
        // They have all the time that the others take.
        let watching = self.start_all(&endless);
        let runs = runs.into_iter().map(|(args, token)| async move {
            self.run(args, token.as_deref()).await;
        });
        stream::iter(runs)
            .buffer_unordered(4)
            .collect::<Vec<()>>()
            .await;
        self.end_all(&endless, watching).await;
    }
}

/// For each argument of each command that takes a value: the command, with `{}` for the value.
fn arguments(command: &clap::Command) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for below in command.get_subcommands() {
        if LONG.contains(&below.get_name()) {
            continue;
        }
        let name = below.get_name().to_owned();
        let of_it = arguments(below).into_iter();
        found.extend(of_it.map(|args| [vec![name.clone()], args].concat()));
        let paths = std::any::TypeId::of::<std::path::PathBuf>();
        let takes_value = |arg: &&clap::Arg| {
            arg.get_action().takes_values() && arg.get_value_parser().type_id() != paths
        };
        for arg in below.get_arguments().filter(takes_value) {
            let args = match arg.get_long() {
                Some(long) => vec![name.clone(), format!("--{long}"), "{}".to_owned()],
                None => vec![name.clone(), "{}".to_owned()],
            };
            found.push(args);
        }
        found.push(vec![name.clone(), "{}".to_owned()]);
        found.push(vec![name, "--{}".to_owned()]);
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_tokens_secrets_and_keys_are_nowhere_whatever_call_page_or_command_brings_them() {
    let mut watched = Watched::start().await;
    watched.call_everything().await;
    watched.ask_every_page().await;
    watched.run_every_command().await;
    let Watched {
        server,
        folder,
        hidden,
        ..
    } = watched;
    hidden.check_folder(folder.path());
    let end = server.terminate().await;
    assert!(end.status.success(), "{end:?}");
    assert!(end.log.contains("DEBUG"), "all is logged");
    hidden.check("the log", end.log.as_bytes());
    hidden.words.check("the log", end.log.as_bytes());
    hidden.check_folder(folder.path());
    let tokens = TokenFile::read(&folder.path().join("data")).expect("readable");
    assert!(tokens.is_some_and(|file| 4 <= file.tokens().len()));
}

#[test]
fn numbers_like_a_card_s_are_found_however_they_are_written() {
    for written in [
        "3528016044719359",
        "x3528 0160 4471 9358.",
        "3528-0160-4471-9357,",
    ] {
        assert!(has_card(written.as_bytes()), "{written}");
    }
    for written in [
        "13528016044719359",
        "352801604471935",
        "3528016044719359123",
        "3528",
    ] {
        assert!(!has_card(written.as_bytes()), "{written}");
    }
}
