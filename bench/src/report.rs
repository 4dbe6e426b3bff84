//! Results: rows of a table for people, and the same with everything else as JSON for machines.

use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};

/// What was measured several times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    /// The value below which this part of all values lies.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    fn range(&self) -> String {
        format!("{} .. {}", number(self.quantile(0.0)), number(self.max()))
    }

    fn json(&self) -> Value {
        json!({"median": self.median(), "min": self.quantile(0.0), "max": self.max(), "values": self.0})
    }
}

/// What a row should reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    None,
    /// The median is at least this.
    AtLeast(f64),
    /// The median is below this.
    Below(f64),
    /// All of it is at most this.
    AtMost(f64),
}

/// All results of one run.
#[derive(Debug)]
pub(crate) struct Report {
    machine: Value,
    rows: Vec<Row>,
    details: Map<String, Value>,
}

#[derive(Debug)]
struct Row {
    part: String,
    what: String,
    unit: &'static str,
    spread: Spread,
    target: Target,
}

impl Row {
    fn is_reached(&self) -> Option<bool> {
        match self.target {
            Target::None => None,
            Target::AtLeast(least) => Some(self.spread.median() >= least),
            Target::Below(limit) => Some(self.spread.median() < limit),
            Target::AtMost(most) => Some(self.spread.max() <= most),
        }
    }

    fn cells(&self) -> [String; 5] {
        let target = match self.target {
            Target::None => String::new(),
            Target::AtLeast(least) => format!("at least {}", number(least)),
            Target::Below(limit) => format!("below {}", number(limit)),
            Target::AtMost(most) => format!("at most {}", number(most)),
        };
        let verdict = match self.is_reached() {
            None => "",
            Some(true) => "reached",
            Some(false) => "not reached",
        };
        let range = if self.spread.count() > 1 { self.spread.range() } else { String::new() };
        let value = format!("{} {}", number(self.spread.median()), self.unit);
        [self.what.clone(), value.trim_end().to_owned(), range, target, verdict.to_owned()]
    }
}

impl Report {
    pub(crate) fn new(machine: Value) -> Self {
        Self { machine, rows: Vec::new(), details: Map::new() }
    }

    pub(crate) fn row(&mut self, part: &str, what: impl Into<String>, unit: &'static str, spread: Spread, target: Target) {
        self.rows.push(Row { part: part.to_owned(), what: what.into(), unit, spread, target });
    }

    /// A row of one value.
    pub(crate) fn value(&mut self, part: &str, what: impl Into<String>, unit: &'static str, value: f64) {
        self.row(part, what, unit, Spread::new([value]), Target::None);
    }

    /// What is only in the JSON.
    pub(crate) fn detail(&mut self, name: &str, value: Value) {
        self.details.insert(name.to_owned(), value);
    }

    pub(crate) fn print(&self) {
        let mut part = "";
        let mut rows: Vec<Option<[String; 5]>> = vec![Some(["", "median", "min .. max", "target", ""].map(str::to_owned))];
        for row in &self.rows {
            if row.part != part {
                part = &row.part;
                rows.push(None);
                rows.push(Some([row.part.clone(), String::new(), String::new(), String::new(), String::new()]));
            }
            rows.push(Some(row.cells()));
        }
        let width = |column: usize| rows.iter().flatten().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths = [0, 1, 2, 3, 4].map(width);
        for row in &rows {
            match row {
                None => println!(),
                Some([what, value, range, target, verdict]) => {
                    let [a, b, c, d, _] = widths;
                    println!("{}", format!("{what:<a$}  {value:>b$}  {range:>c$}  {target:<d$}  {verdict}").trim_end());
                }
            }
        }
    }

    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let row = |row: &Row| {
            let target = match row.target {
                Target::None => Value::Null,
                Target::AtLeast(least) => json!({"atLeast": least}),
                Target::Below(limit) => json!({"below": limit}),
                Target::AtMost(most) => json!({"atMost": most}),
            };
            json!({"part": row.part, "what": row.what, "unit": row.unit, "result": row.spread.json(), "target": target, "reached": row.is_reached()})
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        let all = json!({"machine": self.machine, "rows": rows, "details": self.details});
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        }
        std::fs::write(path, format!("{all:#}\n")).with_context(|| format!("cannot write `{}`", path.display()))
    }

    pub(crate) fn not_reached(&self) -> usize {
        self.rows.iter().filter(|row| row.is_reached() == Some(false)).count()
    }
}

/// With as many digits as say something.
fn number(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "-".to_owned(),
        0.0 => "0".to_owned(),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
