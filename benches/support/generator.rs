//! Made-up economic indicators for measurements: the same ones every time, as many as are asked for. In length and in
//! what is left empty they are like a table of real ones, some 500 bytes a row.

use classify::domain::indicator::{Indicator, Sample};
use fastrand::Rng;

const SUBJECTS: [&str; 12] = [
    "Exports of goods and services",
    "Consumer price index, all items",
    "Unemployment rate, youth total",
    "Government debt securities outstanding",
    "Industrial production of motor vehicles",
    "Population ages 65 and above",
    "Interest rate on new loans to households",
    "Retail sales volume, food and beverages",
    "Foreign direct investment, net inflows",
    "Gross fixed capital formation, dwellings",
    "Business confidence of manufacturers",
    "Electricity generated from renewable sources",
];
const PLACES: [&str; 8] =
    ["Austria", "Brazil", "Côte d'Ivoire", "Euro area", "India", "Japan", "South Africa", "Viet Nam"];
const UNITS: [&str; 9] = [
    "USD Million",
    "EUR Billion",
    "% of GDP",
    "Index, 2015=100",
    "Percent",
    "Thousand persons",
    "GWh",
    "JPY Trillion",
    "National currency per US dollar",
];
const PERIODS: [&str; 4] = ["Monthly", "Quarterly", "Yearly", "Weekly"];
const SOURCES: [&str; 4] =
    ["National statistical office", "Central bank", "Ministry of Finance", "International Labour Survey"];
const ADJUSTMENTS: [&str; 4] =
    ["seasonally adjusted", "not seasonally adjusted", "year-on-year change", "cumulative since January"];
const PROSE: [&str; 6] = [
    "The value is compiled from monthly reports of residents to the statistical office.",
    "It covers all institutional units that are resident in the territory, whatever their nationality.",
    "Figures before the last change of the base year are linked at the level of the headline series.",
    "Data are in current prices unless the title says otherwise; provisional values are revised once a year.",
    "The sample is renewed every five years, and weights follow the structure of household expenditure.",
    "Transactions are recorded when ownership changes, not when they are paid for.",
];

/// Indicator number `index`, from 0. Ids differ, and so do contents.
pub(crate) fn indicator(index: u64) -> Indicator {
    let mut rng = Rng::with_seed(index);
    let subject = *pick(&mut rng, &SUBJECTS);
    let place = *pick(&mut rng, &PLACES);
    let adjustment = *pick(&mut rng, &ADJUSTMENTS);
    let often = |rng: &mut Rng, tenths: u8| rng.u8(0..10) < tenths;
    let mut row = Indicator {
        id: format!("SERIES.{index:08}"),
        name: format!("{place}: {subject}, {adjustment}, series {index}"),
        source_name: Some((*pick(&mut rng, &SOURCES)).to_owned()),
        dataset: Some(format!("Table {}", rng.u16(1..400))),
        ..Indicator::default()
    };
    row.units = often(&mut rng, 9).then(|| (*pick(&mut rng, &UNITS)).to_owned());
    row.periodicity = often(&mut rng, 6).then(|| (*pick(&mut rng, &PERIODS)).to_owned());
    row.topic = often(&mut rng, 5).then(|| format!("{subject}: levels and changes"));
    let sentences: Vec<&str> = (0..rng.usize(0..5)).map(|_| *pick(&mut rng, &PROSE)).collect();
    row.definition = (!sentences.is_empty()).then(|| sentences.join(" "));
    if often(&mut rng, 1) {
        let sample =
            |year| Sample { date: format!("{year}-12-31"), value: Some(f64::from(rng.u16(..)) / 8.0) };
        row.sample_values = (2015..2025).map(sample).collect();
    }
    if often(&mut rng, 3) {
        row.extra.insert("country".to_owned(), place.into());
    }
    row
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(..from.len())]
}
