//! `[event.<Type>]`: the payload's contract, exact types and patterns.

use crate::sql::{self, Type, Value};

use super::diagnostics::{Diagnostic, Place};
use super::fingerprint::Canon;
use super::patterns::TypePattern;
use super::toml_walk::{Table, Text};

#[derive(Debug, Clone, Default)]
pub(crate) struct Contracts {
    /// Some field is wrong, so expressions over payloads would only repeat that.
    pub broken: bool,
    entries: Vec<Contract>,
}

#[derive(Debug, Clone)]
struct Contract {
    pattern: TypePattern,
    fields: Vec<ContractField>,
}

/// One declared field of a payload.
#[derive(Debug, Clone)]
pub(crate) struct ContractField {
    pub name: String,
    pub ty: Type,
    pub not_null: bool,
    /// A column of the primary key, for `replica_of`.
    pub key: bool,
    pub default: Option<Value>,
}

impl Contracts {
    pub fn read(root: &Table, found: &mut Vec<Diagnostic>) -> Contracts {
        let errors = found.len();
        let entries = root
            .entries_of("event")
            .iter()
            .filter_map(|entry| Some((entry, entry.node.as_table()?)))
            .map(|(entry, table)| {
                let columns = read_columns(table, found);
                let fields = columns
                    .into_iter()
                    .map(|column| ContractField {
                        name: column.name,
                        ty: column.def.ty,
                        not_null: column.def.not_null,
                        key: column.def.key,
                        default: column.def.default,
                    })
                    .collect();
                Contract { pattern: TypePattern::parse(&entry.key), fields }
            })
            .collect();
        Contracts { broken: found.len() > errors, entries }
    }

    /// The fields of a concrete type: its own contract's, then what patterns add.
    pub fn fields(&self, event_type: &str) -> Vec<ContractField> {
        let mut fields: Vec<ContractField> = Vec::new();
        let (exact, patterned): (Vec<_>, Vec<_>) = self
            .entries
            .iter()
            .filter(|contract| contract.pattern.matches(event_type))
            .partition(|contract| !contract.pattern.has_wildcard());
        for field in exact.into_iter().chain(patterned).flat_map(|contract| &contract.fields) {
            if !fields.iter().any(|other| other.name.eq_ignore_ascii_case(&field.name)) {
                fields.push(field.clone());
            }
        }
        fields
    }

    pub fn declares(&self, event_type: &str) -> bool {
        self.entries.iter().any(|contract| contract.pattern.matches(event_type))
    }

    /// The types that are declared by name, in the file's order.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().flat_map(|contract| contract.pattern.named())
    }

    /// What the contract of one type says.
    pub fn canon_of(&self, event_type: &str) -> String {
        let mut canon = Canon::new("contract");
        canon.add("type", event_type);
        for field in self.fields(event_type) {
            canon.field(&field);
        }
        canon.finish()
    }

    /// What the contracts say of the types that some of `patterns` match.
    pub fn canon_matching(&self, patterns: &[&TypePattern]) -> String {
        let mut canon = Canon::new("contracts");
        for contract in &self.entries {
            // Two patterns with wildcards may meet in a type that nobody named.
            let relevant = contract.pattern.has_wildcard()
                || contract.pattern.named().any(|event_type| patterns.iter().any(|pattern| pattern.matches(event_type)));
            if relevant {
                canon.add("pattern", &contract.pattern.alternatives.join("|"));
                for field in &contract.fields {
                    canon.field(field);
                }
            }
        }
        canon.finish()
    }
}

/// A column that the file defines: in a contract, a state or a rows table.
pub(crate) struct WrittenColumn<'a> {
    pub name: String,
    pub key_place: &'a Place,
    pub text: &'a Text,
    pub def: sql::ColumnDef,
}

/// The columns of a table of definitions; what is wrong with them is reported and left out.
pub(crate) fn read_columns<'a>(table: &'a Table, found: &mut Vec<Diagnostic>) -> Vec<WrittenColumn<'a>> {
    let mut columns: Vec<WrittenColumn<'a>> = Vec::new();
    for entry in &table.entries {
        let Some(text) = entry.node.as_text() else { continue };
        if let Some(other) = columns.iter().find(|column| column.name.eq_ignore_ascii_case(&entry.key)) {
            found.push(
                Diagnostic::new(format!("`{}` and `{}` are one name: names are case-insensitive", other.name, entry.key), &entry.key_place)
                    .also(other.key_place, "here first"),
            );
            continue;
        }
        match sql::parse_column(&text.value) {
            Ok(def) => columns.push(WrittenColumn { name: entry.key.clone(), key_place: &entry.key_place, text, def }),
            Err(error) => found.push(slid_into_columns(&entry.key, super::scope::compile_error(text, error))),
        }
    }
    columns
}

/// `stream = "order-{order_id}"` under [aggregate.order.state] is read as a column of a strange type.
fn slid_into_columns(key: &str, diagnostic: Diagnostic) -> Diagnostic {
    if super::keys::AGGREGATE.get(key).is_some() {
        return diagnostic.help(format!(
            "if `{key}` is meant as a key of the aggregate, move it right below the aggregate's own header, above this table"
        ));
    }
    if super::keys::RULE.get(key).is_some() {
        return diagnostic.help(format!("if `{key}` is meant as a key of a rule, move it under [aggregate.<name>.on.<Type>]"));
    }
    diagnostic
}
