//! Deliveries that nobody took: GitHub does not send them again by itself, but on request, for three
//! days ("Redelivering webhooks").
//!
//! What was asked for can be read off GitHub's own list, since each attempt is a line of it under
//! the same GUID; so nothing is kept here, and nothing is asked for without end.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::answer::{Answer, date};
use super::client::{Method, Request};
use super::{Github, PAGE, repo_path};
use crate::domain::id::RepoName;
use crate::forge::ForgeError;

/// Attempts of one delivery, GitHub's own first one included.
const MOST_ATTEMPTS: usize = 4;
/// GitHub forgets a delivery after three days; the last hour is left for the clocks.
const WINDOW: SignedDuration = SignedDuration::from_hours(71);
/// Pages of the list: a thousand deliveries.
const MOST_PAGES: usize = 10;
/// Where deliveries for huskies go.
const RECEIVER: &str = "/webhooks/github";

/// A line of GitHub's list.
#[derive(Debug, Clone, Deserialize)]
struct Delivery {
    id: u64,
    guid: String,
    delivered_at: Timestamp,
    /// 0 where nobody answered.
    #[serde(default)]
    status_code: u16,
}

/// What came of looking for missed deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AskedAgain {
    pub asked: usize,
    /// Failed so often that they are left alone.
    pub given_up: usize,
}

impl Github {
    /// Asks for the failed deliveries of a repository's webhooks, or of the App's own one.
    ///
    /// # Errors
    /// [`ForgeError::Forbidden`] or [`ForgeError::NotFound`] where the token may not.
    pub async fn ask_for_missed(&self, repo: &RepoName) -> Result<AskedAgain, ForgeError> {
        if self.client.app().is_some() {
            return self.ask_again("/app/hook/deliveries").await;
        }
        let mut all = AskedAgain::default();
        let hooks = self.hooks(repo).await?.into_iter();
        for hook in hooks.filter(|hook| hook.config.url.ends_with(RECEIVER)) {
            let list = format!("{}/hooks/{}/deliveries", repo_path(repo), hook.id);
            let asked = self.ask_again(&list).await?;
            all.asked += asked.asked;
            all.given_up += asked.given_up;
        }
        Ok(all)
    }

    async fn ask_again(&self, list: &str) -> Result<AskedAgain, ForgeError> {
        let (deliveries, now) = self.deliveries(list).await?;
        let (missed, given_up) = missed(&deliveries, now);
        for id in &missed {
            let request = Request {
                method: Method::BarePost,
                path: format!("{list}/{id}/attempts"),
                what: "a missed delivery",
            };
            self.send_as_owner(request)
                .await?
                .check("a missed delivery")?;
        }
        Ok(AskedAgain {
            asked: missed.len(),
            given_up,
        })
    }

    /// The newest deliveries, and the time by the forge's own clock.
    async fn deliveries(&self, list: &str) -> Result<(Vec<Delivery>, Timestamp), ForgeError> {
        let what = "the list of deliveries";
        let (mut found, mut now) = (Vec::new(), Timestamp::MIN);
        let mut path = format!("{list}?per_page={PAGE}");
        for _ in 0..MOST_PAGES {
            let request = Request {
                method: Method::Get,
                path,
                what,
            };
            let answer = self.send_as_owner(request).await?;
            let mut page: Vec<Delivery> = answer.read(what)?;
            now = answer.headers.date.as_deref().and_then(date).unwrap_or(now);
            let is_old = page
                .last()
                .is_some_and(|last| last.delivered_at + WINDOW < now);
            found.append(&mut page);
            match cursor(answer.headers.link.as_deref()).filter(|_| !is_old) {
                Some(cursor) => path = format!("{list}?per_page={PAGE}&cursor={cursor}"),
                None => break,
            }
        }
        Ok((found, now))
    }

    /// An App's deliveries are shown to the App itself, not to its installations.
    async fn send_as_owner(&self, request: Request<'_>) -> Result<Answer, ForgeError> {
        match self.client.app() {
            Some(app) => self.client.send_as_app(app, &request).await,
            None => self.client.send(request).await,
        }
    }
}

/// The newest attempt of each delivery that nobody took, the oldest delivery first; and how many
/// were tried too often.
fn missed(deliveries: &[Delivery], now: Timestamp) -> (Vec<u64>, usize) {
    let mut attempts: BTreeMap<&str, Vec<&Delivery>> = BTreeMap::new();
    for delivery in deliveries {
        attempts.entry(&delivery.guid).or_default().push(delivery);
    }
    let was_taken = |attempts: &[&Delivery]| {
        attempts
            .iter()
            .any(|attempt| (200..300).contains(&attempt.status_code))
    };
    let (mut missed, mut given_up) = (Vec::new(), 0);
    for attempts in attempts
        .into_values()
        .filter(|attempts| !was_taken(attempts))
    {
        let Some(newest) = attempts.iter().max_by_key(|attempt| attempt.delivered_at) else {
            continue;
        };
        let oldest = attempts.iter().map(|attempt| attempt.delivered_at).min();
        if oldest.is_none_or(|oldest| oldest + WINDOW < now) {
            continue;
        }
        if attempts.len() < MOST_ATTEMPTS {
            missed.push((newest.delivered_at, newest.id));
        } else {
            given_up += 1;
        }
    }
    missed.sort_unstable();
    (missed.into_iter().map(|(_, id)| id).collect(), given_up)
}

/// Where the next page begins (RFC 8288).
fn cursor(link: Option<&str>) -> Option<String> {
    let next = link?
        .split(',')
        .find(|part| part.contains("rel=\"next\""))?;
    let (_, rest) = next.split_once("cursor=")?;
    let end = rest.find(['&', '>']).unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(id: u64, guid: &str, hours_ago: i64, status_code: u16) -> Delivery {
        Delivery {
            id,
            guid: guid.to_owned(),
            delivered_at: now() - SignedDuration::from_hours(hours_ago),
            status_code,
        }
    }

    fn now() -> Timestamp {
        "2026-01-10T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_nobody_took_is_asked_for_once_more_oldest_first() {
        let list = [
            delivery(5, "newer", 1, 502),
            delivery(4, "taken-later", 2, 202),
            delivery(3, "older", 3, 0),
            delivery(2, "taken-later", 4, 500),
            delivery(1, "taken", 5, 200),
            delivery(0, "forgotten", 80, 500),
        ];
        assert_eq!(missed(&list, now()), (vec![3, 5], 0));
    }

    #[test]
    fn a_delivery_that_fails_again_and_again_is_left_alone() {
        let mut list = vec![delivery(0, "x", 9, 500)];
        for id in 1..10 {
            let (wanted, given_up) = missed(&list, now());
            if list.len() < MOST_ATTEMPTS {
                assert_eq!((wanted, given_up), (vec![id - 1], 0), "{}", list.len());
            } else {
                assert_eq!((wanted, given_up), (Vec::new(), 1), "{}", list.len());
            }
            list.push(delivery(id, "x", 8, 500));
        }
    }

    #[test]
    fn the_next_page_is_read_off_the_link() {
        let link = "<https://api.github.com/x?per_page=100&cursor=v1_12077>; rel=\"next\"";
        assert_eq!(cursor(Some(link)).as_deref(), Some("v1_12077"));
        assert_eq!(cursor(Some("<https://x?cursor=a>; rel=\"prev\"")), None);
        assert_eq!(cursor(None), None);
    }
}
