//! Squash commits.

use super::*;

async fn build(repository: &Repository, base: &Sha, head: &Sha) -> Built {
    let spec = CandidateSpec {
        base: base.clone(),
        head: head.clone(),
        message: "Mend the door\n\nStory: octo/app#1".to_owned(),
    };
    repository.build_candidate(&spec).await.unwrap()
}

fn show(world: &World, commit: &Sha, format: &str) -> String {
    world.git(
        &world.paths().control(),
        &["show", "-s", &format!("--format={format}"), commit.as_str()],
    )
}

/// Commits in a worktree as somebody else.
fn commit_as(world: &World, folder: &Path, (name, email): (&str, &str), message: &str) {
    write(folder, &[("b.txt", message)]);
    world.git(folder, &["add", "-A"]);
    let author = format!("--author={name} <{email}>");
    world.git(
        folder,
        &[
            "commit",
            "-q",
            &author,
            "--date=1710000000 +0530",
            "-m",
            message,
        ],
    );
}

#[tokio::test]
async fn a_story_becomes_one_commit_with_its_author_and_all_trailers() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    commit_as(
        &world,
        story.path(),
        ("Grace", "grace@example.org"),
        "First\n\nReviewed-by: Rev <rev@example.org>",
    );
    commit_as(
        &world,
        story.path(),
        ("Özgür", "oz@example.org"),
        "Second\n\nSigned-off-by: Özgür <oz@example.org>",
    );
    let head = story.collect(&repository, 1).await.head;
    let built = candidate(&repository, &story.spec.base, &head).await;
    assert_eq!(
        show(&world, &built.commit, "%an <%ae> %ad"),
        "Özgür <oz@example.org> Sat Mar 9 21:30:00 2024 +0530"
    );
    assert_eq!(
        show(&world, &built.commit, "%cn <%ce> %cd"),
        "huskies <huskies@example.org> Sat Mar 9 21:30:00 2024 +0530"
    );
    assert_eq!(show(&world, &built.commit, "%P"), story.spec.base.as_str());
    assert_eq!(
        show(&world, &built.commit, "%B"),
        "Mend the door\n\nReviewed-by: Rev <rev@example.org>\nCo-authored-by: Grace <grace@example.org>\n\
         Signed-off-by: Özgür <oz@example.org>"
    );
    let head_tree = world.sha(story.path(), "HEAD^{tree}");
    assert_eq!(built.tree, head_tree);
}

#[tokio::test]
async fn building_again_gives_the_same_commit_and_it_stays_referenced() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    world.commit(story.path(), &[("b.txt", "b")], "Work");
    let head = story.collect(&repository, 1).await.head;
    let built = candidate(&repository, &story.spec.base, &head).await;
    assert_eq!(candidate(&repository, &story.spec.base, &head).await, built);
    let name = format!("refs/huskies/candidate/{}", built.commit.short());
    assert_eq!(world.sha(&world.paths().control(), &name), built.commit);
}

#[tokio::test]
async fn changes_of_both_sides_are_merged() {
    let world = World::new();
    let clone = world.clone();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    world.commit(story.path(), &[("b.txt", "b")], "Work");
    let head = story.collect(&repository, 1).await.head;
    let base = world.commit(&clone, &[("c.txt", "c")], "Elsewhere");
    repository.sync_base(None).await.unwrap();
    let built = candidate(&repository, &base, &head).await;
    let names = world.git(
        &world.paths().control(),
        &["ls-tree", "-r", "--name-only", built.tree.as_str()],
    );
    assert_eq!(names, ".gitignore\na.txt\nb.txt\nc.txt\nsrc/lib.rs");
}

#[tokio::test]
async fn a_conflict_names_its_paths_whatever_they_are_called() {
    let world = World::new();
    let clone = world.clone();
    let odd = "line\nbreak;-x";
    world.commit(&clone, &[(odd, "start\n")], "Odd");
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    world.commit(
        story.path(),
        &[("a.txt", "ours\n"), (odd, "ours\n"), ("b.txt", "b")],
        "Work",
    );
    let head = story.collect(&repository, 1).await.head;
    let base = world.commit(
        &clone,
        &[("a.txt", "theirs\n"), (odd, "theirs\n")],
        "Elsewhere",
    );
    repository.sync_base(None).await.unwrap();
    let paths = vec!["a.txt".to_owned(), odd.to_owned()];
    assert_eq!(
        build(&repository, &base, &head).await,
        Built::Conflict { paths }
    );
}

#[tokio::test]
async fn a_conflict_without_markers_is_still_a_conflict() {
    let world = World::new();
    let clone = world.clone();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    fs::remove_file(story.path().join("a.txt")).unwrap();
    world.commit(story.path(), &[], "Remove");
    let head = story.collect(&repository, 1).await.head;
    let base = world.commit(&clone, &[("a.txt", "changed\n")], "Change");
    repository.sync_base(None).await.unwrap();
    assert_eq!(
        build(&repository, &base, &head).await,
        Built::Conflict {
            paths: vec!["a.txt".to_owned()]
        }
    );
}

#[tokio::test]
async fn what_the_base_has_already_is_nothing() {
    let world = World::new();
    let clone = world.clone();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    world.commit(story.path(), &[("b.txt", "same\n")], "Work");
    let head = story.collect(&repository, 1).await.head;
    let base = world.commit(&clone, &[("b.txt", "same\n")], "By hand");
    repository.sync_base(None).await.unwrap();
    assert_eq!(build(&repository, &base, &head).await, Built::Nothing);
}

#[tokio::test]
async fn a_story_without_a_common_start_conflicts_everywhere() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    world.git(story.path(), &["checkout", "-q", "--orphan", "fresh"]);
    world.commit(story.path(), &[("a.txt", "other\n")], "Anew");
    world.git(
        story.path(),
        &["branch", "-q", "-M", "feature/story-1-door"],
    );
    let head = story.collect(&repository, 1).await.head;
    let built = build(&repository, &story.spec.base, &head).await;
    assert_eq!(
        built,
        Built::Conflict {
            paths: vec!["a.txt".to_owned()]
        }
    );
}

#[tokio::test]
async fn a_merge_commit_of_the_story_does_not_become_the_author() {
    let world = World::new();
    let clone = world.clone();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    commit_as(&world, story.path(), ("Grace", "grace@example.org"), "Work");
    let base = world.commit(&clone, &[("c.txt", "c")], "Elsewhere");
    repository.sync_base(None).await.unwrap();
    world.git(story.path(), &["merge", "-q", "--no-edit", base.as_str()]);
    let head = story.collect(&repository, 1).await.head;
    let built = candidate(&repository, &base, &head).await;
    assert_eq!(show(&world, &built.commit, "%an"), "Grace");
    assert_eq!(
        show(&world, &built.commit, "%B"),
        "Mend the door\n\nCo-authored-by: Ada <ada@example.org>"
    );
}

#[tokio::test]
async fn a_commit_that_is_not_here_is_an_error_and_no_conflict() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let base = repository.sync_base(None).await.unwrap().sha;
    let spec = CandidateSpec {
        base,
        head: "f".repeat(40).parse().unwrap(),
        message: String::new(),
    };
    assert!(repository.build_candidate(&spec).await.is_err());
}
