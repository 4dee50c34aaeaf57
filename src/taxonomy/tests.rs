//! The rules of a taxonomy file and of the classifier made from it, each on a small one.

use serde_json::{Value, json};

use super::*;
use crate::domain::indicator::Indicator;

/// A taxonomy of something else altogether: nothing in the code is about economics.
const SHOP: &str = r#"
name = "shop"
version = 3
instructions = "Sort goods."
extra_columns = ["brand"]

[texts]
anything = ["name", "definition"]

[facts]
thing = ["drink", "tool"]

[[fields]]
name = "category"
kind = "enum"
description = "Shelf."
fallback = { value = "misc", weight = 0.1 }
values = [
  { value = "beverages", description = "To drink." },
  { value = "hardware", description = "To build." },
  { value = "misc", description = "The rest." },
]

[[fields]]
name = "fragile"
kind = "boolean"
description = "Breaks."
fallback = { value = false, weight = 0.5 }

[[fields]]
name = "shelf_life_days"
kind = "number"
min = 0
description = "Days until it spoils."
fallback = { value = 9999, weight = 0.3 }

[[fields]]
name = "size"
kind = "string"
pattern = "[A-Z]+|none"
description = "Size on the label."
fallback = { value = "none", weight = 0.4 }

[lookups.size]
columns = [{ column = "name" }]
codes = ["XL", "XXL"]
words = { "extra large" = "XL" }

[[rules]]
name = "drinks"
match.anything = '\b(juice|jus|saft)\b'
unless.name = 'squeezer'
set.thing = "drink"
weight = 1

[[rules]]
name = "house brand"
match.brand = '^acme$'
set = { thing = "tool", fragile = false }
weight = 0.9

[[rules]]
name = "shelf of drinks"
when.thing = ["drink"]
set = { category = "beverages", shelf_life_days = 30, fragile = true }
weight = 0.8

[[rules]]
name = "shelf of things"
when.thing = ["*"]
set.category = "hardware"
weight = 0.7

[[rules]]
name = "labelled"
find.size = "size"
weight = 1
"#;

fn shop() -> Rules {
    Rules::compile(&Taxonomy::parse(SHOP).unwrap()).unwrap()
}

fn named(name: &str) -> Indicator {
    Indicator { id: "1".into(), name: name.into(), ..Indicator::default() }
}

#[test]
fn another_taxonomy_needs_no_code() {
    let juice = shop().classify(&named("Apple JUICE, extra large"));
    assert_eq!(
        Value::Object(juice.labels),
        json!({ "category": "beverages", "fragile": true, "shelf_life_days": 30, "size": "XL" })
    );
    assert!((juice.confidence - (0.8 * 3.0 + 1.0) / 4.0).abs() < 1e-9);
    assert_eq!(juice.reasoning.as_deref(), Some("shelf of drinks, labelled"));
}

#[test]
fn what_no_rule_decides_falls_back_and_lowers_the_confidence() {
    let nothing = shop().classify(&named("?"));
    assert_eq!(nothing.labels["category"], "misc");
    assert!((nothing.confidence - 1.3 / 4.0).abs() < 1e-9);
    assert_eq!(nothing.reasoning.as_deref(), Some("fallback: category, fragile, shelf_life_days, size"));
}

#[test]
fn unless_when_and_extra_columns() {
    assert_eq!(shop().classify(&named("juice squeezer")).labels["category"], "misc", "unless");
    let mut tool = named("juice");
    tool.extra.insert("brand".into(), "ACME".into());
    let labels = shop().classify(&tool).labels;
    assert_eq!(labels["category"], "beverages", "the first rule that decides a fact wins");
    assert_eq!(labels["fragile"], false, "but a rule loses only the labels that were decided before");
    tool.name = "saw".into();
    assert_eq!(shop().classify(&tool).labels["category"], "hardware", "`*` is any value");
    tool.name = "saw".into();
    tool.definition = Some("not a saft".into());
    assert_eq!(shop().classify(&tool).labels["category"], "beverages", "a text spans columns");
}

