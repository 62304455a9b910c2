//! Lists that come in pages ("Using pagination in the REST API").

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::Github;
use super::answer::date;
use super::client::{Method, Request};
use crate::forge::ForgeError;

/// The most that one page holds, by GitHub's limit.
pub(super) const PAGE: usize = 100;
/// GitHub closes an issue to comments at 2,500; a server with more pages than this goes in circles.
const MOST_PAGES: usize = 100;

impl Github {
    /// A list over all its pages. `query` is empty or ends in `&`.
    pub(super) async fn all<T: DeserializeOwned>(
        &self,
        (path, query): (&str, &str),
        what: &str,
    ) -> Result<Vec<T>, ForgeError> {
        let pages = self.pages((path, query), what).await?;
        if pages.complete {
            return Ok(pages.items);
        }
        let message = format!("{what}: the list does not end after {MOST_PAGES} pages");
        Err(ForgeError::Unavailable { message })
    }

    /// The first pages of a list.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        (path, query): (&str, &str),
        what: &str,
    ) -> Result<Pages<T>, ForgeError> {
        let mut pages = Pages {
            items: Vec::new(),
            asked_at: None,
            complete: false,
        };
        for page in 1..=MOST_PAGES {
            let request = Request {
                method: Method::Get,
                path: format!("{path}?{query}per_page={PAGE}&page={page}"),
                what,
            };
            let answer = self.client.send(request).await?;
            let answered_at = answer.headers.date.as_deref().and_then(date);
            pages.asked_at = pages.asked_at.or(answered_at);
            pages.items.append(&mut answer.read::<Vec<T>>(what)?);
            pages.complete = !answer.has_next_page();
            if pages.complete {
                break;
            }
        }
        Ok(pages)
    }
}

/// So much of a list.
pub(super) struct Pages<T> {
    pub(super) items: Vec<T>,
    /// By the forge's clock.
    pub(super) asked_at: Option<Timestamp>,
    complete: bool,
}
