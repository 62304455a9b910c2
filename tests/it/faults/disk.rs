//! Disks that are full, and disks that cannot be written to. Each is a mount of the server's own,
//! in a user and mount namespace (unshare(1)), which needs no rights.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::greeting;
use crate::support::patience::eventually;
use crate::support::scene::{Scene, Stage, WRITER};
use crate::support::server::{Config, Server};
use crate::support::sweep::agents_of;

/// Runs `serve` after `mount`, a shell command that finds the data folder in `$data`, in namespaces
/// of its own. The process is the server's all the same: everything is passed on by exec.
fn mounted(serve: &Command, data: &Path, mount: &str) -> Command {
    let serve = serve.as_std();
    let mut command = Command::new("unshare");
    let script = format!("data=$1; shift; {mount} && exec \"$@\"");
    command.args(["-r", "-m", "sh", "-c", &script, "sh"]);
    command
        .arg(data)
        .arg(serve.get_program())
        .args(serve.get_args());
    let set = serve
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    command.env_clear().envs(set);
    command
}

/// A server whose data folder is a disk of `size`, such as `48m`.
async fn on_a_small_disk(stage: &Stage, config: &Config, size: &str) -> Server {
    let data = stage.folder().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let mount = format!("mount -t tmpfs -o size={size} huskies \"$data\"");
    let server = Server::start_by(stage.folder(), config, |serve| {
        mounted(&serve, &data, &mount)
    });
    server.await.unwrap()
}

/// The data folder as the server sees it.
fn seen_by(scene: &Scene) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", scene.server.pid()));
    let data = scene.folder().join("data");
    root.join(data.strip_prefix("/").unwrap())
}

