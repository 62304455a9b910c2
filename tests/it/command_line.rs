//! The command line and the built-in forge: the whole way without an account, into somebody's own
//! clone that has no remote.

use serde_json::Value;

use crate::greeting::{self, COMPLAINT, GREETS, RIGHT};
use crate::support::agent::{AUTHOR, ScriptedAgent};
use crate::support::clone::{LocalScene, run};
use crate::support::following::follow;
use crate::support::git::{self, BASE};
use crate::support::patience::eventually;
use crate::support::project::Project;

fn project(agent: &ScriptedAgent) -> Project {
    Project::new()
        .coder("coder", &agent.command())
        .gate("greets", GREETS)
}

async fn scene() -> LocalScene {
    let scene = LocalScene::serve(project).await;
    scene.agent.always(RIGHT);
    scene
}

#[tokio::test]
async fn a_story_goes_all_the_way_by_the_command_line() {
    let scene = scene().await;
    greeting::teach(&scene.agent);
    let new = ["story", "new", greeting::TITLE, "--body", greeting::BODY];
    let new = scene.huskies(&new).await;
    assert_eq!(
        (new.code, new.stdout.trim()),
        (Some(0), "octo/app#1"),
        "{new:?}"
    );
    let start = scene.huskies(&["story", "start", "octo/app#1"]).await;
    assert_eq!(start.code, Some(0), "{start:?}");
    let wait = scene.huskies(&["story", "wait", "1", "--json"]).await;
    assert_eq!(wait.code, Some(0), "{wait:?}");
    let story = wait.json();
    assert_eq!(story["stage"], "done");
    assert_eq!(story["attempt"], 2);
    let log = git::log(&scene.clone(), BASE);
    assert_eq!(story["commit"], log[0].sha.as_str());
    assert_eq!(story["receipt"]["tree"], log[0].tree.as_str());
    assert_eq!(log[0].author, AUTHOR);
    assert_eq!(log.len(), 2);
    let prompt = scene.agent.prompt(1, 2);
    assert!(prompt.contains(greeting::FAILURE_SECTION), "{prompt}");
    assert!(prompt.contains(COMPLAINT), "{prompt}");
}

#[tokio::test]
async fn a_story_can_be_looked_at_from_every_side() {
    let scene = scene().await;
    scene
        .agent
        .always(&format!("echo thinking hard; {RIGHT}; exit 0"));
    assert_eq!(scene.tell(greeting::TITLE).await["stage"], "done");
    let list = scene.huskies(&["story", "list", "--json"]).await.json();
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    let show = scene.huskies(&["story", "show", "#1", "--json"]).await;
    let mut shown = show.json();
    // Counted for each story by itself, and none is asked of a forge that is built in.
    let calls = shown.as_object_mut().unwrap().remove("api_calls");
    assert_eq!(calls, Some(Value::from(0)));
    assert_eq!(shown, list[0]);
    let show = scene.huskies(&["story", "show", "1"]).await;
    assert!(show.stdout.contains(greeting::TITLE), "{show:?}");
    let events = scene.huskies(&["story", "events", "1", "--json"]).await;
    let names: Vec<Value> = events.json().as_array().unwrap().clone();
    assert!(names.iter().any(|event| event["event"] == "landed"));
    let events = scene.huskies(&["story", "events", "1"]).await;
    assert!(events.stdout.lines().count() > 5, "{events:?}");
    for logs in [&["logs", "1"][..], &["logs", "-f", "1"]] {
        let logs = scene.huskies(logs).await;
        assert_eq!(logs.code, Some(0), "{logs:?}");
        assert!(logs.stdout.contains("thinking hard"), "{logs:?}");
    }
}

#[tokio::test]
async fn a_story_that_does_not_come_to_an_end_is_a_failure_and_can_be_retried() {
    let scene = scene().await;
    scene.agent.always("kill -ABRT $$");
    assert_eq!(scene.tell(greeting::TITLE).await["stage"], "blocked");
    let wait = scene.huskies(&["story", "wait", "1"]).await;
    assert_eq!(wait.code, Some(1), "{wait:?}");
    scene.agent.always(RIGHT);
    let retry = scene.huskies(&["story", "retry", "1"]).await;
    assert_eq!(retry.code, Some(0), "{retry:?}");
    let wait = scene.huskies(&["story", "wait", "1"]).await;
    assert_eq!(wait.code, Some(0), "{wait:?}");
}

#[tokio::test]
async fn a_story_can_be_stopped_by_the_command_line() {
    let scene = scene().await;
    let pause = scene.agent.pause("work");
    scene.agent.always(&pause.shell());
    let new = scene.huskies(&["story", "new", "Greet", "--start"]).await;
    assert_eq!(new.code, Some(0), "{new:?}");
    let _standing = pause.reached().await;
    let stop = scene.huskies(&["story", "stop", "1"]).await;
    assert_eq!(stop.code, Some(0), "{stop:?}");
    let wait = scene.huskies(&["story", "wait", "1", "--json"]).await;
    assert_eq!(wait.json()["stage"], "backlog");
    assert_eq!(wait.code, Some(1), "stopped is not done");
}

