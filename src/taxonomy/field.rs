//! One field of an answer: what it is called, what it means, and which values it may have.
//!
//! Owns the check of a single value, which every answer passes whoever gave it: a rule or a model. Does not
//! know how a value is found.

use regex::Regex;
use serde_json::Value;

use super::error::Error;
use super::spec::{FieldSpec, KindSpec};

/// A field of the taxonomy.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its key in an answer.
    pub name: String,
    /// What kind of value it has.
    pub kind: Kind,
    /// What it asks, for a person and for a model.
    pub description: String,
    /// What it gets where no rule decides.
    pub fallback: Fallback,
}

/// Kinds of value, with what bounds them.
#[derive(Debug, Clone)]
pub enum Kind {
    /// One of these, in the taxonomy's order.
    Enum(Vec<Choice>),
    /// Yes or no.
    Boolean,
    /// A number, both bounds included.
    Number {
        /// Smallest value allowed.
        min: Option<f64>,
        /// Largest value allowed.
        max: Option<f64>,
    },
    /// A text, which as a whole has this form where one is given.
    String {
        /// The form.
        pattern: Option<Pattern>,
    },
}

/// One value of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The value.
    pub value: String,
    /// When it is the right one.
    pub description: String,
}

/// The value of a field no rule decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Fallback {
    /// The value.
    pub value: Value,
    /// How sure one may be of it, from 0 to 1.
    pub weight: f64,
}

/// A regular expression for the whole of a text.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    whole: Regex,
}

impl Pattern {
    /// The expression as the file has it, without anchors.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn new(text: &str) -> Result<Self, String> {
        let whole = Regex::new(&format!("^(?:{text})$")).map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), whole })
    }
}

impl Field {
    /// Whether `value` may stand in this field; the error says why not, without naming the field.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        match (&self.kind, value) {
            (Kind::Enum(choices), Value::String(text)) => {
                if choices.iter().any(|choice| choice.value == *text) {
                    return Ok(());
                }
                let known: Vec<&str> = choices.iter().map(|choice| choice.value.as_str()).collect();
                Err(format!("`{}` is none of {}", excerpt(text), known.join(", ")))
            }
            (Kind::Boolean, Value::Bool(_)) => Ok(()),
            (Kind::Number { min, max }, Value::Number(number)) => {
                let number = number.as_f64().unwrap_or(f64::NAN);
                if !number.is_finite() {
                    return Err("not a finite number".into());
                }
                match (min, max) {
                    (Some(min), _) if number < *min => Err(format!("{number} is below {min}")),
                    (_, Some(max)) if number > *max => Err(format!("{number} is above {max}")),
                    _ => Ok(()),
                }
            }
            (Kind::String { pattern }, Value::String(text)) => match pattern {
                Some(pattern) if !pattern.whole.is_match(text) => {
                    Err(format!("`{}` does not have the form {}", excerpt(text), pattern.text))
                }
                _ => Ok(()),
            },
            (kind, other) => Err(format!("expected {}, found {}", kind.noun(), noun_of(other))),
        }
    }

    /// The legal value that `value` means where it differs in case or blanks only; `None` where it differs in more, or
    /// may mean two.
    pub fn respelled(&self, value: &Value) -> Option<Value> {
        let text = value.as_str()?.trim();
        match &self.kind {
            Kind::Enum(choices) => {
                let spelled =
                    |word: &str| word.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
                let meant = spelled(text);
                let mut same = choices.iter().filter(|choice| spelled(&choice.value) == meant);
                let only = same.next().filter(|_| same.next().is_none())?;
                Some(only.value.as_str().into())
            }
            Kind::String { pattern: Some(pattern) } => {
                let spellings = [text.to_owned(), text.to_uppercase(), text.to_lowercase()];
                spellings.into_iter().find(|spelling| pattern.whole.is_match(spelling)).map(Value::from)
            }
            _ => None,
        }
    }

    /// The field a file describes, with its own consistency checked.
    pub(super) fn new(spec: &FieldSpec) -> Result<Self, Error> {
        let place = format!("field `{}`", spec.name);
        let refuse = |problem: String| Error::invalid(place.as_str(), problem);
        if spec.name.trim().is_empty() {
            return Err(refuse("a field needs a name".into()));
        }
        if spec.description.trim().is_empty() {
            return Err(refuse("no description".into()));
        }
        let kind = Kind::new(spec).map_err(refuse)?;
        let fallback = Fallback { value: spec.fallback.value.clone(), weight: spec.fallback.weight };
        if !(0.0..=1.0).contains(&fallback.weight) {
            return Err(refuse(format!("fallback weight {} is not within 0 and 1", fallback.weight)));
        }
        let field = Self { name: spec.name.clone(), kind, description: spec.description.clone(), fallback };
        field.check(&field.fallback.value).map_err(|why| refuse(format!("fallback: {why}")))?;
        Ok(field)
    }
}

