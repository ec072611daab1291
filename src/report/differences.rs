//! Differences between tables, for a person.

use super::{counted, human_count};
use crate::model::compare::{Difference, Side};
use crate::printable::printable;
use crate::source::contract::shortened;

/// The counts and the first rows of a difference, each line indented by four; nothing where there is none.
pub fn differences(difference: &Difference) -> String {
    let mut out = String::new();
    if difference.is_none() {
        return out;
    }
    for (columns, side) in [(&difference.columns_only_published, "published"), (&difference.columns_only_fresh, "fresh")] {
        if !columns.is_empty() {
            out.push_str(&format!("    columns only {side}: {}\n", printable(&columns.join(", "))));
        }
    }
    let counts = [(difference.changed, "changed"), (difference.only_published, "only published"), (difference.only_fresh, "only fresh")];
    let counts: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", counted(*n, "row"))).collect();
    if counts.is_empty() {
        return out;
    }
    let columns: Vec<String> =
        difference.columns.iter().map(|(column, n)| format!("{} in {}", printable(column), human_count(*n))).collect();
    let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    out.push_str(&format!("    {}{columns}\n", counts.join(", ")));
    let text = |value: &Option<String>| value.as_deref().map_or("NULL".to_string(), shortened);
    for row in &difference.rows {
        let key: Vec<String> = row.key.iter().map(|cell| format!("{}={}", printable(&cell.column), text(&cell.value))).collect();
        let values: Vec<String> = row
            .values
            .iter()
            .map(|cell| {
                let column = printable(&cell.column);
                match row.is {
                    Side::OnlyPublished => format!("{column}={}", text(&cell.published)),
                    Side::OnlyFresh => format!("{column}={}", text(&cell.fresh)),
                    Side::Changed => format!("{column}: {} -> {}", text(&cell.published), text(&cell.fresh)),
                }
            })
            .collect();
        let sign = match row.is {
            Side::OnlyPublished => "-",
            Side::OnlyFresh => "+",
            Side::Changed => "~",
        };
        let parts: Vec<String> = key.into_iter().chain(values).collect();
        out.push_str(&format!("    {sign} {}\n", parts.join("  ")));
    }
    let rest = (difference.changed + difference.only_published + difference.only_fresh).saturating_sub(difference.rows.len() as u64);
    if rest > 0 {
        out.push_str(&format!("    … and {} more\n", counted(rest, "row")));
    }
    out
}
