//! What is asked of every indicator: fields, their legal values, and the rules that answer without a model.
//!
//! Owns the taxonomy file (its parsing, its validation, its identity) and the built-in classifier that runs its
//! rules. Does not call a model, does not know a cluster, and knows nothing of economics: that is in
//! `taxonomies/economic.toml`, which is a taxonomy like any other.

mod error;
mod field;
mod lookup;
mod plan;
mod rules;
mod scan;
mod spec;
mod text;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::{LazyLock, OnceLock};

use sha2::{Digest, Sha256};

use crate::domain::fingerprint::hex;

pub use self::error::Error;
pub use self::field::{Choice, Fallback, Field, Kind, Pattern};
pub use self::rules::{Answer, Rules};

use self::plan::Plan;
use self::spec::Spec;

const ECONOMIC: &str = include_str!("../../taxonomies/economic.toml");

/// Bytes of the digest that are shown. 128 bits tell taxonomies apart and still fit a line.
const DIGEST_BYTES: usize = 16;

/// A validated taxonomy.
#[derive(Debug, Clone)]
pub struct Taxonomy {
    name: String,
    version: u32,
    instructions: String,
    extra_columns: Vec<String>,
    digest: String,
    fields: Vec<Field>,
    plan: OnceLock<Plan>,
}

impl Taxonomy {
    /// The built-in taxonomy of economic indicators.
    pub fn economic() -> &'static Self {
        static BUILT_IN: LazyLock<Taxonomy> = LazyLock::new(|| match Taxonomy::outline(ECONOMIC) {
            Ok((taxonomy, _)) => taxonomy,
            Err(error) => broken(&error),
        });
        &BUILT_IN
    }

    /// Reads a taxonomy and checks that it agrees with itself.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (taxonomy, spec) = Self::outline(text)?;
        let plan = Plan::new(&spec, &taxonomy.fields, text)?;
        Ok(Self { plan: plan.into(), ..taxonomy })
    }

    /// Everything but the rules.
    fn outline(text: &str) -> Result<(Self, Spec), Error> {
        let spec: Spec = toml::from_str(text).map_err(|error| Error::syntax(text, &error))?;
        let named =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !named(&spec.name) {
            return Err(Error::invalid(
                "name",
                "letters, digits and hyphens only, because it becomes `name@version`",
            ));
        }
        let taxonomy = Self {
            name: spec.name.clone(),
            version: spec.version,
            instructions: spec.instructions.clone(),
            extra_columns: spec.extra_columns.clone(),
            digest: digest(&spec)?,
            fields: fields(&spec, text)?,
            plan: OnceLock::new(),
        };
        Ok((taxonomy, spec))
    }

    /// Reads a taxonomy file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text =
            fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|error| error.in_file(path))
    }

    /// Name and version, as answers carry them: `economic@1`.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Identity of the content, 32 hexadecimal digits. Comments and layout do not change it; everything an
    /// answer can depend on does.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What is asked, in the order of an answer; never empty.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// What a model is told before the fields; may be empty.
    pub fn instructions(&self) -> &str {
        &self.instructions
    }

    /// Columns of a table beyond the known ones that it names: nothing else is read, by rules or by a model.
    pub fn extra_columns(&self) -> &[String] {
        &self.extra_columns
    }

    /// The rules. A file's are checked when it is read; the built-in ones are known to be right, and compiling their
    /// patterns takes longer than all else a client does before its first row.
    fn plan(&self) -> &Plan {
        self.plan.get_or_init(|| {
            let built_in = Self::outline(ECONOMIC);
            let plan = built_in.and_then(|(own, spec)| Plan::new(&spec, &own.fields, ECONOMIC));
            plan.unwrap_or_else(|error| broken(&error))
        })
    }
}

fn broken(error: &Error) -> ! {
    panic!("the built-in taxonomy is broken: {error}")
}

fn fields(spec: &Spec, text: &str) -> Result<Vec<Field>, Error> {
    if spec.fields.is_empty() {
        return Err(Error::invalid("fields", "a taxonomy needs at least one"));
    }
    let mut names = HashSet::new();
    let mut fields = Vec::with_capacity(spec.fields.len());
    for entry in &spec.fields {
        let name = &entry.get_ref().name;
        let field = if names.insert(name) {
            Field::new(entry.get_ref())
        } else {
            Err(Error::invalid(format!("field `{name}`"), "another field has this name"))
        };
        fields.push(field.map_err(|error| error.on_line(text, &entry.span()))?);
    }
    Ok(fields)
}

/// Keys are sorted and order is kept where it means something, so equal content has equal bytes.
fn digest(spec: &Spec) -> Result<String, Error> {
    let canonical = serde_json::to_vec(spec).map_err(|error| Error::invalid("content", error.to_string()))?;
    Ok(hex(&Sha256::digest(&canonical)[..DIGEST_BYTES]))
}

#[cfg(test)]
mod economic_tests;
#[cfg(test)]
mod tests;
