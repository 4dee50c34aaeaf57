//! The built-in classifier: a taxonomy's rules, run on one indicator at a time.
//!
//! Owns the order in which rules decide and how sure an answer is. Pure: the same row gives the same answer, on
//! any machine, and there is no text it fails on.

use serde_json::{Map, Value};

use super::Taxonomy;
use super::error::Error;
use super::field::Field;
use super::plan::{Plan, Rule, Source};
use super::scan::{Scan, Scanner};
use crate::domain::indicator::Indicator;

/// The rules of one taxonomy, compiled.
#[derive(Debug, Clone)]
pub struct Rules {
    fields: Vec<Field>,
    plan: Plan,
    scanner: Scanner,
}

/// What the rules make of one indicator.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// One value per field, in the taxonomy's order.
    pub labels: Map<String, Value>,
    /// Mean weight of what decided each field: a rule, or the field's fallback. From 0 to 1.
    pub confidence: f64,
    /// Names of the rules that decided; fields that fell back are named too.
    pub reasoning: Option<String>,
}

/// A decided label: the number of its value, and the rule that decided it.
#[derive(Debug, Clone, Copy)]
struct Decision {
    value: usize,
    rule: usize,
}

impl Rules {
    /// Compiles the rules of a taxonomy. One compilation serves any number of threads.
    pub fn compile(taxonomy: &Taxonomy) -> Result<Self, Error> {
        let plan = taxonomy.plan().clone();
        let scanner = Scanner::new(&plan.texts).map_err(|why| Error::invalid("rules", why))?;
        Ok(Self { fields: taxonomy.fields().to_vec(), plan, scanner })
    }

    /// Labels one indicator.
    pub fn classify(&self, indicator: &Indicator) -> Answer {
        let mut scan = self.scanner.row(indicator);
        let mut decided: Vec<Option<Decision>> = vec![None; self.plan.labels];
        for (index, rule) in self.plan.rules.iter().enumerate() {
            // The cheapest question first: most rules are about labels an earlier one has decided.
            if rule.targets.iter().all(|target| decided[target.label].is_some())
                || !holds(rule, &decided, &mut scan)
            {
                continue;
            }
            for target in &rule.targets {
                if decided[target.label].is_some() {
                    continue;
                }
                let value = match &target.source {
                    Source::Value(value) => Some(*value),
                    Source::Lookup(lookup) => {
                        let found = self.plan.lookups[*lookup].1.find(indicator);
                        found.and_then(|value| self.plan.values.number(&value))
                    }
                };
                decided[target.label] = value.map(|value| Decision { value, rule: index });
            }
        }
        self.answer(decided)
    }

    fn answer(&self, mut decided: Vec<Option<Decision>>) -> Answer {
        decided.truncate(self.fields.len());
        let mut labels = Map::with_capacity(self.fields.len());
        let mut total = 0.0;
        let mut deciding: Vec<usize> = Vec::new();
        let mut fallen: Vec<&str> = Vec::new();
        for (field, decision) in self.fields.iter().zip(decided) {
            let value = if let Some(Decision { value, rule }) = decision {
                total += self.plan.rules[rule].weight;
                deciding.push(rule);
                self.plan.values.get(value).clone()
            } else {
                total += field.fallback.weight;
                fallen.push(&field.name);
                field.fallback.value.clone()
            };
            labels.insert(field.name.clone(), value);
        }
        deciding.sort_unstable();
        deciding.dedup();
        let mut reasoning: Vec<&str> = Vec::with_capacity(deciding.len() + 1);
        reasoning.extend(deciding.iter().map(|&rule| self.plan.rules[rule].name.as_str()));
        let mut reasoning = reasoning.join(", ");
        if !fallen.is_empty() {
            reasoning.push_str(if reasoning.is_empty() { "fallback: " } else { "; fallback: " });
            reasoning.push_str(&fallen.join(", "));
        }
        Answer { labels, confidence: rounded(total / as_f64(self.fields.len())), reasoning: Some(reasoning) }
    }
}

fn holds(rule: &Rule, decided: &[Option<Decision>], scan: &mut Scan<'_>) -> bool {
    let met = rule.needs.iter().all(|need| {
        decided[need.label]
            .is_some_and(|decision| need.values.is_empty() || need.values.contains(&decision.value))
    });
    met && rule
        .conditions
        .iter()
        .all(|condition| scan.has(condition.text, condition.pattern) == condition.expected)
}

/// A taxonomy has at least one field and nowhere near `u32::MAX` of them.
fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX))
}
/// To three decimal places: more would only look like knowledge.
fn rounded(confidence: f64) -> f64 {
    (confidence * 1e3).round() / 1e3
}
