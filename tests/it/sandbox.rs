//! The walls, tried from inside by a hostile agent and by a hostile gate, through the real server.
//! Every attempt is made twice: with the sandbox off, where it has to succeed (or it would prove
//! nothing), and with the sandbox on.

mod git;

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use huskies::sandbox::probe::{Attempt, Targets, Wall};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::greeting;
use crate::support::patience::eventually;
use crate::support::project::Project;
use crate::support::repository::HUSKIES;
use crate::support::scene::{Scene, Stage};
use crate::support::server::Config;

/// Who makes an attempt.
const HOSTILE: [&str; 2] = ["agent", "gate"];

fn off(config: Config) -> Config {
    config.sandbox_off()
}

fn on(config: Config) -> Config {
    config
}

/// A script that the agent runs in its turn and the gate as its command, told who it is by `$me` and
/// where to write by `$here`.
fn write_script(stage: &Stage, script: &str) {
    let here = stage.agent.file("");
    let text = format!("here='{}'\n{script}", here.display());
    std::fs::write(stage.agent.file("hostile.sh"), text).unwrap();
    let turn = format!(
        "me=agent sh \"$here/hostile.sh\" || true; {}",
        greeting::RIGHT
    );
    stage.agent.always(&turn);
}

/// The story of a hostile agent whose gate is hostile too; run until the gate is through.
async fn hostile(
    script: &str,
    config: impl FnOnce(Config) -> Config,
    prepare: impl FnOnce(&Scene),
) -> (Scene, u64) {
    let stage = Stage::new();
    write_script(&stage, script);
    let gate = format!(
        "me=gate sh '{}' || true",
        stage.agent.file("hostile.sh").display()
    );
    // Two, so that two stories can be under way.
    let project = stage
        .coder()
        .coder("second", &stage.agent.command())
        .max_retries(0)
        .gate("hostile", &gate);
    let scene = stage.serve_with(&project, config).await;
    prepare(&scene);
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    (scene, story)
}

/// Things outside that a story must not reach.
struct World {
    udp: UdpSocket,
    targets: Targets,
    _listeners: (UnixListener, UnixListener, TcpListener),
}

