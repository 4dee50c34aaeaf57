//! Requests that are refused: what every row will meet stops a run, what one row meets does not.

use super::*;
use classify::domain::outcome::Obstacle;

const NO_CREDIT: &str =
    r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}"#;
const NO_MODEL: &str = r#"{"error":{"message":"The model `m` does not exist","code":"model_not_found"}}"#;
const NO_EFFORT: &str = r#"{"error":{"message":"Unsupported value: 'reasoning_effort' does not support 'minimal'","param":"reasoning_effort"}}"#;
const FILTERED: &str = r#"{"error":{"message":"The response was filtered","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#;
const FLAGGED: &str =
    r#"{"error":{"code":403,"message":"Input was flagged","metadata":{"reasons":["violence"]}}}"#;

#[tokio::test]
async fn what_every_row_will_meet_is_told_at_once() {
    for (status, body, obstacle) in [
        (401, "{}", Obstacle::Key),
        (402, NO_CREDIT, Obstacle::Money),
        (404, NO_MODEL, Obstacle::Model),
        (400, NO_EFFORT, Obstacle::Request),
    ] {
        let (got, stub, _) = one(Provider::OpenAi, Plan::always(Fault::Error(status, body))).await;
        let error = got.answer.unwrap_err();
        assert_eq!((error.class, error.obstacle), (FailureClass::Provider, Some(obstacle)), "{error:?}");
        assert_eq!(stub.totals().requests, 1);
    }
}

#[tokio::test]
async fn what_a_filter_declines_is_refused_and_stops_nothing() {
    for (status, body) in [(400, FILTERED), (403, FLAGGED)] {
        for items in [1, 3] {
            let stub = Stub::start(Plan::always(Fault::Error(status, body))).await;
            let got = asker(&stub, Provider::OpenAi, items).ask(&rows(3)).await;
            for one in &got {
                let error = one.answer.as_ref().unwrap_err();
                assert_eq!((error.class, error.obstacle), (FailureClass::Refused, None), "{error:?}");
            }
            reconcile(&got, &stub);
        }
    }
}

#[tokio::test]
async fn the_same_refusal_of_the_first_ten_calls_stops_the_run() {
    let stub = Stub::start(Plan::always(Fault::Status(400))).await;
    let got = asker(&stub, Provider::OpenAi, 1).ask(&rows(12)).await;
    let stops: Vec<bool> =
        got.iter().map(|one| one.answer.as_ref().unwrap_err().obstacle.is_some()).collect();
    assert_eq!(stops.iter().position(|stops| *stops), Some(9), "{stops:?}");
    assert!(stops[9..].iter().all(|stops| *stops));

    let stub = Stub::start(Plan::shares(1, [(Fault::Status(400), 0.9)])).await;
    let got = asker(&stub, Provider::OpenAi, 1).ask(&rows(60)).await;
    assert!(got.iter().any(|one| one.answer.is_ok()));
    let first = got.iter().position(|one| one.answer.is_ok()).unwrap();
    let later = got[first..].iter().filter_map(|one| one.answer.as_ref().err());
    assert!(first < 9 && later.clone().count() > 20 && later.clone().all(|error| error.obstacle.is_none()));
}

#[tokio::test]
async fn a_row_that_is_refused_takes_no_others_with_it() {
    let stub = Stub::start(Plan::script([Some(Fault::Status(400)), Some(Fault::Status(400))])).await;
    let got = asker(&stub, Provider::OpenAi, 3).ask(&rows(3)).await;
    let ok: Vec<bool> = got.iter().map(|one| one.answer.is_ok()).collect();
    assert_eq!(ok, [false, true, true], "the group was refused for its first row, and so was that");
    reconcile(&got, &stub);
}
