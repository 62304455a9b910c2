//! The sources of the crate as text, without comments, strings and tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of `src/` that is no test.
pub(super) struct SourceFile {
    /// Relative to the repository's root.
    pub(super) path: String,
    /// Its module, from the crate's root.
    pub(super) module: Vec<String>,
    pub(super) text: String,
}

/// A mention of a module of this crate.
pub(super) struct Reference {
    /// Counted from 1.
    pub(super) line: usize,
    /// From the crate's root.
    pub(super) path: Vec<String>,
}

impl Reference {
    pub(super) fn room(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }
}

/// Every file that the library and the binary are made of, found as the compiler finds them: by
/// their `mod` declarations.
pub(super) fn sources() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut open = vec![
        (root.join("src/lib.rs"), Vec::new()),
        (root.join("src/main.rs"), vec!["main".to_owned()]),
    ];
    while let Some((path, module)) = open.pop() {
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = SourceFile {
            path: path.strip_prefix(root).unwrap().display().to_string(),
            module,
            text,
        };
        for name in file.declared_modules() {
            let child = [file.module.clone(), vec![name.clone()]].concat();
            open.push((place_of(&path, &name), child));
        }
        found.push(file);
    }
    assert!(
        found.len() > 100,
        "the sources are not found: {}",
        found.len()
    );
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// `src/a.rs` and `src/a/mod.rs` have their modules in `src/a/`, the root has them beside it.
fn place_of(parent: &Path, name: &str) -> PathBuf {
    let stem = parent.file_stem().unwrap().to_str().unwrap();
    let folder = parent.parent().unwrap();
    let folder = match stem {
        "lib" | "main" | "mod" => folder.to_owned(),
        _ => folder.join(stem),
    };
    let flat = folder.join(format!("{name}.rs"));
    if flat.exists() {
        flat
    } else {
        folder.join(name).join("mod.rs")
    }
}

impl SourceFile {
    pub(super) fn room(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }

    /// The text without comments, strings and tests; every line is still where it was.
    pub(super) fn code(&self) -> String {
        without_tests(&without_comments_and_strings(&self.text))
    }

    pub(super) fn lines_of_code(&self) -> usize {
        let code = self.code();
        code.lines().filter(|line| !line.trim().is_empty()).count()
    }

    fn declared_modules(&self) -> Vec<String> {
        let code = self.code();
        let declared = code.lines().filter_map(|line| {
            let line = line.trim();
            let line = line.strip_suffix(';')?;
            let (_, name) = line.split_once("mod ")?;
            let before = line.split("mod ").next()?.trim();
            (before.is_empty() || before.starts_with("pub")).then(|| name.trim().to_owned())
        });
        declared.collect()
    }

    pub(super) fn references(&self) -> Vec<Reference> {
        let code = self.code();
        let mut found = Vec::new();
        for (place, path) in [("crate::", true), ("super::", false), ("huskies::", true)]
            .into_iter()
            .flat_map(|(word, from_root)| starts(&code, word).map(move |place| (place, from_root)))
            .map(|(place, from_root)| (place, self.base(&code[place..], from_root)))
        {
            let line = code[..place].matches('\n').count() + 1;
            let (base, rest) = path;
            let expanded = expand(rest);
            found.extend(expanded.into_iter().map(|tail| Reference {
                line,
                path: [base.clone(), tail].concat(),
            }));
        }
        found.retain(|reference| !reference.path.is_empty());
        found.sort_by_key(|reference| reference.line);
        found
    }

    /// The module that a path begins at, and the rest of the path.
    fn base<'a>(&self, path: &'a str, from_root: bool) -> (Vec<String>, &'a str) {
        if from_root {
            let (_, rest) = path.split_once("::").unwrap();
            return (Vec::new(), rest);
        }
        let mut base = self.module.clone();
        let mut rest = path;
        while let Some(above) = rest.strip_prefix("super::") {
            base.pop();
            rest = above;
        }
        (base, rest)
    }
}

/// Where a path begins with `word`; not in the middle of one.
fn starts<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(place, _)| place)
        .filter(|&place| {
            let before = code[..place].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
}

/// `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(path: &str) -> Vec<Vec<String>> {
    let path = path.trim_start();
    if let Some(group) = path.strip_prefix('{') {
        return members(group).into_iter().flat_map(expand).collect();
    }
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');
    let (name, rest) = path.split_at(end.unwrap_or(path.len()));
    if name.is_empty() {
        return Vec::new();
    }
    let head = vec![name.to_owned()];
    let tails = rest.strip_prefix("::").map(expand).unwrap_or_default();
    if tails.is_empty() {
        return vec![head];
    }
    tails
        .into_iter()
        .map(|tail| [head.clone(), tail].concat())
        .collect()
}

/// The parts of a group up to the brace that closes it.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (place, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[start..place]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts
}

/// Blanks what stands behind `#[cfg(test)]`: one declaration, or one block.
fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut lines = code.split_inclusive('\n');
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push_str(line);
            continue;
        }
        kept.push('\n');
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        for line in lines.by_ref() {
            kept.push('\n');
            let line = line.trim_end();
            if line == end
                || line.ends_with(';')
                    && line.starts_with(indent)
                    && !line[indent.len()..].starts_with(' ')
            {
                break;
            }
        }
    }
    kept
}

/// Replaces comments and the contents of strings by spaces.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = skipped(rest);
        if length == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        code.extend(
            rest[..length]
                .chars()
                .map(|c| if c == '\n' { '\n' } else { ' ' }),
        );
        rest = &rest[length..];
    }
    code
}

/// How long the comment or string is that begins here; 0 when none does.
fn skipped(rest: &str) -> usize {
    let to = |end: Option<usize>, more: usize| end.map_or(rest.len(), |end| end + more);
    if rest.starts_with("//") {
        return to(rest.find('\n'), 0);
    }
    if rest.starts_with("/*") {
        return to(rest.find("*/"), 2);
    }
    // A quotation mark as a character: `'"'`.
    if rest.starts_with("'\"'") {
        return 3;
    }
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = 1 + hashes + 1;
            return to(
                rest[begin..].find(&end).map(|place| begin + place),
                end.len(),
            );
        }
    }
    if let Some(content) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = content.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return to(end.map(|end| end + 1), 1);
    }
    0
}
