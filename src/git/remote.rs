//! The remote: its address, its key, and what it answers.
//!
//! Not for: deciding what to push or what a moved branch means (`land`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::command::{Call, Git, Output};
use super::{GitError, Result};
use crate::domain::id::{BranchName, Sha};
use crate::secret::{Renewal, Secret};

/// Credentials for a remote over HTTPS. Sent to that remote's origin only.
#[derive(Clone)]
pub struct Auth {
    /// `x-access-token` for GitHub's tokens of every kind.
    pub username: String,
    /// Asked for anew at each call, so that it may be rotated.
    pub token: Secret,
    /// Asked before each call, for a token that ends by itself.
    pub renewal: Option<Arc<dyn Renewal>>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Auth");
        shown.field("username", &self.username);
        shown.field("token", &self.token).finish_non_exhaustive()
    }
}

/// An address that git may be pointed at: no option, no remote helper, no credentials in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteUrl {
    text: String,
    protocol: &'static str,
}

impl RemoteUrl {
    /// Accepts `https`, `http`, `ssh` and `file` addresses, `user@host:path`, and paths (relative
    /// ones are taken from `folder`). Returns credentials that were written into it separately.
    pub(super) fn parse(text: &str, folder: &Path) -> Result<(Self, Option<Auth>)> {
        let refuse = |why: &str| {
            let shown = without_credentials(text);
            Err(GitError::misconfigured(format!(
                "the remote `{shown}` cannot be used: {why}"
            )))
        };
        if text.is_empty() || text.starts_with('-') || text.contains(char::is_control) {
            return refuse("it is no address");
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return match scheme {
                "https" => Ok(Self::http("https", rest)),
                "http" => Ok(Self::http("http", rest)),
                "ssh" => Ok((Self::plain(text, "ssh"), None)),
                "file" => Ok((Self::plain(text, "file"), None)),
                _ => refuse("only https, http, ssh and file addresses are supported"),
            };
        }
        let before_slash = text.split('/').next().unwrap_or_default();
        if before_slash.contains("::") {
            return refuse("remote helpers are not supported");
        }
        if before_slash.contains(':') {
            return Ok((Self::plain(text, "ssh"), None));
        }
        match folder.join(text).to_str() {
            Some(path) => Ok((Self::plain(path, "file"), None)),
            None => refuse("its path is not valid UTF-8"),
        }
    }

    fn plain(text: &str, protocol: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            protocol,
        }
    }

    fn http(scheme: &'static str, rest: &str) -> (Self, Option<Auth>) {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let auth = user.split_once(':').map(|(username, token)| Auth {
            username: username.to_owned(),
            token: token.into(),
            renewal: None,
        });
        (
            Self {
                text: format!("{scheme}://{host}/{path}"),
                protocol: scheme,
            },
            auth,
        )
    }

    /// `scheme://host[:port]/`, what a key is bound to.
    fn origin(&self) -> Option<&str> {
        let host = self.text.find("://")? + 3;
        let end = self.text[host..].find('/')? + host;
        Some(&self.text[..=end])
    }
}

/// An address as it may be shown.
fn without_credentials(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            format!("{}{}", &text[..scheme + 3], &text[at + 1..])
        }
        _ => text.to_owned(),
    }
}

/// A request header with a secret, bound to one origin.
#[derive(Clone)]
pub(super) struct AuthHeader {
    key: String,
    value: SecretString,
    secrets: [SecretString; 2],
}

impl AuthHeader {
    fn new(auth: &Auth, url: &RemoteUrl) -> Result<Option<Self>> {
        let Some(origin) = url.origin().filter(|_| url.protocol.starts_with("http")) else {
            return Ok(None);
        };
        if url.protocol == "http" && !is_loopback(origin) {
            return Err(GitError::misconfigured(format!(
                "the token is not sent to {origin} in the clear; use an https address"
            )));
        }
        let token = auth.token.current();
        let pair = format!("{}:{}", auth.username, token.expose_secret());
        let encoded = STANDARD.encode(pair);
        Ok(Some(Self {
            key: format!("http.{origin}.extraHeader"),
            value: format!("Authorization: Basic {encoded}").into(),
            secrets: [encoded.into(), token],
        }))
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn value(&self) -> &str {
        self.value.expose_secret()
    }

    /// `text` without the secret, however git printed it.
    pub(super) fn redact(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            match secret.expose_secret() {
                "" => text,
                secret => text.replace(secret, "[secret]"),
            }
        })
    }
}

