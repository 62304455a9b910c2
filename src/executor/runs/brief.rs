//! From a brief of the core to what a supervisor is told: the prompt and argument list of an
//! agent, the checkout and definitions of a set of gates.

use anyhow::Context as _;

use super::super::base::project_at;
use super::super::context::{Context, RepoContext};
use super::super::rooms;
use crate::agent::prompt::{Conflict, Occasion, PromptRequest, compose};
use crate::agent::session::AgentSpec;
use crate::agent::template::Template;
use crate::agent::{FIX_UP_CAP, LaunchRequest, spec};
use crate::config::environment;
use crate::domain::effect::{AgentBrief, GatesBrief};
use crate::domain::id::{Attempt, BranchName, RunId, StoryId};
use crate::domain::money::Usd;
use crate::domain::story::{MergeFailure, Purpose};
use crate::gate::Place;
use crate::gate::job::GatesSpec;
use crate::gate::runner::default_parallel;
use crate::git::WorktreeSpec;
use crate::process::run_folder::RunFolder;

/// The project's own words to every agent, on the base branch.
const AGENT_NOTES: &str = ".huskies/AGENT.md";
/// How much of each gate's output is kept.
const OUTPUT_BYTES: usize = 64 * 1024;

/// One agent to be started.
pub(super) struct AgentOrder<'a> {
    pub(super) story: &'a StoryId,
    pub(super) attempt: Attempt,
    pub(super) brief: &'a AgentBrief,
    pub(super) folder: &'a RunFolder,
}

pub(super) async fn agent_spec(
    context: &Context,
    order: &AgentOrder<'_>,
) -> anyhow::Result<AgentSpec> {
    let AgentOrder {
        story,
        attempt,
        brief,
        folder,
    } = order;
    let repo = context.repo(&story.repo)?;
    let worktree = WorktreeSpec {
        story: (*story).clone(),
        branch: brief.branch.clone(),
        base: brief.base.clone(),
    };
    let worktree = repo.git.prepare_worktree(&worktree).await?;
    let prompt = prompt(repo, order).await?;
    let adapters = &context.adapters;
    let fix_up = matches!(brief.purpose, Purpose::FixUp { .. });
    let request = LaunchRequest {
        story: (*story).clone(),
        attempt: *attempt,
        agent: brief.agent.clone(),
        prompt,
        start: brief.start.clone(),
        budget: ceiling(brief.reservation.amount()),
        cap: fix_up.then_some(FIX_UP_CAP),
        worktree: worktree.path,
        prompt_file: folder.path().join("prompt.md"),
        environment: adapters.agent_environment.clone(),
        as_root: adapters.as_root,
        confinement: rooms::of_agent(
            context,
            repo,
            (story, &brief.branch),
            (folder.path(), &folder.path().join("prompt.md")),
        )?,
    };
    Ok(spec(&request)?)
}

/// What an agent may spend of what is reserved for it; an agent without money has no ceiling to know.
fn ceiling(reserved: Usd) -> Option<Usd> {
    Some(reserved).filter(|amount| *amount > Usd::ZERO)
}

async fn prompt(
    repo: &RepoContext,
    order: &AgentOrder<'_>,
) -> anyhow::Result<crate::agent::prompt::Prompt> {
    let brief = order.brief;
    let template = match &brief.agent.prompt {
        Some(text) => {
            Template::parse(text).with_context(|| format!("agent `{}`", brief.agent.name))?
        }
        None => Template::built_in(brief.agent.role),
    };
    let notes = repo.git.read_file(&brief.base, AGENT_NOTES).await?;
    let notes = notes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let base = match repo.base_branch.clone() {
        Some(branch) => branch,
        None => repo.git.sync_base(None).await?.branch,
    };
    Ok(compose(&PromptRequest {
        story: order.story,
        branch: &brief.branch,
        task: &brief.task,
        template: &template,
        recent_events: &brief.recent,
        messages: &brief.messages,
        epic: brief.task.epic.as_ref(),
        notes: notes.as_deref(),
        occasion: occasion(brief, &base),
        start: &brief.start,
    }))
}

