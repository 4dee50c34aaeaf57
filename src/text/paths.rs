//! Names of files in JSON. They are bytes on disk and need not be UTF-8, as text in JSON must: such a name is a list of its bytes.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name as it stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Name<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

impl<'a> From<&'a Path> for Name<'a> {
    fn from(path: &'a Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.into()),
            None => Self::Bytes(path.as_os_str().as_bytes().into()),
        }
    }
}

impl From<Name<'_>> for PathBuf {
    fn from(name: Name<'_>) -> Self {
        match name {
            Name::Text(text) => text.into_owned().into(),
            Name::Bytes(bytes) => OsString::from_vec(bytes.into_owned()).into(),
        }
    }
}

/// As a field of a type that is kept.
///
/// # Errors
/// When it cannot be written.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    Name::from(path).serialize(serializer)
}

/// A field that [`serialize`] wrote.
///
/// # Errors
/// When it is no name.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Name::deserialize(deserializer).map(Into::into)
}

/// As text for whoever reads a report: what is not UTF-8 is replaced.
///
/// # Errors
/// When it cannot be written.
pub fn lossy<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(Path::to_string_lossy).serialize(serializer)
}

/// A field that may have none.
pub mod optional {
    use super::{Deserialize, Deserializer, Name, Path, PathBuf, Serialize, Serializer};

    /// As [`super::serialize`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_deref().map(|path: &Path| Name::from(path)).serialize(serializer)
    }

    /// As [`super::deserialize`].
    ///
    /// # Errors
    /// When it is no name.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Name<'_>>::deserialize(deserializer)?.map(Into::into))
    }
}

/// A field with many of them.
pub mod list {
    use super::{Deserialize, Deserializer, Name, PathBuf, Serializer};

    /// As [`super::serialize`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(|path| Name::from(path.as_path())))
    }

    /// As [`super::deserialize`].
    ///
    /// # Errors
    /// When one is no name.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<Name<'_>>::deserialize(deserializer)?.into_iter().map(Into::into).collect())
    }
}

/// `stem` and `suffix`, a dot between them.
pub fn with_suffix(stem: &OsStr, suffix: &str) -> OsString {
    let mut name = stem.to_owned();
    name.push(".");
    name.push(suffix);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Kept {
        #[serde(with = "super")]
        one: PathBuf,
        #[serde(default, with = "super::optional", skip_serializing_if = "Option::is_none")]
        maybe: Option<PathBuf>,
        #[serde(with = "super::list")]
        all: Vec<PathBuf>,
    }

    #[test]
    fn names_are_kept_byte_by_byte() {
        let odd = PathBuf::from(OsString::from_vec(b"caf\xe9.csv".to_vec()));
        for path in [PathBuf::from("a\"\u{e9}\n"), odd] {
            for maybe in [None, Some(path.clone())] {
                let kept = Kept { one: path.clone(), maybe, all: vec!["x".into(), path.clone()] };
                let text = serde_json::to_string(&kept).unwrap();
                assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), kept, "{text}");
                let value = serde_json::to_value(&kept).unwrap();
                assert_eq!(serde_json::from_value::<Kept>(value).unwrap(), kept, "{text}");
            }
        }
        assert_eq!(serde_json::from_str::<Kept>(r#"{"one":"a","all":["b"]}"#).unwrap().one, Path::new("a"));
    }
}
