//! `huskies demo`: the whole way, on real files, without an account, a key or a server of yours.
//!
//! It makes a small repository, serves it with the built-in forge, and lets a scripted agent do
//! three stories: one that fails a gate and mends it, and two that change the same line, so that
//! the second to land meets a conflict. Everything else is the real thing. It succeeds only when
//! every story ended as it should.

mod scene;
mod show;

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::{CliError, ExitStatus, Output};
use crate::app::{self, App, DataDir};
use crate::config::environment::Environment;
use crate::domain::id::StoryId;
use crate::domain::sandbox::Sandbox;
use crate::report::Masker;
use crate::web::{EventView, StoryView};
use scene::Scene;
use show::Show;

/// Show the main job on a throw-away repository, with a scripted agent
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Keep the repository and the data folder to look at
    #[arg(long)]
    keep: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Summary {
    stories: Vec<StorySummary>,
}

#[derive(Debug, Serialize)]
struct StorySummary {
    id: String,
    stage: String,
    attempts: u32,
    gate_runs: u32,
    commit: Option<String>,
    receipt: Option<serde_json::Value>,
    comments: usize,
    statuses: usize,
    #[serde(skip)]
    title: String,
    #[serde(skip)]
    conflicts: usize,
}

pub async fn run(
    args: DemoArgs,
    environment: &Environment,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let scene = Scene::make(args.keep)?;
    let mut show = Show::new(out);
    show.opening(&scene)?;
    let sandbox = match app::walls_hold(&scene.config(Sandbox::On), environment).await {
        Ok(()) => Sandbox::On,
        Err(error) => {
            show.no_sandbox(&error)?;
            Sandbox::Off
        }
    };
    let app = App::open(scene.config(sandbox), environment, Masker::default()).await?;
    let client =
        Client::to(DataDir::server_file(&scene.data_dir())?.context("the server left no address")?);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let serving = app.run(shutdown.clone());
    let play = async {
        let played = play(&client, &scene, &mut show).await;
        stop.cancel();
        played
    };
    let (outcome, played) = tokio::join!(serving, play);
    let summary = played?;
    outcome?;
    let outcome = check(&summary, &scene);
    show.summary(&summary, &scene, outcome.as_ref().err())?;
    Ok(if outcome.is_ok() {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

/// Opens and starts the stories, and follows them to their ends.
async fn play(client: &Client, scene: &Scene, show: &mut Show<'_>) -> Result<Summary, CliError> {
    let mut ids = Vec::new();
    for (title, body) in scene::STORIES {
        let created = client.new_issue(scene::REPO, (title, body), None).await?;
        let id: StoryId = created["id"]
            .as_str()
            .unwrap_or_default()
            .parse()
            .map_err(anyhow::Error::new)?;
        show.opened(&id, title)?;
        client.ask(&id, "start").await?;
        ids.push(id);
    }
    let mut stories = BTreeMap::new();
    let mut seen = vec![0; ids.len()];
    let mut rivals = 0;
    let mut conflicts = vec![0; ids.len()];
    while stories.len() < ids.len() {
        for (place, id) in ids.iter().enumerate() {
            if stories.contains_key(&place) {
                continue;
            }
            let story = client.story(id).await?;
            for event in client.events(id, seen[place], 0).await? {
                seen[place] = event.seq;
                show.event(id, &event)?;
                conflicts[place] += usize::from(event.event == "merge_conflicted");
                rivals += usize::from(place > 0 && is_first_start(&event));
            }
            if story.is_at_rest() && client.events(id, seen[place], 0).await?.is_empty() {
                stories.insert(place, story);
            }
        }
        // Both rivals have their worktrees: from here on whoever lands second meets a conflict.
        if rivals == 2 {
            scene.let_rivals_go()?;
        }
        if let Some(place) = (0..ids.len()).find(|place| !stories.contains_key(place)) {
            client.events(&ids[place], seen[place], 1).await?;
        }
    }
    let mut summary = Summary {
        stories: Vec::new(),
    };
    for (place, story) in stories {
        summary
            .stories
            .push(summarise(client, &ids[place], story, conflicts[place]).await?);
    }
    Ok(summary)
}

fn is_first_start(event: &EventView) -> bool {
    event.event == "agent_started" && event.refusal.is_none() && event.data.attempt() == Some(1)
}

async fn summarise(
    client: &Client,
    id: &StoryId,
    story: StoryView,
    conflicts: usize,
) -> Result<StorySummary, CliError> {
    let forge = settled_forge(client, id).await?;
    let count = |key: &str| forge[key].as_array().map_or(0, Vec::len);
    Ok(StorySummary {
        id: story.id,
        title: story.title,
        stage: story.stage,
        attempts: story.attempt,
        gate_runs: story.gate_runs,
        commit: story.commit,
        receipt: story
            .receipt
            .map(serde_json::to_value)
            .transpose()
            .map_err(anyhow::Error::new)?,
        comments: count("comments"),
        statuses: count("statuses"),
        conflicts,
    })
}

/// What the forge shows once the last report is written: reports come after the fact.
async fn settled_forge(client: &Client, id: &StoryId) -> Result<serde_json::Value, CliError> {
    let mut forge = client.forge(id).await?;
    for _ in 0..100 {
        let labels = forge["labels"].to_string();
        let said = forge["comments"].to_string();
        if labels.contains("stage:done")
            && said.contains("**Done.**")
            && said.contains("huskies: done")
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        forge = client.forge(id).await?;
    }
    Ok(forge)
}

/// Whether everything ended as a demonstration must.
fn check(summary: &Summary, scene: &Scene) -> anyhow::Result<()> {
    for story in &summary.stories {
        ensure!(
            story.stage == "done",
            "{} ended as {} instead of done",
            story.id,
            story.stage
        );
        let commit = story
            .commit
            .as_deref()
            .context("a story is done without a commit")?;
        let receipt = story
            .receipt
            .as_ref()
            .context("a story landed without a receipt")?;
        ensure!(
            scene.tree_of(commit)? == receipt["tree"].as_str().unwrap_or_default(),
            "{} landed another tree than the one that was tested",
            story.id
        );
        ensure!(
            scene.base_contains(commit)?,
            "the base branch does not contain {commit}"
        );
    }
    let first = summary.stories.first().context("no story was played")?;
    ensure!(
        first.attempts == 2,
        "the first story took {} attempts instead of 2",
        first.attempts
    );
    let conflicts: usize = summary.stories.iter().map(|story| story.conflicts).sum();
    ensure!(
        conflicts == 1,
        "there were {conflicts} conflicts instead of 1"
    );
    scene.check_content()
}
