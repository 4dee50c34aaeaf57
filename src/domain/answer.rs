//! The output of a batch as the client reads it: what the service wrote as [`Outcome`](super::outcome::Outcome)s, its texts borrowed from
//! the output. Between there and the file they end in they are only copied.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::bounds;
use super::labels::LabelsText;
use super::outcome::{Failed, Usage};

/// Output of `ClassifyBatch/run`, the client's view of [`BatchResponse`](super::batch::BatchResponse).
#[derive(Debug, Deserialize)]
pub struct Answers<'a> {
    /// One per indicator of the request, in its order.
    #[serde(borrow, deserialize_with = "bounds::one_each")]
    pub outcomes: Vec<Answer<'a>>,
}

/// The end of one indicator.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<'a> {
    /// It has labels.
    #[serde(borrow)]
    Classified(Classified<'a>),
    /// It has none, and this is why.
    Failed(Failed),
}

/// Labels of one indicator, and where they come from; the fields are those of
/// [`Classification`](super::outcome::Classification).
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "they are explained there")]
pub struct Classified<'a> {
    #[serde(borrow)]
    pub labels: LabelsText<'a>,
    pub confidence: f64,
    #[serde(default)]
    pub reasoning: Option<Text<'a>>,
    pub provider: Text<'a>,
    #[serde(default)]
    pub model: Option<Text<'a>>,
    pub taxonomy: Text<'a>,
    #[serde(default)]
    pub usage: Option<Usage>,
    #[serde(default)]
    pub spared: bool,
    #[serde(default)]
    pub notes: Vec<String>,
    #[serde(default)]
    pub cut: Vec<String>,
    pub classified_at: Text<'a>,
    pub origin: Text<'a>,
}

/// A text, borrowed where it has no escapes. Of an `Option<Cow>` serde would borrow nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::batch::BatchResponse;
    use crate::domain::labels::Labels;
    use crate::domain::outcome::{Classification, FailureClass, Outcome, Retries};

    #[test]
    fn the_client_reads_whatever_the_service_writes() {
        let retries = Retries { timeout: 1, ..Retries::default() };
        let usage = Usage { requests: 2, input_tokens: 3, retries, cost_usd: Some(0.5), ..Usage::default() };
        let full = Classification {
            labels: Labels::new(json!({"family": "price", "note": "a\nb"}).as_object().unwrap()),
            confidence: 0.75,
            reasoning: Some("says \"so\"".into()),
            provider: "openai".into(),
            model: Some("gpt-x".into()),
            taxonomy: "economic@1".into(),
            usage: Some(usage),
            spared: true,
            notes: vec!["says \"so\"".into()],
            cut: vec!["definition".into()],
            classified_at: "2026-01-02T03:04:05Z".into(),
            origin: "R.17".into(),
        };
        let least = Classification {
            reasoning: None,
            model: None,
            usage: None,
            spared: false,
            notes: Vec::new(),
            ..full.clone()
        };
        let failed = Failed::new(FailureClass::Schema, "no", 3, "R.1");
        let outcomes: Vec<Outcome> = [full.clone(), least.clone()]
            .map(|classification| Outcome::Classified(Box::new(classification)))
            .into_iter()
            .chain([Outcome::Failed(failed.clone())])
            .collect();
        let json = serde_json::to_string(&BatchResponse { outcomes }).unwrap();
        let Answers { outcomes } = serde_json::from_str(&json).unwrap();
        let [Answer::Classified(first), Answer::Classified(second), Answer::Failed(third)] = &outcomes[..]
        else {
            panic!("{outcomes:?}")
        };
        for (read, written) in [(first, &full), (second, &least)] {
            let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.as_str().to_owned());
            let again = Classification {
                labels: Labels::new(&read.labels.fields().unwrap()),
                confidence: read.confidence,
                reasoning: text(&read.reasoning),
                provider: read.provider.as_str().into(),
                model: text(&read.model),
                taxonomy: read.taxonomy.as_str().into(),
                usage: read.usage,
                spared: read.spared,
                notes: read.notes.clone(),
                cut: read.cut.clone(),
                classified_at: read.classified_at.as_str().into(),
                origin: read.origin.as_str().into(),
            };
            assert_eq!(&again, written);
        }
        assert_eq!(third, &failed);
        assert!(matches!(first.provider.0, Cow::Borrowed(_)));
        assert!(matches!(first.model, Some(Text(Cow::Borrowed(_)))));
    }
}
