//! Which models the cluster keeps limits for, by SQL over its state.

use std::time::Duration;

use serde::Deserialize;

use super::Error;
use super::admin::Admin;
use super::names::MODEL_LIMITS;

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