impl World {
    fn of(scene: &Scene, name: &str) -> Self {
        let folder = scene.folder();
        let data = folder.join("data");
        let home = folder.join("home");
        std::fs::write(home.join("private"), "hush").unwrap();
        let control = scene.control();
        let socket = folder.join("outside.sock");
        let abstract_name = format!("{}-{name}", folder.display());
        let listeners = (
            UnixListener::bind(&socket).unwrap(),
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap())
                .unwrap(),
            TcpListener::bind(("127.0.0.1", 0)).unwrap(),
        );
        let udp = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        udp.set_nonblocking(true).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", scene.server.pid())).unwrap();
        let start = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .nth(19)
            .unwrap();
        let targets = Targets {
            files: vec![
                folder.join("huskies.toml"),
                folder.join("server.log"),
                data.join("huskies.db"),
                data.join("server.json"),
                data.join("runs/octo/app/agent-1-1/spec.json"),
                control.join("HEAD"),
                home.join("private"),
                folder.join("app/README.md"),
            ],
            writes: vec![
                folder.join("owned"),
                data.join("owned"),
                home.join("owned"),
                control.join("hooks-owned"),
                control.join("refs/owned"),
                folder.join("app/.git/owned"),
                control.with_file_name("base.git").join("refs/owned"),
                control.with_file_name("cells").join("owned"),
                control.with_file_name("worktrees").join("owned"),
                control.with_file_name("hooks").join("owned"),
            ],
            process: Some((scene.server.pid(), start.parse().unwrap())),
            sockets: vec![socket],
            abstract_socket: Some(abstract_name),
            tcp: Some(listeners.2.local_addr().unwrap()),
            udp: Some(udp.local_addr().unwrap()),
            fill_memory_mb: None,
        };
        let text = serde_json::to_string(&targets).unwrap();
        std::fs::write(scene.agent.file("targets"), text).unwrap();
        Self {
            udp,
            targets,
            _listeners: listeners,
        }
    }

    /// What somebody could do, by what is there to be seen from outside.
    fn attempts(&self, scene: &Scene, who: &str) -> Vec<Attempt> {
        let report = scene.agent.lines(&format!("report-{who}")).join("");
        let mut attempts: Vec<Attempt> = serde_json::from_str(&report).unwrap();
        for attempt in &mut attempts {
            if attempt.wall == Wall::Writes {
                attempt.reached = Path::new(&attempt.what).exists();
            }
            if attempt.wall == Wall::Udp {
                attempt.reached = self.udp.recv(&mut [0; 16]).is_ok();
            }
        }
        attempts
    }

    fn clean_up(&self) {
        for path in &self.targets.writes {
            if path.exists() {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}

/// What both could reach, by who they are.
async fn probe(config: impl FnOnce(Config) -> Config) -> [Vec<Attempt>; 2] {
    let script =
        format!("'{HUSKIES}' confine-probe \"$(cat \"$here/targets\")\" > \"$here/report-$me\"");
    let mut world = None;
    let (scene, story) = hostile(&script, config, |scene| {
        world = Some(World::of(scene, "probe"));
    })
    .await;
    let world = world.unwrap();
    eventually("the agent has tried", || {
        !scene.agent.lines("report-agent").is_empty()
    })
    .await;
    let agent = world.attempts(&scene, "agent");
    world.clean_up();
    scene.wait_for_stage(story, "done").await;
    let gate = world.attempts(&scene, "gate");
    world.clean_up();
    [agent, gate]
}

#[tokio::test]
async fn without_the_sandbox_a_hostile_agent_and_a_hostile_gate_reach_everything() {
    let root = rustix::process::geteuid().is_root();
    for (attempts, who) in probe(off).await.into_iter().zip(HOSTILE) {
        for Attempt {
            wall,
            what,
            reached,
        } in attempts
        {
            let possible = root || wall != Wall::KernelSettings;
            assert!(
                reached || !possible,
                "the {who} did not reach {wall}: {what}"
            );
        }
    }
}

#[tokio::test]
async fn in_the_sandbox_a_hostile_agent_and_a_hostile_gate_reach_nothing() {
    for (attempts, who) in probe(on).await.into_iter().zip(HOSTILE) {
        assert!(!attempts.is_empty());
        for Attempt {
            wall,
            what,
            reached,
        } in attempts
        {
            assert!(!reached, "the {who} reached {wall}: {what}");
        }
    }
}

/// With the machine's network, what it has of TCP and UDP is open and said to be; the rest is not.
#[tokio::test]
async fn with_all_of_the_network_only_the_network_is_open() {
    let all = |config: Config| config.walls(|walls| walls.network = Some("all"));
    for (attempts, who) in probe(all).await.into_iter().zip(HOSTILE) {
        for Attempt {
            wall,
            what,
            reached,
        } in attempts
        {
            let open = match wall {
                Wall::Tcp | Wall::Udp => true,
                Wall::AbstractSockets => !huskies::sandbox::landlock_has_scopes(),
                _ => false,
            };
            assert_eq!(reached, open, "the {who}, {wall}: {what}");
        }
    }
}

/// Which lines both left in their files.
async fn lines_of(script: &str, config: impl FnOnce(Config) -> Config) -> [Vec<String>; 2] {
    let (scene, story) = hostile(script, config, |_| ()).await;
    scene.wait_for_stage(story, "done").await;
    // A gate runs on what was committed, and again on what lands.
    HOSTILE.map(|who| {
        let mut lines = scene.agent.lines(&format!("lines-{who}"));
        lines.sort();
        lines.dedup();
        lines
    })
}

#[tokio::test]
async fn what_forks_without_end_or_fills_memory_is_held_back() {
    let memory = serde_json::to_string(&Targets {
        fill_memory_mb: Some(512),
        ..Targets::default()
    })
    .unwrap();
    // It is what the kernel kills first, whatever else there is in the room.
    let script = format!(
        "(echo 1000 > /proc/self/oom_score_adj; exec '{HUSKIES}' confine-probe '{memory}' > /dev/null) && echo filled >> \"$here/lines-$me\"
         (trap 'kill $pids; wait' EXIT; pids=; i=0
          while [ $i -lt 200 ]; do sleep 600 & pids=\"$pids $!\"; i=$((i+1)); done; echo forked >> \"$here/lines-$me\")
         echo through >> \"$here/lines-$me\""
    );
    for lines in lines_of(&script, off).await {
        assert_eq!(lines, ["filled", "forked", "through"]);
    }
    let limited = |config: Config| {
        config.walls(|walls| (walls.memory_mb, walls.processes) = (Some(256), Some(64)))
    };
    for lines in lines_of(&script, limited).await {
        let held = !lines.contains(&"filled".to_owned()) && !lines.contains(&"forked".to_owned());
        assert!(held, "{lines:?}");
    }
}

/// Many files, since the limit of a single one is another wall; then it stands still.
fn fill_disk(stand_still: &str) -> String {
    format!(
        "i=0; while [ $i -lt 8 ]; do head -c 33554432 /dev/zero > \"big-$i\"; i=$((i+1)); done
         {stand_still}
         echo through >> \"$here/lines\""
    )
}

/// The story ends before what fills the disk is through, and the reason names the limit.
async fn assert_stopped_by_the_disk(stage: Stage, project: &Project) {
    let scene = stage
        .serve_with(project, |config| {
            config.walls(|walls| walls.disk_mb = Some(64))
        })
        .await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "blocked").await;
    assert!(scene.agent.lines("lines").is_empty());
    let events = serde_json::to_string(&scene.events(story).await).unwrap();
    assert!(events.contains("walls.disk_mb"), "{events}");
}

#[tokio::test]
async fn a_gate_that_fills_the_disk_is_stopped_and_says_why() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let pause = stage.agent.pause("filled");
    std::fs::write(
        stage.agent.file("fill.sh"),
        format!(
            "here='{}'\n{}",
            stage.agent.file("").display(),
            fill_disk(&pause.shell())
        ),
    )
    .unwrap();
    let gate = format!("sh '{}'", stage.agent.file("fill.sh").display());
    let project = stage.coder().max_retries(0).gate("fills", &gate);
    assert_stopped_by_the_disk(stage, &project).await;
}

#[tokio::test]
async fn an_agent_that_fills_the_disk_is_stopped_and_says_why() {
    let stage = Stage::new();
    let pause = stage.agent.pause("filled");
    stage.agent.always(&fill_disk(&pause.shell()));
    let project = greeting::project(&stage).max_retries(0);
    assert_stopped_by_the_disk(stage, &project).await;
}

/// The control of both: without the sandbox nobody stops it.
#[tokio::test]
async fn without_the_sandbox_nobody_stops_what_fills_the_disk() {
    let stage = Stage::new();
    let pause = stage.agent.pause("filled");
    stage.agent.always(&fill_disk(&pause.shell()));
    let project = greeting::project(&stage).max_retries(0);
    let scene = stage
        .serve_with(&project, |config| {
            off(config.walls(|walls| walls.disk_mb = Some(64)))
        })
        .await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    pause.reached().await.let_go();
    scene.wait_for_stage(story, "blocked").await;
    assert_eq!(scene.agent.lines("lines"), ["through"]);
}

/// A process without its mark, in a session of its own, deaf to signals, whose parent has ended.
fn stray(seconds: u32) -> String {
    format!(
        "env -i setsid sh -c \"trap '' TERM HUP INT; exec sleep {seconds}\" > /dev/null 2>&1 < /dev/null &"
    )
}

fn sleeper(seconds: u32) -> Option<Pid> {
    let wanted = format!("sleep\0{seconds}\0");
    let mut processes = std::fs::read_dir("/proc").unwrap().flatten();
    let found = processes.find(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes())
    });
    Pid::from_raw(found?.file_name().to_str()?.parse().ok()?)
}

