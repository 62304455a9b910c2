//! Leaves what the program sent for `.ci/contract`, which holds it against GitHub's own description
//! of its API.

use serde_json::json;

use super::RecordedRequest;

/// Names the folder to leave it in, when somebody wants it.
const FOLDER: &str = "HUSKIES_RECORD_REQUESTS";

/// A file of JSON lines with what the program asked one model.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests says where their requests are to be left"
)]
pub(super) fn leave(requests: &[RecordedRequest]) {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let lines: Vec<String> = requests
        .iter()
        .filter(|request| request.by_program)
        .map(line)
        .collect();
    std::fs::create_dir_all(&folder).expect("the folder for recorded requests can be made");
    let file = tempfile::Builder::new()
        .suffix(".jsonl")
        .tempfile_in(folder)
        .expect("the folder for recorded requests can be written to");
    std::fs::write(file.path(), lines.join("\n")).expect("it can be written to");
    file.keep().expect("it can stay");
}

fn line(request: &RecordedRequest) -> String {
    let RecordedRequest {
        method,
        path,
        query,
        body,
        ..
    } = request;
    json!({ "method": method, "path": path, "query": query, "body": body }).to_string()
}
