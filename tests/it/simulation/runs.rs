//! Agents and gates in memory, under supervisors that outlive the server.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use huskies::agent::session::AgentOutcome;
use huskies::domain::id::SessionId;
use huskies::domain::project::Runtime;
use huskies::domain::work::{
    End, GateOutcome, GateReport, GateVerdict, ProcessIdentity, Start, Usage,
};
use huskies::gate::job::{GatesOutcome, GatesSpec};
use huskies::process::run_folder::RunFolder;
use huskies::supervised::RunSpec;
use jiff::Timestamp;

use super::commits::{Tree, tree_name};
use super::script::{Deed, Playing, agent_script, gates_script};
use super::world::World;

/// A supervisor ends what it watches when no server has been there for this long.
const NO_SERVER: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) enum Job {
    Agent {
        worktree: String,
        /// What it may cost at most, in millionths of a dollar.
        budget: u64,
    },
    Gates {
        spec: Box<GatesSpec>,
        checkout: String,
        merge: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Ended,
    /// Its supervisor died and left nothing.
    Gone,
}

#[derive(Debug)]
pub(super) struct Process {
    folder: RunFolder,
    job: Job,
    pub(super) identity: ProcessIdentity,
    pub(super) state: State,
    /// What it will do, and when.
    plan: VecDeque<(Timestamp, Deed)>,
    pub(super) session: Option<SessionId>,
    stopping: bool,
}

/// All supervised processes of the machine, by the paths of their folders.
#[derive(Debug, Default)]
pub(super) struct Processes {
    all: BTreeMap<String, Process>,
    boots: u32,
}

impl Processes {
    pub(super) fn get(&self, key: &str) -> Option<&Process> {
        self.all.get(key)
    }

    /// The run that works in a folder.
    pub(super) fn running_in(&self, path: &str) -> Option<String> {
        let uses = |job: &Job| match job {
            Job::Agent { worktree, .. } => worktree == path,
            Job::Gates { checkout, .. } => checkout == path,
        };
        let mut running = self
            .all
            .iter()
            .filter(|(_, run)| run.state == State::Running);
        let found = running.find(|(_, run)| uses(&run.job))?;
        Some(name_of(found.0).to_owned())
    }

    pub(super) fn next_deed(&self, key: &str) -> Option<Timestamp> {
        self.all.get(key)?.plan.front().map(|(at, _)| *at)
    }

    pub(super) fn running(&self) -> usize {
        let running = self.all.values().filter(|run| run.state == State::Running);
        running.count()
    }
}

/// `agent-2-1` of a folder's path.
pub(super) fn name_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

pub(super) fn key_of(folder: &RunFolder) -> String {
    folder.path().display().to_string()
}

impl World {
    /// A supervisor takes the run in `folder`, unless one has it.
    pub(super) fn take_run(&mut self, folder: &RunFolder, now: Timestamp) {
        let key = key_of(folder);
        let pid = 100 + u32::try_from(self.processes.all.len()).unwrap();
        let identity = ProcessIdentity {
            pid,
            start_ticks: 7,
            boot_id: format!("boot-{}", self.processes.boots),
        };
        if !folder.claim(identity.clone()).unwrap() {
            return;
        }
        let spec = folder.read_spec::<RunSpec>().unwrap().job;
        let name = name_of(&key).to_owned();
        let (job, plan) = match spec {
            RunSpec::Agent(spec) => {
                let worktree = spec.worktree.display().to_string();
                let site = self.sites.worktrees.get(&worktree);
                let story = site.map_or(0, |site| site.story);
                let playing = Playing {
                    conflicted: self.is_conflicted(&worktree),
                    resumed: spec.start != Start::Cold,
                    unit: name.replace("agent-", ""),
                    story,
                };
                let budget = match spec.runtime {
                    Runtime::ClaudeCode => budget_in(&spec.argv),
                    Runtime::Command => 0,
                };
                let plan = agent_script(&mut self.dice, &playing, now);
                (Job::Agent { worktree, budget }, plan)
            }
            RunSpec::Gates(spec) => {
                let checkout = spec.place.directory.display().to_string();
                let merge = name.starts_with("merge-");
                let plan = gates_script(&mut self.dice, now);
                let job = Job::Gates {
                    spec,
                    checkout,
                    merge,
                };
                (job, plan)
            }
        };
        let path = match &job {
            Job::Agent { worktree, .. } => worktree,
            Job::Gates { checkout, .. } => checkout,
        };
        if let Some(other) = self.processes.running_in(path) {
            self.violation(format!("{name} starts in {path} while {other} runs there"));
        }
        let process = Process {
            folder: folder.clone(),
            job,
            identity,
            state: State::Running,
            plan: plan.into(),
            session: None,
            stopping: false,
        };
        self.processes.all.insert(key, process);
    }

    fn is_conflicted(&self, worktree: &str) -> bool {
        use super::commits::Merged;
        let site = self.sites.worktrees.get(worktree);
        site.is_some_and(|site| {
            let merged = self.commits.merge(&self.sites.base, &site.head);
            matches!(merged, Merged::Conflict { .. })
        })
    }

    /// Everything that was to happen until now happens, in its order.
    pub(super) fn advance(&mut self, now: Timestamp) {
        loop {
            let due = self.processes.all.iter().filter_map(|(key, run)| {
                let (at, _) = run.plan.front()?;
                (run.state == State::Running && *at <= now).then(|| (*at, key.clone()))
            });
            let Some((at, key)) = due.min() else { return };
            let run = self.processes.all.get_mut(&key).unwrap();
            if let Some((_, deed)) = run.plan.pop_front() {
                let name = name_of(&key);
                if !run.stopping && self.watch.overlooks(name, at) {
                    self.violation(format!("{name} goes on though it was to end"));
                }
                self.note(at, &format!("  {name}: {deed:?}"));
                self.perform(&key, deed);
            }
        }
    }

    fn perform(&mut self, key: &str, deed: Deed) {
        let run = self.processes.all.get_mut(key).unwrap();
        match deed {
            Deed::Session(session) => run.session = Some(SessionId(session)),
            Deed::Work(work) => {
                if let Job::Agent { worktree, .. } = &run.job {
                    let path = worktree.clone();
                    self.work(&path, work);
                }
            }
            Deed::End(end, cost) => {
                let Job::Agent { budget, .. } = run.job else {
                    return;
                };
                let cost = cost.map(|parts| {
                    huskies::domain::money::Usd::from_micros(budget * u64::from(parts) / 100)
                });
                let outcome = AgentOutcome {
                    end,
                    usage: Usage {
                        cost,
                        ..Usage::default()
                    },
                    session: run.session.clone(),
                };
                run.folder.write_result(&outcome).unwrap();
                run.state = State::Ended;
            }
            Deed::Judge { lint } => self.judge(key, lint),
            Deed::Cancelled => {
                run.folder.write_result(&GatesOutcome::Cancelled).unwrap();
                run.state = State::Ended;
            }
            Deed::Die => run.state = State::Gone,
        }
    }

    /// The gates look at what is really in the checkout.
    fn judge(&mut self, key: &str, lint: bool) {
        let run = self.processes.all.get_mut(key).unwrap();
        let Job::Gates {
            spec,
            checkout,
            merge,
        } = &run.job
        else {
            return;
        };
        let commit = self.sites.checkouts[checkout].clone();
        let tree = self.commits.tree(&commit);
        let outcomes = spec.gates.iter().map(|gate| GateOutcome {
            gate: gate.name.clone(),
            verdict: match gate.name.as_str() {
                "lint" if !lint => GateVerdict::Failed { status: 1 },
                _ => unit(tree),
            },
            duration: Duration::from_secs(1),
            tail: tree.get("bug.txt").cloned().unwrap_or_default(),
        });
        let report = GateReport {
            commit: spec.commit.clone(),
            tree: spec.tree.clone(),
            outcomes: outcomes.collect(),
        };
        if *merge && report.passed() {
            self.sites.passed.insert(tree_name(tree));
        }
        let teardown = Vec::new();
        let outcome = GatesOutcome::Judged { report, teardown };
        run.folder.write_result(&outcome).unwrap();
        run.state = State::Ended;
    }

    /// A stop is asked for: a little later it is over, one way or another.
    pub(super) fn stop_run(&mut self, key: &str, now: Timestamp) {
        let after = Duration::from_millis(self.dice.between(0, 6_000));
        let finishes = self.dice.luck(6);
        let Some(run) = self.processes.all.get_mut(key) else {
            return;
        };
        if run.state != State::Running || run.stopping {
            return;
        }
        run.stopping = true;
        run.end_soon(now + after, finishes);
        self.note(now, &format!("  {}: is being stopped", name_of(key)));
    }

    /// The server is away from `from` to `to`; with a new boot everything that ran is gone.
    pub(super) fn pass_without_server(&mut self, (from, to): (Timestamp, Timestamp), boot: bool) {
        let limit = from + NO_SERVER;
        self.advance(from);
        self.watch.leave();
        if boot {
            self.processes.boots += 1;
            for run in self.processes.all.values_mut() {
                if run.state == State::Running {
                    run.state = State::Gone;
                }
            }
        } else if to > limit {
            self.advance(limit);
            for run in self.processes.all.values_mut() {
                if run.state == State::Running && !run.stopping {
                    run.stopping = true;
                    run.end_soon(limit, false);
                }
            }
        }
        self.advance(to);
    }
}

impl Process {
    fn end_soon(&mut self, at: Timestamp, finishes: bool) {
        self.plan.clear();
        let deed = match (&self.job, finishes) {
            (Job::Agent { .. }, true) => Deed::End(End::Finished, Some(100)),
            (Job::Agent { .. }, false) => Deed::End(End::Stopped, Some(50)),
            (Job::Gates { .. }, true) => Deed::Judge { lint: true },
            (Job::Gates { .. }, false) => Deed::Cancelled,
        };
        self.plan.push_back((at, deed));
    }
}

/// Two halves that each work alone break each other; a bug is a bug.
fn unit(tree: &Tree) -> GateVerdict {
    let halves = tree.contains_key("half-0.txt") && tree.contains_key("half-1.txt");
    if halves || tree.contains_key("bug.txt") {
        GateVerdict::Failed { status: 101 }
    } else {
        GateVerdict::Passed
    }
}

/// What an agent's own CLI was told that it may spend.
fn budget_in(argv: &[String]) -> u64 {
    let mut words = argv.iter().skip_while(|word| *word != "--max-budget-usd");
    let dollars = words.nth(1).and_then(|word| word.parse().ok());
    let dollars = dollars.and_then(huskies::domain::money::Usd::from_dollars);
    dollars.map_or(0, huskies::domain::money::Usd::micros)
}
