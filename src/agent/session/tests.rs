//! Real shell scripts as agents in real terminals.

use std::path::Path;

use super::*;
use crate::process::identity::{identify, is_alive};
use crate::process::supervisor::JobHandle;

/// Long enough that only a test about stalls can reach it.
const NEVER: Duration = Duration::from_mins(10);

/// A worktree, a run folder and a script.
struct Scene {
    dir: tempfile::TempDir,
    spec: AgentSpec,
}

impl Scene {
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("tree")).unwrap();
        fs::create_dir_all(dir.path().join("run")).unwrap();
        let spec = AgentSpec {
            runtime: Runtime::Command,
            start: Start::Cold,
            argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            worktree: dir.path().join("tree"),
            prompt_file: dir.path().join("run/prompt.md"),
            prompt: "Fix the door.".to_owned(),
            install_hint: "install it".to_owned(),
            inactivity: NEVER,
            log_bytes: 1 << 20,
            confinement: None,
        };
        Self { dir, spec }
    }

    /// A script that plays Claude Code.
    fn claude(script: &str) -> Self {
        let mut scene = Self::new(script);
        scene.spec.runtime = Runtime::ClaudeCode;
        scene
    }

    fn start(&self) -> (impl Future<Output = AgentOutcome>, JobHandle) {
        let folder = RunFolder::at(&self.dir.path().join("run")).unwrap();
        let (control, handle) = JobControl::new(folder.mark());
        let session = AgentSession {
            spec: self.spec.clone(),
            folder,
            now: || Timestamp::UNIX_EPOCH,
        };
        (session.run(control), handle)
    }

    async fn run(&self) -> AgentOutcome {
        self.start().0.await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the script wrote into its worktree, once it is all there.
    async fn written(&self, name: &str) -> String {
        loop {
            match fs::read_to_string(self.path("tree").join(name)) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    fn logged(&self) -> Vec<String> {
        output(&self.path("run/log.jsonl"))
    }
}

fn output(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| match serde_json::from_str(line).unwrap() {
        LogLine::Output { line, .. } => line,
        LogLine::Cut { bytes, .. } => format!("({bytes} bytes are gone)"),
    };
    text.lines().map(line).collect()
}

fn stop(grace: Duration) -> StopRequest {
    StopRequest {
        cause: StopCause::Requested,
        grace,
    }
}

#[tokio::test]
async fn an_agent_runs_in_a_wide_terminal_of_its_own_without_input() {
    let scene = Scene::new(
        "stty size </dev/tty; [ -t 1 ] && [ -t 2 ] && echo terminal; read x || echo no input; pwd; cat ../run/prompt.md",
    );
    let outcome = scene.run().await;
    assert_eq!(
        outcome,
        AgentOutcome {
            end: End::Finished,
            usage: Usage::default(),
            session: None
        }
    );
    let tree = scene
        .path("tree")
        .canonicalize()
        .unwrap()
        .display()
        .to_string();
    assert_eq!(
        scene.logged(),
        [
            "50 4000",
            "terminal",
            "no input",
            tree.as_str(),
            "Fix the door."
        ]
    );
}

#[tokio::test]
async fn an_agent_sees_no_environment_but_its_own_and_the_mark() {
    let mut scene = Scene::new("env | cut -d= -f1 | sort");
    scene
        .spec
        .environment
        .push(("HUSKIES_STORY".to_owned(), "octo/app#1".to_owned()));
    scene.run().await;
    assert_eq!(
        scene.logged(),
        [
            "HUSKIES_RUN_MARK",
            "HUSKIES_STORY",
            "PATH",
            "PWD",
            "SHELL",
            "TERM"
        ]
    );
}

#[tokio::test]
async fn every_kind_of_exit_has_its_end() {
    let ends = [
        ("echo done", "Finished"),
        (
            "echo why; exit 3",
            r#"Crashed { message: "exit status 3: why" }"#,
        ),
        ("kill -KILL $$", r#"Crashed { message: "signal 9" }"#),
        ("kill -ABRT $$", "Aborted"),
        ("exit 134", "Aborted"),
        (
            "./not-there",
            r#"CannotLaunch { message: "exit status 127: /bin/sh: 1: ./not-there: not found" }"#,
        ),
    ];
    for (script, end) in ends {
        assert_eq!(
            format!("{:?}", Scene::new(script).run().await.end),
            end,
            "{script}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_launched_says_what_is_missing_and_what_to_do() {
    let message = |end: End| match end {
        End::CannotLaunch { message } => message,
        other => panic!("{other:?}"),
    };
    let mut scene = Scene::new("true");
    scene.spec.argv[0] = "no-such-agent".to_owned();
    let missing = message(scene.run().await.end);
    assert_eq!(
        missing,
        "the program `no-such-agent` was not found (PATH=/usr/bin:/bin); install it"
    );

    let mut scene = Scene::new("true");
    scene.spec.argv.push("x".repeat(200_000));
    assert!(message(scene.run().await.end).contains("longer than 131071 bytes"));

    let scene = Scene::new("true");
    fs::remove_dir(scene.path("tree")).unwrap();
    assert!(message(scene.run().await.end).starts_with("the worktree "));

    let mut scene = Scene::new("true");
    fs::write(scene.path("tree/agent"), "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(
        scene.path("tree/agent"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    scene.spec.argv = vec!["./agent".to_owned()];
    assert!(
        message(scene.run().await.end).contains("./agent: not found"),
        "no abort signal"
    );
}

#[tokio::test]
async fn a_silent_agent_is_stalled_and_killed_with_everything_it_started() {
    let mut scene = Scene::new("(trap '' TERM; sleep 600) & echo $$ $! > pids; wait");
    scene.spec.inactivity = Duration::from_millis(300);
    let (running, _handle) = scene.start();
    let (outcome, processes) = tokio::join!(running, async {
        let pids = scene.written("pids").await;
        pids.split(' ')
            .filter_map(|pid| identify(pid.parse().unwrap()).ok())
            .collect::<Vec<_>>()
    });
    assert_eq!(
        outcome.end,
        End::Stalled {
            after: Duration::from_millis(300)
        }
    );
    assert_eq!(processes.len(), 2);
    assert!(!processes.iter().any(is_alive));
}

#[tokio::test]
async fn a_stop_ends_an_agent_that_ignores_sigterm() {
    let scene = Scene::new("trap 'echo not me' TERM; echo $$ > pid; while :; do sleep 1; done");
    let (running, handle) = scene.start();
    let (outcome, process) = tokio::join!(running, async {
        let process = identify(scene.written("pid").await.parse().unwrap()).unwrap();
        handle.stop(stop(Duration::from_secs(3)));
        process
    });
    assert_eq!(outcome.end, End::Stopped);
    assert!(!is_alive(&process));
    assert!(
        scene.logged().contains(&"not me".to_owned()),
        "its last words are kept"
    );
}

#[tokio::test]
async fn who_stopped_it_decides_whether_it_was_stopped_or_lost() {
    for (cause, end) in [
        (StopCause::Requested, "Stopped"),
        (
            StopCause::NoServer {
                after: Duration::from_mins(1),
            },
            "Lost { message: \"no huskies server was there for 60 s\" }",
        ),
        (
            StopCause::Terminated,
            "Lost { message: \"its supervisor was told to end, as when the machine shuts down\" }",
        ),
    ] {
        let scene = Scene::new("sleep 600");
        let (running, handle) = scene.start();
        handle.stop(StopRequest {
            cause,
            grace: Duration::ZERO,
        });
        assert_eq!(format!("{:?}", running.await.end), end);
    }
}

#[tokio::test]
async fn a_daemon_that_the_agent_leaves_behind_is_killed() {
    let scene = Scene::new("setsid sh -c 'sleep 600 & echo $! > pid; exit' & wait; cat pid");
    let (running, _handle) = scene.start();
    let (outcome, stray) = tokio::join!(running, async { scene.written("pid").await });
    assert_eq!(outcome.end, End::Finished);
    assert_eq!(scene.logged(), [stray.as_str()]);
    assert!(identify(stray.parse().unwrap()).map_or(true, |process| !is_alive(&process)));
}

#[tokio::test]
async fn a_flood_of_output_is_read_to_the_end_and_only_its_newest_part_is_kept() {
    let mut scene = Scene::new(
        "yes 'a line of a flood that goes on and on' | head -c 30000000; echo; echo the end",
    );
    scene.spec.log_bytes = 100_000;
    assert_eq!(scene.run().await.end, End::Finished);
    let size = |name: &str| fs::metadata(scene.path(name)).unwrap().len();
    assert!(size("run/log.jsonl") + size("run/log.1.jsonl") < 110_000);
    let newest = scene.logged();
    assert!(newest[0].ends_with("bytes are gone)"), "{}", newest[0]);
    assert_eq!(newest.last().unwrap(), "the end");
}

#[tokio::test]
async fn a_line_without_end_is_cut() {
    let scene = Scene::new("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end");
    assert_eq!(scene.run().await.end, End::Finished);
    let lines = scene.logged();
    assert_eq!(lines.last().unwrap(), "the end");
    assert!(lines[0].ends_with("bytes cut]"));
    assert!(lines[0].len() < 140_000, "an eighth of the log at most");
}

#[tokio::test]
async fn a_recorded_run_of_claude_code_gives_session_and_cost() {
    let recording = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/claude-code/cl-ok.out"
    );
    let scene = Scene::claude(&format!("echo warning: chatter >&2; cat '{recording}'"));
    let (running, handle) = scene.start();
    let outcome = running.await;
    assert_eq!(outcome.end, End::Finished);
    assert_eq!(
        outcome.usage.cost,
        Some(crate::domain::money::Usd::from_micros(15_000))
    );
    assert_eq!(
        outcome.session.as_ref().unwrap().0,
        "f7989803-0150-488c-81a0-dad8e0f7b61c"
    );
    assert_eq!(handle.session(), outcome.session);
}

#[tokio::test]
async fn the_session_is_told_while_the_agent_still_runs() {
    let scene =
        Scene::claude(r#"echo '{"type":"system","subtype":"init","session_id":"s-1"}'; sleep 600"#);
    let (running, handle) = scene.start();
    let (outcome, ()) = tokio::join!(running, async {
        while handle.session().is_none() {
            tokio::task::yield_now().await;
        }
        handle.stop(stop(Duration::ZERO));
    });
    assert_eq!(
        (outcome.end, outcome.session),
        (End::Stopped, Some(SessionId("s-1".to_owned())))
    );
}

/// Plays Claude Code: an init, then `before`, silence of twice the patience, and a good end.
async fn silence_after(before: &str) -> End {
    let script = format!(
        r#"echo '{{"type":"system","subtype":"init","session_id":"s"}}'; echo '{before}'; sleep 4; echo '{{"subtype":"success","is_error":false,"type":"result"}}'"#
    );
    let mut scene = Scene::claude(&script);
    scene.spec.inactivity = Duration::from_secs(2);
    scene.run().await.end
}

#[tokio::test]
async fn a_running_tool_and_an_announced_retry_are_no_stall_but_plain_silence_is() {
    let tool = r#"{"type":"assistant","message":{"id":"m","content":[{"type":"tool_use","id":"t","name":"Bash"}]}}"#;
    let retry = r#"{"type":"system","subtype":"api_retry","retry_delay_ms":4000}"#;
    let message =
        r#"{"type":"assistant","message":{"id":"m","content":[{"type":"text","text":"hm"}]}}"#;
    let ends = tokio::join!(
        silence_after(tool),
        silence_after(retry),
        silence_after(message)
    );
    assert_eq!(
        ends,
        (
            End::Finished,
            End::Finished,
            End::Stalled {
                after: Duration::from_secs(2)
            }
        )
    );
}
