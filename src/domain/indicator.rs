//! One row of the input: what is known of an indicator before it is classified.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::bounds;
use super::cell::CellValue;

/// An indicator as read from the input. Only `id` and `name` are required; text fields are trimmed and never empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Indicator {
    /// Identity of the row within one input.
    pub id: String,
    /// What the indicator is called.
    pub name: String,
    /// Unit as the source wrote it, for instance `USD Million` or `% of GDP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<String>,
    /// Publication frequency as the source wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub periodicity: Option<String>,
    /// A longer form of the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_name: Option<String>,
    /// Who publishes the indicator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_name: Option<String>,
    /// What it measures, in prose (`description` in many tables).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Subject, as the source files it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Group of the subject, as the source files it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category_group: Option<String>,
    /// Data set the indicator belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// How the source aggregates it, for instance `Sum` or `Weighted average`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregation_method: Option<String>,
    /// Scale as the source wrote it, for instance `Millions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<String>,
    /// Currency as the source wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency_code: Option<String>,
    /// Some observations, newest or oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample_values: Vec<Sample>,
    /// Columns this product has no name for: kept, passed to the classifier and back to the user.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty", deserialize_with = "bounds::columns")]
    pub extra: IndexMap<String, CellValue>,
}

impl Indicator {
    /// Names of the known columns in which there is something.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> {
        let texts = [
            ("units", &self.units),
            ("periodicity", &self.periodicity),
            ("long_name", &self.long_name),
            ("source_name", &self.source_name),
            ("definition", &self.definition),
            ("topic", &self.topic),
            ("category_group", &self.category_group),
            ("dataset", &self.dataset),
            ("aggregation_method", &self.aggregation_method),
            ("scale", &self.scale),
            ("currency_code", &self.currency_code),
        ];
        let given = texts.into_iter().filter(|(_, text)| text.is_some()).map(|(name, _)| name);
        let samples = (!self.sample_values.is_empty()).then_some("sample_values");
        ["id", "name"].into_iter().chain(given).chain(samples)
    }
}

/// One observation. `date` is free text: sources also use labels such as `last10YearsAvg`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When, as the source wrote it.
    pub date: String,
    /// The value; `None` where the source has a gap.
    pub value: Option<f64>,
}
