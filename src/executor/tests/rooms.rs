//! Where runs are confined to.

use super::*;
use crate::executor::rooms;
use crate::sandbox::{Confinement, Room};

fn may_read(confinement: &Confinement, path: &Path) -> bool {
    confinement.readable.iter().any(|given| given == path)
}

#[tokio::test]
async fn an_agent_and_its_set_up_share_the_storys_home_and_nothing_else() {
    let world = World::new().await.with_walls();
    let (spec, worktree) = world.worktree_of(1).await;
    let (context, repo) = (&world.context, world.repo());
    let (story, branch) = (&spec.story, &spec.branch);
    let kept = rooms::kept_room(context, repo, story, branch).unwrap();
    let name = worktree.file_name().unwrap();
    assert_eq!(kept, world.at("data/homes/octo/app").join(name));

    let (run, prompt) = (world.at("data/runs/1"), world.at("data/runs/1/prompt.md"));
    let agent = rooms::of_agent(context, repo, (story, branch), (&run, &prompt));
    let agent = agent.unwrap().unwrap();
    let set_up = rooms::of_set_up(context, repo, story, branch);
    let set_up = set_up.unwrap().unwrap();
    let reach = repo.git.reach_of_worktree(branch).unwrap();
    for confinement in [&agent, &set_up] {
        assert_eq!(confinement.folder, worktree);
        assert_eq!(confinement.own, reach.writable);
        for path in &reach.readable {
            assert!(may_read(confinement, path), "{}", path.display());
        }
    }
    assert_eq!(agent.room, Room::with_home(&kept, &run.join("room")));
    assert_eq!(set_up.room.home, agent.room.home);
    assert_ne!(set_up.room.tmp, agent.room.tmp);
    let login = Path::new("/login/file");
    assert!(may_read(&agent, &prompt) && may_read(&agent, login));
    assert!(!may_read(&set_up, &prompt) && !may_read(&set_up, login));
}

#[tokio::test]
async fn gates_have_a_home_of_their_own_run_and_no_logins() {
    let world = World::new().await.with_walls();
    let repo = world.repo();
    let base = world.tip().await;
    let folder = repo.git.checkout("gates-0", &base).await.unwrap();
    let run = world.at("data/runs/1");
    let gates = rooms::of_gates(&world.context, repo, "gates-0", &folder, &run);
    let gates = gates.unwrap().unwrap();
    assert_eq!(gates.folder, folder);
    assert_eq!(gates.room, Room::at(&run.join("room")));
    let reach = repo.git.reach_of_checkout("gates-0").unwrap();
    assert_eq!(gates.own, reach.writable);
    assert!(!may_read(&gates, Path::new("/login/file")));
}

#[tokio::test]
async fn without_walls_nothing_is_confined() {
    let world = World::new().await;
    let (spec, _) = world.worktree_of(1).await;
    let (context, repo) = (&world.context, world.repo());
    let of = (&spec.story, &spec.branch);
    let (run, prompt) = (world.at("data/runs/1"), world.at("data/runs/1/prompt.md"));
    let agent = rooms::of_agent(context, repo, of, (&run, &prompt)).unwrap();
    let set_up = rooms::of_set_up(context, repo, of.0, of.1).unwrap();
    let gates = rooms::of_gates(context, repo, "gates-0", &run, &run).unwrap();
    assert_eq!((agent, set_up, gates), (None, None, None));
}
