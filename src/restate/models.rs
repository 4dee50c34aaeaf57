//! The limits of models that the cluster keeps: asked of the ingress, and which there are, by SQL over its state.

use std::time::Duration;

use serde::Deserialize;

use super::Error;
use super::admin::Admin;
use super::ingress::{Body, Ingress, Mode};
use super::names::{
    LeaseRequest, MODEL_LIMITS, MODEL_LIMITS_LEASE, MODEL_LIMITS_SET, MODEL_LIMITS_SHOW, ModelLimits,
};
use super::secret::Call;
use crate::throttle::budget::{Lease, Limits};

/// Names of the models, as `provider/name`, that were asked or whose limits were set; in order.
///
/// # Errors
/// When the node does not answer, or cannot reach the leader of a partition.
pub async fn models_with_limits(admin: &Admin, timeout: Duration) -> Result<Vec<String>, Error> {
    #[derive(Deserialize)]
    struct Kept {
        service_key: String,
    }
    let sql = format!(
        "SELECT DISTINCT service_key FROM state WHERE service_name = '{MODEL_LIMITS}' ORDER BY service_key"
    );
    Ok(admin.query::<Kept>(&sql, timeout).await?.into_iter().map(|kept| kept.service_key).collect())
}

impl Ingress {
    /// Asks for a lease of `model`'s limits.
    ///
    /// # Errors
    /// When there is no answer in time, or the service does not know the object.
    pub async fn lease(
        &self,
        model: &str,
        request: &LeaseRequest,
        timeout: Duration,
    ) -> Result<Lease, Error> {
        let call = Call { service: MODEL_LIMITS, key: model, handler: MODEL_LIMITS_LEASE };
        let (url, request) = self.request(Mode::Call, call, Body::json(request));
        self.call(&url, request, timeout).await
    }

    /// Asks what `model`'s limits are.
    ///
    /// # Errors
    /// As [`Ingress::lease`].
    pub async fn model_limits(&self, model: &str, timeout: Duration) -> Result<ModelLimits, Error> {
        let call = Call { service: MODEL_LIMITS, key: model, handler: MODEL_LIMITS_SHOW };
        let (url, request) = self.request(Mode::Call, call, Body::None);
        self.call(&url, request, timeout).await
    }

    /// Sets `model`'s limits for every process; `None` takes that back.
    ///
    /// # Errors
    /// As [`Ingress::lease`].
    pub async fn set_model_limits(
        &self,
        model: &str,
        limits: Option<Limits>,
        timeout: Duration,
    ) -> Result<(), Error> {
        let call = Call { service: MODEL_LIMITS, key: model, handler: MODEL_LIMITS_SET };
        let (url, request) = self.request(Mode::Call, call, Body::json(&limits));
        self.tell(&url, request, timeout).await
    }
}
