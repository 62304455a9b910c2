//! What GitHub answered to a `GET`, by its `ETag`: asked again with `If-None-Match`, an answer that
//! is still the same costs nothing of the rate limit ("Best practices for using the REST API").
//!
//! In memory and bounded; what was asked longest ago goes first. It answers nothing by itself:
//! GitHub is asked each time.

use std::collections::{HashMap, VecDeque};

/// All answers together, in bytes.
const MOST: usize = 16 * 1024 * 1024;
/// The longest one: a page of a hundred pull requests takes about two of these.
const LONGEST: usize = 4 * 1024 * 1024;

/// An answer that GitHub may say is still good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) etag: String,
    pub(super) body: String,
    /// Where the next page is.
    pub(super) link: Option<String>,
}

/// By path, for one token: an answer may depend on who asks.
#[derive(Debug, Default)]
pub(super) struct Cache {
    kept: HashMap<String, Kept>,
    /// The paths, the one that was asked longest ago first.
    order: VecDeque<String>,
    bytes: usize,
}

impl Cache {
    pub(super) fn get(&mut self, path: &str) -> Option<Kept> {
        let kept = self.kept.get(path)?.clone();
        self.touch(path);
        Some(kept)
    }

    pub(super) fn keep(&mut self, path: &str, kept: Kept) {
        self.forget(path);
        if kept.body.len() > LONGEST {
            return;
        }
        self.bytes += kept.body.len();
        self.kept.insert(path.to_owned(), kept);
        self.order.push_back(path.to_owned());
        while self.bytes > MOST
            && let Some(oldest) = self.order.front().cloned()
        {
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, path: &str) {
        if let Some(kept) = self.kept.remove(path) {
            self.bytes -= kept.body.len();
            self.order.retain(|known| known != path);
        }
    }

    fn touch(&mut self, path: &str) {
        self.order.retain(|known| known != path);
        self.order.push_back(path.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(body: &str) -> Kept {
        Kept {
            etag: format!("\"{}\"", body.len()),
            body: body.to_owned(),
            link: None,
        }
    }

    #[test]
    fn the_newest_answer_of_a_path_is_kept_unless_it_is_too_long() {
        let mut cache = Cache::default();
        assert_eq!(cache.get("/a"), None);
        cache.keep("/a", kept("one"));
        cache.keep("/a", kept("two, longer"));
        assert_eq!(cache.get("/a"), Some(kept("two, longer")));
        cache.keep("/a", kept(&"x".repeat(LONGEST + 1)));
        assert_eq!(cache.get("/a"), None);
    }

    #[test]
    fn what_was_asked_longest_ago_makes_room() {
        let mut cache = Cache::default();
        let long = "x".repeat(LONGEST);
        let fit = MOST / LONGEST;
        for number in 0..fit {
            cache.keep(&format!("/{number}"), kept(&long));
        }
        assert!(cache.get("/0").is_some());
        cache.keep("/new", kept("x"));
        assert!(cache.get("/0").is_some() && cache.get("/new").is_some());
        assert_eq!(cache.get("/1"), None);
        assert_eq!((cache.kept.len(), cache.order.len()), (fit, fit));
        assert_eq!(cache.bytes, (fit - 1) * LONGEST + 1);
    }
}
