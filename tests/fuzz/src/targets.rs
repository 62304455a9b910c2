//! The targets. Each takes bytes as they come from a network, a process or a file, and panics on a
//! property that does not hold. What they accept and refuse is the business of other tests.

use std::ops::Range;

use futures::executor::block_on;
use hmac::{Hmac, KeyInit, Mac};
use huskies::agent::prompt::{Conflict, Occasion, PromptRequest, compose};
use huskies::agent::runtime::{self, Exit};
use huskies::agent::session::{LineSplitter, LogLine};
use huskies::agent::template::Template;
use huskies::command;
use huskies::config::environment::Environment;
use huskies::config::project;
use huskies::config::server::ServerConfig;
use huskies::domain::delivery::{IssueAction, PullRequestHead, Said};
use huskies::domain::dependency::Epic;
use huskies::domain::id::{
    BranchName, DeliveryId, ItemName, RepoName, SessionId, Sha, Slug, StoryId,
};
use huskies::domain::money::Usd;
use huskies::domain::project::{Land, Role, Runtime};
use huskies::domain::sandbox::Sandbox;
use huskies::domain::story::Recent;
use huskies::domain::text::inert_line;
use huskies::domain::work::{Message, Place, Session, Start, Task, TaskComment};
use huskies::gate::findings;
use huskies::gate::output::Collector;
use huskies::process::protocol::{ServerEnd, SupervisorEnd, ToServer};
use huskies::report::{self, Masker};
use huskies::webhook::{Content, DeliveryHeaders, EVENTS, decode, verify};
use secrecy::SecretString;
use sha2::Sha256;

use super::check::{self, Answer};
use super::stories;

/// A target by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: [Target; 12] = [
    ("webhook", webhook),
    ("command", command),
    ("signature", signature),
    ("agent_stream", agent_stream),
    ("terminal_lines", terminal_lines),
    ("gate_output", gate_output),
    ("project_file", project_file),
    ("server_config", server_config),
    ("names", names),
    ("markdown", markdown),
    ("prompt", prompt),
    ("frames", frames),
];

fn must(answer: Answer, about: &str) {
    if let Err(why) = answer {
        panic!("{why}\nin: {about:?}");
    }
}

/// One that is not read.
const UNREAD_EVENT: &str = "star";

/// A delivery that was signed, as one of each event.
pub fn webhook(data: &[u8]) {
    for event in EVENTS.into_iter().chain([UNREAD_EVENT]) {
        delivery(event, data);
    }
}

fn delivery(event: &str, body: &[u8]) {
    let headers = DeliveryHeaders {
        event: Some(event),
        delivery: Some("d-1"),
        content_type: Some("application/json"),
    };
    match decode(&headers, body) {
        Err(error) => must(check::terminal(&error.to_string()), "an error"),
        Ok(decoded) => {
            let name = decoded.repo.as_ref().map_or("a", RepoName::name);
            must(check::component(name), name);
            match decoded.content {
                Content::Push(push) => {
                    must(check::branch(push.branch.as_str()), push.branch.as_str());
                }
                Content::Issue(change) => {
                    must(named(&change.title), &change.title);
                    let label = match &change.action {
                        IssueAction::Labeled(label) => change.labels.contains(label),
                        IssueAction::Unlabeled(label) => !change.labels.contains(label),
                        _ => true,
                    };
                    assert!(label, "the labels are those after the change");
                }
                Content::Ignored { reason } => must(check::line(&reason, 300), &reason),
                Content::PullRequest(change) => head(&change.head),
                Content::Review(review) => head(&review.head),
                Content::Comment { .. }
                | Content::Check(_)
                | Content::CheckRequest(_)
                | Content::Installation(_)
                | Content::Ping => {}
            }
        }
    }
}

fn head(head: &PullRequestHead) {
    if let Some(branch) = &head.branch {
        must(check::branch(branch.as_str()), branch.as_str());
    }
}

