//! A real hour of GitHub's public events, computed once by foldline and once by plain SQL over the raw JSON.

mod common;

use std::path::{Path, PathBuf};

use common::{Project, assert_same_rows, duckdb, fixture, literal, output};

/// The hour: GHARCHIVE, else the copy beside the project's folder. It is not part of the project.
fn hour() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/gharchive/2015-01-01-0.json.gz");
    let path = std::env::var_os("GHARCHIVE").map_or(beside, PathBuf::from);
    if !path.is_file() {
        println!("skipped: no GH Archive hour at {} (set GHARCHIVE to one)", path.display());
        return None;
    }
    Some(path.canonicalize().unwrap())
}

const REPOSITORIES: &str = "
    SELECT repo.name AS repository, split_part(repo.name, '/', 1) AS owner,
           count(*) FILTER (WHERE type = 'PushEvent') AS pushes,
           coalesce(sum((payload->>'size')::BIGINT) FILTER (WHERE type = 'PushEvent'), 0)::BIGINT AS commits,
           count(*) FILTER (WHERE type = 'WatchEvent' AND (payload->>'action') = 'started') AS stars,
           count(*) FILTER (WHERE type = 'IssuesEvent' AND (payload->>'action') = 'opened') AS issues_opened,
           count(*) FILTER (WHERE type = 'CreateEvent' AND (payload->>'ref_type') = 'branch') AS branches_created,
           count(*) FILTER (WHERE type = 'DeleteEvent' AND (payload->>'ref_type') = 'branch') AS branches_deleted,
           max_by(created_at, line) AS last_event_at
    FROM log
    -- What no rule applies to makes no row.
    WHERE type = 'PushEvent' OR (type = 'WatchEvent' AND (payload->>'action') = 'started')
       OR (type = 'IssuesEvent' AND (payload->>'action') = 'opened')
       OR (type IN ('CreateEvent', 'DeleteEvent') AND (payload->>'ref_type') = 'branch')
    GROUP BY ALL";

const AUTHORS: &str = "
    WITH push AS (
        SELECT line, unnest(from_json(payload->'commits', '[{\"author\": {\"name\": \"VARCHAR\", \"email\": \"VARCHAR\"}}]')) AS commit,
               generate_subscripts(from_json(payload->'commits', '[\"JSON\"]'), 1) AS n
        FROM log WHERE type = 'PushEvent'
    )
    SELECT lower(commit.author.email) AS email, arg_max(commit.author.name, (line, n)) AS name, count(*) AS commits
    FROM push GROUP BY ALL";

#[test]
fn a_real_hour_agrees_with_plain_sql_over_the_raw_json() {
    let Some(hour) = hour() else { return };
    let project = Project::new(&std::fs::read_to_string(fixture("gharchive/foldline.toml")).unwrap());
    output(project.command(&["run"]).env("GHARCHIVE", &hour)).exits(0);

    let db = duckdb();
    db.execute_batch(&format!(
        "SET preserve_insertion_order = true; SET threads = 1;
         CREATE TABLE log AS
         SELECT row_number() OVER () AS line, type, repo, payload, created_at::TIMESTAMP AS created_at
         FROM read_json({}, format = 'newline_delimited', maximum_object_size = 67108864, columns = {{
             type: 'VARCHAR', repo: 'STRUCT(name VARCHAR)', payload: 'JSON', created_at: 'VARCHAR' }})",
        literal(&hour)
    ))
    .unwrap();
    for (name, sql) in [("repositories", REPOSITORIES), ("authors", AUTHORS)] {
        println!("{name}");
        let parquet = project.path(&format!("out/{name}.parquet"));
        assert_same_rows(&db, &format!("SELECT * FROM read_parquet({})", literal(&parquet)), sql);
    }
}
