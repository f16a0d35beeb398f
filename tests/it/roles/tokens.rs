//! Tokens made and revoked while the service runs.

use super::*;

#[tokio::test]
async fn tokens_are_taken_up_and_revoked_while_the_service_runs() {
    let folder = TempDir::new().expect("a folder");
    let service = Service::start_with(folder, |settings| {
        settings.token_look = std::time::Duration::from_millis(1);
    })
    .await;
    let service = Arc::new(service);
    let count = async |bearer: Bearer| {
        let mut client = Statistics::new(bearer.over(service.connect().await));
        reason(&client.query_figures(that_day(&[])).await)
    };
    // How often a look comes is no concern here, only that one does.
    let becomes = async |bearer: &Bearer, expected: &str| {
        let is_so = async || count(bearer.clone()).await == expected;
        until_so(expected, is_so).await;
    };
    assert_eq!(count(Bearer::default()).await, "OK");
    let new = NewToken {
        label: "us".into(),
        role: Role::Steward,
        operators: Vec::new(),
    };
    let token = TokenFile::add(service.folder(), new, today()).expect("made");
    let bearer = Bearer::new(token.expose()).expect("it can be sent");
    becomes(&Bearer::default(), "NO_TOKEN").await;
    becomes(&bearer, "OK").await;
    TokenFile::revoke(service.folder(), TokenId(1), today()).expect("it lives");
    becomes(&bearer, "TOKEN_UNKNOWN").await;
    assert_eq!(count(Bearer::default()).await, "NO_TOKEN");
}