/// A comment. Whatever it says, quoted or in a code block it says nothing.
pub fn command(data: &[u8]) {
    let text = String::from_utf8_lossy(data).replace('\r', "\n");
    let names = ["huskies".to_owned(), "octo-huskies".to_owned()];
    match command::read(&text, &names) {
        Some(Said::Unknown { word, .. }) => must(check::line(&word, 40), &text),
        Some(Said::ToAgent { text: told }) => {
            assert!(
                !told.trim().is_empty() && told.len() <= 16 * 1024,
                "{told:?}"
            );
        }
        Some(Said::Command { .. }) | None => {}
    }
    let quoted = format!("> {}", text.replace('\n', "\n> "));
    assert_eq!(command::read(&quoted, &names), None, "{quoted:?}");
    let coded = format!("    {}", text.replace('\n', "\n    "));
    assert_eq!(command::read(&coded, &names), None, "{coded:?}");
    let stop = format!("/huskies stop\n\n{text}");
    let said = command::read(&stop, &names);
    let stops = matches!(&said, Some(Said::Command { command, .. }) if command.word() == "stop");
    assert!(stops, "{stop:?}: {said:?}");
}

/// What a title gives a name to.
fn named(title: &str) -> Answer {
    let slug = Slug::from_title(title);
    check::component(slug.as_str())?;
    if slug.as_str().len() > 40 {
        return Err("a long slug".to_owned());
    }
    check::branch(BranchName::of_story(7, &slug).as_str())
}

/// A header and a body, parted by the first line end.
pub fn signature(data: &[u8]) {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(0);
    let (header, body) = (String::from_utf8_lossy(&data[..end]), &data[end..]);
    let secrets = ["old", "new"].map(SecretString::from);
    let right = |secret: &[u8]| {
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("every length will do");
        hex::encode(mac.chain_update(body).finalize().into_bytes())
    };
    let expected = [right(b"old"), right(b"new")].iter().any(|digits| {
        header
            .strip_prefix("sha256=")
            .is_some_and(|given| given.eq_ignore_ascii_case(digits))
    });
    assert_eq!(verify(&secrets, Some(&header), body).is_ok(), expected);
    let signed = format!("sha256={}", right(b"new"));
    assert!(verify(&secrets, Some(&signed), body).is_ok());
    assert!(verify(&[], Some(&signed), body).is_err());
}

/// An agent's terminal, from its bytes to the end of the attempt.
pub fn agent_stream(data: &[u8]) {
    let warm = Start::Warm(Session {
        id: SessionId("s".to_owned()),
        cost: Usd::from_dollars(0.5).expect("half a dollar"),
    });
    for (runtime, start) in [
        (Runtime::ClaudeCode, &Start::Cold),
        (Runtime::ClaudeCode, &warm),
        (Runtime::Command, &Start::Cold),
    ] {
        let mut parser = runtime::of(runtime).parser(start);
        let mut splitter = LineSplitter::new(1 << 20);
        let lines = splitter.feed(data).into_iter();
        for line in lines.chain(splitter.finish()) {
            drop(parser.line(&line));
        }
        let _usage = parser.usage();
        for exit in [0, 1, 134]
            .map(Exit::Status)
            .into_iter()
            .chain([Exit::Signal(6)])
        {
            let end = format!("{:?}", parser.end(exit));
            assert!(end.len() < 100_000, "{} bytes of an end", end.len());
        }
    }
}

/// Where the stream is cut changes nothing, and no line is longer than its cap.
pub fn terminal_lines(data: &[u8]) {
    let (choice, data) = data.split_first().unwrap_or((&0, &[]));
    let cap = 1 + usize::from(*choice);
    let all = |pieces: &[Range<usize>]| {
        let mut splitter = LineSplitter::new(cap);
        let mut lines = Vec::new();
        for piece in pieces {
            lines.extend(splitter.feed(&data[piece.clone()]));
        }
        lines.extend(splitter.finish());
        lines
    };
    let middle = data.len() / 2;
    let whole = all(std::slice::from_ref(&(0..data.len())));
    assert_eq!(whole, all(&[0..middle, middle..data.len()]));
    for line in whole {
        // What is not UTF-8 is replaced by three bytes.
        assert!(line.len() <= 3 * cap + 40, "{} bytes", line.len());
        assert!(!line.contains(['\n', '\r', '\u{1b}']), "{line:?}");
        let logged = LogLine::Output {
            at: "2026-01-01T00:00:00Z".parse().expect("a constant"),
            line: line.clone(),
        };
        must(check::terminal(&logged.text()), &line);
    }
}

