//! What a person sees while the demonstration plays, and at its end.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

use super::super::story::event_line;
use super::super::terminal::tame;
use super::super::{CliError, Output};
use super::Summary;
use super::scene::{REPO, Scene};
use crate::domain::id::StoryId;
use crate::web::EventView;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = Style::new()
    .bold()
    .fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const RED: Style = Style::new()
    .bold()
    .fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const YELLOW: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));

/// Events that tell the tale; the others are in `huskies story events`.
const TOLD: [&str; 10] = [
    "project_read",
    "agent_started",
    "agent_ended",
    "gates_ended",
    "merge_began",
    "merge_conflicted",
    "merge_gates_failed",
    "merge_waits",
    "merge_rejected",
    "landed",
];

pub(super) struct Show<'a> {
    out: &'a mut Output,
}

impl<'a> Show<'a> {
    pub(super) fn new(out: &'a mut Output) -> Self {
        Self { out }
    }

    pub(super) fn opening(&mut self, scene: &Scene) -> Result<(), CliError> {
        self.out.line(format!(
            "{BOLD}huskies demo{BOLD:#}: three issues, a scripted agent, real everything else"
        ))?;
        self.out.line(format!(
            "{DIM}repository {REPO} in {}{DIM:#}\n",
            scene.repository().display()
        ))
    }

    /// One line, so that nobody takes what follows for sandboxed.
    pub(super) fn no_sandbox(&mut self, error: &anyhow::Error) -> Result<(), CliError> {
        let cause = error.root_cause();
        self.out.line(format!(
            "{DIM}without the sandbox: {cause} (`huskies doctor` says more){DIM:#}\n"
        ))
    }

    pub(super) fn opened(&mut self, id: &StoryId, title: &str) -> Result<(), CliError> {
        self.out.line(format!(
            "{BOLD}#{}{BOLD:#}  opened and started: {}",
            id.number,
            tame(title)
        ))
    }

    pub(super) fn event(&mut self, id: &StoryId, event: &EventView) -> Result<(), CliError> {
        if !TOLD.contains(&event.event.as_str()) || event.refusal.is_some() {
            return Ok(());
        }
        let style = match event.event.as_str() {
            "landed" => GREEN,
            "merge_conflicted" | "merge_gates_failed" | "merge_rejected" => YELLOW,
            "gates_ended" if event.summary.contains("failed") => YELLOW,
            _ => Style::new(),
        };
        self.out.line(format!(
            "{BOLD}#{}{BOLD:#}  {style}{}{style:#}",
            id.number,
            event_line(event)
        ))
    }

    pub(super) fn summary(
        &mut self,
        summary: &Summary,
        scene: &Scene,
        trouble: Option<&anyhow::Error>,
    ) -> Result<(), CliError> {
        self.out.value(summary)?;
        self.out.line("")?;
        for story in &summary.stories {
            let style = if story.stage == "done" { GREEN } else { RED };
            let landed = story
                .commit
                .as_ref()
                .map_or_else(String::new, |commit| format!(" as {commit:.10}"));
            self.out.line(format!(
                "{BOLD}{}{BOLD:#}  {style}{}{style:#}{landed}  {}",
                story.id,
                story.stage,
                tame(&story.title)
            ))?;
            let counts = [
                counted(story.attempts, "attempt"),
                counted(story.gate_runs, "gate run"),
                counted(story.conflicts, "conflict"),
                counted(story.comments, "comment"),
                format!("{} statuses", story.statuses),
            ];
            self.out
                .line(format!("{DIM}    {}{DIM:#}", counts.join(", ")))?;
        }
        self.out.line(format!(
            "\n{BOLD}main{BOLD:#}, each commit the very tree that its gates passed:"
        ))?;
        for commit in scene.history()? {
            self.out.line(format!("    {}", tame(&commit)))?;
        }
        self.closing(scene, trouble)
    }

    fn closing(&mut self, scene: &Scene, trouble: Option<&anyhow::Error>) -> Result<(), CliError> {
        match trouble {
            None => self.out.line(format!(
                "\n{GREEN}All as it should be.{GREEN:#} In a repository of yours: `huskies init`, then `huskies serve`."
            ))?,
            Some(trouble) => self.out.remark(format!("\n{RED}This did not go as it should:{RED:#} {trouble:#}"))?,
        }
        if scene.is_kept() {
            self.out
                .remark(format!("kept: {}", scene.folder().display()))?;
        }
        Ok(())
    }
}

fn counted(count: impl Display, one: &str) -> String {
    let count = count.to_string();
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {one}{plural}")
}
