//! The part that all requests share, and how much of it the provider's cache gives.

use futures_util::{StreamExt as _, stream};

use super::*;

fn asker_for(model: &str, stub: &Stub, provider: Provider) -> Asker<NoThrottle> {
    let client =
        Client::new(access(provider, &stub.url(), KEY), Timeouts::within(Duration::from_secs(5))).unwrap();
    let options = ModelOptions::new(provider, NonZeroUsize::MIN, None);
    Asker::new(client, model, options, Taxonomy::economic(), Backoff::default(), NoThrottle::default())
}

#[tokio::test]
async fn what_all_requests_share_is_read_from_the_cache() {
    for (provider, model) in [
        (Provider::OpenAi, "gpt-6-luna"),
        (Provider::OpenAi, "gpt-5.6-sol-2026-07-01"),
        (Provider::OpenAi, "gpt-5.5"),
        (Provider::Anthropic, "claude-sonnet-5-5"),
    ] {
        let stub = Stub::start(Plan::healthy().slowed(Duration::from_millis(2))).await;
        let asker = asker_for(model, &stub, provider);
        let rows = rows(300);
        let calls = stream::iter(&rows).map(|row| asker.ask(std::slice::from_ref(row)));
        let got: Vec<Asked> = calls.buffered(8).collect::<Vec<_>>().await.into_iter().flatten().collect();
        assert!(got.iter().all(|one| one.answer.is_ok()), "{model}: {:?}", stub.seen().last());
        let seen = stub.seen();
        let sum = |of: fn(&crate::llm_stub::Seen) -> u64| seen.iter().map(of).sum::<u64>();
        let (cached, written, shared) =
            (sum(|seen| seen.cached_tokens), sum(|seen| seen.written_tokens), sum(|seen| seen.shared_tokens));
        // The first of each key are written: thirty keys for three hundred requests, and those that are under way meanwhile.
        assert!(cached * 100 >= shared * 80, "{model}: {cached} of {shared} tokens");
        assert!(written * 100 <= shared * 20, "{model}: {written} of {shared} tokens are written");
        let ours = super::sum(&got);
        assert_eq!(
            (ours.cached_tokens, ours.written_tokens),
            (cached, written),
            "{model}: we count what it counts"
        );
        // Later ones are read, all but all of them.
        let late = &seen[200..];
        let read = late.iter().map(|seen| seen.cached_tokens).sum::<u64>();
        let shared = late.iter().map(|seen| seen.shared_tokens).sum::<u64>();
        let steps = if model == "gpt-5.5" { 128 * late.len() as u64 } else { 0 };
        assert!((read + steps) * 100 >= shared * 85, "{model}: {read} of {shared} tokens");
    }
}

#[tokio::test]
async fn without_a_breakpoint_nothing_would_be_read() {
    // What was sent until now, to a model since GPT-5.6: the stub follows the guide.
    let stub = Stub::start(Plan::healthy()).await;
    let http = classify::tls::client().build().unwrap();
    let path = format!("{}/tests/snapshots/openai-breakpoint.json", env!("CARGO_MANIFEST_DIR"));
    let mut body: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let text = body["messages"][0]["content"][0]["text"].clone();
    body["messages"][0]["content"] = text;
    body.as_object_mut().unwrap().retain(|name, _| !name.starts_with("prompt_cache"));
    for number in 0..3 {
        body["messages"][1]["content"] = format!("<data>\n{{\"id\":\"{number}\"}}\n</data>").into();
        let request = http.post(format!("{}/v1/chat/completions", stub.url()));
        let request = request
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {KEY}"));
        let answer = request.body(body.to_string()).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let details = &answer["usage"]["prompt_tokens_details"];
        assert_eq!(details["cached_tokens"], 0, "{answer:#}");
        assert_eq!(details["cache_write_tokens"], answer["usage"]["prompt_tokens"], "{answer:#}");
    }
    // What earlier models refuse.
    let marks: Value = serde_json::from_str(
        r#"[{ "type": "text", "text": "x", "prompt_cache_breakpoint": { "mode": "explicit" } }]"#,
    )
    .unwrap();
    body["model"] = "gpt-5.5".into();
    body["messages"][0]["content"] = marks;
    let request = http.post(format!("{}/v1/chat/completions", stub.url()));
    let request =
        request.header("content-type", "application/json").header("authorization", format!("Bearer {KEY}"));
    assert_eq!(request.body(body.to_string()).send().await.unwrap().status().as_u16(), 400);
}

#[tokio::test]
async fn an_answer_that_was_cut_off_gets_more_room() {
    for (provider, effort, room) in [
        (Provider::OpenAi, None, 4_096),
        (Provider::Anthropic, None, 8_192),
        (Provider::Compatible, None, 2_048),
        (Provider::Anthropic, Some(Effort::Low), 2_048),
        (Provider::Anthropic, Some(Effort::Max), 16_384),
    ] {
        let stub = Stub::start(Plan::script([Some(Fault::Truncated)])).await;
        let url = if provider == Provider::Compatible { stub.compatible_url() } else { stub.url() };
        let client =
            Client::new(access(provider, &url, KEY), Timeouts::within(Duration::from_secs(5))).unwrap();
        let options = ModelOptions::new(provider, NonZeroUsize::MIN, effort);
        let asker =
            Asker::new(client, "m", options, Taxonomy::economic(), Backoff::default(), NoThrottle::default());
        let got = asker.ask(&rows(1)).await.remove(0);
        assert!(got.answer.is_ok(), "{got:?}");
        let rooms: Vec<u64> = stub.seen().iter().map(|seen| seen.room).collect();
        assert_eq!(rooms, [room, (room * 4).min(64_000)], "{provider} {effort:?}");
        let told = asker.throttle().told.lock().unwrap();
        assert!(told[1].0 - told[0].0 > room * 2, "the limiter is told");
    }
}

#[tokio::test]
async fn no_request_asks_for_more_output_than_models_give() {
    let stub = Stub::start(Plan::healthy()).await;
    let client =
        Client::new(access(Provider::Anthropic, &stub.url(), KEY), Timeouts::within(Duration::from_secs(5)))
            .unwrap();
    let options = ModelOptions::new(Provider::Anthropic, NonZeroUsize::new(50).unwrap(), Some(Effort::High));
    let asker =
        Asker::new(client, "m", options, Taxonomy::economic(), Backoff::default(), NoThrottle::default());
    assert!(asker.ask(&rows(50)).await.iter().all(|one| one.answer.is_ok()));
    // Seven answers with 8,192 tokens each are what models have room for.
    let seen = stub.seen();
    assert!(seen.iter().all(|seen| seen.room <= 64_000 && seen.ids.len() <= 7), "{seen:?}");
    assert_eq!(seen.len(), 8);
}
