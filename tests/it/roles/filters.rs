//! Which fields of a filter and which dimensions each role asks by.

use super::*;

/// A filter with one field set, beside its operator.
fn filter_with(pool: &DescriptorPool, field: &str) -> pb::Filter {
    let kind = message(pool, "Filter");
    let mut filter = DynamicMessage::new(kind.clone());
    let field = kind
        .get_field_by_name(field)
        .expect("a field of the filter");
    let value = match field.kind() {
        prost_reflect::Kind::Enum(_) => Value::EnumNumber(1),
        prost_reflect::Kind::Uint32 => Value::U32(1),
        _ => Value::String(
            if field.name() == "stops" {
                "x"
            } else {
                "GVB:10"
            }
            .into(),
        ),
    };
    let value = if field.is_list() {
        Value::List(vec![value])
    } else {
        value
    };
    filter.set_field(&field, value);
    let mut filter = pb::Filter::decode(&*filter.encode_to_vec()).expect("the same");
    filter.operators = vec!["GVB".into()];
    filter
}

/// Whether the table keeps something for stewards.
fn is_stewards(message: &str, field: &str, value: Option<&str>) -> bool {
    let row = table::ASKS
        .iter()
        .find(|(known, known_field, known_value, _)| {
            (*known, *known_field, *known_value) == (message, field, value)
        });
    row.is_some_and(|(.., roles)| !roles.has(Role::Operator))
}

#[tokio::test]
async fn every_field_of_a_filter_and_every_dimension_is_asked_by_whom_the_table_says() {
    let guarded = Guarded::start().await;
    let pool = pool();
    let fields_of_filter = message(&pool, "Filter");
    let dimensions = pool.get_enum_by_name("mistap.v1.Dimension").expect("known");
    for role in [Role::Operator, Role::Steward] {
        let mut statistics = Statistics::new(guarded.of(role).await);
        let mut live = Live::new(guarded.of(role).await);
        let check = |refused: bool, result: String, told: Vec<String>, path: &str| {
            let expected = if refused { "NOT_ALLOWED" } else { "OK" };
            assert_eq!(result, expected, "{path} as {role}");
            assert_eq!(
                told,
                if refused {
                    vec![path.to_owned()]
                } else {
                    Vec::new()
                }
            );
        };
        for field in fields_of_filter.fields() {
            let name = field.name();
            let filter = filter_with(&pool, name);
            let refused = is_stewards("Filter", name, None) && role != Role::Steward;
            let asked = query(filter.clone(), &[]);
            let result = statistics.query_figures(asked.clone()).await;
            let path = format!("question.filter.{name}");
            check(refused, reason(&result), fields(&result), &path);
            let asked = pb::QueryFiguresWithProgressRequest {
                query: Some(asked),
                ..pb::QueryFiguresWithProgressRequest::default()
            };
            let result = statistics.query_figures_with_progress(asked).await;
            check(refused, reason(&result), fields(&result), &path);
            let result = statistics.compare_periods(comparison(filter.clone())).await;
            check(
                refused,
                reason(&result),
                fields(&result),
                &format!("filter.{name}"),
            );
            let request = pb::WatchRatesRequest {
                filter: Some(filter.clone()),
                ..pb::WatchRatesRequest::default()
            };
            let result = live.watch_rates(request).await;
            check(
                refused,
                reason(&result),
                fields(&result),
                &format!("filter.{name}"),
            );
            let request = pb::RankScopesRequest {
                filter: Some(filter),
                by: pb::Dimension::Line as i32,
                window: that_day(&[]).question.and_then(|question| question.window),
                ..pb::RankScopesRequest::default()
            };
            let result = statistics.rank_scopes(request).await;
            check(
                refused,
                reason(&result),
                fields(&result),
                &format!("filter.{name}"),
            );
        }
        for value in dimensions.values().filter(|value| value.number() != 0) {
            let by = pb::Dimension::try_from(value.number()).expect("known");
            let refused =
                |message| is_stewards(message, "by", Some(value.name())) && role != Role::Steward;
            let filter = pb::Filter {
                operators: vec!["GVB".into()],
                ..pb::Filter::default()
            };
            let asked = query(filter.clone(), &[by]);
            let with_progress = pb::QueryFiguresWithProgressRequest {
                query: Some(asked.clone()),
                ..pb::QueryFiguresWithProgressRequest::default()
            };
            let result = statistics.query_figures_with_progress(with_progress).await;
            let path = "question.by[0]";
            check(refused("Question"), reason(&result), fields(&result), path);
            let result = statistics.query_figures(asked).await;
            check(
                refused("Question"),
                reason(&result),
                fields(&result),
                "question.by[0]",
            );
            let request = pb::WatchRatesRequest {
                filter: Some(filter),
                by: vec![by as i32],
                ..pb::WatchRatesRequest::default()
            };
            let result = live.watch_rates(request).await;
            check(
                refused("WatchRatesRequest"),
                reason(&result),
                fields(&result),
                "by[0]",
            );
        }
    }
}

