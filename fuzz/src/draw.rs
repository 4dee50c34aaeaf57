//! Awkward texts, numbers and values, drawn from a target's bytes.

use arbitrary::{Result, Unstructured};

/// Pieces of texts that mean something to one format or another.
const PIECES: [&str; 32] = [
    ",", "\"", "\"\"", "\n", "\r\n", "\r", "\\", "\\u0041", "é", "€", "😀", " ", "\t", "a", "Z9", "{", "[",
    "]}", "'", ";", "=", "'=", "+1", "-", "@x", "\u{a0}", "\u{2028}", "\u{202e}", "\u{feff}", "null", "1e5",
    "x",
];

/// A text of some pieces.
pub fn text(u: &mut Unstructured<'_>) -> Result<String> {
    let mut text = String::new();
    for _ in 0..u.int_in_range(0..=5)? {
        text.push_str(if u.ratio(1, 16)? { "\0" } else { u.choose(&PIECES)? });
    }
    Ok(text)
}

/// Any finite number.
pub fn finite(u: &mut Unstructured<'_>) -> Result<f64> {
    let number = f64::from_bits(u.arbitrary()?);
    Ok(if number.is_finite() { number } else { f64::MAX })
}

/// A number as it may be spelled.
pub fn number(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(match u.int_in_range(0..=6)? {
        0 => u.choose(&[i64::MIN, i64::MAX, -1, 0, i64::MIN + 1])?.to_string(),
        1 => u.choose(&[u64::MAX, u64::MAX - 1, 1 << 53, (1 << 53) + 1])?.to_string(),
        2 => serde_json::to_string(&finite(u)?).unwrap_or_default(),
        3 => {
            let digits = u.int_in_range(1..=20_usize)?;
            let tail = &"314159265358979323846"[..digits];
            format!("9{tail}")
        }
        4 => (*u.choose(&[
            "-0",
            "-0.0",
            "0.10",
            "1E5",
            "1e-400",
            "1E400",
            "1.50",
            "5e-324",
            "2.2250738585072011e-308",
        ])?)
        .to_owned(),
        5 => u.arbitrary::<i64>()?.to_string(),
        _ => u.arbitrary::<u64>()?.to_string(),
    })
}

/// A JSON value as it may be spelled, on one line or several.
pub fn json(u: &mut Unstructured<'_>, depth: u32) -> Result<String> {
    let space = *u.choose(&["", "", "", " ", "\n", "\t"])?;
    Ok(match u.int_in_range(0..=if depth == 0 { 4 } else { 7 })? {
        0 => (*u.choose(&["null", "true", "false"])?).to_owned(),
        1 | 2 => number(u)?,
        3 => quoted(u)?,
        // Towers end at the bound, and beyond it. They take long.
        4 if u.ratio(1, 16)? => {
            let height = u.int_in_range(60..=66)?;
            format!("{}{}", "[".repeat(height), "]".repeat(height))
        }
        4 => quoted(u)?,
        5 => {
            let items =
                (0..u.int_in_range(0..=3)?).map(|_| json(u, depth - 1)).collect::<Result<Vec<_>>>()?;
            format!("[{space}{}{space}]", items.join(","))
        }
        // Names may stand twice.
        _ => {
            let field = |u: &mut Unstructured<'_>| {
                let name = u.choose(&["\"a\"", "\"b\"", "\"\\u0061\"", "\"\"", "\"é\\n\""])?;
                Ok(format!("{space}{name}{space}:{space}{}", json(u, depth - 1)?))
            };
            let fields = (0..u.int_in_range(0..=3)?).map(|_| field(u)).collect::<Result<Vec<_>>>()?;
            format!("{{{}{space}}}", fields.join(","))
        }
    })
}

/// A text in quotes, with what must be escaped escaped, and sometimes all of it.
pub fn quoted(u: &mut Unstructured<'_>) -> Result<String> {
    let text = text(u)?;
    if u.arbitrary()? {
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        return Ok(format!("\"{escaped}\""));
    }
    Ok(serde_json::to_string(&text).unwrap_or_default())
}