fn is_loopback(origin: &str) -> bool {
    let host = origin.trim_start_matches("http://").trim_end_matches('/');
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    matches!(host, "127.0.0.1" | "localhost" | "[::1]")
}

/// A remote that can be asked.
#[derive(Clone)]
pub(super) struct Remote {
    url: RemoteUrl,
    auth: Option<Auth>,
}

/// What a push came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PushAnswer {
    /// The branch is at the pushed commit, now or already before.
    Updated,
    /// The remote, or the pinned lease, said no.
    Rejected { reason: String },
}

/// How the names of all story branches begin.
const STORY_BRANCHES: &str = "refs/heads/feature/story-";

impl Remote {
    pub(super) fn new(url: RemoteUrl, auth: Option<&Auth>) -> Result<Self> {
        let remote = Self {
            url,
            auth: auth.cloned(),
        };
        remote.header()?;
        Ok(remote)
    }

    /// With the token as it is now.
    fn header(&self) -> Result<Option<AuthHeader>> {
        match &self.auth {
            Some(auth) => AuthHeader::new(auth, &self.url),
            None => Ok(None),
        }
    }

    async fn call(&self, call: Call) -> Result<Call> {
        let renewal = self.auth.as_ref().and_then(|auth| auth.renewal.as_ref());
        if let Some(renewal) = renewal {
            let renewed = renewal.renew().await;
            renewed.map_err(|message| GitError::Unavailable { message })?;
        }
        Ok(call.allow(self.url.protocol).network(self.header()?))
    }

