//! What tokens cost. Prices are data with a date and a source; a model that is not listed has no price, and none is
//! made up for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::usage::Usage;
use super::{Model, Provider};
use crate::domain::money::PerMillion;
use crate::error::Failure;
use crate::text::line_at;

/// Form of the file this program reads.
const VERSION: u32 = 1;

/// A price list.
#[derive(Debug, Clone)]
pub struct Prices {
    prices: Vec<Price>,
}

/// Prices of one model, in US dollars per million tokens.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Who runs the model.
    pub provider: String,
    /// What it is called in requests, aliases included.
    pub models: Vec<String>,
    /// Tokens sent.
    pub input: f64,
    /// Tokens the provider read from its cache.
    pub cached: f64,
    /// Tokens the provider says it wrote to its cache; like any token sent where the list does not say.
    #[serde(default)]
    pub written: Option<f64>,
    /// Tokens received.
    pub output: f64,
    /// Day on which these prices were read.
    pub date: String,
    /// Where they were read.
    pub source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    version: u32,
    #[serde(default)]
    prices: Vec<Price>,
}

impl Prices {
    /// The list that comes with this program.
    pub fn embedded() -> Self {
        let list = parse(include_str!("../../prices.toml"));
        Self { prices: list.unwrap_or_else(|error| unreachable!("a test reads the same list: {error}")) }
    }

    /// This list with the entries of the file at `path` before its own.
    ///
    /// # Errors
    /// When the file cannot be read or is no price list.
    pub fn overridden_by(mut self, path: &Path) -> Result<Self, Failure> {
        let refuse = |why: String| {
            Failure::usage(format!("price list {}", path.display()))
                .detail(why)
                .hint("the form is that of prices.toml in the source of `classify`")
        };
        let text = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        let mut prices = parse(&text).map_err(refuse)?;
        prices.append(&mut self.prices);
        Ok(Self { prices })
    }

    /// What `model` costs, where that is known. The name must be listed as it stands.
    pub fn of(&self, model: &Model) -> Option<&Price> {
        let listed =
            |price: &&Price| price.provider == model.provider.name() && price.models.contains(&model.name);
        self.prices.iter().find(listed)
    }
}

impl From<&Price> for PerMillion {
    fn from(price: &Price) -> Self {
        let Price { input, cached, written, output, .. } = *price;
        Self { input, cached, written, output }
    }
}

impl Price {
    /// What `usage` costs, in US dollars.
    pub fn cost(&self, usage: &Usage) -> f64 {
        PerMillion::from(self).cost(usage.tokens())
    }

    fn is_sound(&self) -> Result<(), String> {
        let name = self.models.first().ok_or("an entry without `models`")?;
        self.provider.parse::<Provider>().map_err(|error| format!("{name}: {error}"))?;
        let numbers = [self.input, self.cached, self.written.unwrap_or(0.0), self.output];
        if numbers.iter().any(|price| !price.is_finite() || *price < 0.0) {
            return Err(format!("{name}: a price is a number from 0 on"));
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Vec<Price>, String> {
    let list: List = toml::from_str(text).map_err(|error| {
        let line = line_at(text, error.span().unwrap_or_default().start);
        format!("line {line}: {}", error.message())
    })?;
    if list.version != VERSION {
        return Err(format!("version {} is not {VERSION}", list.version));
    }
    list.prices.iter().try_for_each(Price::is_sound)?;
    let mut seen = BTreeSet::new();
    for price in &list.prices {
        if let Some(model) = price.models.iter().find(|model| !seen.insert((&price.provider, *model))) {
            return Err(format!("{}/{model} has two prices", price.provider));
        }
    }
    Ok(list.prices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(provider: Provider, name: &str) -> Model {
        Model { provider, name: name.into() }
    }

    #[test]
    fn every_entry_has_a_date_and_a_source() {
        let prices = Prices::embedded();
        assert!(prices.prices.len() > 5);
        for price in &prices.prices {
            assert!(price.date.parse::<jiff::civil::Date>().is_ok(), "{price:?}");
            assert!(price.source.starts_with("https://"), "{price:?}");
            assert!(price.cached <= price.input && price.input < price.output, "{price:?}");
        }
    }

    #[test]
    fn an_unknown_model_has_no_price() {
        let prices = Prices::embedded();
        assert!(prices.of(&model(Provider::Anthropic, "claude-haiku-4-5")).is_some());
        assert_eq!(prices.of(&model(Provider::Anthropic, "claude-haiku-99")), None);
        assert_eq!(prices.of(&model(Provider::Compatible, "claude-haiku-4-5")), None, "somebody else's");
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let price = Price {
            provider: "openai".into(),
            models: vec!["m".into()],
            input: 2.0,
            cached: 0.5,
            written: Some(3.0),
            output: 10.0,
            date: String::new(),
            source: String::new(),
        };
        let usage = Usage {
            requests: 3,
            input_tokens: 1_000_000,
            cached_tokens: 400_000,
            written_tokens: 100_000,
            output_tokens: 50_000,
            ..Usage::default()
        };
        assert!((price.cost(&usage) - (1.0 + 0.2 + 0.3 + 0.5)).abs() < 1e-12);
        let nonsense = Usage { input_tokens: 1, cached_tokens: u64::MAX, ..usage };
        assert!(price.cost(&nonsense).is_finite());
        assert_eq!(usage.priced::<Price>(None).cost_usd, None);
    }

    #[test]
    fn a_file_of_the_user_wins() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let entry = "version = 1\n[[prices]]\nprovider = 'compatible'\nmodels = ['llama']\ninput = 0\ncached = 0\n\
                     output = 0.25\ndate = '2026-11-22'\nsource = 'our contract'\n";
        fs::write(file.path(), entry).unwrap();
        let prices = Prices::embedded().overridden_by(file.path()).unwrap();
        assert!((prices.of(&model(Provider::Compatible, "llama")).unwrap().output - 0.25).abs() < 1e-12);
        assert!(prices.of(&model(Provider::Anthropic, "claude-haiku-4-5")).is_some());
        for (wrong, why) in [
            (entry.replace("version = 1", "version = 2"), "version 2 is not 1"),
            (entry.replace("0.25", "-1"), "llama: a price is a number from 0 on"),
            (entry.replace("'compatible'", "'rules'"), "llama: `rules` is no provider with models"),
            (entry.replace("['llama']", "['llama', 'llama']"), "compatible/llama has two prices"),
        ] {
            fs::write(file.path(), wrong).unwrap();
            let error = Prices::embedded().overridden_by(file.path()).unwrap_err();
            assert!(error.details()[0].starts_with(why), "{error:?}");
        }
    }
}
