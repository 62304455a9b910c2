//! Check runs, on a forge that answers what a test tells it to.

use super::forge::served;
use super::*;
use crate::domain::effect::{CommitCheck, GatesNews, Surface};
use crate::executor::checks::check_run;
use crate::executor::surfaces::Trouble;
use crate::forge::{CheckId, ForgeError};
use crate::store::{PendingSurface, Written};

#[tokio::test]
async fn a_check_run_that_was_written_is_written_on_and_one_that_was_not_is_looked_for() {
    let (world, forge) = served().await;
    let check = CommitCheck {
        commit: world.tip().await,
        run: 1,
        news: GatesNews::Running,
    };
    let put = async |answer, written| {
        forge.script().put = Some(answer);
        let pending = PendingSurface {
            subject: SubjectId::Story(story(1).0),
            surface: Surface::CheckRun(check.clone()),
            version: 1,
            written,
        };
        let put = check_run(&world.context, &repo(), (&check, &pending)).await;
        match put {
            Ok(written) => written,
            Err(Trouble::Forge(error)) => panic!("{error}"),
            Err(Trouble::Here(error)) => panic!("{error:#}"),
        }
    };
    let message = "no".to_owned();
    let forbidden = put(Err(ForgeError::Forbidden { message }), None).await;
    assert_eq!(forbidden, Written::default());
    let known = Ok(CheckId("7".to_owned()));
    let written = put(known.clone(), Some(forbidden)).await;
    assert_eq!(written.handle, "7");
    let older = Written {
        digest: "older".to_owned(),
        ..written.clone()
    };
    assert_eq!(put(known.clone(), Some(older)).await, written);
    assert_eq!(put(known, Some(written.clone())).await, written);
    assert_eq!(forge.take_changed(), ["a new check", "a new check", "7"]);
}