    /// The branch that the remote's `HEAD` points to.
    pub(super) async fn default_branch(&self, git: &Git) -> Result<BranchName> {
        let call = self
            .call(git.nowhere("ls-remote").args(["--symref", "--"]))
            .await?;
        let output = call.arg(&self.url.text).arg("HEAD").run().await?;
        if output.status != Some(0) {
            return Err(failure(output, "ls-remote"));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let target = text.lines().find_map(|line| {
            line.strip_prefix("ref: refs/heads/")?
                .strip_suffix("\tHEAD")?
                .parse()
                .ok()
        });
        target.ok_or_else(|| GitError::NotFound {
            what: "the remote's default branch".to_owned(),
        })
    }

    /// Where the remote's story branches are, by their full names.
    pub(super) async fn story_branches(&self, git: &Git) -> Result<BTreeMap<String, Sha>> {
        let call = self
            .call(git.nowhere("ls-remote").args(["--heads", "--"]))
            .await?;
        let call = call.arg(&self.url.text).arg(format!("{STORY_BRANCHES}*"));
        let output = call.run().await?;
        if output.status != Some(0) {
            return Err(failure(output, "ls-remote"));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = |line: &str| {
            let (sha, name) = line.split_once('\t')?;
            Some((name.to_owned(), sha.parse().ok()?))
        };
        Ok(text.lines().filter_map(line).collect())
    }

    /// Brings a branch of the remote into `into`, a ref of `control`. `None`: no such branch.
    pub(super) async fn fetch(
        &self,
        git: &Git,
        control: &Path,
        (branch, into): (&BranchName, &str),
    ) -> Result<Option<()>> {
        let call = self
            .call(git.on(control, "fetch").args(FETCH_OPTIONS))
            .await?
            .arg("--");
        let call = call
            .arg(&self.url.text)
            .arg(format!("+{}:{into}", branch.full()));
        let output = call.run().await?;
        match output.status {
            Some(0) => Ok(Some(())),
            _ if output.stderr.contains("couldn't find remote ref") => Ok(None),
            _ => Err(failure(output, "fetch")),
        }
    }

    /// Brings a commit of the remote into `into`, a ref of `control`, whatever ref it is on there: git
    /// gives any commit that it has (protocol v2). False: it has none such.
    pub(super) async fn fetch_commit(
        &self,
        git: &Git,
        control: &Path,
        (commit, into): (&Sha, &str),
    ) -> Result<bool> {
        let call = self
            .call(git.on(control, "fetch").args(FETCH_OPTIONS))
            .await?
            .arg("--");
        let call = call.arg(&self.url.text).arg(format!("+{commit}:{into}"));
        let output = call.run().await?;
        match output.status {
            Some(0) => Ok(true),
            _ if UNKNOWN.iter().any(|sign| output.stderr.contains(sign)) => Ok(false),
            _ => Err(failure(output, "fetch")),
        }
    }

    /// Moves a ref of the remote to `commit` where `push.over` allows it.
    pub(super) async fn push(
        &self,
        git: &Git,
        control: &Path,
        push: Push<'_>,
    ) -> Result<PushAnswer> {
        let Push {
            target,
            commit,
            over,
        } = push;
        let force = match over {
            // An empty lease means: the ref must not be there (git-push(1)).
            Over::Lease(lease) => {
                let lease = lease.map_or("", Sha::as_str);
                format!("--force-with-lease={target}:{lease}")
            }
            Over::Anything => "--force".to_owned(),
        };
        let call = self
            .call(
                git.on(control, "push")
                    .args(["--porcelain", "--no-verify", "--no-signed"]),
            )
            .await?;
        let call = call.arg(force).arg("--");
        let call = call.arg(&self.url.text).arg(format!("{commit}:{target}"));
        let output = call.run().await?;
        match parse_porcelain(&output) {
            Some(answer) => Ok(answer),
            None => Err(failure(output, "push")),
        }
    }
}

/// A wanted move of one remote ref.
pub(super) struct Push<'a> {
    /// The ref's full name.
    pub(super) target: &'a str,
    pub(super) commit: &'a Sha,
    pub(super) over: Over<'a>,
}

/// What may be at the target before.
pub(super) enum Over<'a> {
    /// This commit and no other; `None`: the ref must not exist.
    Lease(Option<&'a Sha>),
    /// Whatever it is: a ref that only huskies writes.
    Anything,
}

pub(super) const FETCH_OPTIONS: [&str; 5] = [
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-recurse-submodules",
];

/// Signs that the remote does not have a commit, by the age of its git.
const UNKNOWN: [&str; 2] = [
    "not our ref",
    "does not allow request for unadvertised object",
];

/// Reads the one ref line of `git push --porcelain`: `<flag>\t<from>:<to>\t<summary>`; flag `!`
/// is a refusal (git-push(1) "OUTPUT"). `None`: it never came to an answer about the ref.
fn parse_porcelain(output: &Output) -> Option<PushAnswer> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut fields = text
        .lines()
        .map(|line| line.splitn(3, '\t'))
        .find_map(|mut fields| Some((fields.next()?, fields.next()?, fields.next()?)));
    let (flag, _, summary) = fields.take()?;
    if flag != "!" {
        return (output.status == Some(0)).then_some(PushAnswer::Updated);
    }
    let said: Vec<&str> = output
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("remote:"))
        .collect();
    let reason = match said
        .iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join("\n")
    {
        said if said.trim().is_empty() => summary.to_owned(),
        said => format!("{summary}\n{}", said.trim()),
    };
    Some(PushAnswer::Rejected { reason })
}

/// Signs, in what git and ssh print with `LC_ALL=C`, that the key is wrong or lacks rights.
/// GitHub answers "Repository not found" to those who may not see it.
const REFUSED: [&str; 9] = [
    "Authentication failed",
    "Permission denied",
    "could not read Username",
    "could not read Password",
    "The requested URL returned error: 401",
    "The requested URL returned error: 403",
    "Repository not found",
    "Host key verification failed",
    "remote: Permission to",
];

/// Signs that the way to the remote, or the remote itself, is down.
const UNAVAILABLE: [&str; 12] = [
    "Could not resolve host",
    "Failed to connect",
    "Couldn't connect to server",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "Connection closed",
    "Network is unreachable",
    "The requested URL returned error: 5",
    "The requested URL returned error: 429",
    "the remote end hung up",
    "early EOF",
];