/// A gate's output, in any pieces.
pub fn gate_output(data: &[u8]) {
    let (choice, data) = data.split_first().unwrap_or((&0, &[]));
    let cap = usize::from(*choice);
    let (mut whole, mut pieces) = (Collector::new(cap), Collector::new(cap));
    let mut lines = whole.take(data);
    lines.extend(whole.rest());
    let mut same: Vec<String> = data
        .chunks(3)
        .flat_map(|piece| pieces.take(piece))
        .collect();
    same.extend(pieces.rest());
    assert_eq!(lines, same);
    let tail = whole.into_tail();
    assert_eq!(tail, pieces.into_tail());
    assert!(tail.len() <= 4 * cap, "{} bytes of {cap}", tail.len());
    must(check::terminal(&tail), &tail);
    for found in findings::of(&tail) {
        let parts = found.path.split('/');
        let leaves = |part: &str| part.is_empty() || part == "..";
        assert!(
            !parts.into_iter().any(leaves) && found.line > 0,
            "{found:?}"
        );
    }
}

/// A project file of a base branch.
pub fn project_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match project::parse(&text, "project.toml", Land::Push) {
        Err(error) => assert!(error.to_string().starts_with("project.toml"), "{error}"),
        Ok(project) => {
            for gate in &project.gates {
                must(check::component(gate.name.as_str()), gate.name.as_str());
            }
            for agent in &project.agents {
                must(check::component(agent.name.as_str()), agent.name.as_str());
                if let Some(prompt) = &agent.prompt {
                    assert!(Template::parse(prompt).is_ok(), "checked when it was read");
                }
            }
        }
    }
}

/// A server's configuration.
pub fn server_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let environment = Environment::from_pairs([
        ("HUSKIES_GITHUB_TOKEN", "hidden-token"),
        ("HUSKIES_WEBHOOK_SECRET", "hidden-secret"),
    ]);
    match ServerConfig::parse(&text, "huskies.toml", &environment) {
        Err(error) => {
            let error = error.to_string();
            assert!(!error.is_empty());
            let leaked = error.contains("hidden-") && !text.contains("hidden-");
            assert!(!leaked, "{error}");
        }
        Ok(config) => {
            for repo in &config.repos {
                must(check::component(repo.name.name()), repo.name.name());
                must(check::component(repo.name.owner()), repo.name.owner());
            }
        }
    }
}

/// Names of every kind: what is accepted is what git, a folder and a shell take for a plain name,
/// and reads back as it was written; what is refused is quoted harmlessly.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    must(named(&text), &text);
    match text.parse::<BranchName>() {
        Ok(branch) => must(check::branch(branch.as_str()), &text),
        Err(error) => must(check::line(&error.to_string(), 300), &text),
    }
    if let Ok(repo) = text.parse::<RepoName>() {
        must(check::component(repo.owner()), &text);
        must(check::component(repo.name()), &text);
    }
    if let Ok(item) = text.parse::<ItemName>() {
        must(check::component(item.as_str()), &text);
    }
    if let Ok(story) = text.parse::<StoryId>() {
        assert_eq!(story.to_string(), text);
    }
    if let Ok(id) = text.parse::<DeliveryId>() {
        must(check::line(id.as_str(), 200), &text);
    }
    if let Ok(sha) = text.parse::<Sha>() {
        assert_eq!(sha.as_str().len(), 40);
    }
    must(check::plain_line(&inert_line(&text, 120), 120), &text);
}

/// Text of others in every comment, status and sentence that has room for it.
pub fn markdown(data: &[u8]) {
    const SECRET: &str = "ghp_ZtQ9vK2mX7rL4pW8";
    let text = String::from_utf8_lossy(data);
    let masker = Masker::new(vec![SECRET.into()]);
    for comment in stories::comments(&text) {
        let comment = masker.comment(&comment);
        must(check::comment(&comment), &comment);
        assert!(!comment.contains(SECRET));
    }
    for news in stories::statuses(&text) {
        let status = masker.status(&news);
        must(check::plain_line(&status, 140), &status);
        assert!(!status.contains(SECRET));
    }
    for sentence in stories::sentences(&text) {
        must(check::terminal(&sentence), &sentence);
    }
}

