//! From the file to rules that can be run: names become places, and every contradiction is found here.
//!
//! Owns the validation of lookups and rules against the fields they speak of. Runs nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::error::Error;
use super::field::Field;
use super::lookup::Lookup;
use super::scan::{self, Text};
use super::spec::{RuleSpec, Spec};
use super::text::Column;

/// Stands for any decided value under `when`.
const ANY: &str = "*";

/// Checked rules, with what they refer to. Labels are numbered: the fields first, then the facts.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) labels: usize,
    pub(super) values: Values,
    pub(super) texts: Vec<Text>,
    pub(super) lookups: Vec<(String, Lookup)>,
    pub(super) rules: Vec<Rule>,
}

/// Every value a rule or a lookup can decide, once. Rules compare numbers instead of texts.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    all: Vec<Value>,
    numbers: HashMap<String, usize>,
}

impl Values {
    /// The number of a value, which is added if it is new.
    fn add(&mut self, value: &Value) -> usize {
        *self.numbers.entry(value.to_string()).or_insert_with(|| {
            self.all.push(value.clone());
            self.all.len() - 1
        })
    }

    pub(super) fn get(&self, number: usize) -> &Value {
        &self.all[number]
    }

    pub(super) fn number(&self, value: &Value) -> Option<usize> {
        self.numbers.get(&value.to_string()).copied()
    }
}

/// A rule: what must hold, and what follows.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) weight: f64,
    pub(super) needs: Vec<Need>,
    pub(super) conditions: Vec<Condition>,
    pub(super) targets: Vec<Target>,
}

/// A label that must have been decided; no values stand for any.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub(super) label: usize,
    pub(super) values: Vec<usize>,
}

/// A pattern that must occur, or must not.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) text: usize,
    pub(super) pattern: usize,
    pub(super) expected: bool,
}

/// A label the rule decides.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) label: usize,
    pub(super) source: Source,
}

/// Where its value comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Value(usize),
    Lookup(usize),
}

/// What is known while rules are read one after the other.
struct Planner<'a> {
    spec: &'a Spec,
    fields: &'a [Field],
    labels: HashMap<&'a str, usize>,
    texts: HashMap<&'a str, usize>,
    /// Labels some rule read so far can decide; a rule that asks for another one would never fire.
    decided: HashSet<usize>,
    plan: Plan,
}

impl Plan {
    /// `text` is the file, for the lines of errors.
    pub(super) fn new(spec: &Spec, fields: &[Field], text: &str) -> Result<Self, Error> {
        let mut planner = Planner {
            spec,
            fields,
            labels: labels(spec, fields)?,
            texts: HashMap::new(),
            decided: HashSet::new(),
            plan: Self::default(),
        };
        planner.plan.labels = planner.labels.len();
        planner.check_texts()?;
        for (name, lookup) in &spec.lookups {
            let compiled = Lookup::new(lookup.get_ref(), &spec.extra_columns).map_err(|why| {
                Error::invalid(format!("lookup `{name}`"), why).on_line(text, &lookup.span())
            })?;
            planner.plan.lookups.push((name.clone(), compiled));
        }
        let mut names = HashSet::new();
        for rule in &spec.rules {
            let read = if names.insert(&rule.get_ref().name) {
                planner.rule(rule.get_ref())
            } else {
                Err("another rule has this name".into())
            };
            let place = || format!("rule `{}`", rule.get_ref().name);
            let rule = read.map_err(|why| Error::invalid(place(), why).on_line(text, &rule.span()))?;
            planner.decided.extend(rule.targets.iter().map(|target| target.label));
            planner.plan.rules.push(rule);
        }
        Ok(planner.plan)
    }
}

