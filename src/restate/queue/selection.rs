//! Which invocations are meant. Owns the filters and their SQL: no text of a person's reaches it that was not parsed
//! into a type that can be nothing else.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use ulid::Ulid;

use super::invocation::COLUMNS;
use super::{Invocation, State, ours};
use crate::restate::Error;
use crate::restate::admin::Admin;
use crate::restate::id::InvocationId;
use crate::restate::names::{BATCH_WORKFLOW, CLASSIFIER};

/// Invocations of our services for which all of this holds. An empty one means all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// These and no others.
    pub ids: Option<Vec<InvocationId>>,
    /// The batches of a run, and the calls they made.
    pub run: Option<Ulid>,
    /// One of [`crate::restate::names::SERVICES`].
    pub service: Option<&'static str>,
    /// Batches and calls alone: not what paces and counts them.
    pub rows_only: bool,
    /// Any of these.
    pub states: Option<Vec<State>>,
    /// Created before.
    pub before: Option<Timestamp>,
    /// Failed like this, in the end or the last time.
    pub error: Option<ErrorClass>,
}

/// What an invocation failed with, as Restate stores it: `[409] killed`, or `[500 Internal] …` with a code of its
/// own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorClass {
    /// A person cancelled it.
    Cancelled,
    /// A person killed it, or Restate did after its last attempt.
    Killed,
    /// The number in brackets, 100 to 999.
    Status(u16),
    /// Restate's code, `RT` and four digits; kept for attempts that will be repeated.
    Restate(u16),
}

/// Text that names no [`ErrorClass`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use `cancelled`, `killed`, a status like `500` or a code of Restate's like `RT0010`")]
pub struct UnknownErrorClass;

impl FromStr for ErrorClass {
    type Err = UnknownErrorClass;

    fn from_str(text: &str) -> Result<Self, UnknownErrorClass> {
        let number = |digits: &str, length: usize| {
            let fits = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|_| fits).ok_or(UnknownErrorClass)
        };
        match text {
            "cancelled" => Ok(Self::Cancelled),
            "killed" => Ok(Self::Killed),
            _ => match text.strip_prefix("RT") {
                Some(digits) => number(digits, 4).map(Self::Restate),
                None => number(text, 3).map(Self::Status),
            },
        }
    }
}