#[tokio::test]
async fn wrong_use_says_what_to_do() {
    let scene = scene().await;
    let unknown = scene.huskies(&["story", "show", "octo/app#99"]).await;
    assert!(unknown.code.is_some_and(|code| code != 0), "{unknown:?}");
    assert!(unknown.stderr.contains("octo/app#99"), "{unknown:?}");
    let nonsense = scene.huskies(&["story", "show", "../../etc"]).await;
    assert_eq!(nonsense.code, Some(2), "{nonsense:?}");
    let elsewhere = scene
        .huskies(&["story", "new", "Greet", "--repo", "octo/other"])
        .await;
    assert!(
        elsewhere.code.is_some_and(|code| code != 0),
        "{elsewhere:?}"
    );
    let early = scene.huskies(&["story", "retry", "1"]).await;
    assert!(early.code.is_some_and(|code| code != 0), "{early:?}");
}

#[tokio::test]
async fn without_a_server_every_command_says_so() {
    let mut scene = scene().await;
    scene.server.stop().await;
    for command in [
        &["story", "list"][..],
        &["story", "new", "Greet"],
        &["logs", "1"],
    ] {
        let ran = scene.huskies(command).await;
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.stderr.contains("huskies serve"), "{ran:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
}

#[tokio::test]
async fn a_configuration_that_is_wrong_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("huskies.toml");
    std::fs::write(&config, "data_dir = \"/nonexistent\"\nlisten_on = \"x\"\n").unwrap();
    let ran = run(folder.path(), &["serve"]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("listen_on"), "{ran:?}");
    assert!(ran.stdout.is_empty(), "{ran:?}");
}

#[tokio::test]
async fn a_clean_clone_is_updated_together_with_its_work_tree() {
    let scene = scene().await;
    let done = scene.tell(greeting::TITLE).await;
    assert_eq!(done["stage"], "done", "{done}");
    assert_eq!(scene.read("greeting.txt"), "Hello\n");
    assert_eq!(scene.git(&["status", "--porcelain"]), "");
    assert_eq!(scene.git(&["symbolic-ref", "--short", "HEAD"]), BASE);
    assert_eq!(scene.git(&["rev-parse", "HEAD"]), done["commit"]);
    scene.write("mine.txt", "mine\n");
    scene.git(&["add", "-A"]);
    scene.git(&["commit", "-q", "-a", "-m", "Mine"]);
    assert_eq!(
        scene.git(&["show", "HEAD:greeting.txt"]),
        "Hello",
        "the owner's next commit keeps what landed"
    );
}

#[tokio::test]
async fn a_clone_with_changes_waits_with_a_reason_and_lands_once_it_is_clean() {
    let scene = scene().await;
    scene.write("README.md", "# An app of mine\n");
    let before = scene.git(&["rev-parse", "HEAD"]);
    let new = scene.huskies(&["story", "new", "Greet", "--start"]).await;
    assert_eq!(new.code, Some(0), "{new:?}");
    follow(&scene.server, 1, "waiting for a clean clone", |story| {
        let reason = story["reason"].as_str().unwrap_or_default();
        story["stage"] == "merge" && is_about_changes(reason)
    })
    .await;
    assert_eq!(scene.git(&["rev-parse", "HEAD"]), before);
    assert_eq!(scene.read("README.md"), "# An app of mine\n");
    assert_eq!(scene.read("greeting.txt"), "Nothing yet\n");
    scene.git(&["checkout", "-q", "README.md"]);
    let wait = scene.huskies(&["story", "wait", "1"]).await;
    assert_eq!(wait.code, Some(0), "{wait:?}");
    assert_eq!(scene.read("greeting.txt"), "Hello\n");
    assert_eq!(scene.git(&["status", "--porcelain"]), "");
}

/// Says which clone it is that cannot be updated, or why.
fn is_about_changes(reason: &str) -> bool {
    ["uncommitted", "changes", "README.md", "clean"]
        .iter()
        .any(|word| reason.contains(word))
}

#[tokio::test]
async fn a_branch_of_the_owners_that_is_checked_out_is_left_alone() {
    let scene = scene().await;
    scene.git(&["checkout", "-q", "-b", "mine"]);
    scene.write("README.md", "# An app of mine\n");
    let mine = scene.git(&["rev-parse", "HEAD"]);
    let done = scene.tell(greeting::TITLE).await;
    assert_eq!(done["stage"], "done", "{done}");
    assert_eq!(scene.git(&["rev-parse", BASE]), done["commit"]);
    assert_eq!(scene.git(&["rev-parse", "HEAD"]), mine);
    assert_eq!(scene.read("README.md"), "# An app of mine\n");
    assert_eq!(scene.read("greeting.txt"), "Nothing yet\n");
}

#[tokio::test]
async fn a_server_needs_no_configuration_inside_a_repository() {
    let scene = scene().await;
    let clone = scene.clone();
    let mut served = crate::support::server::binary(&clone.join(".git"))
        .arg("serve")
        .current_dir(&clone)
        .env("HUSKIES_WALLS_WRITABLE", scene.agent.file(""))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let announced = clone.join(".git/huskies/server.json");
    eventually("the server says where it is", || announced.exists()).await;
    let new = crate::support::server::binary(&clone.join(".git"))
        .args(["story", "new", "Greet", "--start", "--json"])
        .current_dir(&clone)
        .output()
        .await
        .unwrap();
    assert!(new.status.success(), "{new:?}");
    let wait = crate::support::server::binary(&clone.join(".git"))
        .args(["story", "wait", "1"])
        .current_dir(&clone)
        .output()
        .await
        .unwrap();
    assert!(wait.status.success(), "{wait:?}");
    assert_eq!(scene.read("greeting.txt"), "Hello\n");
    assert_eq!(scene.git(&["status", "--porcelain"]), "");
    served.kill().await.unwrap();
}