#[tokio::test]
async fn operator_asks_only_about_its_own_operators() {
    let guarded = Guarded::start().await;
    let filter = |operators: &[&str]| pb::Filter {
        operators: operators.iter().map(|code| (*code).to_owned()).collect(),
        ..pb::Filter::default()
    };
    let token = &guarded.tokens[&Role::Operator];
    let check = async |token: &Token, operators: &[&str], is_allowed: bool| {
        let mut statistics = Statistics::new(guarded.with(Some(token)).await);
        let mut live = Live::new(guarded.with(Some(token)).await);
        let told = |result: String, fields: Vec<String>, path: &str| {
            let expected = if is_allowed { "OK" } else { "NOT_ALLOWED" };
            assert_eq!(result, expected, "{path} {operators:?}");
            assert!(is_allowed || fields == [path], "{fields:?}");
        };
        let asked = query(filter(operators), &[]);
        let result = statistics.query_figures(asked.clone()).await;
        let path = "question.filter.operators";
        told(reason(&result), fields(&result), path);
        let asked = pb::QueryFiguresWithProgressRequest {
            query: Some(asked),
            ..pb::QueryFiguresWithProgressRequest::default()
        };
        let result = statistics.query_figures_with_progress(asked).await;
        told(reason(&result), fields(&result), path);
        let asked = comparison(filter(operators));
        let result = statistics.compare_periods(asked).await;
        told(reason(&result), fields(&result), "filter.operators");
        let request = pb::RankScopesRequest {
            filter: Some(filter(operators)),
            by: pb::Dimension::Line as i32,
            window: that_day(&[]).question.and_then(|question| question.window),
            ..pb::RankScopesRequest::default()
        };
        let result = statistics.rank_scopes(request).await;
        told(reason(&result), fields(&result), "filter.operators");
        let request = pb::WatchRatesRequest {
            filter: Some(filter(operators)),
            ..pb::WatchRatesRequest::default()
        };
        let result = live.watch_rates(request).await;
        told(reason(&result), fields(&result), "filter.operators");
        let request = pb::WatchIncidentsRequest {
            operators: filter(operators).operators,
            ..pb::WatchIncidentsRequest::default()
        };
        let result = live.watch_incidents(request).await;
        told(reason(&result), fields(&result), "operators");
        let mut operations = Operations::new(guarded.with(Some(token)).await);
        let request = pb::ListIncidentsRequest {
            operators: filter(operators).operators,
            ..pb::ListIncidentsRequest::default()
        };
        let result = operations.list_incidents(request).await;
        told(reason(&result), fields(&result), "operators");
        let request = pb::GetReplyTimesRequest {
            operators: filter(operators).operators,
            window: that_day(&[]).question.and_then(|question| question.window),
            ..pb::GetReplyTimesRequest::default()
        };
        let result = operations.get_reply_times(request).await;
        told(reason(&result), fields(&result), "operators");
    };
    check(token, &["GVB"], true).await;
    check(token, &[], false).await;
    check(token, &["RET"], false).await;
    check(token, &["GVB", "RET"], false).await;
    check(&guarded.other_operator, &["RET"], true).await;
    check(&guarded.other_operator, &["GVB"], false).await;
    check(&guarded.tokens[&Role::Steward], &[], true).await;
}