impl Kind {
    fn new(spec: &FieldSpec) -> Result<Self, String> {
        let wrong_key = [
            ("values", !spec.values.is_empty(), spec.kind == KindSpec::Enum),
            ("pattern", spec.pattern.is_some(), spec.kind == KindSpec::String),
            ("min", spec.min.is_some(), spec.kind == KindSpec::Number),
            ("max", spec.max.is_some(), spec.kind == KindSpec::Number),
        ];
        if let Some((key, ..)) = wrong_key.iter().find(|(_, given, fits)| *given && !fits) {
            return Err(format!("`{key}` does not go with this kind"));
        }
        Ok(match spec.kind {
            KindSpec::Enum => Self::Enum(choices(spec)?),
            KindSpec::Boolean => Self::Boolean,
            KindSpec::Number => Self::Number { min: spec.min, max: spec.max },
            KindSpec::String => {
                Self::String { pattern: spec.pattern.as_deref().map(Pattern::new).transpose()? }
            }
        })
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Enum(_) => "one of the field's values",
            Self::Boolean => "true or false",
            Self::Number { .. } => "a number",
            Self::String { .. } => "a text",
        }
    }
}

fn choices(spec: &FieldSpec) -> Result<Vec<Choice>, String> {
    if spec.values.is_empty() {
        return Err("an enum needs values".into());
    }
    let mut choices: Vec<Choice> = Vec::with_capacity(spec.values.len());
    for value in &spec.values {
        if choices.iter().any(|choice| choice.value == value.value) {
            return Err(format!("value `{}` is listed twice", value.value));
        }
        if value.value.trim().is_empty() || value.description.trim().is_empty() {
            return Err(format!("value `{}` has no description", value.value));
        }
        choices.push(Choice { value: value.value.clone(), description: value.description.clone() });
    }
    Ok(choices)
}

fn noun_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A model may answer with a novel; the message quotes its beginning.
fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(text: &str) -> Result<Field, String> {
        let text = format!("name = 'f'\ndescription = 'd'\n{text}");
        Field::new(&toml::from_str(&text).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_enum_takes_its_values_and_nothing_else() {
        let field = field(
            "kind = 'enum'\nfallback = { value = 'a', weight = 0 }
             values = [{ value = 'a', description = 'A' }, { value = 'b', description = 'B' }]",
        )
        .unwrap();
        assert_eq!(field.check(&json!("b")), Ok(()));
        assert_eq!(field.check(&json!("A")), Err("`A` is none of a, b".into()));
        assert_eq!(field.check(&json!(1)), Err("expected one of the field's values, found a number".into()));
        assert!(field.check(&json!("x".repeat(9000))).unwrap_err().len() < 100);
    }

    #[test]
    fn a_number_has_bounds_and_a_text_has_a_form() {
        let number =
            field("kind = 'number'\nmin = 0\nmax = 5\nfallback = { value = 1, weight = 0 }").unwrap();
        assert_eq!(number.check(&json!(5)), Ok(()));
        assert_eq!(number.check(&json!(-0.5)), Err("-0.5 is below 0".into()));
        assert_eq!(number.check(&json!(6)), Err("6 is above 5".into()));
        let text =
            field("kind = 'string'\npattern = 'a|bc'\nfallback = { value = 'a', weight = 0 }").unwrap();
        assert_eq!(text.check(&json!("bc")), Ok(()));
        assert_eq!(text.check(&json!("abc")), Err("`abc` does not have the form a|bc".into()));
        let boolean = field("kind = 'boolean'\nfallback = { value = true, weight = 0 }").unwrap();
        assert_eq!(boolean.check(&json!("true")), Err("expected true or false, found a text".into()));
    }

    #[test]
    fn a_value_may_differ_in_case_and_blanks() {
        let sizes = field(
            "kind = 'enum'\nfallback = { value = 'very big', weight = 0 }
             values = [{ value = 'very big', description = 'A' }, { value = 'US', description = 'B' },
             { value = 'us', description = 'C' }]",
        )
        .unwrap();
        assert_eq!(sizes.respelled(&json!(" Very  BIG\n")), Some(json!("very big")));
        assert_eq!(sizes.respelled(&json!("Us")), None, "it may be either");
        assert_eq!(sizes.respelled(&json!("verybig")), None);
        let code =
            field("kind = 'string'\npattern = '[A-Z]{3}|none'\nfallback = { value = 'none', weight = 0 }")
                .unwrap();
        assert_eq!(code.respelled(&json!(" usd")), Some(json!("USD")));
        assert_eq!(code.respelled(&json!("NONE")), Some(json!("none")));
        assert_eq!(code.respelled(&json!("iso-4217")), None);
    }

    #[test]
    fn a_field_that_contradicts_itself_is_refused() {
        for (text, problem) in [
            ("kind = 'enum'\nfallback = { value = 'a', weight = 0 }", "an enum needs values"),
            (
                "kind = 'enum'\nfallback = { value = 'a', weight = 0 }\nvalues = [{ value = 'a', description = '' }]",
                "value `a` has no description",
            ),
            (
                "kind = 'enum'\nfallback = { value = 'a', weight = 0 }
                 values = [{ value = 'a', description = 'x' }, { value = 'a', description = 'y' }]",
                "value `a` is listed twice",
            ),
            (
                "kind = 'boolean'\nfallback = { value = 'a', weight = 0 }",
                "fallback: expected true or false, found a text",
            ),
            (
                "kind = 'boolean'\nfallback = { value = true, weight = 2 }",
                "fallback weight 2 is not within 0 and 1",
            ),
            (
                "kind = 'boolean'\nmin = 1\nfallback = { value = true, weight = 0 }",
                "`min` does not go with this kind",
            ),
            ("kind = 'string'\npattern = '('\nfallback = { value = 'a', weight = 0 }", "unclosed group"),
        ] {
            let error = field(text).unwrap_err();
            assert!(error.starts_with("taxonomy: field `f`: ") && error.contains(problem), "{error}");
        }
    }
}
