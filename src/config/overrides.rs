//! Environment variables over the server's file: which there are, and how they are read.

use toml::{Table, Value};

use super::environment::Environment;
use super::error::{ConfigError, value_error};

/// How the text of a variable becomes a value.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    List,
}

/// Every key outside of `[[repo]]`, as the path to it.
const KEYS: [(&[&str], Kind); 50] = [
    (&["listen"], Kind::Text),
    (&["data_dir"], Kind::Text),
    (&["forge", "github", "api_url"], Kind::Text),
    (&["forge", "github", "token_env"], Kind::Text),
    (&["forge", "github", "token_file"], Kind::Text),
    (&["forge", "github", "app_id"], Kind::Number),
    (&["forge", "github", "private_key_file"], Kind::Text),
    (&["forge", "github", "installation_id"], Kind::Number),
    (&["forge", "github", "webhook_secret_envs"], Kind::List),
    (&["forge", "github", "webhook_secret_files"], Kind::List),
    (&["forge", "github", "write_spacing_ms"], Kind::Number),
    (&["forge", "github", "redeliver_minutes"], Kind::Number),
    (&["forge", "github", "look_secs"], Kind::Number),
    (&["notify", "command"], Kind::List),
    (&["notify", "webhook"], Kind::Text),
    (&["limits", "per_story_usd"], Kind::Number),
    (&["limits", "per_day_usd"], Kind::Number),
    (&["limits", "agents"], Kind::Number),
    (&["webhook", "max_body_bytes"], Kind::Number),
    (&["webhook", "max_pending"], Kind::Number),
    (&["http", "max_connections"], Kind::Number),
    (&["http", "header_timeout_secs"], Kind::Number),
    (&["http", "body_timeout_secs"], Kind::Number),
    (&["http", "max_memory_bytes"], Kind::Number),
    (&["identity", "name"], Kind::Text),
    (&["identity", "email"], Kind::Text),
    (&["agents", "environment"], Kind::List),
    (&["agents", "credentials"], Kind::List),
    (&["sandbox"], Kind::Text),
    (&["walls", "readable"], Kind::List),
    (&["walls", "writable"], Kind::List),
    (&["walls", "network"], Kind::Text),
    (&["walls", "hosts"], Kind::List),
    (&["walls", "memory_mb"], Kind::Number),
    (&["walls", "processes"], Kind::Number),
    (&["walls", "open_files"], Kind::Number),
    (&["walls", "disk_mb"], Kind::Number),
    (&["agents", "runtimes"], Kind::List),
    (&["retention", "runs_days"], Kind::Number),
    (&["retention", "runs_max_mb"], Kind::Number),
    (&["retention", "deliveries_days"], Kind::Number),
    (&["retention", "delivery_ids_days"], Kind::Number),
    (&["retention", "events_days"], Kind::Number),
    (&["retention", "kept_work_days"], Kind::Number),
    (&["retention", "candidates_days"], Kind::Number),
    (&["retention", "worktrees_days"], Kind::Number),
    (&["retention", "old_stores_days"], Kind::Number),
    (&["retention", "every_hours"], Kind::Number),
    (&["retention", "min_free_mb"], Kind::Number),
    (&["retention", "min_free_files"], Kind::Number),
];
const REPO_KEYS: [(&str, Kind); 8] = [
    ("name", Kind::Text),
    ("path", Kind::Text),
    ("clone_url", Kind::Text),
    ("forge", Kind::Text),
    ("base_branch", Kind::Text),
    ("free_paths", Kind::List),
    ("mentions", Kind::List),
    ("bots", Kind::List),
];

pub(super) fn apply(table: &mut Table, environment: &Environment) -> Result<(), ConfigError> {
    for (path, kind) in KEYS {
        let name = variable(&path.join("_"));
        if let Some(text) = environment.get(&name) {
            insert(table, path, value(kind, text, &name)?)?;
        }
    }
    for place in 0.. {
        let named = REPO_KEYS.map(|(key, kind)| {
            let name = variable(&format!("repo_{place}_{key}"));
            let text = environment.get(&name);
            (key, text.map(|text| value(kind, text, &name)))
        });
        let repos = table
            .get("repo")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        if place >= repos && named.iter().all(|(_, value)| value.is_none()) {
            return Ok(());
        }
        for (key, value) in named {
            if let Some(value) = value {
                insert(repo(table, place)?, &[key], value?)?;
            }
        }
    }
    Ok(())
}

fn variable(path: &str) -> String {
    format!("HUSKIES_{}", path.to_uppercase())
}

fn value(kind: Kind, text: &str, name: &str) -> Result<Value, ConfigError> {
    let number = || value_error(name, &format!("`{text}` is not a number"));
    Ok(match kind {
        Kind::Text => Value::String(text.to_owned()),
        Kind::Number => match text.parse::<i64>() {
            Ok(whole) => Value::Integer(whole),
            Err(_) => Value::Float(text.parse().map_err(|_| number())?),
        },
        Kind::List => Value::Array(
            text.split(',')
                .map(|part| Value::String(part.trim().to_owned()))
                .collect(),
        ),
    })
}

fn insert(table: &mut Table, path: &[&str], value: Value) -> Result<(), ConfigError> {
    let [first, rest @ ..] = path else {
        return Ok(());
    };
    if rest.is_empty() {
        table.insert((*first).to_owned(), value);
        return Ok(());
    }
    let inner = table
        .entry(*first)
        .or_insert_with(|| Value::Table(Table::new()));
    match inner.as_table_mut() {
        Some(inner) => insert(inner, rest, value),
        None => Err(value_error(first, "it must be a table")),
    }
}

fn repo(table: &mut Table, place: usize) -> Result<&mut Table, ConfigError> {
    let repos = table
        .entry("repo")
        .or_insert_with(|| Value::Array(Vec::new()));
    let repos = repos
        .as_array_mut()
        .ok_or_else(|| value_error("repo", "it must be written as [[repo]]"))?;
    while repos.len() <= place {
        repos.push(Value::Table(Table::new()));
    }
    repos[place]
        .as_table_mut()
        .ok_or_else(|| value_error("repo", "it must be written as [[repo]]"))
}
