//! The texts rules look at: which column of an indicator, and what is done to it first.
//!
//! Owns the names of the columns and the clean-up before matching. Knows nothing of patterns.

use std::borrow::Cow;

use crate::domain::cell::Shape;
use crate::domain::indicator::Indicator;

/// Longest part of one column that is read. What an indicator is stands at the beginning; a definition of a
/// megabyte must not cost a thousand times one of a kilobyte.
const LONGEST: usize = 2048;

/// Between two columns of one text: no word pattern reaches across it.
const BETWEEN: &str = " | ";

/// A column of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Column {
    Known(usize),
    Extra(String),
}

type Reader = fn(&Indicator) -> Option<&str>;

const KNOWN: &[(&str, Reader)] = &[
    ("id", |row| Some(&row.id)),
    ("name", |row| Some(&row.name)),
    ("units", |row| row.units.as_deref()),
    ("periodicity", |row| row.periodicity.as_deref()),
    ("long_name", |row| row.long_name.as_deref()),
    ("source_name", |row| row.source_name.as_deref()),
    ("definition", |row| row.definition.as_deref()),
    ("topic", |row| row.topic.as_deref()),
    ("category_group", |row| row.category_group.as_deref()),
    ("dataset", |row| row.dataset.as_deref()),
    ("aggregation_method", |row| row.aggregation_method.as_deref()),
    ("scale", |row| row.scale.as_deref()),
    ("currency_code", |row| row.currency_code.as_deref()),
];

impl Column {
    /// The column of this name: one the product knows, or one of `extra`.
    pub(super) fn find(name: &str, extra: &[String]) -> Option<Self> {
        if let Some(index) = KNOWN.iter().position(|(known, _)| *known == name) {
            return Some(Self::Known(index));
        }
        extra.iter().any(|column| column == name).then(|| Self::Extra(name.to_owned()))
    }

    /// Names of the columns every taxonomy may use.
    pub(super) fn names() -> String {
        KNOWN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Its content in this row, cut to what is read of it; nothing where it is empty.
    fn read<'a>(&self, row: &'a Indicator) -> Option<Cow<'a, str>> {
        let whole = match self {
            Self::Known(index) => Cow::Borrowed(KNOWN[*index].1(row)?),
            Self::Extra(name) => {
                let value = row.extra.get(name)?;
                match value.shape().ok()? {
                    Shape::Text(text) => text,
                    Shape::Bool(_) | Shape::Number(_) => Cow::Borrowed(value.json()),
                    Shape::Null | Shape::Array(_) | Shape::Object(_) => return None,
                }
            }
        };
        Some(match whole {
            Cow::Borrowed(text) => Cow::Borrowed(beginning(text)),
            Cow::Owned(text) => Cow::Owned(beginning(&text).to_owned()),
        })
    }
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What happens to the letters: `Lower` takes accents away too, so that `Índice` is `indice` to every pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Keep,
    Lower,
    Upper,
}

/// A pattern with the accents taken from its letters, as they are from the texts it is searched in.
pub(super) fn fold_pattern(pattern: &str) -> String {
    let mut folded = String::with_capacity(pattern.len());
    for letter in pattern.chars() {
        if letter.is_ascii() { folded.push(letter) } else { push_folded(&mut folded, letter) }
    }
    folded
}

/// Latin letters lose their accents, composed or not; other scripts are lower-cased where they have cases.
fn push_folded(text: &mut String, letter: char) {
    for letter in letter.to_lowercase() {
        let plain = match letter {
            'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
            'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
            'ď' | 'đ' | 'ð' => "d",
            'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
            'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
            'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
            'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
            'ñ' | 'ń' | 'ņ' | 'ň' => "n",
            'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
            'ŕ' | 'ŗ' | 'ř' => "r",
            'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
            'ţ' | 'ť' | 'ț' => "t",
            'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
            'ý' | 'ÿ' => "y",
            'ź' | 'ż' | 'ž' => "z",
            'ß' => "ss",
            'æ' => "ae",
            'œ' => "oe",
            '\u{300}'..='\u{36f}' => "",
            _ => {
                text.push(letter);
                continue;
            }
        };
        text.push_str(plain);
    }
}

/// One text of these columns: white space in single blanks, `_` read as a blank. Nothing if all are empty.
pub(super) fn assemble(columns: &[Column], row: &Indicator, case: Case) -> Option<String> {
    let mut text = String::new();
    for column in columns {
        let Some(content) = column.read(row) else { continue };
        if !text.is_empty() {
            text.push_str(BETWEEN);
        }
        append(&mut text, &content, case);
    }
    text.truncate(text.trim_end().len());
    (!text.is_empty()).then_some(text)
}

fn append(text: &mut String, content: &str, case: Case) {
    text.reserve(content.len());
    let mut blank = true;
    for letter in content.chars() {
        if letter == '_' || letter.is_whitespace() || letter == '\u{feff}' {
            if !blank {
                text.push(' ');
            }
            blank = true;
            continue;
        }
        blank = false;
        match (case, letter.is_ascii()) {
            (Case::Keep, _) => text.push(letter),
            (Case::Lower, true) => text.push(letter.to_ascii_lowercase()),
            (Case::Upper, true) => text.push(letter.to_ascii_uppercase()),
            (Case::Lower, false) => push_folded(text, letter),
            (Case::Upper, false) => text.extend(letter.to_uppercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, units: Option<&str>) -> Indicator {
        Indicator { name: name.into(), units: units.map(Into::into), ..Indicator::default() }
    }

    fn columns(names: &[&str]) -> Vec<Column> {
        names.iter().map(|name| Column::find(name, &["brand".into()]).unwrap()).collect()
    }

    #[test]
    fn columns_are_joined_and_cleaned() {
        let row = row("Índice\u{a0} de\nPrecios", Some(" MIO_EUR "));
        let both = columns(&["name", "units"]);
        assert_eq!(assemble(&both, &row, Case::Lower).unwrap(), "indice de precios | mio eur");
        assert_eq!(assemble(&both[1..], &row, Case::Keep).unwrap(), "MIO EUR");
        assert_eq!(assemble(&columns(&["topic"]), &row, Case::Keep), None);
    }

    #[test]
    fn an_extra_column_may_be_text_or_number() {
        let mut row = row("x", None);
        row.extra.insert("brand".into(), serde_json::json!(7.5).into());
        assert_eq!(assemble(&columns(&["brand"]), &row, Case::Keep).unwrap(), "7.5");
        row.extra.insert("brand".into(), serde_json::json!(["no text"]).into());
        assert_eq!(assemble(&columns(&["brand"]), &row, Case::Keep), None);
        assert_eq!(Column::find("brnd", &["brand".into()]), None);
    }

    #[test]
    fn a_huge_text_is_cut_between_characters() {
        let row = row(&format!("a{}", "é".repeat(1_000_000)), None);
        let text = assemble(&columns(&["name"]), &row, Case::Keep).unwrap();
        assert_eq!(text.len(), LONGEST - 1);
    }

    #[test]
    fn accents_are_taken_from_texts_and_patterns_alike() {
        let row = row("Großhandel, I\u{301}NDICE, 短観, ИНДЕКС", None);
        let text = assemble(&columns(&["name"]), &row, Case::Lower).unwrap();
        assert_eq!(text, "grosshandel, indice, 短観, индекс");
        assert_eq!(fold_pattern(r"\bÍndice[éè]\W"), r"\bindice[ee]\W");
    }
}
