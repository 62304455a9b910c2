//! Supervised runs through the real binary: what they survive, and what does not survive them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use huskies::agent::session::{AgentOutcome, AgentSpec};
use huskies::domain::id::{Attempt, RunId, SessionId};
use huskies::domain::project::Runtime;
use huskies::domain::work::{End, ProcessIdentity, Start};
use huskies::process::client::{Attached, Attachment, LaunchError, Launcher, Progress, attach};
use huskies::process::identity::{identify, is_alive};
use huskies::process::run_folder::{RunFolder, Spec, Supervision};
use huskies::supervised::RunSpec;
use rustix::process::{Pid, Signal, kill_process};

const PATIENT: Supervision = Supervision {
    no_server: Duration::from_mins(1),
};

/// A run whose agent is a shell script.
struct Scene {
    dir: tempfile::TempDir,
    folder: RunFolder,
}

impl Scene {
    fn new(script: &str, supervision: Supervision) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Longer than a socket's address may be.
        let data = dir.path().join("d".repeat(120));
        let run = RunId::Agent("octo/app#42".parse().unwrap(), Attempt(1));
        let folder = RunFolder::of(&data, &run).unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let agent = AgentSpec {
            runtime: Runtime::ClaudeCode,
            start: Start::Cold,
            argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            worktree: tree,
            prompt_file: folder.path().join("prompt.md"),
            prompt: String::new(),
            install_hint: String::new(),
            inactivity: Duration::from_mins(10),
            log_bytes: 1 << 20,
            confinement: None,
        };
        folder
            .create(&Spec {
                supervision,
                job: RunSpec::Agent(Box::new(agent)),
            })
            .unwrap();
        Self { dir, folder }
    }

    async fn launch(&self) -> Attached {
        launcher().launch(&self.folder).await.unwrap()
    }

    fn tree(&self, name: &str) -> PathBuf {
        self.dir.path().join("tree").join(name)
    }

    /// The process whose number the agent writes into a file.
    async fn process(&self, name: &str) -> ProcessIdentity {
        let pid = written(&self.tree(name)).await;
        identify(pid.parse().unwrap()).unwrap()
    }

    fn supervisor(&self) -> ProcessIdentity {
        self.folder.read_started().unwrap().unwrap().process
    }

    fn end(&self) -> End {
        self.folder
            .read_result::<AgentOutcome>()
            .unwrap()
            .unwrap()
            .end
    }
}