/// Tells a remote that is down from one that refuses, and both from everything else.
fn failure(output: Output, what: &str) -> GitError {
    let says = |signs: &[&str]| {
        let stderr = output.stderr.to_lowercase();
        signs
            .iter()
            .any(|sign| stderr.contains(&sign.to_lowercase()))
    };
    if says(&REFUSED) {
        GitError::Refused {
            message: output.stderr,
        }
    } else if says(&UNAVAILABLE) {
        GitError::Unavailable {
            message: output.stderr,
        }
    } else {
        output.failure(what.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(RemoteUrl, Option<Auth>)> {
        RemoteUrl::parse(text, Path::new("/srv/app"))
    }

    #[test]
    fn addresses_of_every_supported_kind_are_told_apart() {
        for (text, url, protocol) in [
            (
                "https://github.com/octo/app.git",
                "https://github.com/octo/app.git",
                "https",
            ),
            (
                "git@github.com:octo/app.git",
                "git@github.com:octo/app.git",
                "ssh",
            ),
            ("ssh://git@host/app", "ssh://git@host/app", "ssh"),
            ("/srv/git/a:b.git", "/srv/git/a:b.git", "file"),
            ("../upstream", "/srv/app/../upstream", "file"),
            ("file:///srv/git/app", "file:///srv/git/app", "file"),
        ] {
            let (parsed, auth) = parse(text).unwrap();
            assert_eq!((parsed.text.as_str(), parsed.protocol), (url, protocol));
            assert!(auth.is_none());
        }
    }

    #[test]
    fn addresses_that_would_run_something_are_refused() {
        for text in [
            "ext::sh -c evil",
            "--upload-pack=evil",
            "git://host/x",
            "fd::3",
            "a\nb",
            "",
            "foo://x",
        ] {
            assert!(
                matches!(parse(text), Err(GitError::Misconfigured { .. })),
                "{text:?}"
            );
        }
    }

    #[test]
    fn credentials_in_an_address_leave_it() {
        let (url, auth) = parse("https://me:s3cret@example.org/app").unwrap();
        assert_eq!(url.text, "https://example.org/app");
        assert_eq!(auth.unwrap().token.current().expose_secret(), "s3cret");
        let refused = parse("foo://me:s3cret@host/x").unwrap_err().to_string();
        assert!(!refused.contains("s3cret"), "{refused}");
    }

    #[test]
    fn a_token_is_bound_to_its_origin_and_never_goes_out_in_the_clear() {
        let auth = Auth {
            username: "x-access-token".to_owned(),
            token: "t0ken".into(),
            renewal: None,
        };
        let header = |text| AuthHeader::new(&auth, &parse(text).unwrap().0);
        let header_of_https = header("https://example.org:8443/a/b").unwrap().unwrap();
        assert_eq!(
            header_of_https.key(),
            "http.https://example.org:8443/.extraHeader"
        );
        assert!(header("http://example.org/a").is_err());
        assert!(header("http://127.0.0.1:80/a").unwrap().is_some());
        assert!(header("git@example.org:a").unwrap().is_none());
        assert_eq!(header_of_https.redact("x t0ken y"), "x [secret] y");
        assert!(!format!("{auth:?}").contains("t0ken"));
    }

    fn ended(status: i32, stdout: &str, stderr: &str) -> Output {
        Output {
            status: Some(status),
            stdout: stdout.into(),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn the_porcelain_of_a_push_is_read() {
        let done = ended(0, "To x\n \tabc:refs/heads/main\ta..b\nDone\n", "");
        assert_eq!(parse_porcelain(&done), Some(PushAnswer::Updated));
        let declined = ended(
            1,
            "To x\n!\tabc:refs/heads/main\t[remote rejected] (pre-receive hook declined)\nDone\n",
            "remote: only on Fridays   \n",
        );
        let reason = "[remote rejected] (pre-receive hook declined)\nonly on Fridays".to_owned();
        assert_eq!(
            parse_porcelain(&declined),
            Some(PushAnswer::Rejected { reason })
        );
        assert_eq!(parse_porcelain(&ended(128, "", "fatal: …")), None);
    }

    #[test]
    fn what_a_remote_says_is_told_apart_by_what_can_be_done() {
        let of = |stderr: &str| failure(ended(128, "", stderr), "fetch");
        let down = of("fatal: unable to access 'https://x/': Could not resolve host: x");
        assert!(matches!(down, GitError::Unavailable { .. }));
        let refused =
            of("fatal: could not read Username for 'https://x': terminal prompts disabled");
        assert!(matches!(refused, GitError::Refused { .. }));
        assert!(matches!(of("fatal: bad object"), GitError::Command { .. }));
    }
}
