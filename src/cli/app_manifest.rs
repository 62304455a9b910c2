//! `huskies app-manifest`: the GitHub App that a server can be, ready to be made.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::init::write_private;
use super::{CliError, ExitStatus, Output};
use crate::domain::text::visible_line;
use crate::forge::{Github, app_manifest};
use secrecy::ExposeSecret;

/// Print the manifest of a GitHub App with the least permissions, and how to make it
#[derive(Debug, Args)]
pub struct AppManifestArgs {
    /// Where GitHub reaches the server, such as <https://huskies.example.com>
    #[arg(long, value_name = "URL", required_unless_present = "code")]
    url: Option<String>,
    /// The App's name, which nobody else on GitHub may have
    #[arg(long, default_value = "huskies")]
    name: String,
    /// The organisation that will own the App; without it, you
    #[arg(long, value_name = "ORGANISATION")]
    org: Option<String>,
    /// GitHub's own pages, for an Enterprise Server
    #[arg(long, value_name = "URL", default_value = "https://github.com")]
    github: String,
    /// Write a page with a button that makes the App
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Second step: the code in the address that GitHub led you to
    #[arg(long, conflicts_with = "page")]
    code: Option<String>,
    /// Where the API is, for the second step
    #[arg(long, value_name = "URL", default_value = "https://api.github.com")]
    api_url: String,
    /// The folder that the key and the webhook's secret are written into, for the second step
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,
}

pub async fn run(args: AppManifestArgs, out: &mut Output) -> Result<ExitStatus, CliError> {
    match &args.code {
        Some(code) => second_step(&args, code, out).await,
        None => first_step(&args, out),
    }
}

fn first_step(args: &AppManifestArgs, out: &mut Output) -> Result<ExitStatus, CliError> {
    let manifest = app_manifest(&args.name, args.url.as_deref().unwrap_or_default());
    let github = args.github.trim_end_matches('/');
    let target = match &args.org {
        Some(org) => format!("{github}/organizations/{org}/settings/apps/new"),
        None => format!("{github}/settings/apps/new"),
    };
    out.value(&manifest)?;
    let Some(page) = &args.page else {
        let pretty = serde_json::to_string_pretty(&manifest).map_err(anyhow::Error::new)?;
        for line in pretty.lines() {
            out.line(line)?;
        }
        out.remark("make the App of it: say --page FILE, open that file in a browser")?;
        return Ok(ExitStatus::Success);
    };
    std::fs::write(page, page_of(&target, &manifest.to_string()))
        .with_context(|| format!("{} cannot be written", page.display()))
        .map_err(CliError::usage)?;
    let page = page.display();
    out.line(format_args!(
        "1. Open {page} in a browser and press the button."
    ))?;
    out.line("2. GitHub makes the App and leads you to an address with ?code=… in it (the page need not exist).")?;
    out.line("3. Within an hour: `huskies app-manifest --code CODE --into FOLDER` writes its key and secret.")?;
    out.line("4. Install the App on your repositories, on its page on GitHub.")?;
    Ok(ExitStatus::Success)
}

/// A form that posts the manifest, which is how GitHub takes one.
fn page_of(target: &str, manifest: &str) -> String {
    let quoted = |text: &str| {
        let text = text.replace('&', "&amp;").replace('"', "&quot;");
        text.replace('<', "&lt;").replace('>', "&gt;")
    };
    format!(
        "<!doctype html>\n<title>huskies</title>\n<form method=\"post\" action=\"{}\">\n\
         <input type=\"hidden\" name=\"manifest\" value=\"{}\">\n\
         <button>Make the GitHub App</button>\n</form>\n",
        quoted(target),
        quoted(manifest)
    )
}

async fn second_step(
    args: &AppManifestArgs,
    code: &str,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let (key, secret) = (args.into.join("app.pem"), args.into.join("webhook-secret"));
    if let Some(there) = [&key, &secret].into_iter().find(|file| file.exists()) {
        // The code is good once: nothing may fail after it was used.
        let error = anyhow::anyhow!("{} is there already", there.display());
        return Err(CliError::usage(error).hint("name another folder with --into"));
    }
    let app = Github::convert_manifest(&args.api_url, code).await;
    let app = app.map_err(CliError::failure)?;
    write_private(&key, app.key.expose_secret())?;
    if let Some(value) = &app.webhook_secret {
        write_private(&secret, value.expose_secret())?;
    }
    let (key, secret) = (key.display().to_string(), secret.display().to_string());
    out.value(&json!({
        "app_id": app.id, "slug": app.slug, "private_key_file": key, "webhook_secret_file": secret,
    }))?;
    out.line(format_args!(
        "the App {} was made; for the server's configuration:",
        visible_line(&app.slug)
    ))?;
    out.line("[forge.github]")?;
    out.line(format_args!("app_id = {}", app.id))?;
    out.line(format_args!("private_key_file = \"{key}\""))?;
    out.line(format_args!("webhook_secret_files = [\"{secret}\"]"))?;
    Ok(ExitStatus::Success)
}
