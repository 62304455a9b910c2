//! `huskies story …`: opening, looking at and moving stories of a running server.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::client::Client;
use super::place::PlaceArgs;
use super::{CliError, ExitStatus, Output};
use crate::config::environment::Environment;
use crate::domain::id::StoryId;
use crate::domain::text::visible_line;
use crate::web::{EventView, StoryView};

/// How long one request waits for news before it asks again.
const POLL_SECS: u64 = 30;

/// Characters of an event's sentence that a line shows.
const LONGEST_SUMMARY: usize = 200;

/// Open, look at and move stories
#[derive(Debug, Args)]
pub struct StoryArgs {
    #[command(subcommand)]
    command: StoryCommand,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Subcommand)]
enum StoryCommand {
    /// Open an issue on the built-in forge
    New {
        title: String,
        /// What the agent is to do, in full
        #[arg(long, short, default_value = "")]
        body: String,
        /// The issue that it is a part of, by its number
        #[arg(long, value_name = "NUMBER")]
        parent: Option<u64>,
        /// Start it at once
        #[arg(long)]
        start: bool,
        /// The repository, where the server has several
        #[arg(long)]
        repo: Option<String>,
    },
    /// List the stories that were started
    List,
    /// Show one story
    Show { story: String },
    /// Show what happened to a story
    Events { story: String },
    /// Start a story, or start it again from its kept work
    Start { story: String },
    /// Stop a story and keep its work
    Stop { story: String },
    /// Stop a story for good, as closing its issue does, and keep its work
    Cancel { story: String },
    /// Go on with a blocked story from where it was
    Retry { story: String },
    /// Let a commit land that touches protected files; look at it first
    Approve {
        story: String,
        /// The commit, or at least seven of its digits
        commit: String,
    },
    /// Pause a story before its next stage
    Hold { story: String },
    /// Let a held story go on
    Release { story: String },
    /// Wait until a story is at rest; exits 0 when it is done
    Wait {
        story: String,
        /// Give up after this many seconds
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
    },
}

pub async fn run(
    args: StoryArgs,
    environment: &Environment,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let client = Client::of(&args.place.data_dir(environment)?)?;
    match args.command {
        StoryCommand::New {
            title,
            body,
            parent,
            start,
            repo,
        } => {
            let order = NewStory {
                title,
                body,
                parent,
                start,
                repo,
            };
            new(&client, order, out).await
        }
        StoryCommand::List => list(&client, out).await,
        StoryCommand::Show { story } => {
            show(&client.story(&find(&client, &story).await?).await?, out)
        }
        StoryCommand::Events { story } => events(&client, &story, out).await,
        StoryCommand::Start { story } => ask(&client, &story, "start", out).await,
        StoryCommand::Stop { story } => ask(&client, &story, "stop", out).await,
        StoryCommand::Cancel { story } => ask(&client, &story, "cancel", out).await,
        StoryCommand::Retry { story } => ask(&client, &story, "retry", out).await,
        StoryCommand::Approve { story, commit } => {
            // Digits alone, since it becomes a part of an address.
            if !commit.chars().all(|digit| digit.is_ascii_hexdigit()) {
                let error = anyhow::anyhow!("`{commit}` is no commit");
                return Err(CliError::usage(error).hint("`huskies story show` names it"));
            }
            ask(&client, &story, &format!("approve?commit={commit}"), out).await
        }
        StoryCommand::Hold { story } => ask(&client, &story, "hold", out).await,
        StoryCommand::Release { story } => ask(&client, &story, "release", out).await,
        StoryCommand::Wait { story, timeout } => {
            let id = find(&client, &story).await?;
            let waited = wait(&client, &id);
            let story = match timeout {
                None => waited.await?,
                Some(seconds) => {
                    match tokio::time::timeout(Duration::from_secs(seconds), waited).await {
                        Ok(story) => story?,
                        Err(_) => client.story(&id).await?,
                    }
                }
            };
            show(&story, out)?;
            Ok(if story.stage == "done" {
                ExitStatus::Success
            } else {
                ExitStatus::Failure
            })
        }
    }
}

struct NewStory {
    title: String,
    body: String,
    parent: Option<u64>,
    start: bool,
    repo: Option<String>,
}

async fn new(client: &Client, order: NewStory, out: &mut Output) -> Result<ExitStatus, CliError> {
    let repo = match order.repo {
        Some(repo) => repo,
        None => only_repo(client).await?,
    };
    let text = (order.title.as_str(), order.body.as_str());
    let created = client.new_issue(&repo, text, order.parent).await?;
    let id: StoryId = created["id"]
        .as_str()
        .unwrap_or_default()
        .parse()
        .map_err(CliError::usage)?;
    if order.start {
        client.ask(&id, "start").await?;
    }
    out.value(&created)?;
    out.line(&id)?;
    if !order.start && !out.is_json() {
        out.remark(format!("start it with `huskies story start {}`", id.number))?;
    }
    Ok(ExitStatus::Success)
}