impl ErrorClass {
    fn sql(&self) -> String {
        match self {
            // Restate itself says `canceled` of what had not begun, the SDK `cancelled`.
            Self::Cancelled => "completion_failure IN ('[409] cancelled', '[409] canceled')".into(),
            Self::Killed => "completion_failure = '[409] killed'".into(),
            Self::Status(number) => {
                let failure = "COALESCE(completion_failure, last_failure)";
                format!("({failure} LIKE '[{number:03}]%' OR {failure} LIKE '[{number:03} %')")
            }
            Self::Restate(number) => format!("last_failure_error_code = 'RT{number:04}'"),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Total {
    n: u64,
}

impl Selection {
    /// How many there are.
    ///
    /// # Errors
    /// When the node does not answer, or cannot reach the leader of a partition.
    pub async fn count(&self, admin: &Admin, timeout: Duration) -> Result<u64, Error> {
        let sql = format!("SELECT COUNT(*) AS n FROM sys_invocation WHERE {self}");
        Ok(admin.query::<Total>(&sql, timeout).await?.first().map_or(0, |total| total.n))
    }

    /// All of them, or the first `limit`; the oldest first.
    ///
    /// # Errors
    /// As [`Selection::count`].
    pub async fn fetch(
        &self,
        admin: &Admin,
        limit: Option<usize>,
        timeout: Duration,
    ) -> Result<Vec<Invocation>, Error> {
        self.ordered(admin, "created_at, id", limit, timeout).await
    }

    /// As [`Selection::fetch`], in the order of `columns`.
    pub(super) async fn ordered(
        &self,
        admin: &Admin,
        columns: &'static str,
        limit: Option<usize>,
        timeout: Duration,
    ) -> Result<Vec<Invocation>, Error> {
        let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
        let sql = format!("SELECT {COLUMNS} FROM sys_invocation WHERE {self} ORDER BY {columns}{limit}");
        let mut found: Vec<Invocation> = admin.query(&sql, timeout).await?;
        // The query says so already; what must never be touched is worth a second look.
        found.retain(Invocation::is_ours);
        Ok(found)
    }
}

/// The condition, as SQL.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ours())?;
        if let Some(ids) = &self.ids {
            let ids: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
            write!(f, " AND id IN ({})", ids.join(", "))?;
        }
        if let Some(run) = self.run {
            // A call knows the batch that made it; one that a second batch waits for, only the first.
            write!(
                f,
                " AND ((target_service_name = '{BATCH_WORKFLOW}' AND starts_with(target_service_key, '{run}.')) \
                 OR (target_service_name = '{CLASSIFIER}' AND starts_with(invoked_by_target, '{BATCH_WORKFLOW}/{run}.')))"
            )?;
        }
        if let Some(service) = self.service {
            write!(f, " AND target_service_name = '{service}'")?;
        }
        if self.rows_only {
            write!(f, " AND target_service_name IN ('{BATCH_WORKFLOW}', '{CLASSIFIER}')")?;
        }
        if let Some(states) = &self.states {
            let states: Vec<&str> = states.iter().map(|state| state.sql()).collect();
            write!(f, " AND ({})", states.join(" OR "))?;
        }
        if let Some(before) = self.before {
            write!(f, " AND created_at < '{before:.3}'")?;
        }
        if let Some(error) = &self.error {
            write!(f, " AND {}", error.sql())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_is_for_our_services_alone() {
        let ours = "target_service_name IN \
                    ('ClassifyBatch', 'Classifier', 'ModelLimits', 'DetachedRun', 'BatchPage', 'BatchReports')";
        assert_eq!(Selection::default().to_string(), ours);
        let rows = Selection { rows_only: true, ..Selection::default() };
        let expected = format!("{ours} AND target_service_name IN ('ClassifyBatch', 'Classifier')");
        assert_eq!(rows.to_string(), expected);
        let all = Selection {
            ids: Some(vec!["inv_1a".parse().unwrap(), "inv_1b".parse().unwrap()]),
            run: Some("01M82VWXVYQHWRKTN4PR1DFQ44".parse().unwrap()),
            service: Some(CLASSIFIER),
            rows_only: false,
            states: Some(vec![State::Retrying, State::Paused]),
            before: Some("2026-01-02T03:04:05Z".parse().unwrap()),
            error: Some(ErrorClass::Restate(10)),
        };
        let expected = format!(
            "{ours} AND id IN ('inv_1a', 'inv_1b') AND \
             ((target_service_name = 'ClassifyBatch' AND starts_with(target_service_key, '01M82VWXVYQHWRKTN4PR1DFQ44.')) OR \
             (target_service_name = 'Classifier' AND starts_with(invoked_by_target, 'ClassifyBatch/01M82VWXVYQHWRKTN4PR1DFQ44.'))) \
             AND target_service_name = 'Classifier' AND (status = 'backing-off' OR status = 'paused') \
             AND created_at < '2026-01-02T03:04:05.000Z' AND last_failure_error_code = 'RT0010'"
        );
        assert_eq!(all.to_string(), expected);
    }

    #[test]
    fn a_class_of_errors_is_one_of_few() {
        assert_eq!("RT0010".parse(), Ok(ErrorClass::Restate(10)));
        assert_eq!("500".parse(), Ok(ErrorClass::Status(500)));
        assert_eq!("killed".parse(), Ok(ErrorClass::Killed));
        for text in ["", "5000", "+50", "RT10", "rt0010", "RT001'", "%", "Cancelled", "timeout"] {
            assert_eq!(text.parse::<ErrorClass>(), Err(UnknownErrorClass), "{text}");
        }
    }
}