/// An agent with a stray whose supervisor is killed with SIGKILL; it stands still until then.
async fn orphaned(seconds: u32, config: impl FnOnce(Config) -> Config) -> Scene {
    let stage = Stage::new();
    let pause = stage.agent.pause("stray");
    stage
        .agent
        .always(&format!("{}\n{}", stray(seconds), pause.shell()));
    let project = greeting::project(&stage);
    let scene = stage.serve_with(&project, config).await;
    scene.start_story(greeting::TITLE, greeting::BODY).await;
    let _held = pause.reached().await;
    eventually("the stray sleeps", || sleeper(seconds).is_some()).await;
    let started = scene
        .folder()
        .join("data/runs/octo/app/agent-1-1/started.json");
    let started: Value = serde_json::from_slice(&std::fs::read(started).unwrap()).unwrap();
    let supervisor = started["process"]["pid"].as_i64().unwrap();
    let supervisor = Pid::from_raw(i32::try_from(supervisor).unwrap()).unwrap();
    kill_process(supervisor, Signal::KILL).unwrap();
    eventually("the agent is lost", || {
        crate::support::sweep::agents_of(scene.folder()).is_empty()
    })
    .await;
    scene
}

#[tokio::test]
async fn nothing_of_an_agent_outlives_its_supervisor() {
    let seconds = 7_000_000 + std::process::id();
    let _scene = orphaned(seconds, on).await;
    eventually("the stray ends", || sleeper(seconds).is_none()).await;
}

