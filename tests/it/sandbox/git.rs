//! What a hostile agent and a hostile gate can do with git: to other stories and repositories, and
//! to the server when it looks at what they left.

use std::path::{Path, PathBuf};

use super::{HOSTILE, hostile, off, on};
use crate::greeting;
use crate::support::git::{BASE, git};
use crate::support::patience::eventually;
use crate::support::scene::Scene;
use crate::support::server::Config;

/// Who moved what, a line each. `$victim` is another story's repository, `$branch` its branch,
/// `$base` the commit that it would lose its work to.
const MOVE: &str = r#"
[ -e "$here/targets.sh" ] || exit 0
. "$here/targets.sh"
moved() { echo "$1" >> "$here/moved-$me"; }
quietly() { "$@" > /dev/null 2>&1; }
quietly git --git-dir="$victim" update-ref "$branch" "$base" && moved 'a branch, in its repository'
quietly git push --force "$victim" "$base:refs/heads/by-push-$me" && moved 'a branch, by a push'
quietly git --git-dir="$control" update-ref "refs/heads/by-$me" "$base" && moved 'control'
quietly git push "$clone" "$base:refs/heads/by-$me" && moved 'the clone'
quietly git push "$remote" "$base:refs/heads/by-$me" && moved 'the remote'
git branch --force "${branch#refs/heads/}" "$base" || true
"#;

/// Everything that git would run of what is planted. What springs says in which user namespace:
/// every room has one of its own.
const PLANT: &str = r#"
common=$(git rev-parse --git-common-dir)
trap="$here/trap-$me"
printf '#!/bin/sh\nreadlink /proc/self/ns/user >> "%s"\ncat 2> /dev/null\n' "$here/sprung" > "$trap"
chmod +x "$trap"
mkdir -p "$common/hooks" "$common/info"
for hook in pre-commit post-checkout post-index-change reference-transaction pre-push post-merge pre-auto-gc; do
    cp "$trap" "$common/hooks/$hook"
done
for scope in --local --worktree; do
    git config $scope core.hooksPath "$common/hooks"
    git config $scope core.fsmonitor "$trap"
    git config $scope core.sshCommand "$trap"
    git config $scope core.alternateRefsCommand "$trap"
    git config $scope uploadpack.packObjectsHook "$trap"
    git config $scope diff.external "$trap"
    git config $scope filter.evil.clean "$trap"
    git config $scope filter.evil.smudge "$trap"
    git config $scope merge.evil.driver "$trap"
    git config $scope gpg.program "$trap"
done
echo '* filter=evil merge=evil diff=evil' > "$common/info/attributes"
git status > /dev/null 2>&1 || true
"#;

/// What the script of [`MOVE`] aims at, as shell variables.
fn aim(scene: &Scene, victim: &Path, branch: &str, base: &str) {
    let shown = |path: PathBuf| path.display().to_string();
    let targets = [
        ("victim", victim.display().to_string()),
        ("branch", branch.to_owned()),
        ("base", base.to_owned()),
        ("control", shown(scene.control())),
        ("clone", shown(scene.folder().join("app"))),
        ("remote", shown(scene.remote.path().to_owned())),
    ];
    let lines = targets.map(|(name, value)| format!("{name}='{value}'"));
    let file = scene.agent.file("targets.sh");
    std::fs::write(scene.agent.file("targets.new"), lines.join("\n")).unwrap();
    std::fs::rename(scene.agent.file("targets.new"), file).unwrap();
}

/// The repository in which a story's branch is, the branch, and its tip.
fn cell_of(scene: &Scene, story: u64) -> (PathBuf, String, String) {
    let cells = scene.control().with_file_name("cells");
    for entry in std::fs::read_dir(cells).unwrap().flatten() {
        let refs = git(
            &entry.path(),
            &["for-each-ref", "--format=%(refname) %(objectname)"],
        );
        let wanted = format!("refs/heads/feature/story-{story}-");
        if let Some(line) = refs.lines().find(|line| line.starts_with(&wanted)) {
            let (branch, tip) = line.split_once(' ').unwrap();
            return (entry.path(), branch.to_owned(), tip.to_owned());
        }
    }
    panic!("story {story} has no repository of its own");
}

/// A story that has committed and works on, while the agent and the gate of another one try to move
/// its branch; what they moved, by who they are. Ends with both stories done.
async fn attack(config: impl FnOnce(Config) -> Config) -> [Vec<String>; 2] {
    let mut pause = None;
    // The first story's own agent is told what to do before it starts.
    let (scene, victim) = hostile(MOVE, config, |scene| {
        let held = scene.agent.pause("victim");
        let turn = format!("{}\n{}", greeting::RIGHT, held.shell());
        scene.agent.story(1, &turn);
        pause = Some(held);
    })
    .await;
    assert_eq!(victim, 1);
    let held = pause.unwrap().reached().await;
    let (cell, branch, tip) = cell_of(&scene, victim);
    let base = scene.remote.tip(BASE);
    aim(&scene, &cell, &branch, &base);

    let attacker = scene
        .start_story("Say something else", greeting::BODY)
        .await;
    scene.wait_for_stage(attacker, "done").await;
    let moved = HOSTILE.map(|who| scene.agent.lines(&format!("moved-{who}")));
    let now = git(&cell, &["rev-parse", &branch]);
    assert_eq!(now == tip, moved.concat().is_empty(), "{moved:?}");

    std::fs::remove_file(scene.agent.file("targets.sh")).unwrap();
    held.let_go();
    moved
}

#[tokio::test]
async fn nobody_moves_the_branch_of_another_story_or_repository() {
    assert_eq!(attack(on).await, [Vec::<String>::new(), Vec::new()]);
}

#[tokio::test]
async fn without_the_sandbox_everybody_moves_every_branch() {
    for moved in attack(off).await {
        // A gate runs on what was committed, and again on what lands: once is enough.
        for what in [
            "a branch, in its repository",
            "a branch, by a push",
            "control",
            "the clone",
            "the remote",
        ] {
            assert!(moved.iter().any(|line| line == what), "{what}: {moved:?}");
        }
    }
}

#[tokio::test]
async fn what_is_planted_springs_in_no_room_but_its_own() {
    let script = format!("set +e\n{PLANT}");
    let (scene, story) = hostile(&script, on, |_| ()).await;
    scene.wait_for_stage(story, "done").await;
    eventually("both planted", || {
        HOSTILE
            .iter()
            .all(|who| scene.agent.file(&format!("trap-{who}")).exists())
    })
    .await;
    let sprung = scene.agent.lines("sprung");
    assert!(!sprung.is_empty(), "nothing springs at all");
    let server = format!("/proc/{}/ns/user", scene.server.pid());
    let outside = std::fs::read_link(server).unwrap();
    let outside = outside.to_str().unwrap();
    assert!(sprung.iter().all(|room| room != outside), "{sprung:?}");
}
