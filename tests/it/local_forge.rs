//! What is particular to the local forge: the command line drives it, and it lives in a file.

use huskies::domain::delivery::{IssueAction, IssueChange};
use huskies::domain::id::{RepoName, StoryId};
use huskies::forge::{Forge, ForgeError, LocalForge, Permission, Status, StatusState};

use crate::support::local_forge::LocalForgeBench;

const SHA: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";

fn repo() -> RepoName {
    "octo/app".parse().unwrap()
}

async fn new_story(forge: &LocalForge) -> StoryId {
    let number = forge
        .create_issue(&repo(), "Fix the door", "It squeaks.", "ada")
        .await
        .unwrap();
    StoryId::new(repo(), number)
}

#[tokio::test]
async fn a_change_tells_what_a_webhook_would_have_told() {
    let bench = LocalForgeBench::new().await;
    let story = new_story(&bench.forge).await;
    let change = bench
        .forge
        .label(&story, "huskies", "bob")
        .await
        .unwrap()
        .unwrap();
    let issue = bench.forge.issue(&story).await.unwrap();
    let expected = IssueChange {
        number: story.number,
        action: IssueAction::Labeled("huskies".to_owned()),
        sender: "bob".to_owned(),
        by_bot: false,
        title: "Fix the door".to_owned(),
        body: "It squeaks.".to_owned(),
        labels: vec!["huskies".to_owned()],
        at: issue.updated_at,
        not_planned: false,
        family: issue.family,
    };
    assert_eq!(change, expected);
    let unlabeled = bench
        .forge
        .unlabel(&story, "huskies", "bob")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        unlabeled.action,
        IssueAction::Unlabeled("huskies".to_owned())
    );
    assert!(unlabeled.labels.is_empty() && unlabeled.at > change.at);
    let closed = bench.forge.close(&story, "bob").await.unwrap().unwrap();
    assert_eq!(closed.action, IssueAction::Closed);
    assert!(!bench.forge.issue(&story).await.unwrap().open);
    let reopened = bench.forge.reopen(&story, "bob").await.unwrap().unwrap();
    assert_eq!(reopened.action, IssueAction::Reopened);
    assert!(bench.forge.issue(&story).await.unwrap().open);
}

#[tokio::test]
async fn what_changes_nothing_tells_nothing() {
    let bench = LocalForgeBench::new().await;
    let story = new_story(&bench.forge).await;
    bench.forge.label(&story, "huskies", "bob").await.unwrap();
    let before = bench.forge.issue(&story).await.unwrap();
    assert_eq!(
        bench.forge.label(&story, "Huskies", "bob").await.unwrap(),
        None
    );
    assert_eq!(
        bench.forge.unlabel(&story, "bug", "bob").await.unwrap(),
        None
    );
    assert_eq!(bench.forge.reopen(&story, "bob").await.unwrap(), None);
    assert_eq!(bench.forge.issue(&story).await.unwrap(), before);
    bench.forge.close(&story, "bob").await.unwrap();
    assert_eq!(bench.forge.close(&story, "bob").await.unwrap(), None);
}

#[tokio::test]
async fn issues_are_numbered_and_listed_by_repository() {
    let bench = LocalForgeBench::new().await;
    let other: RepoName = "octo/other".parse().unwrap();
    let first = new_story(&bench.forge).await;
    assert_eq!(
        bench
            .forge
            .create_issue(&other, "Elsewhere", "", "bob")
            .await
            .unwrap(),
        1
    );
    let second = new_story(&bench.forge).await;
    assert_eq!((first.number, second.number), (1, 2));
    bench.forge.label(&second, "huskies", "bob").await.unwrap();
    bench.forge.close(&second, "bob").await.unwrap();

    let issues = bench.forge.list_issues(&repo()).await.unwrap();
    let seen: Vec<_> = issues
        .iter()
        .map(|issue| (issue.number, issue.open, issue.labels.len()))
        .collect();
    assert_eq!(seen, [(1, true, 0), (2, false, 1)]);
    assert_eq!(
        (issues[0].author.as_str(), issues[0].created_at),
        ("ada", issues[0].updated_at)
    );
}