/// The server's one repository; with several, which one is meant has to be said.
async fn only_repo(client: &Client) -> Result<String, CliError> {
    let mut repos = client.repos().await?;
    if repos.len() > 1 {
        let error = anyhow::anyhow!(
            "this server has {} repositories: {}",
            repos.len(),
            repos.join(", ")
        );
        return Err(CliError::usage(error).hint("name one, as in `octo/app#42` or with --repo"));
    }
    repos
        .pop()
        .ok_or_else(|| CliError::usage(anyhow::anyhow!("this server has no repository")))
}

/// `42`, `#42` or `octo/app#42`.
pub async fn find(client: &Client, story: &str) -> Result<StoryId, CliError> {
    match story.trim_start_matches('#').parse::<u64>() {
        Ok(number) => format!("{}#{number}", only_repo(client).await?)
            .parse()
            .map_err(CliError::usage),
        Err(_) => story.parse().map_err(CliError::usage),
    }
}

async fn list(client: &Client, out: &mut Output) -> Result<ExitStatus, CliError> {
    let stories = client.stories().await?;
    out.value(&stories)?;
    if stories.is_empty() {
        out.line("No story was started yet.")?;
    }
    let width = stories
        .iter()
        .map(|story| story.id.len())
        .max()
        .unwrap_or_default();
    for story in &stories {
        let state = match &story.activity {
            Some(activity) => format!("{} ({activity})", story.stage),
            None => story.stage.clone(),
        };
        out.line(format!(
            "{:width$}  {state:24}  {}",
            story.id,
            visible_line(&story.title)
        ))?;
    }
    Ok(ExitStatus::Success)
}

async fn ask(
    client: &Client,
    story: &str,
    verb: &str,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let id = find(client, story).await?;
    show(&client.ask(&id, verb).await?, out)
}

fn show(story: &StoryView, out: &mut Output) -> Result<ExitStatus, CliError> {
    out.value(story)?;
    out.line(format!("{}  {}", story.id, visible_line(&story.title)))?;
    let activity = story
        .activity
        .as_ref()
        .map_or_else(String::new, |activity| format!(", {activity}"));
    out.line(format!("  stage    {}{activity}", story.stage))?;
    if let Some(reason) = &story.reason {
        out.line(format!("  because  {}", visible_line(reason)))?;
    }
    out.line(format!(
        "  attempt  {}, {} retries, {} gate runs",
        story.attempt, story.retries, story.gate_runs
    ))?;
    if let Some(branch) = &story.branch {
        out.line(format!("  branch   {branch}"))?;
    }
    if let Some(commit) = &story.commit {
        out.line(format!("  landed   {commit}"))?;
    }
    out.line(format!("  spent    {}", story.spent))?;
    if let Some(calls) = story.api_calls.filter(|calls| *calls > 0) {
        out.line(format!("  asked    the forge, {calls} times"))?;
    }
    Ok(ExitStatus::Success)
}

async fn events(client: &Client, story: &str, out: &mut Output) -> Result<ExitStatus, CliError> {
    let id = find(client, story).await?;
    let events = client.events(&id, 0, 0).await?;
    out.value(&events)?;
    for event in &events {
        out.line(event_line(event))?;
    }
    Ok(ExitStatus::Success)
}

/// `14:03:07  the agent says that it is done`
pub fn event_line(event: &EventView) -> String {
    let ignored = event
        .refusal
        .as_ref()
        .map_or_else(String::new, |why| format!("  ({})", visible_line(why)));
    let summary = shortened(&visible_line(&event.summary));
    format!("{}  {summary}{ignored}", clock(event.at))
}

/// What an agent printed last is part of some sentences; `--json` and `huskies logs` have it whole.
fn shortened(line: &str) -> String {
    match line.char_indices().nth(LONGEST_SUMMARY) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// The time of day in UTC.
fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// Follows a story until nothing more happens by itself.
pub async fn wait(client: &Client, id: &StoryId) -> Result<StoryView, CliError> {
    let mut seen = 0;
    loop {
        let story = client.story(id).await?;
        if story.is_at_rest() {
            return Ok(story);
        }
        let events = client.events(id, seen, POLL_SECS).await?;
        seen = events.last().map_or(seen, |event| event.seq);
    }
}