/// Writes until there is no room left for anything.
fn fill(file: &Path) {
    let mut out = std::fs::File::create(file).unwrap();
    for size in [1 << 20, 4096, 1] {
        let chunk = vec![b'x'; size];
        while out.write_all(&chunk).is_ok() {}
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_loses_nothing_that_was_accepted_and_goes_on_when_there_is_room() {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    stage.agent.story(
        1,
        &format!("{}; echo 1 > 1.txt; commit 'Do one'", pause.shell()),
    );
    stage
        .agent
        .always("echo $HUSKIES_STORY > it.txt; commit 'Do it'");
    let project = stage.coder().gate("fine", "true");
    let (remote, config) = stage.prepare(&project);
    let config = config
        .retention("min_free_mb", 8)
        .retention("min_free_files", 0);
    let server = on_a_small_disk(&stage, &config, "48m").await;
    let scene = stage.with(remote, server);
    let first = scene.start_story("One", "Do it.").await;
    let standing = pause.reached().await;
    let filler = seen_by(&scene).join("filler");
    fill(&filler);
    // Every delivery is stored whole before it is answered, so that some will not fit any more.
    let mut accepted = Vec::new();
    let refused = loop {
        let body = "A long story. ".repeat(20_000);
        let issue = scene.github.add_issue("Another", &body, WRITER);
        let label = scene.github.label(issue, "huskies", WRITER);
        let answer = scene.server.deliver(&label).await;
        match answer.status {
            202 => accepted.push(label),
            503 => break label,
            other => panic!("{other}: {}", answer.body),
        }
        assert!(accepted.len() < 200, "the disk never fills up");
    };
    std::fs::remove_file(&filler).unwrap();
    let again = scene.server.deliver(&refused).await;
    assert_eq!(again.status, 202, "{}", again.body);
    assert_eq!(
        again.body["status"], "accepted",
        "what was refused left no trace"
    );
    for label in &accepted {
        let answer = scene.server.deliver(label).await;
        assert_eq!(
            answer.body["status"], "duplicate",
            "what was accepted is there"
        );
    }
    standing.let_go();
    scene.wait_for_stage(first, "done").await;
    let last = first + 1 + accepted.len() as u64;
    for story in first + 1..=last {
        scene.wait_for_stage(story, "done").await;
    }
    let starts = scene.agent.starts();
    assert_eq!(starts.len() as u64, last, "each once: {starts:?}");
}

#[tokio::test]
async fn a_nearly_full_disk_starts_nothing_says_so_and_starts_by_itself_when_there_is_room() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = greeting::project(&stage);
    let (remote, config) = stage.prepare(&project);
    let config = config
        .retention("min_free_mb", 32)
        .retention("min_free_files", 0);
    let server = on_a_small_disk(&stage, &config, "64m").await;
    let scene = stage.with(remote, server);
    assert_eq!(scene.server.get("/readyz").await.status, 200);
    let filler = seen_by(&scene).join("filler");
    std::fs::write(&filler, vec![b'x'; 40 << 20]).unwrap();
    eventually("the server has looked at its disk", || {
        let log = scene.server.log();
        log.contains("no agent starts until there is room")
    })
    .await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let waits = scene
        .wait_for(story, "a reason", |story| {
            let reason = story["reason"].as_str().unwrap_or_default();
            reason.contains("the disk of the server is nearly full")
        })
        .await;
    assert_eq!(waits["activity"], "paused", "{waits}");
    assert_eq!(scene.server.get("/readyz").await.status, 200);
    assert!(scene.agent.starts().is_empty());
    scene
        .wait_for_github("the comment says so", |github| {
            let comments = greeting::sticky_comments(github, story);
            comments
                .iter()
                .any(|comment| comment.body.contains("nearly full"))
        })
        .await;
    std::fs::remove_file(filler).unwrap();
    scene.wait_for_stage(story, "done").await;
}

#[tokio::test]
async fn a_read_only_data_folder_is_refused_with_advice() {
    let stage = Stage::new();
    let project = greeting::project(&stage);
    let (_remote, config) = stage.prepare(&project);
    let data = stage.folder().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let mount = "mount --bind \"$data\" \"$data\" && mount -o remount,bind,ro \"$data\"";
    let refused = Server::start_by(stage.folder(), &config, |serve| {
        mounted(&serve, &data, mount)
    });
    let refused = refused.await;
    assert_eq!(refused.err().and_then(|status| status.code()), Some(2));
    let log = std::fs::read_to_string(stage.folder().join("server.log")).unwrap();
    assert!(log.contains("cannot write to the data folder"), "{log}");
    assert!(log.contains("read-only"), "{log}");
}

/// A server whose writes can be made to fail: beyond the limit on the size of files a write answers
/// EFBIG (setrlimit(2)), which is to SQLite and to git an I/O error like any other. The signal that
/// comes with it is ignored, or the server would die of it.
async fn on_a_disk_that_can_fail(stage: &Stage, config: &Config) -> Server {
    let server = Server::start_by(stage.folder(), config, |serve| {
        let serve = serve.as_std();
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
        command.arg(serve.get_program()).args(serve.get_args());
        let set = serve
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        command.env_clear().envs(set);
        command
    });
    server.await.unwrap()
}

/// Lets the server's own writes fail beyond so many bytes of a file; `None`: never. What it started
/// before is not affected.
fn fail_writes(scene: &Scene, beyond: Option<u64>) {
    let pid = i32::try_from(scene.server.pid()).unwrap();
    let limit = rustix::process::Rlimit {
        current: beyond,
        maximum: None,
    };
    let resource = rustix::process::Resource::Fsize;
    rustix::process::prlimit(rustix::process::Pid::from_raw(pid), resource, limit).unwrap();
}

#[tokio::test]
async fn a_disk_that_fails_loses_nothing_that_was_accepted_and_is_tried_again() {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    let turn = format!("{}; echo 1 > 1.txt; commit 'Do one'", pause.shell());
    stage.agent.story(1, &turn);
    stage
        .agent
        .always("echo $HUSKIES_STORY > it.txt; commit 'Do it'");
    let project = stage.coder().gate("fine", "true");
    let (remote, config) = stage.prepare(&project);
    let server = on_a_disk_that_can_fail(&stage, &config).await;
    let scene = stage.with(remote, server);
    let first = scene.start_story("One", "Do it.").await;
    let standing = pause.reached().await;

    fail_writes(&scene, Some(0));
    let second = scene.github.add_issue("Another", "Do it.", WRITER);
    let label = scene.github.label(second, "huskies", WRITER);
    let refused = scene.server.deliver(&label).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    // The agent ends while nothing can be stored of it.
    standing.let_go();
    eventually("the agent has ended", || {
        agents_of(scene.folder()).is_empty()
    })
    .await;

    fail_writes(&scene, None);
    let again = scene.server.deliver(&label).await;
    assert_eq!(again.body["status"], "accepted", "{}", again.body);
    scene.wait_for_stage(first, "done").await;
    scene.wait_for_stage(second, "done").await;
    assert_eq!(scene.agent.starts().len(), 2, "each once");
}

#[tokio::test]
async fn work_that_cannot_be_kept_for_an_error_of_the_disk_stays_where_it_is_and_is_gone_on_from() {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    let big = "head -c 8000000 /dev/urandom > big.bin";
    stage.agent.turn(1, &format!("{big}; {}", pause.shell()));
    stage.agent.turn(
        2,
        "test -f big.bin; rm big.bin; echo 1 > 1.txt; commit 'Do it'",
    );
    let project = stage.coder().gate("fine", "true");
    let (remote, config) = stage.prepare(&project);
    let server = on_a_disk_that_can_fail(&stage, &config).await;
    let scene = stage.with(remote, server);
    let story = scene.start_story("One", "Do it.").await;
    let standing = pause.reached().await;
    // The database is smaller; what the agent made is not.
    fail_writes(&scene, Some(4_000_000));
    standing.let_go();
    let blocked = scene.wait_for_stage(story, "blocked").await;
    let reason = blocked["reason"].to_string();
    assert!(
        reason.contains("big.bin") && reason.contains("the disk"),
        "{reason}"
    );
    assert_eq!(scene.kept_work(), Vec::<String>::new());

    fail_writes(&scene, None);
    let retry = scene.github.label(story, "huskies:retry", WRITER);
    scene.accepted(&retry).await;
    // The second turn has what the first one left.
    scene.wait_for_stage(story, "done").await;
}