/// Text of others in every part of a prompt.
pub fn prompt(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (title, body) in [("Fix", "Please."), (&*text, &*text)] {
        let task = Task {
            title: title.to_owned(),
            body: body.to_owned(),
            comments: vec![TaskComment {
                author: text.to_string(),
                body: text.to_string(),
            }],
            epic: Some(Epic {
                issue: 7,
                title: title.to_owned(),
                body: body.to_owned(),
            }),
        };
        for quoted in prompts(&task, &text) {
            must(check::prompt(&quoted), &quoted);
            if body != text {
                let notes = check::stands_alone(&quoted, "Notes on this project");
                must(notes, &quoted);
            }
        }
    }
}

fn prompts(task: &Task, text: &str) -> Vec<String> {
    let story: StoryId = "octo/app#42".parse().expect("a constant");
    let branch: BranchName = "feature/story-42-x".parse().expect("a constant");
    let tip: Sha = "a".repeat(40).parse().expect("a constant");
    let paths = [text.to_owned()];
    let recent = [Recent {
        at: jiff::Timestamp::UNIX_EPOCH,
        text: text.to_owned(),
        log: Some(text.to_owned()),
    }];
    let places = [
        Place::Conversation,
        Place::Issue,
        Place::Line {
            path: text.to_owned(),
            line: Some(7),
        },
    ];
    let messages = places.map(|place| Message {
        author: text.to_owned(),
        place,
        text: text.to_owned(),
    });
    let occasions = [
        Occasion::First,
        Occasion::Retry {
            failures: Some(text),
            kept: Some(&tip),
        },
        Occasion::FixUp {
            failures: Some(text),
            conflict: Some(Conflict {
                base: &branch,
                tip: &tip,
                paths: &paths,
            }),
        },
    ];
    occasions
        .into_iter()
        .map(|occasion| {
            compose(&PromptRequest {
                story: &story,
                branch: &branch,
                task,
                template: &Template::built_in(Role::Coder),
                recent_events: &recent,
                messages: &messages,
                epic: task.epic.as_ref(),
                notes: Some("Use just."),
                occasion,
                start: &Start::Cold,
            })
            .together()
        })
        .collect()
}

/// What a broken peer sends over a supervisor's socket, at both ends.
pub fn frames(data: &[u8]) {
    block_on(async {
        let mut server: ServerEnd<_> = ServerEnd::new(tokio::io::join(data, tokio::io::sink()));
        let mut supervisor: SupervisorEnd<_> =
            SupervisorEnd::new(tokio::io::join(data, tokio::io::sink()));
        let mut read = Vec::new();
        while let Some(Ok(message)) = server.receive().await {
            read.push(message);
        }
        while let Some(Ok(_)) = supervisor.receive().await {}
        assert_eq!(again(&read).await, read);
    });
}

/// The same messages after another crossing.
async fn again(messages: &[ToServer]) -> Vec<ToServer> {
    let mut wire = Vec::new();
    let mut sender: SupervisorEnd<_> =
        SupervisorEnd::new(tokio::io::join(tokio::io::empty(), &mut wire));
    for message in messages {
        sender
            .send(message)
            .await
            .expect("a vector takes everything");
    }
    drop(sender);
    let mut receiver: ServerEnd<_> = ServerEnd::new(tokio::io::join(&wire[..], tokio::io::sink()));
    let mut read = Vec::new();
    while let Some(message) = receiver.receive().await {
        read.push(message.expect("it was sent by this program"));
    }
    read
}

/// The longest comment that there can be still fits.
pub fn longest(text: &str) {
    let comment = Masker::default().comment(&report::sticky_comment(
        &stories::longest(text),
        Sandbox::Off,
    ));
    must(check::comment(&comment), "the longest comment");
}
