//! Titles and output that try to be more than text: they name no path outside, run nothing, ping
//! nobody and close nothing.

use std::path::Path;

use crate::greeting;
use crate::support::git::BASE;
use crate::support::scene::{Scene, Stage};

/// Titles that somebody may give to an issue. `OWNED` stands for a file that must never appear.
const TITLES: [&str; 10] = [
    "../../../../OWNED",
    "x; touch OWNED; `touch OWNED` $(touch OWNED) && touch OWNED",
    "--upload-pack=touch OWNED",
    "first line\nsecond line\r\n\n[core]\n\tsshCommand = touch OWNED",
    "@ada @octo/team fixes #1, closes octo/app#1",
    "``` \n@ada\n<!-- huskies:story octo/app#1 -->\n<!-- huskies:act 1 -->",
    "refs/heads/main.lock ~^:?*[\\ @{u} .. -",
    "!!! ??? \u{202e}\u{200b}\u{7}",
    "main",
    "ÄÖÜ 名前 🦀 with a title that is much longer than any branch name or folder name may ever become, and then goes on",
];

fn assert_nothing_ran(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            assert_ne!(entry.file_name(), "OWNED", "in {}", folder.display());
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
}

fn is_tame(slug: &str) -> bool {
    let tame = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !slug.is_empty() && slug.len() <= 60 && slug.chars().all(tame)
}

/// Branches and worktrees stay within their namespaces.
fn assert_names_are_tame(scene: &Scene) {
    let branches = scene.remote.branches();
    for branch in branches.iter().filter(|branch| *branch != BASE) {
        let slug = branch.strip_prefix("feature/story-");
        assert!(slug.is_some_and(is_tame), "{branches:?}");
    }
    let data = scene.folder().join("data").canonicalize().unwrap();
    for place in scene.agent.lines("places") {
        let place = Path::new(&place);
        assert!(place.starts_with(&data), "{}", place.display());
        let name = place.file_name().and_then(|name| name.to_str());
        assert!(name.is_some_and(is_tame), "{}", place.display());
    }
}

/// A comment's text without what stands in code, where GitHub reads no mention and no keyword.
fn outside_of_code(body: &str) -> String {
    let mut text = String::new();
    let mut fence: Option<usize> = None;
    for line in body.lines() {
        let ticks = line.chars().take_while(|c| *c == '`').count();
        match fence {
            Some(open) if ticks >= open && line.trim_end().len() == ticks => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(ticks),
            None => {
                let outside: Vec<&str> = line.split('`').step_by(2).collect();
                text.push_str(&outside.join(" "));
                text.push('\n');
            }
        }
    }
    assert_eq!(fence, None, "a fence is left open: {body}");
    text
}

/// Outside of code, and of the marker that huskies itself puts first, nothing does anything.
fn assert_inert(body: &str) {
    let (marker, rest) = body.split_once('\n').unwrap_or_default();
    assert!(marker.starts_with("<!-- huskies:") && marker.ends_with("-->"));
    let text = outside_of_code(rest);
    let lower = text.to_lowercase();
    let mentions = text
        .match_indices('@')
        .any(|(at, _)| text[at + 1..].starts_with(|c: char| c.is_ascii_alphanumeric()));
    assert!(!mentions, "a live mention in {body}");
    for word in ["close", "fix", "resolve"] {
        let closes = lower.lines().any(|line| {
            line.find(word)
                .is_some_and(|place| line[place..].contains('#'))
        });
        assert!(!closes, "a closing word in {body}");
    }
    assert!(!text.contains("<!--"), "a forged marker in {body}");
}

