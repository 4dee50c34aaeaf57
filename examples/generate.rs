//! Writes made-up indicators as JSON Lines to stdout, the same ones every time:
//!
//! ```text
//! cargo run --release --example generate -- 1000000 >million.jsonl
//! ```

use std::io::{self, BufWriter, Write as _};

use classify::domain::cell::CellValue;
use classify::domain::indicator::Indicator;
use indexmap::IndexMap;
use serde::Serialize;

#[path = "../benches/support/generator.rs"]
mod generator;

/// In a table, columns nobody has a name for stand beside the others.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    row: Indicator,
    #[serde(flatten)]
    others: IndexMap<String, CellValue>,
}

fn main() -> io::Result<()> {
    let rows = std::env::args().nth(1).and_then(|rows| rows.parse().ok());
    let rows: u64 = rows.ok_or_else(|| io::Error::other("usage: generate ROWS"))?;
    let mut out = BufWriter::new(io::stdout().lock());
    for index in 0..rows {
        let mut row = generator::indicator(index);
        let others = std::mem::take(&mut row.extra);
        serde_json::to_writer(&mut out, &Line { row, others })?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