#[tokio::test]
async fn names_that_no_forge_takes_are_refused() {
    let bench = LocalForgeBench::new().await;
    let story = new_story(&bench.forge).await;
    for bad in ["", " huskies", "two\nlines", &"x".repeat(51)] {
        let refused = bench.forge.label(&story, bad, "bob").await;
        assert!(
            matches!(refused, Err(ForgeError::Invalid { .. })),
            "{bad:?}"
        );
    }
    let untitled = bench.forge.create_issue(&repo(), "  ", "", "bob").await;
    assert!(matches!(untitled, Err(ForgeError::Invalid { .. })));
    let missing = StoryId::new(repo(), 7);
    let unlabeled = bench.forge.label(&missing, "huskies", "bob").await;
    assert!(matches!(unlabeled, Err(ForgeError::NotFound { .. })));
}

#[tokio::test]
async fn two_processes_never_give_the_same_number_or_set_a_label_twice() {
    let bench = LocalForgeBench::new().await;
    let (one, two) = (bench.forge.clone(), bench.another().await);
    let open = async |forge: &LocalForge| {
        let mut numbers = Vec::new();
        for _ in 0..20 {
            numbers.push(new_story(forge).await.number);
        }
        numbers
    };
    let (mut numbers, more) = tokio::join!(open(&one), open(&two));
    numbers.extend(more);
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=40).collect::<Vec<u64>>());

    for number in numbers {
        let story = StoryId::new(repo(), number);
        let (a, b) = tokio::join!(
            one.label(&story, "huskies", "ada"),
            two.label(&story, "huskies", "bob")
        );
        let told = [a.unwrap(), b.unwrap()].into_iter().flatten().count();
        assert_eq!(
            told, 1,
            "the label of issue {number} was set by one of them"
        );
    }
}

#[tokio::test]
async fn everything_is_still_there_for_the_next_process() {
    let bench = LocalForgeBench::new().await;
    let story = new_story(&bench.forge).await;
    let comment = bench
        .forge
        .comment(&story, "Which door?", "ada")
        .await
        .unwrap();
    let status = Status {
        context: "huskies/merge".to_owned(),
        state: StatusState::Success,
        description: "Landed".to_owned(),
        target_url: None,
    };
    bench
        .forge
        .set_status(&repo(), &SHA.parse().unwrap(), &status)
        .await
        .unwrap();
    bench.pool.close().await;

    let next = bench.another().await;
    let comments = next.comments_of(&story).await.unwrap();
    assert_eq!(
        (&comments[0].id, comments[0].author.as_str()),
        (&comment, "ada")
    );
    assert_eq!(comments[0].created_at, comments[0].updated_at);
    let statuses = next
        .statuses_of(&repo(), &SHA.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(
        (statuses.len(), statuses[0].state),
        (1, StatusState::Success)
    );
    assert_eq!(
        (statuses[0].commit.as_str(), statuses[0].context.as_str()),
        (SHA, "huskies/merge")
    );
    assert!(statuses[0].created_at > comments[0].created_at);
}

#[tokio::test]
async fn everybody_may_write_and_no_branch_is_the_default() {
    let bench = LocalForgeBench::new().await;
    assert_eq!(
        bench.forge.permission(&repo(), "whoever").await.unwrap(),
        Permission::Write
    );
    assert_eq!(bench.forge.default_branch(&repo()).await.unwrap(), None);
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_not_available() {
    let bench = LocalForgeBench::new().await;
    let story = new_story(&bench.forge).await;
    sqlx::query("DROP TABLE local_comments")
        .execute(&bench.pool)
        .await
        .unwrap();
    let error = bench
        .forge
        .create_comment(&story, "Hello")
        .await
        .unwrap_err();
    assert!(matches!(error, ForgeError::Unavailable { .. }), "{error}");
}
