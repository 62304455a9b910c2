//! Supervisors, as the executor asks for them.

use std::time::Duration;

use async_trait::async_trait;
use huskies::executor::Supervisors;
use huskies::process::client::{Attached, Attachment, LaunchError, Progress};
use huskies::process::run_folder::{FolderError, RunFolder};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::runs::{State, key_of, name_of};
use super::world::{Link, until};

pub(super) struct FakeSupervisors {
    pub(super) link: Link,
}

impl FakeSupervisors {
    fn join(&self, folder: &RunFolder) -> Option<Attachment> {
        let key = key_of(folder);
        let world = self.link.lock();
        let run = world.processes.get(&key)?;
        Some(match run.state {
            State::Ended => Attachment::Ended,
            State::Gone => Attachment::Gone(run.identity.clone()),
            State::Running => {
                let link = self.link.clone();
                Attachment::Running(Attached::by(|news, stop| follow(link, key, news, stop)))
            }
        })
    }
}

#[async_trait]
impl Supervisors for FakeSupervisors {
    async fn meet(&self, folder: &RunFolder) -> Result<Attachment, FolderError> {
        let now = self.link.now();
        self.link.lock().advance(now);
        Ok(self.join(folder).unwrap_or(Attachment::NeverStarted))
    }

    async fn launch(&self, folder: &RunFolder) -> Result<Attached, LaunchError> {
        let name = name_of(&key_of(folder)).to_owned();
        self.link.reach(&format!("before launch {name}")).await;
        self.link.pass(400).await;
        let now = self.link.now();
        {
            let mut world = self.link.lock();
            world.advance(now);
            if world.watch.forbids(&name) {
                world.violation(format!("{name} is started though it was to end"));
            }
            if world.fails_to_launch() {
                world.note(now, &format!("launch {name}: fails"));
                return Err(LaunchError::Hangs);
            }
            world.note(now, &format!("launch {name}"));
            world.take_run(folder, now);
        }
        self.link.reach(&format!("after launch {name}")).await;
        match self.join(folder) {
            Some(Attachment::Running(attached)) => Ok(attached),
            Some(Attachment::Gone(process)) => Err(LaunchError::Gone(process)),
            Some(Attachment::Ended | Attachment::NeverStarted) | None => {
                Ok(Attached::by(|news, _| async move {
                    drop(news.send(Progress::Ended));
                }))
            }
        }
    }
}

/// Tells how a run goes, as long as anybody listens.
async fn follow(
    link: Link,
    key: String,
    news: mpsc::UnboundedSender<Progress>,
    mut stop: watch::Receiver<Option<Duration>>,
) {
    let mut greeted = false;
    let mut told = None;
    loop {
        let now = link.now();
        let next = {
            let mut world = link.lock();
            world.advance(now);
            if !greeted {
                greeted = true;
                world.watch.greet(name_of(&key));
                let Some(run) = world.processes.get(&key) else {
                    return;
                };
                drop(news.send(Progress::Hello(run.identity.clone())));
            }
            let Some(run) = world.processes.get(&key) else {
                return;
            };
            if run.session.is_some() && run.session != told {
                told.clone_from(&run.session);
                let session = told.clone().unwrap();
                drop(news.send(Progress::Session(session)));
            }
            match run.state {
                State::Running => {}
                State::Ended => return drop(news.send(Progress::Ended)),
                State::Gone => return drop(news.send(Progress::Gone(run.identity.clone()))),
            }
            world.processes.next_deed(&key)
        };
        let wait = next.map_or(Duration::from_mins(1), |next| until(now, next));
        tokio::select! {
            biased;
            Ok(()) = stop.changed() => {
                let asked = stop.borrow_and_update().is_some();
                if asked {
                    link.lock().stop_run(&key, now);
                }
            }
            () = sleep(wait) => {}
        }
    }
}