fn occasion<'a>(brief: &'a AgentBrief, base: &'a BranchName) -> Occasion<'a> {
    let failures = brief.failure.as_deref();
    match &brief.purpose {
        Purpose::FixUp {
            failure: MergeFailure::ConflictDetected { base: tip, paths },
        } => Occasion::FixUp {
            failures,
            conflict: Some(Conflict { base, tip, paths }),
        },
        Purpose::FixUp {
            failure:
                MergeFailure::GatesFailed { .. }
                | MergeFailure::PushRejected { .. }
                | MergeFailure::LandedTreeDiffers { .. },
        } => Occasion::FixUp {
            failures,
            conflict: None,
        },
        Purpose::Task | Purpose::Review if brief.first => Occasion::First,
        Purpose::Task | Purpose::Review => Occasion::Retry {
            failures,
            kept: None,
        },
    }
}

pub(super) async fn gates_spec(
    context: &Context,
    id: &RunId,
    brief: &GatesBrief,
    (slot, folder): (String, &RunFolder),
) -> anyhow::Result<GatesSpec> {
    let repo = context.repo(id.repo())?;
    let project = project_at(repo, &brief.rules).await?;
    let directory = repo.git.checkout(&slot, &brief.commit).await?;
    Ok(GatesSpec {
        commit: brief.commit.clone(),
        tree: repo.git.tree_of(&brief.commit).await?,
        gates: project.gates_on(brief.moment),
        components: project.components,
        place: Place {
            confinement: rooms::of_gates(context, repo, &slot, &directory, folder.path())?,
            directory,
            environment: environment::for_project_commands(),
            marks: String::new(),
            output_cap: OUTPUT_BYTES,
        },
        changed_paths: Some(repo.git.changed_paths(&brief.rules, &brief.commit).await?),
        parallel: default_parallel(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::project::Moment;
    use crate::executor::tests::{PROJECT, World, parsed, repo};

    #[test]
    fn an_agent_is_told_what_is_reserved_for_it_unless_that_is_nothing() {
        let reserved = Usd::from_cents(150);
        assert_eq!(ceiling(reserved), Some(reserved));
        assert_eq!(ceiling(Usd::ZERO), None);
    }

    #[tokio::test]
    async fn a_retry_is_told_what_failed_and_a_first_attempt_is_not() {
        let world = World::new().await;
        let base: BranchName = "main".parse().unwrap();
        let mut brief = world.brief().await;
        brief.failure = Some("no greeting".to_owned());
        brief.first = true;
        assert!(matches!(occasion(&brief, &base), Occasion::First));
        brief.first = false;
        let told = occasion(&brief, &base);
        assert!(
            matches!(
                told,
                Occasion::Retry {
                    failures: Some("no greeting"),
                    kept: None
                }
            ),
            "{told:?}"
        );
    }

    #[tokio::test]
    async fn gates_are_those_of_the_base_on_the_commit_and_keep_64_kib_of_output() {
        let world = World::new().await;
        let base = world.tip().await;
        let commit = world.push(&[("greeting.txt", "Hello\n")]);
        world.tip().await;
        let brief = GatesBrief {
            commit: commit.clone(),
            rules: base,
            moment: Moment::Merge,
        };
        let id = RunId::Merge(repo(), 1);
        let folder = RunFolder::of(&world.at("data"), &id).unwrap();
        let spec = gates_spec(&world.context, &id, &brief, ("gates-0".to_owned(), &folder));
        let spec = spec.await.unwrap();
        assert_eq!(spec.commit, commit);
        assert_eq!(spec.gates, parsed(PROJECT).gates);
        assert_eq!(spec.changed_paths.unwrap(), ["greeting.txt"]);
        assert!(spec.place.directory.join("greeting.txt").exists());
        assert_eq!(spec.place.output_cap, 65_536);
    }
}