#[test]
fn identity_follows_content_and_not_layout() {
    let taxonomy = Taxonomy::parse(SHOP).unwrap();
    assert_eq!(taxonomy.id(), "shop@3");
    assert_eq!(taxonomy.instructions(), "Sort goods.");
    assert_eq!(taxonomy.digest().len(), 32);
    let same = Taxonomy::parse(&format!("# a comment\n{}", SHOP.replace("\n\n", "\n\n\n"))).unwrap();
    assert_eq!(same.digest(), taxonomy.digest());
    let other = Taxonomy::parse(&SHOP.replace("weight = 0.7", "weight = 0.6")).unwrap();
    assert_ne!(other.digest(), taxonomy.digest());
}

#[test]
fn a_bad_taxonomy_is_refused_with_its_place() {
    for (from, to, message) in [
        ("name = \"shop\"", "name = \"my shop\"", "name: letters, digits and hyphens only"),
        ("version = 3", "version = \"3\"", ":3: invalid type: string"),
        ("version = 3", "version = 3\nverzion = 4", ":4: unknown field `verzion`"),
        ("min = 0\n", "minimum = 0\n", "unknown field `minimum`"),
        ("name = \"fragile\"", "name = \"category\"", ":24: field `category`: another field has this name"),
        ("value = \"hardware\"", "value = \"misc\"", ":13: field `category`: value `misc` is listed twice"),
        (
            "fallback = { value = \"misc\"",
            "fallback = { value = \"mis\"",
            "fallback: `mis` is none of beverages",
        ),
        ("fallback = { value = false, weight = 0.5 }", "", "missing field `fallback`"),
        ("weight = 0.7", "weight = 1.7", "rule `shelf of things`: weight 1.7 is not within 0 and 1"),
        ("weight = 0.7", "weight = nan", "weight NaN is not within 0 and 1"),
        ("set.category = \"hardware\"", "set.shelf = \"x\"", "there is no field or fact `shelf`"),
        ("set.category = \"hardware\"", "set.category = \"x\"", "`category`: `x` is none of beverages"),
        ("set.category = \"hardware\"", "", "it neither sets nor finds a label"),
        ("set.thing = \"drink\"", "set.thing = \"food\"", "`thing`: \"food\" is none of drink, tool"),
        ("when.thing = [\"*\"]", "when.size = [\"XL\"]", "asks for `size`, which no rule before it decides"),
        ("when.thing = [\"*\"]", "when.thing = []", "`thing` is asked for without a value"),
        ("when.thing = [\"*\"]", "when.thing = [\"dring\"]", "`thing`: \"dring\" is none of"),
        ("match.brand = ", "match.brnd = ", "`brnd` is no column or text"),
        ("'^acme$'", "'^acme('", "rule `house brand`: pattern on `brand`: regex parse error"),
        ("'^acme$'", "'acme|'", "matches every text"),
        ("name = \"drinks\"", "name = \"labelled\"", "rule `labelled`: another rule has this name"),
        ("find.size = \"size\"", "find.size = \"sizes\"", "there is no lookup `sizes`"),
        ("pattern = \"[A-Z]+|none\"", "pattern = \"none\"", "rule `labelled`: `size`: `X"),
        ("codes = [\"XL\"", "codes = [\"Xl\"", "lookup `size`: code `Xl` is not in upper case"),
        ("anything = [\"name\"", "anything = [\"nmae\"", "text `anything`: `nmae` is no column"),
        ("thing = [\"drink\"", "size = [\"drink\"", "fact `size`: a field has this name"),
        ("thing = [\"drink\"", "thing = [\"tool\"", "fact `thing`: value `tool` is listed twice"),
    ] {
        assert!(SHOP.contains(from), "{from}");
        let error = Taxonomy::parse(&SHOP.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(error.contains(message), "{from} -> {to}: {error}");
    }
}

#[test]
fn a_file_is_named_in_its_errors() {
    let missing = Taxonomy::load("no/such/file.toml").unwrap_err();
    assert_eq!(missing.to_string(), "cannot read taxonomy no/such/file.toml");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.toml");
    fs::write(&path, SHOP.replacen("weight = 0.9", "weight = 9", 1)).unwrap();
    let error = Taxonomy::load(&path).unwrap_err().to_string();
    assert!(error.ends_with("shop.toml:56: rule `house brand`: weight 9 is not within 0 and 1"), "{error}");
    fs::write(&path, SHOP).unwrap();
    assert_eq!(Taxonomy::load(&path).unwrap().digest(), Taxonomy::parse(SHOP).unwrap().digest());
}