/// Numbers the labels and refuses names that stand for two things.
fn labels<'a>(spec: &'a Spec, fields: &'a [Field]) -> Result<HashMap<&'a str, usize>, Error> {
    let names = fields.iter().map(|field| field.name.as_str());
    let mut labels: HashMap<&str, usize> = names.enumerate().map(|(index, name)| (name, index)).collect();
    for (name, values) in &spec.facts {
        let place = || format!("fact `{name}`");
        let index = labels.len();
        if labels.insert(name, index).is_some() {
            return Err(Error::invalid(place(), "a field has this name"));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = values.iter().find(|value| !seen.insert(*value)) {
            return Err(Error::invalid(place(), format!("value `{twice}` is listed twice")));
        }
    }
    Ok(labels)
}

impl<'a> Planner<'a> {
    fn check_texts(&self) -> Result<(), Error> {
        for (name, columns) in &self.spec.texts {
            let refuse = |why: String| Err(Error::invalid(format!("text `{name}`"), why));
            if self.column(name).is_some() {
                return refuse("a column has this name".into());
            }
            if let Some(unknown) = columns.iter().find(|column| self.column(column).is_none()) {
                return refuse(no_column(unknown));
            }
        }
        Ok(())
    }

    fn rule(&mut self, spec: &'a RuleSpec) -> Result<Rule, String> {
        if !(0.0..=1.0).contains(&spec.weight) {
            return Err(format!("weight {} is not within 0 and 1", spec.weight));
        }
        let mut conditions = self.conditions(&spec.matches, true)?;
        conditions.extend(self.conditions(&spec.unless, false)?);
        let needs =
            spec.when.iter().map(|(name, values)| self.need(name, values)).collect::<Result<_, _>>()?;
        let mut targets = Vec::with_capacity(spec.set.len() + spec.find.len());
        for (name, value) in &spec.set {
            let label = self.label(name)?;
            self.check(label, name, value)?;
            targets.push(Target { label, source: Source::Value(self.plan.values.add(value)) });
        }
        for (name, lookup) in &spec.find {
            let label = self.label(name)?;
            let known = self.plan.lookups.iter().position(|(known, _)| known == lookup);
            let index = known.ok_or_else(|| format!("there is no lookup `{lookup}`"))?;
            let values: Vec<Value> = self.plan.lookups[index].1.values().collect();
            for value in values {
                self.check(label, name, &value)?;
                self.plan.values.add(&value);
            }
            targets.push(Target { label, source: Source::Lookup(index) });
        }
        if targets.is_empty() {
            return Err("it neither sets nor finds a label".into());
        }
        Ok(Rule { name: spec.name.clone(), weight: spec.weight, needs, conditions, targets })
    }

    fn conditions(
        &mut self,
        from: &'a BTreeMap<String, String>,
        expected: bool,
    ) -> Result<Vec<Condition>, String> {
        let condition = |(name, pattern): (&'a String, &String)| {
            let text = self.text(name)?;
            scan::check(pattern).map_err(|why| format!("pattern on `{name}`: {why}"))?;
            let patterns = &mut self.plan.texts[text].patterns;
            let pattern = patterns.iter().position(|known| known == pattern).unwrap_or_else(|| {
                patterns.push(pattern.clone());
                patterns.len() - 1
            });
            Ok(Condition { text, pattern, expected })
        };
        from.iter().map(condition).collect()
    }

    fn text(&mut self, name: &'a str) -> Result<usize, String> {
        if let Some(&index) = self.texts.get(name) {
            return Ok(index);
        }
        let columns: Vec<Column> = match self.spec.texts.get(name) {
            Some(columns) => columns.iter().filter_map(|column| self.column(column)).collect(),
            None => vec![self.column(name).ok_or_else(|| no_column(name))?],
        };
        self.plan.texts.push(Text { columns, patterns: Vec::new() });
        self.texts.insert(name, self.plan.texts.len() - 1);
        Ok(self.plan.texts.len() - 1)
    }

    fn need(&mut self, name: &str, values: &[Value]) -> Result<Need, String> {
        let label = self.label(name)?;
        if !self.decided.contains(&label) {
            return Err(format!("it asks for `{name}`, which no rule before it decides"));
        }
        if values.is_empty() {
            return Err(format!("`{name}` is asked for without a value"));
        }
        if values.iter().any(|value| value == ANY) {
            return Ok(Need { label, values: Vec::new() });
        }
        for value in values {
            self.check(label, name, value)?;
        }
        Ok(Need { label, values: values.iter().map(|value| self.plan.values.add(value)).collect() })
    }

    fn label(&self, name: &str) -> Result<usize, String> {
        self.labels.get(name).copied().ok_or_else(|| format!("there is no field or fact `{name}`"))
    }

    fn check(&self, label: usize, name: &str, value: &Value) -> Result<(), String> {
        if let Some(field) = self.fields.get(label) {
            return field.check(value).map_err(|why| format!("`{name}`: {why}"));
        }
        let values = self.spec.facts.get(name).map(Vec::as_slice).unwrap_or_default();
        if values.iter().any(|known| value == known.as_str()) {
            return Ok(());
        }
        Err(format!("`{name}`: {value} is none of {}", values.join(", ")))
    }

    fn column(&self, name: &str) -> Option<Column> {
        Column::find(name, &self.spec.extra_columns)
    }
}

fn no_column(name: &str) -> String {
    format!("`{name}` is no column or text (columns: {}; declare others in extra_columns)", Column::names())
}