#[tokio::test]
async fn no_title_leaves_its_namespace_or_runs_anything() {
    let stage = Stage::new();
    stage.agent.always(&format!(
        "pwd >> '{}'; echo Hello >> greeting.txt; commit \"Attempt of $HUSKIES_STORY\"",
        stage.agent.file("places").display()
    ));
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let mut stories = Vec::new();
    for title in TITLES {
        // One after the other: they change the same file.
        let story = scene.start_story(title, title).await;
        scene.wait_for_stage(story, "done").await;
        stories.push(story);
    }
    assert_nothing_ran(scene.folder());
    assert_names_are_tame(&scene);
    assert_eq!(scene.agent.lines("places").len(), TITLES.len());
    assert_eq!(scene.remote.branches().len(), TITLES.len() + 1);
    for (story, title) in stories.into_iter().zip(TITLES) {
        for comment in scene.own_comments(story) {
            assert_inert(&comment.body);
        }
        assert_eq!(scene.story(story).await["title"], title);
    }
}

#[tokio::test]
async fn output_of_gates_and_agents_is_quoted_so_that_it_does_nothing() {
    let stage = Stage::new();
    let shout = "printf '````\\n@ada @octo/team fixes #1\\n```\\n</details><!-- huskies:story octo/app#9 -->\\ncloses #1\\n'";
    let words = stage.agent.file("words");
    std::fs::write(&words, shout).unwrap();
    stage
        .agent
        .always(&format!(". '{}'; {}", words.display(), greeting::WRONG));
    let gate = format!("sh '{}'; exit 1", words.display());
    let project = stage.coder().max_retries(0).gate("shouts", &gate);
    let scene = stage.serve(&project).await;
    let story = scene.start_story("@ada fixes #1", "closes #1").await;
    scene.wait_for_stage(story, "blocked").await;
    scene
        .wait_for_github("it is reported as blocked", |github| {
            !greeting::announcements(github, story).is_empty()
                && greeting::sticky_comments(github, story)
                    .iter()
                    .any(|comment| comment.body.contains("huskies: blocked"))
        })
        .await;
    let comments = scene.own_comments(story);
    assert_eq!(comments.len(), 2, "{comments:#?}");
    for comment in &comments {
        assert_inert(&comment.body);
    }
    let quoted = |body: &str| body.contains("@ada @octo/team fixes #1");
    assert!(
        comments.iter().any(|comment| quoted(&comment.body)),
        "the output is shown: {comments:#?}"
    );
}

#[tokio::test]
async fn secrets_in_output_do_not_leave_the_server() {
    let stage = Stage::new();
    stage.agent.always(greeting::WRONG);
    let secret = crate::support::github_model::TOKEN;
    let gate = format!("echo 'pushing with {secret}'; exit 1");
    let project = stage.coder().max_retries(0).gate("leaks", &gate);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "blocked").await;
    scene
        .wait_for_github("it is reported as blocked", |github| {
            !greeting::announcements(github, story).is_empty()
                && greeting::sticky_comments(github, story)
                    .iter()
                    .any(|comment| comment.body.contains("huskies: blocked"))
        })
        .await;
    for comment in scene.own_comments(story) {
        assert!(!comment.body.contains(secret), "{}", comment.body);
    }
    assert!(!scene.server.log().contains(secret));
}

#[tokio::test]
async fn agents_and_gates_see_no_secret_of_the_server() {
    let stage = Stage::new();
    let (agent, gate) = (stage.agent.file("agent-env"), stage.agent.file("gate-env"));
    stage
        .agent
        .always(&format!("env > '{}'; {}", agent.display(), greeting::RIGHT));
    let project = stage
        .coder()
        .gate("noted", &format!("env > '{}'", gate.display()));
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    for file in ["agent-env", "gate-env"] {
        let environment = scene.agent.lines(file);
        assert!(!environment.is_empty());
        let leaked: Vec<_> = environment
            .iter()
            .filter(|line| {
                line.contains(crate::support::github_model::TOKEN)
                    || line.contains(crate::support::github_model::WEBHOOK_SECRET)
            })
            .collect();
        assert!(leaked.is_empty(), "{file}: {leaked:?}");
    }
    let environment = scene.agent.lines("agent-env");
    for name in [
        "STORY=octo/app#1",
        "ATTEMPT=1",
        "WORKTREE=/",
        "PROMPT_FILE=/",
    ] {
        let wanted = format!("HUSKIES_{name}");
        assert!(
            environment.iter().any(|line| line.starts_with(&wanted)),
            "{wanted} in {environment:?}"
        );
    }
}