/// The content of a file, once it ends a line.
async fn written(path: &Path) -> String {
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn launcher() -> Launcher {
    Launcher {
        binary: env!("CARGO_BIN_EXE_huskies").into(),
        environment: Vec::new(),
    }
}

fn signal(process: &ProcessIdentity, signal: Signal) {
    kill_process(
        Pid::from_raw(process.pid.try_into().unwrap()).unwrap(),
        signal,
    )
    .unwrap();
}

async fn gone(process: &ProcessIdentity) {
    while is_alive(process) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn all(mut attached: Attached) -> Vec<Progress> {
    let mut seen = Vec::new();
    while let Some(progress) = attached.next().await {
        seen.push(progress);
    }
    seen
}

/// A script that plays Claude Code: a session, `middle`, and a good end.
fn claude(middle: &str) -> String {
    let init = r#"{"type":"system","subtype":"init","session_id":"s-1"}"#;
    let result = r#"{"type":"result","subtype":"success","is_error":false,"total_cost_usd":0.5}"#;
    format!("echo $$ > agent.pid; echo '{init}'; {middle}; echo '{result}'")
}

/// Until the test makes the file `go`.
const WAIT_FOR_GO: &str = "while [ ! -e go ]; do sleep 0.02; done";

#[tokio::test]
async fn a_run_tells_its_session_and_its_end() {
    let scene = Scene::new(&claude("true"), PATIENT);
    let seen = all(scene.launch().await).await;
    // A run this short may be over before anybody has connected.
    assert_eq!(seen.last(), Some(&Progress::Ended));
    let outcome: AgentOutcome = scene.folder.read_result().unwrap().unwrap();
    assert_eq!(
        (outcome.end, outcome.session),
        (End::Finished, Some(SessionId("s-1".to_owned())))
    );
    assert!(matches!(
        attach(&scene.folder).await.unwrap(),
        Attachment::Ended
    ));
}

#[tokio::test]
async fn however_often_a_run_is_launched_its_job_runs_once() {
    let scene = Scene::new(
        &format!("echo started >> starts; {}", claude(WAIT_FOR_GO)),
        PATIENT,
    );
    assert!(matches!(
        attach(&scene.folder).await.unwrap(),
        Attachment::NeverStarted
    ));
    let launcher = launcher();
    let runs = futures::future::join_all((0..6).map(|_| launcher.launch(&scene.folder))).await;
    fs::write(scene.tree("go"), "").unwrap();
    for run in runs {
        assert_eq!(all(run.unwrap()).await.last(), Some(&Progress::Ended));
    }
    assert_eq!(
        all(launcher.launch(&scene.folder).await.unwrap()).await,
        [Progress::Ended]
    );
    assert_eq!(
        fs::read_to_string(scene.tree("starts")).unwrap(),
        "started\n"
    );
}

/// Not a test: a server in a process of its own, for the next one. Its working folder is the run's.
#[tokio::test]
#[ignore = "started by a_run_outlives_its_server_and_is_met_again_by_the_next_one"]
async fn a_server_to_be_killed() {
    let folder = RunFolder::at(&std::env::current_dir().unwrap()).unwrap();
    if folder.read_supervision().is_ok() {
        let attached = launcher().launch(&folder).await.unwrap();
        fs::write(folder.path().join("server.up"), "up\n").unwrap();
        std::future::pending::<()>().await;
        drop(attached);
    }
}

fn server_to_be_killed(folder: &RunFolder) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "supervisor::a_server_to_be_killed"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_run_outlives_its_server_and_is_met_again_by_the_next_one() {
    let scene = Scene::new(&claude(WAIT_FOR_GO), PATIENT);
    let mut server = server_to_be_killed(&scene.folder);
    written(&scene.folder.path().join("server.up")).await;
    let agent = scene.process("agent.pid").await;
    server.kill().unwrap();
    server.wait().unwrap();

    let Attachment::Running(mut attached) = attach(&scene.folder).await.unwrap() else {
        panic!("not running")
    };
    assert_eq!(
        attached.next().await,
        Some(Progress::Hello(scene.supervisor()))
    );
    assert_eq!(
        attached.next().await,
        Some(Progress::Session(SessionId("s-1".to_owned())))
    );
    assert!(is_alive(&agent));
    fs::write(scene.tree("go"), "").unwrap();
    assert_eq!(all(attached).await, [Progress::Ended]);
    assert_eq!(scene.end(), End::Finished);
}

#[tokio::test]
async fn a_run_without_any_server_ends_itself_and_its_processes() {
    let script = claude("setsid sleep 600 & echo $! > stray.pid; sleep 600");
    let scene = Scene::new(
        &script,
        Supervision {
            no_server: Duration::from_secs(1),
        },
    );
    drop(scene.launch().await);
    let (agent, stray) = (
        scene.process("agent.pid").await,
        scene.process("stray.pid").await,
    );
    gone(&scene.supervisor()).await;
    assert_eq!(
        scene.end(),
        End::Lost {
            message: "no huskies server was there for 1 s".to_owned()
        }
    );
    assert!(!is_alive(&agent) && !is_alive(&stray));
}

#[tokio::test]
async fn a_server_that_does_not_read_keeps_its_run_alive_all_the_same() {
    let scene = Scene::new(
        &claude("sleep 5"),
        Supervision {
            no_server: Duration::from_secs(2),
        },
    );
    let attached = scene.launch().await;
    gone(&scene.supervisor()).await;
    assert_eq!(scene.end(), End::Finished);
    drop(attached);
}

#[tokio::test]
async fn a_supervisor_that_is_killed_is_noticed_and_leaves_nothing_behind() {
    let script = claude(
        "trap '' HUP TERM; setsid sh -c \"trap '' TERM HUP; sleep 600\" & echo $! > stray.pid; sleep 600",
    );
    let scene = Scene::new(&script, PATIENT);
    let attached = scene.launch().await;
    let (agent, stray) = (
        scene.process("agent.pid").await,
        scene.process("stray.pid").await,
    );
    let supervisor = scene.supervisor();
    signal(&supervisor, Signal::KILL);
    assert_eq!(
        all(attached).await.last(),
        Some(&Progress::Gone(supervisor.clone()))
    );
    assert!(!is_alive(&agent) && !is_alive(&stray));

    let Attachment::Gone(process) = attach(&scene.folder).await.unwrap() else {
        panic!("not gone")
    };
    assert_eq!(process, supervisor);
    let again = launcher().launch(&scene.folder).await.unwrap_err();
    assert!(
        matches!(again, LaunchError::Gone(process) if process == supervisor),
        "it must not run twice"
    );
}

#[tokio::test]
async fn a_supervisor_that_is_told_to_end_leaves_a_result() {
    let scene = Scene::new(&claude("sleep 600"), PATIENT);
    let attached = scene.launch().await;
    let agent = scene.process("agent.pid").await;
    signal(&scene.supervisor(), Signal::TERM);
    assert_eq!(all(attached).await.last(), Some(&Progress::Ended));
    assert!(matches!(scene.end(), End::Lost { .. }));
    assert!(!is_alive(&agent));
}

#[tokio::test]
async fn a_stop_reaches_the_agent_also_when_it_is_asked_for_before_the_connection_is_up() {
    let scene = Scene::new(&claude("trap '' TERM; sleep 600 & wait"), PATIENT);
    let attached = scene.launch().await;
    attached.stop(Duration::from_millis(100));
    assert_eq!(all(attached).await.last(), Some(&Progress::Ended));
    assert_eq!(scene.end(), End::Stopped);
}

#[tokio::test]
async fn a_stray_without_parent_session_and_environment_is_killed_with_the_run() {
    let stray =
        "env -i /usr/bin/setsid /bin/sh -c 'sleep 600 & echo $! > stray.pid' >/dev/null 2>&1";
    let scene = Scene::new(&claude(&format!("{stray}; {WAIT_FOR_GO}")), PATIENT);
    let attached = scene.launch().await;
    let stray = scene.process("stray.pid").await;
    fs::write(scene.tree("go"), "").unwrap();
    assert_eq!(all(attached).await.last(), Some(&Progress::Ended));
    assert_eq!(scene.end(), End::Finished);
    assert!(!is_alive(&stray));
}

#[tokio::test]
async fn a_flood_does_not_fill_the_supervisors_memory() {
    let flood =
        "yes 'a line of a flood' | head -c 20000000; head -c 20000000 /dev/zero | tr '\\0' x; echo";
    let peak = "grep VmHWM /proc/$PPID/status > peak";
    let scene = Scene::new(&claude(&format!("{flood}; {peak}")), PATIENT);
    assert_eq!(
        all(scene.launch().await).await.last(),
        Some(&Progress::Ended)
    );
    assert_eq!(scene.end(), End::Finished);
    let peak = fs::read_to_string(scene.tree("peak")).unwrap();
    let kilobytes: u64 = peak
        .split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    assert!(kilobytes < 128 * 1024, "{peak}");
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_refused_with_the_reason() {
    let scene = Scene::new("true", PATIENT);
    fs::write(
        scene.folder.path().join("spec.json"),
        r#"{"job":{"dance":1}}"#,
    )
    .unwrap();
    let error = launcher()
        .launch(&scene.folder)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("exit status: 1") && error.contains("cannot understand"),
        "{error}"
    );
    let missing = Launcher {
        binary: "/no/such/huskies".into(),
        environment: Vec::new(),
    };
    let error = missing.launch(&scene.folder).await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot start /no/such/huskies as a supervisor"),
        "{error}"
    );
}
