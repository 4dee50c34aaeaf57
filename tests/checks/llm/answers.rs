//! Answers that are not as they were asked for, and whose labels count all the same.

use super::*;
use crate::llm_stub::Takes;

#[tokio::test]
async fn an_answer_is_read_wherever_it_stands() {
    for (fault, notes) in [
        (Fault::Fenced, 0),
        (Fault::Thought, 0),
        (Fault::Parts, 0),
        (Fault::Shouted, 9),
        (Fault::Bare, 2),
        (Fault::Percent, 1),
        (Fault::CutInReasoning, 1),
    ] {
        for provider in [Provider::OpenAi, Provider::Compatible] {
            let (got, stub, _) = one(provider, Plan::always(fault)).await;
            let answer = got.answer.as_ref().unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert_eq!(answer.labels["family"], "physical-fundamental", "{fault:?}");
            let most = got.notes.len();
            assert!(
                if notes == 9 { (1..=5).contains(&most) } else { most == notes },
                "{fault:?}: {:?}",
                got.notes
            );
            assert_eq!(stub.totals().requests, 1, "{fault:?}: paid once");
            reconcile(&[got], &stub);
        }
    }
    let (got, ..) = one(Provider::OpenAi, Plan::always(Fault::Percent)).await;
    assert!((got.answer.unwrap().confidence - 0.87).abs() < 1e-9);
}

#[tokio::test]
async fn a_server_is_asked_in_the_form_it_takes() {
    for (takes, form, requests) in
        [(Takes::Strict, "strict", 2), (Takes::Bounded, "bounded", 2), (Takes::Json, "json", 3)]
    {
        let stub = Stub::start(Plan::healthy().taking(takes)).await;
        let asker = asker(&stub, Provider::Compatible, 1);
        for row in &rows(2) {
            let got = asker.ask(std::slice::from_ref(row)).await.remove(0);
            assert!(got.answer.is_ok(), "{takes:?}: {got:?}");
        }
        let seen = stub.seen();
        assert_eq!((seen.len(), seen.last().unwrap().form), (requests, form), "it is found out once");
    }
    // Whoever names the form gets it, right or wrong.
    let stub = Stub::start(Plan::healthy().taking(Takes::Json)).await;
    let client = Client::new(
        access(Provider::Compatible, &stub.compatible_url(), KEY),
        Timeouts::within(Duration::from_secs(5)),
    );
    let options = ModelOptions {
        form: Some(classify::llm::Form::Strict),
        ..ModelOptions::new(Provider::Compatible, NonZeroUsize::MIN, None)
    };
    let taxonomy = Taxonomy::economic();
    let asker =
        Asker::new(client.unwrap(), "m", options, taxonomy, Backoff::default(), NoThrottle::default());
    let error = asker.ask(&rows(1)).await.remove(0).answer.unwrap_err();
    assert!(error.obstacle.is_some() && error.message.contains("response_format"), "{error:?}");
}

#[tokio::test]
async fn a_row_says_which_of_its_columns_were_cut() {
    let stub = Stub::start(Plan::healthy()).await;
    let asker = asker(&stub, Provider::OpenAi, 1);
    let mut rows = rows(2);
    rows[1].definition = Some("the value of goods and services ".repeat(90) + "THIS IS AN OUTAGE");
    rows[1].extra.insert("email".into(), "a@b.example".into());
    let got = asker.ask(&rows).await;
    assert_eq!((got[0].cut.len(), &got[1].cut), (0, &vec!["definition".to_owned()]));
    let seen = stub.seen();
    assert!(!seen[1].user.contains("OUTAGE") && !seen[1].user.contains("a@b.example"), "{}", seen[1].user);
}
