//! Looking after the data folder, on request.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::Shared;
use super::access::Operator;
use super::error::WebError;
use crate::upkeep::{Mode, Swept};

#[derive(Deserialize)]
pub(super) struct GcQuery {
    #[serde(default)]
    dry_run: bool,
}

/// Removes what is older than it may be, or only says what that is.
pub(super) async fn gc(
    _: Operator,
    State(state): Shared,
    Query(query): Query<GcQuery>,
) -> Result<Json<Swept>, WebError> {
    let mode = if query.dry_run {
        Mode::DryRun
    } else {
        Mode::Remove
    };
    state.upkeep.sweep(mode).await.map(Json).map_err(|error| {
        tracing::error!(error = format!("{error:#}"), "the sweep broke off");
        let message = "old data could not be removed; the server's log says why";
        WebError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    })
}
