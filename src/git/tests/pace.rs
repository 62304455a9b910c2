//! Prints medians. Not committed.
use super::*;
use std::time::Instant;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[tokio::test]
#[ignore = "a measurement"]
async fn pace() {
    let world = World::new();
    let (_, clone) = world.remote();
    for number in 0..1000 {
        write(
            &clone,
            &[(
                &format!("d{}/f{number}.txt", number % 40),
                &format!("{number}\n").repeat(60),
            )],
        );
    }
    world.commit(&clone, &[], "Many");
    world.git(&clone, &["push", "-q", "origin", "main"]);
    let repository = world.open(&clone).await;
    repository.sync_base(None).await.unwrap();
    let (mut prepare, mut again, mut checkout, mut collect, mut land, mut sync, mut retire) =
        (vec![], vec![], vec![], vec![], vec![], vec![], vec![]);
    for number in 1..=25 {
        let base = repository.sync_base(None).await.unwrap().sha;
        let (id, name) = story(number);
        let spec = WorktreeSpec {
            story: id,
            branch: name,
            base,
        };
        let t = Instant::now();
        let worktree = repository.prepare_worktree(&spec).await.unwrap();
        prepare.push(t.elapsed().as_secs_f64() * 1e3);
        let t = Instant::now();
        repository.prepare_worktree(&spec).await.unwrap();
        again.push(t.elapsed().as_secs_f64() * 1e3);
        let story = Story { worktree, spec };
        world.commit(story.path(), &[(&format!("n{number}.txt"), "x\n")], "Work");
        write(story.path(), &[("left.txt", "x\n")]);
        let t = Instant::now();
        let collected = story.collect(&repository, 1).await;
        collect.push(t.elapsed().as_secs_f64() * 1e3);
        let t = Instant::now();
        repository
            .checkout("accept", &collected.head)
            .await
            .unwrap();
        checkout.push(t.elapsed().as_secs_f64() * 1e3);
        let t = Instant::now();
        let c = candidate(&repository, &story.spec.base, &collected.head).await;
        assert_eq!(
            repository.land(&branch("main"), &c).await.unwrap(),
            Landing::Landed
        );
        land.push(t.elapsed().as_secs_f64() * 1e3);
        let t = Instant::now();
        repository.sync_base(None).await.unwrap();
        sync.push(t.elapsed().as_secs_f64() * 1e3);
        let t = Instant::now();
        repository
            .retire_worktree(&story.collecting(1))
            .await
            .unwrap();
        retire.push(t.elapsed().as_secs_f64() * 1e3);
    }
    eprintln!(
        "medians ms: prepare {:.1} again {:.1} collect {:.1} checkout {:.1} build+land {:.1} sync {:.1} retire {:.1}",
        median(prepare),
        median(again),
        median(collect),
        median(checkout),
        median(land),
        median(sync),
        median(retire)
    );
}
