//! What results repeat of their rows: all that is kept of a batch while the cluster works at it.

use super::indicator::Indicator;

/// The headings of a batch, in order. In one piece of memory, so that of the rows they come from nothing stays: a few texts left standing
/// among them would make a sieve of the memory for the next ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headings {
    text: String,
    /// Where `id`, `name` and `extra` of each row end.
    ends: Vec<[usize; 3]>,
}

/// The heading of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heading<'a> {
    /// Identity of the row within one input.
    pub id: &'a str,
    /// What the indicator is called.
    pub name: &'a str,
    /// Columns this product has no name for, as a JSON object on one line; empty where there are none.
    pub extra: &'a str,
}

impl Headings {
    /// Adds that of the next row.
    pub fn push(&mut self, row: &Indicator) {
        let mut end_of = |part: &str| {
            self.text.push_str(part);
            self.text.len()
        };
        let (id, name) = (end_of(&row.id), end_of(&row.name));
        let extra = if row.extra.is_empty() {
            name
        } else {
            // Maps of texts and numbers are JSON.
            end_of(&serde_json::to_string(&row.extra).unwrap_or_default())
        };
        self.ends.push([id, name, extra]);
    }

    /// Rows in the batch.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Heading<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |&[id, name, extra]| {
            let heading = Heading {
                id: &self.text[start..id],
                name: &self.text[id..name],
                extra: &self.text[name..extra],
            };
            start = extra;
            heading
        })
    }
}

impl<'a> FromIterator<&'a Indicator> for Headings {
    fn from_iter<I: IntoIterator<Item = &'a Indicator>>(rows: I) -> Self {
        let mut headings = Self::default();
        rows.into_iter().for_each(|row| headings.push(row));
        headings
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_keep_their_order_and_their_texts() {
        let extra =
            [("country".to_owned(), "A\nB".into()), ("b".to_owned(), json!(1).into())].into_iter().collect();
        let plain = Indicator { id: "é".into(), name: "n".into(), ..Indicator::default() };
        let rows = [plain.clone(), Indicator { extra, ..plain }];
        let headings: Headings = rows.iter().collect();
        assert_eq!((headings.len(), headings.is_empty()), (2, false));
        let first = Heading { id: "é", name: "n", extra: "" };
        let second = Heading { extra: r#"{"country":"A\nB","b":1}"#, ..first };
        assert_eq!(headings.iter().collect::<Vec<_>>(), [first, second]);
    }
}
