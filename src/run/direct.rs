//! Read models that come straight from what a run has folded, while it is still in memory.

use rayon::prelude::*;

use super::decide::Decision;
use super::lanes::Lane;
use crate::fold::{self, Partition};
use crate::model::direct::{self, Part, Plan, Rows};
use crate::project::{Project, ReadModel, Target};

/// The state at the end of a fold: what its snapshot has.
pub struct Folded {
    /// By lane and aggregate.
    folds: Vec<Vec<Partition>>,
    /// By aggregate: all its rows are here. Those of one that had nothing to do lie in its snapshot only.
    whole: Vec<bool>,
}

impl Folded {
    /// Keeps the tables; all that sequencing needed goes.
    pub fn new(project: &Project, decision: &Decision, lanes: Vec<Lane>) -> Folded {
        let whole = (0..project.aggregates.len()).map(|aggregate| !lanes.is_empty() && decision.concerns(project, aggregate)).collect();
        Folded { folds: lanes.into_par_iter().map(|lane| lane.folds).collect(), whole }
    }

    /// The rows of a read model; `None` where SQL has to make them, or to say which of its checks fails.
    pub fn rows<'f>(&'f self, project: &'f Project, plan: &'f Plan, model: &ReadModel) -> Option<Rows<'f>> {
        if !plan.sides.iter().all(|side| self.whole[side.aggregate]) {
            return None;
        }
        let side = |number: usize| {
            let aggregate = plan.sides[number].aggregate;
            let (definition, columns) = (&project.aggregates[aggregate], plan.columns_of(number));
            let part = |folds: &'f Vec<Partition>| {
                let table = &folds[aggregate].table;
                let slots = table.slots();
                Part { columns: columns.iter().map(|column| fold::column(table, definition, &slots, *column)).collect(), rows: slots.len() }
            };
            self.folds.par_iter().map(part).collect()
        };
        Rows::new(plan, (0..plan.sides.len()).map(side).collect(), model)
    }
}

/// The plans of those read models that can do without SQL, by their order. They have Parquet files as targets and nothing else.
pub fn plans(project: &Project, models: &[&ReadModel]) -> Vec<Option<Plan>> {
    let is_file = |target: &Target| match target {
        Target::Parquet { path, partition_by, .. } => {
            partition_by.is_empty() && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
        }
        Target::DuckDb { .. } => false,
    };
    let plan = |model: &&ReadModel| model.targets.iter().all(is_file).then(|| direct::plan(project, &model.sql)).flatten();
    models.iter().map(plan).collect()
}
