//! The columns this product knows: their names, aliases, and what a stranger's name may have meant.

use strsim::damerau_levenshtein;

/// A column with a meaning. Everything else is kept as an extra column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Id,
    Name,
    Units,
    Periodicity,
    LongName,
    SourceName,
    Definition,
    Topic,
    CategoryGroup,
    Dataset,
    AggregationMethod,
    Scale,
    CurrencyCode,
    SampleValues,
}

/// Longest known name; anything longer is a stranger and need not be lowered.
const LONGEST: usize = 18;

impl Column {
    /// The column of this name, trimmed and whatever its case.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::named(name).map(|(column, _)| column)
    }

    /// The column of this name, and which of its names that is.
    pub(super) fn named(name: &str) -> Option<(Self, &'static str)> {
        // As most tables have it, and each row of JSON again.
        if let Some(found) = Self::spelled(name.as_bytes()) {
            return Some(found);
        }
        let name = trimmed(name);
        let mut lower = [0; LONGEST];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        Self::spelled(lower)
    }

    /// The column of exactly this name.
    fn spelled(name: &[u8]) -> Option<(Self, &'static str)> {
        let alias = match name {
            b"unit" => (Self::Units, "unit"),
            b"frequency" => (Self::Periodicity, "frequency"),
            b"source" => (Self::SourceName, "source"),
            b"description" => (Self::Definition, "description"),
            b"currency" => (Self::CurrencyCode, "currency"),
            _ => {
                let column = Self::of_own_name(name)?;
                (column, column.name())
            }
        };
        Some(alias)
    }

    fn of_own_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"id" => Self::Id,
            b"name" => Self::Name,
            b"units" => Self::Units,
            b"periodicity" => Self::Periodicity,
            b"long_name" => Self::LongName,
            b"source_name" => Self::SourceName,
            b"definition" => Self::Definition,
            b"topic" => Self::Topic,
            b"category_group" => Self::CategoryGroup,
            b"dataset" => Self::Dataset,
            b"aggregation_method" => Self::AggregationMethod,
            b"scale" => Self::Scale,
            b"currency_code" => Self::CurrencyCode,
            b"sample_values" => Self::SampleValues,
            _ => return None,
        })
    }

    /// Its name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Units => "units",
            Self::Periodicity => "periodicity",
            Self::LongName => "long_name",
            Self::SourceName => "source_name",
            Self::Definition => "definition",
            Self::Topic => "topic",
            Self::CategoryGroup => "category_group",
            Self::Dataset => "dataset",
            Self::AggregationMethod => "aggregation_method",
            Self::Scale => "scale",
            Self::CurrencyCode => "currency_code",
            Self::SampleValues => "sample_values",
        }
    }
}

/// As `str::trim`, which is slow to find that nothing is to be trimmed.
pub(super) fn trimmed(text: &str) -> &str {
    let stays = |end: Option<&u8>| end.is_some_and(u8::is_ascii_graphic);
    let bytes = text.as_bytes();
    if stays(bytes.first()) && stays(bytes.last()) { text } else { text.trim() }
}

/// The name among `found` that was probably meant to be `wanted`.
pub(super) fn nearest<'a>(wanted: &str, found: &[&'a str]) -> Option<&'a str> {
    // `indicator_id`, `Series Name`, `ID#`: the wanted word is one of the words.
    let by_word =
        |name: &str| name.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case(wanted));
    // One slip in `id` would already match `ix` and `a`, so short names get only words and prefixes.
    let by_typing = |name: &str| {
        let name = name.trim().to_lowercase();
        name.len() <= wanted.len() + 2
            && (wanted.len() > 2 || name.starts_with(wanted))
            && damerau_levenshtein(wanted, &name) <= 2
    };
    // `SeriesID`, but not `paid`.
    let by_ending = |name: &str| {
        let split = name.len().saturating_sub(wanted.len());
        name.get(split..)
            .is_some_and(|end| end.eq_ignore_ascii_case(wanted) && end.starts_with(char::is_uppercase))
    };
    let rules: [&dyn Fn(&str) -> bool; 3] = [&by_word, &by_ending, &by_typing];
    let unclaimed = |name: &&&str| Column::of(name).is_none();
    rules.iter().find_map(|rule| found.iter().filter(unclaimed).find(|name| rule(name)).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_trimmed_and_in_any_case() {
        assert_eq!(Column::of(" ID\t"), Some(Column::Id));
        assert_eq!(Column::of("Aggregation_Method"), Some(Column::AggregationMethod));
        assert_eq!(Column::of("ids"), None);
        assert_eq!(Column::of(""), None);
        assert_eq!(Column::of("a name longer than any of ours"), None);
    }

    #[test]
    fn white_space_of_any_kind_is_trimmed() {
        for (text, expected) in [
            ("", ""),
            (" ", ""),
            ("a b", "a b"),
            ("\u{a0}a", "a"),
            ("a\u{2003}", "a"),
            ("é\n", "é"),
            ("\0", "\0"),
        ] {
            assert_eq!(trimmed(text), expected);
        }
    }

    #[test]
    fn aliases_mean_the_column_they_stand_for() {
        for (alias, column) in [
            ("description", Column::Definition),
            ("Source", Column::SourceName),
            ("unit", Column::Units),
            ("FREQUENCY", Column::Periodicity),
            ("currency", Column::CurrencyCode),
        ] {
            assert_eq!(Column::of(alias), Some(column), "{alias}");
            assert_eq!(Column::of(column.name()), Some(column));
        }
    }

    #[test]
    fn a_column_is_called_as_the_table_calls_it() {
        assert_eq!(Column::named(" Source "), Some((Column::SourceName, "source")));
        assert_eq!(Column::named("Source_Name"), Some((Column::SourceName, "source_name")));
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(nearest("id", &["name", "indicator_id"]), Some("indicator_id"));
        assert_eq!(nearest("id", &["SeriesID"]), Some("SeriesID"));
        assert_eq!(nearest("name", &["nmae", "id"]), Some("nmae"));
        assert_eq!(nearest("name", &["Indicator Name"]), Some("Indicator Name"));
        assert_eq!(nearest("id", &["a", "ix", "paid"]), None);
        assert_eq!(nearest("name", &["units"]), None);
        assert_eq!(nearest("name", &["long_name"]), None, "a known column keeps its meaning");
    }
}
