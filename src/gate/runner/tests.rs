//! Gates are run for real: shells, files, time limits.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::domain::project::Moment;

fn gate(name: &str, command: &str) -> Gate {
    Gate {
        name: name.parse().unwrap(),
        command: command.to_owned(),
        timeout: Duration::from_mins(1),
        on: vec![Moment::Accept],
        paths: Vec::new(),
    }
}

fn request(directory: &Path, gates: Vec<Gate>) -> GateRun {
    let environment = [("PATH", "/usr/bin:/bin"), ("GREETING", "hello")];
    GateRun {
        gates,
        place: Place {
            directory: directory.to_owned(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            marks: format!(
                "outer-of-{0} {0}",
                directory.file_name().unwrap().to_str().unwrap()
            ),
            confinement: None,
            output_cap: 1000,
        },
        changed_paths: None,
        parallel: NonZeroUsize::new(2).unwrap(),
    }
}

async fn outcomes(request: &GateRun) -> Vec<GateOutcome> {
    run(request, &Watch::default()).await.unwrap()
}

/// True while some process on the machine carries the run's mark.
fn is_running(request: &GateRun) -> bool {
    let mark = request.place.marks.split(' ').next().unwrap().to_owned();
    !crate::process::tree::Tree { root: None, mark }.is_empty()
}

#[tokio::test]
async fn the_exit_status_alone_decides() {
    let folder = tempfile::tempdir().unwrap();
    let gates = vec![
        gate("quiet", "true"),
        gate("loud", "echo FAILED >&2; exit 0"),
        gate("fails", "echo out; echo err >&2; exit 3"),
        gate("signalled", "kill -9 $$"),
        gate("unknown", "no-such-program-anywhere"),
    ];
    let outcomes = outcomes(&request(folder.path(), gates)).await;
    let verdicts: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.verdict.clone())
        .collect();
    assert_eq!(
        verdicts,
        [
            GateVerdict::Passed,
            GateVerdict::Passed,
            GateVerdict::Failed { status: 3 },
            GateVerdict::Failed { status: 137 },
            GateVerdict::Failed { status: 127 },
        ]
    );
    assert_eq!(outcomes[1].tail, "FAILED");
    assert_eq!(outcomes[2].tail, "out\nerr");
}

#[tokio::test]
async fn a_gate_sees_the_listed_environment_its_folder_and_no_input() {
    let folder = tempfile::tempdir().unwrap();
    let probe =
        "env | cut -d= -f1 | sort | tr '\\n' ' '; echo; echo $GREETING; pwd -P; cat | wc -c";
    let outcomes = outcomes(&request(folder.path(), vec![gate("probe", probe)])).await;
    let lines: Vec<&str> = outcomes[0].tail.lines().map(str::trim).collect();
    // The shell itself sets PWD and, depending on which shell it is, OLDPWD, SHLVL and `_`.
    let names: Vec<&str> = lines[0]
        .split(' ')
        .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name))
        .collect();
    assert_eq!(names, ["GREETING", "HUSKIES_RUN_MARK", "PATH"]);
    assert_eq!(lines[1], "hello");
    assert_eq!(Path::new(lines[2]), folder.path().canonicalize().unwrap());
    assert_eq!(lines[3], "0");
}

#[tokio::test]
async fn a_time_limit_ends_the_whole_tree() {
    let folder = tempfile::tempdir().unwrap();
    let mut slow = gate("slow", "echo begun; setsid sleep 1000 & sleep 1000");
    slow.timeout = Duration::from_millis(300);
    let request = request(folder.path(), vec![slow, gate("fast", "true")]);
    let outcomes = outcomes(&request).await;
    assert_eq!(
        outcomes[0].verdict,
        GateVerdict::TimedOut {
            after: Duration::from_millis(300)
        }
    );
    // A shell that outlives its child for a moment adds that it was terminated.
    assert!(
        outcomes[0].tail.starts_with("begun"),
        "{}",
        outcomes[0].tail
    );
    assert_eq!(outcomes[1].verdict, GateVerdict::Passed);
    assert!(!is_running(&request));
}

#[tokio::test]
async fn what_a_gate_leaves_in_the_background_is_ended_and_does_not_hold_it_up() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(
        folder.path(),
        vec![gate("leaves", "sleep 1000 & setsid sleep 1000 & echo done")],
    );
    let outcomes = outcomes(&request).await;
    assert_eq!(
        (&outcomes[0].verdict, outcomes[0].tail.as_str()),
        (&GateVerdict::Passed, "done")
    );
    assert!(!is_running(&request));
}

#[tokio::test]
async fn cancelling_ends_the_gates_that_run_and_starts_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let gates = vec![
        gate("a", "echo up; sleep 1000"),
        gate("b", "echo up; sleep 1000"),
        gate("c", "touch started"),
    ];
    let request = request(folder.path(), gates);
    let (sender, mut progress) = mpsc::channel(16);
    let watch = Watch {
        progress: Some(sender),
        ..Watch::default()
    };
    let cancel = watch.cancel.clone();
    let both_are_up = async {
        let mut up = 0;
        while up < 2 {
            up += usize::from(matches!(
                progress.recv().await.unwrap(),
                Progress::Line { .. }
            ));
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(run(&request, &watch), both_are_up);
    assert_eq!(result, Err(Cancelled));
    assert!(!folder.path().join("started").exists());
    assert!(!is_running(&request));
}

#[tokio::test]
async fn gates_run_side_by_side_up_to_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    // Each waits for the other: one after the other they would reach their time limits.
    let meet = |own: &str, other: &str| {
        gate(
            own,
            &format!("touch {own}; until [ -e {other} ]; do sleep 0.01; done"),
        )
    };
    let outcomes = outcomes(&request(
        folder.path(),
        vec![meet("a", "b"), meet("b", "a")],
    ))
    .await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.verdict == GateVerdict::Passed),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn a_gate_is_skipped_only_when_it_is_known_that_none_of_its_paths_changed() {
    let folder = tempfile::tempdir().unwrap();
    let with_paths = |name: &str, paths: &[&str]| Gate {
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        ..gate(name, "true")
    };
    let gates = vec![
        with_paths("everything", &[]),
        with_paths("web", &["web/**"]),
        with_paths("folder", &["web/"]),
        with_paths("rust", &["**/*.rs"]),
        with_paths("top", &["*.css"]),
    ];
    let mut request = request(folder.path(), gates);
    request.changed_paths = Some(vec!["web/src/page.css".to_owned()]);
    let skipped = |outcomes: Vec<GateOutcome>| -> Vec<String> {
        let skipped = outcomes
            .iter()
            .filter(|outcome| outcome.verdict == GateVerdict::Skipped);
        skipped.map(|outcome| outcome.gate.to_string()).collect()
    };
    assert_eq!(skipped(outcomes(&request).await), ["rust", "top"]);
    request.changed_paths = None;
    assert!(skipped(outcomes(&request).await).is_empty());
}

#[tokio::test]
async fn a_command_that_cannot_be_run_at_all_is_broken_not_failed() {
    let folder = tempfile::tempdir().unwrap();
    let outcomes = outcomes(&request(
        &folder.path().join("gone"),
        vec![gate("test", "true")],
    ))
    .await;
    assert!(
        matches!(&outcomes[0].verdict, GateVerdict::Broken { message } if message.contains("gone")),
        "{outcomes:?}"
    );
}
