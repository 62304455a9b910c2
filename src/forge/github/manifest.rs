//! What huskies is as a GitHub App, in GitHub's own form ("Registering a GitHub App from a
//! manifest"): the least permissions, and the events that it acts on. Pure.

use serde_json::{Map, Value, json};

use super::needs::{By, EVENTS, NEEDS};

/// The manifest of an App whose deliveries go to `address` (`https://huskies.example.com`).
pub fn app_manifest(name: &str, address: &str) -> Value {
    let address = address.trim_end_matches('/');
    let needs = NEEDS.iter().filter(|need| need.by != By::Tokens);
    let permissions: Map<String, Value> = needs
        .map(|need| (need.permission.to_owned(), need.access.into()))
        .collect();
    json!({
        "name": name,
        "url": address,
        "hook_attributes": { "url": format!("{address}/webhooks/github"), "active": true },
        "redirect_url": format!("{address}/app-made"),
        "public": false,
        "default_permissions": permissions,
        "default_events": EVENTS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_asks_for_no_more_than_is_needed() {
        let manifest = app_manifest("huskies-octo", "https://huskies.example.com/");
        assert_eq!(
            manifest["default_permissions"],
            json!({
                "metadata": "read", "contents": "write", "issues": "write", "statuses": "write",
                "pull_requests": "write", "workflows": "write", "checks": "write", "actions": "read",
            })
        );
        let hook = &manifest["hook_attributes"];
        assert_eq!(hook["url"], "https://huskies.example.com/webhooks/github");
        assert_eq!(manifest["public"], false);
    }
}
