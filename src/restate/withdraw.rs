//! How whoever reaches the ingress only has batches cancelled: the admin API, which does it otherwise, is not for everybody.

use std::time::Duration;

use super::Error;
use super::ingress::{Body, Ingress, Mode};
use super::names::{CLASSIFIER, CLASSIFIER_WITHDRAW};
use super::secret::Call;

impl Ingress {
    /// Has the service cancel these invocations, now or once it is there: what of them has not left for a model's provider ends.
    ///
    /// # Errors
    /// As [`Ingress::lease`].
    pub async fn withdraw(&self, invocations: &[String], timeout: Duration) -> Result<(), Error> {
        let call = Call { service: CLASSIFIER, key: "", handler: CLASSIFIER_WITHDRAW };
        let (url, request) = self.request(Mode::Send, call, Body::json(&invocations));
        self.tell(&url, request, timeout).await
    }
}
