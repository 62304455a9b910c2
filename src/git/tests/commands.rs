//! How git is run: its environment, its time limit, its secrets.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use super::*;

const TOKEN: &str = "ghp_s3cr3tT0kenOfNobody";

/// A git that writes down how it was called, then does what `end` says.
fn recording_git(world: &World, end: &str) -> GitSettings {
    let bin = world.at("bin");
    let record = world.at("record");
    let text = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > {0}.argv\nenv > {0}.env\n{end}\n",
        record.display()
    );
    hostile::script(&bin.join("git"), &text);
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(search_path());
    GitSettings {
        path,
        ..world.settings()
    }
}

async fn fetch_default_branch(settings: GitSettings, address: &str) -> Result<BranchName> {
    let (url, _) = remote::RemoteUrl::parse(address, Path::new("/"))?;
    let auth = Auth {
        username: "x-access-token".to_owned(),
        token: TOKEN.into(),
        renewal: None,
    };
    let remote = remote::Remote::new(url, Some(&auth))?;
    remote.default_branch(&Git::new(settings)?).await
}

fn lines(path: PathBuf) -> Vec<String> {
    read(path).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_token_is_in_the_environment_and_nowhere_else() {
    let world = World::new();
    let end = "echo \"fatal: $GIT_CONFIG_VALUE_0\" >&2; exit 128";
    let error = fetch_default_branch(recording_git(&world, end), "https://example.org/app")
        .await
        .unwrap_err();
    let encoded = "eC1hY2Nlc3MtdG9rZW46Z2hwX3MzY3IzdFQwa2VuT2ZOb2JvZHk=";
    let argv = read(world.at("record.argv"));
    assert!(!argv.contains(TOKEN) && !argv.contains(encoded), "{argv}");
    let environment = lines(world.at("record.env"));
    assert!(environment.contains(&format!(
        "GIT_CONFIG_VALUE_0=Authorization: Basic {encoded}"
    )));
    assert!(
        environment.contains(&"GIT_CONFIG_KEY_0=http.https://example.org/.extraHeader".to_owned())
    );
    let said = format!("{error} {error:?}");
    assert!(
        said.contains("[secret]") && !said.contains(TOKEN) && !said.contains(encoded),
        "{said}"
    );
}

#[tokio::test]
async fn git_gets_a_cleared_environment_and_settings_of_ours() {
    let world = World::new();
    let mut settings = recording_git(&world, "exit 0");
    settings.environment = vec![("SSH_AUTH_SOCK".into(), "/run/agent".into())];
    Git::new(settings).unwrap().version().await.unwrap();
    let mut names: Vec<String> = lines(world.at("record.env"))
        .iter()
        .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
        .collect();
    names.retain(|name| !matches!(name.as_str(), "PWD" | "OLDPWD" | "_" | "SHLVL"));
    names.sort();
    let expected = [
        "GIT_ATTR_NOSYSTEM",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
        "GIT_TERMINAL_PROMPT",
        "HOME",
        "LC_ALL",
        "PATH",
        "SSH_AUTH_SOCK",
    ];
    assert_eq!(names, expected);
    let argv = lines(world.at("record.argv"));
    for setting in [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "protocol.allow=never",
        "gc.auto=0",
    ] {
        assert!(argv.contains(&setting.to_owned()), "{setting}");
    }
    assert!(
        !argv
            .iter()
            .any(|argument| argument.ends_with(".allow=always")),
        "{argv:?}"
    );
}

#[tokio::test]
async fn a_command_past_its_limit_is_killed_with_its_children() {
    let world = World::new();
    let fifo = world.at("fifo");
    make_fifo(&fifo);
    // The child holds the write end; reading ends when it, and not only its parent, is gone.
    let end = format!("(sleep 600 > {0}; :) & wait", fifo.display());
    let settings = GitSettings {
        time_limit: Duration::from_secs(1),
        ..recording_git(&world, &end)
    };
    let held = fs::File::options()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    let reader = tokio::task::spawn_blocking(move || fs::read_to_string(fifo).unwrap());
    let error = Git::new(settings).unwrap().version().await.unwrap_err();
    assert!(matches!(error, GitError::TimedOut { .. }), "{error}");
    drop(held);
    assert_eq!(reader.await.unwrap(), "");
}

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
}

#[tokio::test]
async fn a_call_that_is_given_up_takes_its_children_along() {
    let world = World::new();
    let fifo = world.at("fifo");
    make_fifo(&fifo);
    let end = format!(
        "(sleep 600 > {0}; :) & echo started > {0}; wait",
        fifo.display()
    );
    let git = Git::new(recording_git(&world, &end)).unwrap();
    let (started, heard) = tokio::sync::oneshot::channel();
    let reader = tokio::task::spawn_blocking(move || {
        let mut reader = BufReader::new(fs::File::open(fifo).unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        started.send(line).unwrap();
        reader.read_line(&mut String::new()).unwrap()
    });
    tokio::select! {
        ended = git.version() => panic!("{ended:?}"),
        line = heard => assert_eq!(line.unwrap(), "started\n"),
    }
    assert_eq!(reader.await.unwrap(), 0);
}

#[tokio::test]
async fn a_missing_git_is_said_to_be_missing() {
    let world = World::new();
    let settings = GitSettings {
        path: world.at("nowhere").into(),
        ..world.settings()
    };
    let error = Git::new(settings).unwrap().version().await.unwrap_err();
    assert_eq!(error.to_string(), "the git program was not found");
}

/// Answers one HTTP request with `status`; returns the address and, later, the request's lines.
fn serve_once(status: &'static str) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/octo/app.git", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(&stream).lines().map(|line| line.unwrap());
        let request = lines.take_while(|line| !line.is_empty()).collect();
        write!(
            &stream,
            "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        request
    });
    (address, server)
}

#[tokio::test]
async fn a_real_remote_gets_the_token_as_a_header_and_its_refusal_is_told_from_an_outage() {
    let world = World::new();
    let (address, server) = serve_once("403 Forbidden");
    let error = fetch_default_branch(world.settings(), &address)
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::Refused { .. }), "{error}");
    let request = server.join().unwrap();
    let header = "Authorization: Basic eC1hY2Nlc3MtdG9rZW46Z2hwX3MzY3IzdFQwa2VuT2ZOb2JvZHk=";
    assert!(request.iter().any(|line| line == header), "{request:?}");

    let (address, server) = serve_once("503 Service Unavailable");
    let error = fetch_default_branch(world.settings(), &address)
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::Unavailable { .. }), "{error}");
    server.join().unwrap();
    let error = fetch_default_branch(world.settings(), &address)
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn the_installed_git_is_new_enough() {
    let world = World::new();
    let version = Git::new(world.settings()).unwrap().version().await.unwrap();
    let numbers = version.strip_prefix("git version ").unwrap();
    let minor: u32 = numbers
        .strip_prefix("2.")
        .unwrap()
        .split('.')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(minor >= 39, "{version}");
}
