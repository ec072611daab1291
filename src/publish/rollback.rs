//! Rollback: what an earlier generation published, published again as a new generation that holds until it is
//! released. Nothing is computed or copied: that generation's files are still there, and the names are swapped
//! to them. The checkpoint stays where it is: runs go on folding from it.

use super::{changed_file, owner, swap};
use crate::error::{Error, Kind, Result};
use crate::state::Store;
use crate::state::manifest::{Manifest, Pin, Published, ReadModel, Reason};

/// What a rollback did.
pub struct RolledBack {
    /// The generation that it made; its [`Manifest::pinned`] says from where to where.
    pub manifest: Manifest,
    /// Read models of the newest generation that did not exist in the earlier one.
    pub missing: Vec<Missing>,
}

/// A read model that cannot be rolled back, since it did not exist then.
#[derive(serde::Serialize)]
pub struct Missing {
    pub name: String,
    /// Its targets that stay as they are.
    pub stay: Vec<String>,
    /// DuckDB files that it shares with others, and that are now the earlier ones: without its table.
    pub without: Vec<String>,
}

/// Publishes the targets of generation `to` again; without it, of the newest one before what is live that
/// published something else. `now`: RFC 3339, UTC. Call [`super::recover`] first.
///
/// Errors of [`Kind::Usage`] name the generations that are kept, if this one is not; of [`Kind::Io`], what was
/// changed in it since, or whose file stands in its way. Either way nothing has happened.
pub fn rollback(store: &Store, to: Option<u64>, now: &str) -> Result<RolledBack> {
    let kept = store.manifests()?;
    let Some(newest) = kept.first() else {
        return Err(Error::new(Kind::NoInput, "nothing is published yet").with_help("`foldline run` publishes"));
    };
    let chosen = choose(&kept, newest, to)?;
    for target in &chosen.published {
        if let Some(path) = changed_file(store, target)? {
            return Err(Error::new(
                Kind::Io,
                format!("generation {} cannot be published again: {} is gone or was changed", chosen.generation, store.relative(&path)?),
            )
            .with_help(others(&kept, newest)));
        }
        owner::check(store.root(), &kept, target.kind, &store.resolve(&target.path))?;
    }
    let manifest = rolled_back(newest, chosen, store.next_generation()?, now);
    store.commit(&manifest)?;
    swap(store, &manifest)?;
    let missing = newest.read_models.iter().filter(|m| chosen.read_model(&m.name).is_none());
    let missing = missing.map(|model| {
        let targets = newest.published.iter().filter(|p| p.read_model == model.name).cloned();
        let (stay, without): (Vec<Published>, Vec<Published>) = targets.partition(|target| manifest.published.contains(target));
        let paths = |published: Vec<Published>| published.into_iter().map(|p| p.path).collect();
        Missing { name: model.name.clone(), stay: paths(stay), without: paths(without) }
    });
    let missing = missing.collect();
    Ok(RolledBack { manifest, missing })
}

/// The generation whose targets are live: the newest one, or the one that it holds.
fn live(newest: &Manifest) -> u64 {
    newest.pinned.as_ref().map_or(newest.generation, |pin| pin.to)
}

fn choose<'m>(kept: &'m [Manifest], newest: &Manifest, to: Option<u64>) -> Result<&'m Manifest> {
    let chosen = match to {
        Some(to) => kept.iter().find(|m| m.generation == to).ok_or_else(|| {
            Error::new(Kind::Usage, format!("generation {to} is not kept"))
                .with_help(others(kept, newest))
                .with_help("`keep` in [project] says how many generations stay")
        })?,
        None => {
            let before =
                |m: &&Manifest| m.generation < live(newest) && m.pinned.is_none() && places(&m.published) != places(&newest.published);
            kept.iter().find(before).ok_or_else(|| {
                Error::new(Kind::Usage, format!("no generation before {} with other targets is kept", live(newest)))
                    .with_help(others(kept, newest))
            })?
        }
    };
    if chosen.published.is_empty() {
        return Err(Error::new(Kind::Usage, format!("generation {} published nothing", chosen.generation)).with_help(others(kept, newest)));
    }
    Ok(chosen)
}

fn others(kept: &[Manifest], newest: &Manifest) -> String {
    let told: Vec<String> = kept
        .iter()
        .rev()
        .map(|m| {
            let note = if m.generation == newest.generation { ", the current one" } else { "" };
            format!("{} ({}{note})", m.generation, m.created_at)
        })
        .collect();
    format!("kept are {}", told.join(", "))
}

fn places(published: &[Published]) -> Vec<(&str, &str)> {
    let mut places: Vec<_> = published.iter().map(|p| (&*p.path, &*p.generation_path)).collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// The manifest of the rollback: the newest one's state, the chosen one's targets.
fn rolled_back(newest: &Manifest, chosen: &Manifest, generation: u64, now: &str) -> Manifest {
    let mut published = chosen.published.clone();
    // a file that several read models share is the earlier one as a whole
    let untouched = newest.published.iter().filter(|p| !chosen.published.iter().any(|c| c.path == p.path));
    published.extend(untouched.cloned());
    let of = |published: &[Published], name: &str| {
        let published: Vec<Published> = published.iter().filter(|p| p.read_model == name).cloned().collect();
        places(&published).into_iter().map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>()
    };
    let mut names: Vec<&str> = newest.read_models.iter().chain(&chosen.read_models).map(|m| &*m.name).collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    let read_models = names.into_iter().filter_map(|name| {
        let now = of(&published, name);
        let same = now == of(&newest.published, name);
        match (newest.read_model(name), chosen.read_model(name)) {
            _ if now.is_empty() => None,
            (Some(known), _) if same => Some(known.clone()),
            // it is behind, whatever else changes: its release publishes it
            (known, earlier) => Some(ReadModel { stale: true, ..earlier.or(known)?.clone() }),
        }
    });
    let pin = Pin {
        since: now.to_string(),
        generation,
        from: newest.pinned.as_ref().map_or(newest.generation, |pin| pin.from),
        to: live(chosen),
    };
    let read_models = read_models.collect();
    let Manifest { format, foldline, duckdb, created_at, reason, .. } = Manifest::empty(generation, now.to_string(), Reason::Rollback);
    let pinned = Some(pin);
    Manifest { format, foldline, duckdb, created_at, reason, generation, read_models, published, pinned, ..newest.clone() }
}