#[tokio::test]
async fn without_the_sandbox_a_stray_outlives_its_supervisor() {
    let seconds = 8_000_000 + std::process::id();
    let _scene = orphaned(seconds, off).await;
    let stray = sleeper(seconds).expect("nobody ended it");
    kill_process(stray, Signal::KILL).unwrap();
}

/// A gate that speaks with what the sandbox gives it for a network, in bash.
async fn conversation(script: &str, config: impl FnOnce(Config) -> Config) -> Vec<String> {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let file = stage.agent.file("talk.sh");
    std::fs::write(
        &file,
        format!("here='{}'\n{script}", stage.agent.file("").display()),
    )
    .unwrap();
    let project = stage
        .coder()
        .gate("talks", &format!("bash '{}'", file.display()));
    let scene = stage.serve_with(&project, config).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    scene.agent.lines("heard")
}

#[tokio::test]
async fn a_listed_port_of_this_machine_is_reached_and_an_unlisted_host_is_refused() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        // The gate runs on what was committed, and again on what lands.
        for stream in listener.incoming().take(2) {
            std::io::Write::write_all(&mut stream.unwrap(), b"from outside\n").unwrap();
        }
    });
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; head -n 1 <&3 > \"$here/heard.new\"
         proxy=${{HTTPS_PROXY#http://}}
         exec 4<>/dev/tcp/${{proxy%:*}}/${{proxy#*:}}
         printf 'CONNECT blocked.example:443 HTTP/1.1\\r\\n\\r\\n' >&4
         head -n 1 <&4 | tr -d '\\r' >> \"$here/heard.new\"
         mv \"$here/heard.new\" \"$here/heard\""
    );
    let listed = vec![format!("127.0.0.1:{port}"), "*.listed.example".to_owned()];
    let heard = conversation(&script, |config| {
        config.walls(|walls| walls.hosts = Some(listed))
    })
    .await;
    assert_eq!(heard[0], "from outside");
    assert_eq!(heard[1], "HTTP/1.1 403 Forbidden");
    answering.join().unwrap();
}

#[tokio::test]
async fn a_report_says_when_the_sandbox_is_off_and_only_then() {
    for (config, said) in [(off as fn(Config) -> Config, true), (on, false)] {
        let stage = Stage::new();
        stage.agent.always(greeting::RIGHT);
        let project = greeting::project(&stage);
        let scene = stage.serve_with(&project, config).await;
        let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
        scene.wait_for_stage(story, "done").await;
        scene
            .wait_for_github("the sticky comment is there", |github| {
                !greeting::sticky_comments(github, story).is_empty()
            })
            .await;
        for comment in greeting::sticky_comments(&scene.github, story) {
            assert_eq!(
                comment.body.contains("sandbox off"),
                said,
                "{}",
                comment.body
            );
        }
    }
}

#[tokio::test]
async fn credentials_reach_the_agent_alone_and_stay_nowhere() {
    let script = "cat \"$here/../home/.login\" > \"$here/login-$me\" 2> /dev/null; echo \"${LOGIN_TOKEN:-none}\" > \"$here/token-$me\"; cat \"$HOME/.login\" > \"$here/home-$me\" 2> /dev/null";
    let stage = Stage::new();
    write_script(&stage, script);
    let home = stage.folder().join("home");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join(".login"), "a secret of the CLI\n").unwrap();
    let gate = format!(
        "me=gate sh '{}' || true",
        stage.agent.file("hostile.sh").display()
    );
    let project = stage.coder().gate("hostile", &gate);
    let (remote, config) = stage.prepare(&project);
    let variables = [
        ("LOGIN_TOKEN", "a token of the CLI"),
        ("HUSKIES_AGENTS_ENVIRONMENT", "LOGIN_TOKEN"),
        ("HUSKIES_AGENTS_CREDENTIALS", "~/.login"),
    ];
    let launched =
        crate::support::server::Server::launch(stage.folder(), &config, &variables).await;
    let scene = stage.with(remote, launched.unwrap());
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.agent.lines("token-agent"), ["a token of the CLI"]);
    assert_eq!(scene.agent.lines("home-agent"), ["a secret of the CLI"]);
    assert_eq!(scene.agent.lines("token-gate"), ["none"]);
    assert!(scene.agent.lines("home-gate").is_empty());
    assert_eq!(
        files_that_hold(&scene.folder().join("data"), "of the CLI"),
        Vec::<PathBuf>::new()
    );
}

