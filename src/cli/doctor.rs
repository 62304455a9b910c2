//! `huskies doctor`: does on this machine what the server's promises rest on, and says what holds.
//!
//! Every wall is tried twice: without the sandbox, where the attempt has to succeed (else it would
//! prove nothing), and inside. A new probe is a function that returns `Finding`s, called in
//! `findings`: that of a token's permissions or a webhook, say, has its place there.

mod forge;
mod tools;
mod walls;

use clap::Args;
use serde::Serialize;

use super::place::PlaceArgs;
use super::{CliError, ExitStatus, Output};
use crate::config::environment::Environment;
use crate::config::server::ServerConfig;

/// Try the sandbox's walls, git, the hook, the agents' programs and what GitHub allows
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// What came of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    probe: String,
    verdict: Verdict,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    DoesNotHold,
    CannotTell,
}

impl Finding {
    fn new(probe: &str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            probe: probe.to_owned(),
            verdict,
            detail: detail.into(),
        }
    }

    fn ok(probe: &str, detail: impl Into<String>) -> Self {
        Self::new(probe, Verdict::Ok, detail)
    }

    fn does_not_hold(probe: &str, detail: impl Into<String>) -> Self {
        Self::new(probe, Verdict::DoesNotHold, detail)
    }

    fn cannot_tell(probe: &str, detail: impl Into<String>) -> Self {
        Self::new(probe, Verdict::CannotTell, detail)
    }
}

/// Exit status: success when nothing was found that does not hold, failure otherwise.
pub async fn run(
    args: DoctorArgs,
    environment: &Environment,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let config = args.place.server(environment)?;
    let findings = findings(&config, args.place.config.as_deref(), environment).await?;
    let width = findings.iter().map(|finding| finding.probe.len()).max();
    for Finding {
        probe,
        verdict,
        detail,
    } in &findings
    {
        let verdict = match verdict {
            Verdict::Ok => "ok",
            Verdict::DoesNotHold => "DOES NOT HOLD",
            Verdict::CannotTell => "cannot tell",
        };
        let width = width.unwrap_or_default();
        out.line(format!("{probe:width$}  {verdict:13}  {detail}"))?;
    }
    out.value(&findings)?;
    let holds = findings
        .iter()
        .all(|finding| finding.verdict != Verdict::DoesNotHold);
    Ok(if holds {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

async fn findings(
    config: &ServerConfig,
    file: Option<&std::path::Path>,
    environment: &Environment,
) -> anyhow::Result<Vec<Finding>> {
    let mut findings = vec![tools::git(environment).await, tools::data_folder(config)];
    findings.extend(walls::all(config, file, environment).await?);
    findings.push(tools::hook(environment).await);
    findings.extend(forge::all(config).await);
    findings.extend(tools::agents(config, environment).await?);
    Ok(findings)
}
