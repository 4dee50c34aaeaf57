//! How whoever reaches the ingress only has batches cancelled: the admin API, which does it otherwise, is not for everybody.

use std::time::Duration;

use serde::Deserialize;

use super::Error;
use super::ingress::Ingress;
use super::names::{BATCH_WORKFLOW, CLASSIFIER, CLASSIFIER_WITHDRAW};
use crate::domain::batch::BatchKey;

impl Ingress {
    /// Has the service cancel these invocations, now or once it is there: what of them has not left for a model's provider ends.
    ///
    /// # Errors
    /// As [`Ingress::lease`].
    pub async fn withdraw(&self, invocations: &[String], timeout: Duration) -> Result<(), Error> {
        let url = format!("{}/restate/send/{CLASSIFIER}/{CLASSIFIER_WITHDRAW}", self.url());
        self.tell(&url, self.http.post(&url).json(invocations), timeout).await
    }

    /// The id that the invocation of a batch has, if there is one. Nothing is looked up: it follows from the key.
    ///
    /// # Errors
    /// As [`Ingress::lease`].
    pub async fn id_of(&self, key: &BatchKey, timeout: Duration) -> Result<String, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Found {
            invocation_id: String,
        }
        let url = format!("{}/restate/lookup", self.url());
        let target = serde_json::json!({
            "target": "workflow", "workflowName": BATCH_WORKFLOW, "workflowKey": key.to_string(),
        });
        let found: Found = self.call(&url, self.http.post(&url).json(&target), timeout).await?;
        Ok(found.invocation_id)
    }
}
