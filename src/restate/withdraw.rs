//! How whoever reaches the ingress only has batches cancelled: the admin API, which does it otherwise, is not for everybody.

use std::time::Duration;

use super::Error;
use super::ingress::Ingress;
use super::names::{CLASSIFIER, CLASSIFIER_WITHDRAW};

impl Ingress {
    /// Has the service cancel these invocations, now or once it is there: what of them has not left for a model's provider ends.
    ///
    /// # Errors
    /// As [`Ingress::lease`].
    pub async fn withdraw(&self, invocations: &[String], timeout: Duration) -> Result<(), Error> {
        let url = format!("{}/restate/send/{CLASSIFIER}/{CLASSIFIER_WITHDRAW}", self.url());
        self.tell(&url, self.http.post(&url).json(invocations), timeout).await
    }
}
