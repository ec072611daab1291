//! Rules and contracts for one concrete event type, compiled at first sight of the type.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use super::aggregates::AggregateDef;
use super::contracts::Contracts;
use super::diagnostics::{Diagnostic, Files};
use super::rules::compile_aggregate;
use super::scope::TypeNames;
use super::{EventTable, Project, TypePlan};
use crate::error::Result;

/// Names of types come from the log: beyond this many, plans are made again instead of kept.
const CACHED_MAX: usize = 100_000;

/// And so are plans of types with longer names than this.
const CACHED_NAME_BYTES_MAX: usize = 1024;

/// What plans are made from, once the project is loaded.
#[derive(Default)]
pub(crate) struct Definitions {
    pub files: Files,
    pub contracts: Contracts,
    pub aggregates: Vec<AggregateDef>,
}

/// By source and type; `None` where nothing takes the type.
type Cache = HashMap<(usize, String), Option<Arc<TypePlan>>>;

#[derive(Default)]
pub struct Plans {
    pub(crate) definitions: Definitions,
    cache: RwLock<Cache>,
}

impl Plans {
    pub(crate) fn new(definitions: Definitions) -> Plans {
        Plans { definitions, cache: RwLock::default() }
    }

    pub fn get(&self, project: &Project, source: usize, event_type: &str) -> Result<Option<Arc<TypePlan>>> {
        let key = (source, event_type.to_string());
        if let Some(plan) = self.cache.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&key) {
            return Ok(plan.clone());
        }
        let mut found = Vec::new();
        let plan = self.definitions.plan(Some(source), event_type, event_type, &project.event_tables, &mut found);
        if let Some(diagnostic) = found.into_iter().next() {
            let diagnostic = diagnostic.help(format!("the log has events of the type `{event_type}`, which these rules match"));
            return Err(diagnostic.into_error(&self.definitions.files));
        }
        let plan = plan.map(Arc::new);
        let mut cache = self.cache.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if cache.len() < CACHED_MAX && event_type.len() <= CACHED_NAME_BYTES_MAX {
            // Two threads may have made the same plan: the first one stays.
            return Ok(cache.entry(key).or_insert(plan).clone());
        }
        Ok(plan)
    }
}

impl Definitions {
    /// The plan of one type from one source (`None`: from any). `shown`: how messages name the type.
    pub fn plan(
        &self,
        source: Option<usize>,
        event_type: &str,
        shown: &str,
        event_tables: &[EventTable],
        found: &mut Vec<Diagnostic>,
    ) -> Option<TypePlan> {
        let mut names = TypeNames::new(shown, self.contracts.fields(event_type));
        let aggregates: Vec<_> = self
            .aggregates
            .iter()
            .enumerate()
            .filter(|(_, def)| !def.broken && source.is_none_or(|source| def.sources.contains(&source)))
            .filter_map(|(index, def)| compile_aggregate(index, def, event_type, &mut names, found))
            .collect();
        let event_table = event_tables.iter().position(|table| table.event_type == event_type).map(|table| {
            let fields = (0..names.contract.len()).map(|field| names.declared(field)).collect();
            (table, fields)
        });
        if aggregates.is_empty() && event_table.is_none() {
            return None;
        }
        Some(TypePlan {
            event_type: event_type.to_string(),
            source: source.unwrap_or(0),
            fields: names.fields,
            meta: names.meta,
            computed: names.computed,
            aggregates,
            event_table,
        })
    }
}