fn files_that_hold(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if std::fs::read(&path).is_ok_and(|bytes| {
                bytes
                    .windows(text.len())
                    .any(|window| window == text.as_bytes())
            }) {
                found.push(path);
            }
        }
    }
    found
}

/// A room in which no other one can be built: what a machine that forbids namespaces is like.
fn where_namespaces_are_forbidden(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let work = folder.join("work");
    std::fs::create_dir_all(&work).unwrap();
    let walls = huskies::sandbox::Walls {
        binary: HUSKIES.into(),
        data_dir: folder.join("data"),
        environment: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
        readable: Vec::new(),
        writable: Vec::new(),
        network: huskies::sandbox::Network::None,
        limits: huskies::sandbox::Limits {
            memory_bytes: 4 << 30,
            processes: 1000,
            open_files: 4096,
            disk_bytes: 4 << 30,
        },
        credentials: Vec::new(),
    };
    let confinement = walls.confinement(huskies::sandbox::Stay {
        folder: work.clone(),
        writable: Vec::new(),
        readable: Vec::new(),
        room: huskies::sandbox::Room::at(&folder.join("room")),
        with_credentials: false,
    });
    let enclosure = huskies::sandbox::Enclosure::begin(&confinement).unwrap();
    let argv: Vec<String> = [HUSKIES]
        .iter()
        .chain(arguments)
        .map(|&part| part.to_owned())
        .collect();
    let argv = enclosure.wrap(&argv);
    std::process::Command::new(&argv[0])
        .args(&argv[1..])
        .env_clear()
        .envs(enclosure.environment(&walls.environment))
        .current_dir(work)
        .output()
        .unwrap()
}

#[test]
fn where_namespaces_are_forbidden_a_server_does_not_start_and_says_what_to_allow() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let text = "listen = '127.0.0.1:0'\ndata_dir = 'data'\n[[repo]]\nname = 'a/b'\npath = 'app'\nforge = 'local'\n";
    std::fs::write(work.join("huskies.toml"), text).unwrap();
    let ended =
        where_namespaces_are_forbidden(folder.path(), &["serve", "--config", "huskies.toml"]);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    for part in [
        "there can be no sandbox here",
        "user.max_user_namespaces",
        "sandbox = \"off\"",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn where_namespaces_are_forbidden_the_demo_works_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let ended = where_namespaces_are_forbidden(folder.path(), &["demo"]);
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(ended.status.success(), "{said}");
    assert_eq!(said.matches("without the sandbox").count(), 1, "{said}");
}

#[test]
fn where_namespaces_are_forbidden_the_doctor_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let text = "data_dir = 'data'\n[[repo]]\nname = 'a/b'\npath = 'app'\nforge = 'local'\n";
    std::fs::write(work.join("huskies.toml"), text).unwrap();
    let ended = where_namespaces_are_forbidden(
        folder.path(),
        &["doctor", "--json", "--config", "huskies.toml"],
    );
    assert_eq!(ended.status.code(), Some(1));
    let findings: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let sandbox = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["probe"] == "sandbox");
    assert_eq!(sandbox.unwrap()["verdict"], "does_not_hold");
}

#[test]
fn the_doctor_finds_every_wall_standing() {
    let folder = tempfile::tempdir().unwrap();
    let text = "data_dir = 'data'\n[[repo]]\nname = 'a/b'\npath = 'app'\nforge = 'local'\n";
    let file = folder.path().join("huskies.toml");
    std::fs::write(&file, text).unwrap();
    let ended = std::process::Command::new(HUSKIES)
        .args(["doctor", "--json", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let findings: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert!(ended.status.success(), "{findings:#}");
    let ok = |probe: &str| {
        findings
            .as_array()
            .unwrap()
            .iter()
            .any(|found| found["probe"] == probe && found["verdict"] == "ok")
    };
    for probe in [
        "git",
        "sandbox",
        "wall: files",
        "wall: memory",
        "wall: udp",
        "limit: memory",
        "strays end",
        "hook",
    ] {
        assert!(ok(probe), "{probe}: {findings:#}");
    }
}
