//! Which changes need a person's word before they land (spec 6.7).
//!
//! Not for: who that person may be (the forge is asked), or when it is asked (the merge queue does,
//! about the very tree that would land).

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Folders of the repository's root.
const ROOT_FOLDERS: [&str; 2] = [".huskies", ".github"];
/// Names of folders and files, wherever they are: settings and instructions that coding agents
/// read, and hooks that run on whoever has the repository.
const NAMES: [&str; 35] = [
    ".aider.conf.yml",
    ".claude",
    ".clinerules",
    ".codex",
    ".cursor",
    ".cursorrules",
    ".gemini",
    ".githooks",
    ".git-hooks",
    ".husky",
    ".lefthook",
    ".lefthook.json",
    ".lefthook.toml",
    ".lefthook.yaml",
    ".lefthook.yml",
    ".mcp.json",
    ".opencode",
    ".pre-commit-config.yaml",
    ".pre-commit-config.yml",
    ".roo",
    ".roorules",
    ".windsurf",
    ".windsurfrules",
    "agents.md",
    "agents.override.md",
    "claude.local.md",
    "claude.md",
    "codeowners",
    "gemini.md",
    "lefthook.json",
    "lefthook.toml",
    "lefthook.yaml",
    "lefthook.yml",
    "opencode.json",
    "prek.toml",
];

/// Tells protected paths from free ones.
#[derive(Debug, Clone, Default)]
pub struct Protection {
    free: GlobSet,
}

/// A glob that cannot be read, and why.
#[derive(Debug, thiserror::Error)]
#[error("`{glob}` is no glob: {problem}")]
pub struct BadGlob {
    glob: String,
    problem: globset::ErrorKind,
}

impl Protection {
    /// Everything that is protected by default, except what `free` matches. `*` stays within a
    /// folder, `**` does not.
    pub fn except(free: &[String]) -> Result<Self, BadGlob> {
        let mut set = GlobSetBuilder::new();
        let bad = |glob: &str, error: &globset::Error| BadGlob {
            glob: glob.to_owned(),
            problem: error.kind().clone(),
        };
        for glob in free {
            let built = GlobBuilder::new(glob).literal_separator(true).build();
            set.add(built.map_err(|error| bad(glob, &error))?);
        }
        let free = set.build().map_err(|error| bad(&free.join(", "), &error))?;
        Ok(Self { free })
    }

    /// The protected ones of these paths, in their order.
    pub fn touched(&self, paths: &[String]) -> Vec<String> {
        let protected = |path: &&String| is_protected(path) && !self.free.is_match(path.as_str());
        paths.iter().filter(protected).cloned().collect()
    }
}

/// Names count in any case: there are file systems on which `.GitHub` is `.github`.
fn is_protected(path: &str) -> bool {
    let path = path.to_lowercase();
    let mut parts = path.split('/');
    let in_root_folder = parts
        .clone()
        .next()
        .is_some_and(|first| ROOT_FOLDERS.contains(&first));
    in_root_folder || parts.any(|part| NAMES.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(protection: &Protection, paths: &[&str]) -> Vec<String> {
        let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
        protection.touched(&paths)
    }

    #[test]
    fn what_decides_what_runs_is_protected_wherever_it_is_and_however_it_is_written() {
        let protected = [
            ".huskies/project.toml",
            ".huskies",
            ".github/workflows/ci.yml",
            ".GitHub/workflows/ci.yml",
            "CODEOWNERS",
            "docs/CODEOWNERS",
            "CLAUDE.md",
            "web/AGENTS.md",
            "web/.claude/settings.json",
            ".mcp.json",
            ".husky/pre-commit",
            ".pre-commit-config.yaml",
        ];
        assert_eq!(touched(&Protection::default(), &protected), protected);
    }

    #[test]
    fn everything_else_is_free() {
        let free = [
            "src/main.rs",
            "docs/.github/notes.md",
            "src/hooks/use_door.ts",
            "claude.mdx",
            "README.md",
            ".gitignore",
        ];
        assert!(touched(&Protection::default(), &free).is_empty());
    }

    #[test]
    fn the_servers_configuration_can_free_paths_and_nothing_more() {
        let free = [
            "AGENTS.md".to_owned(),
            ".github/ISSUE_TEMPLATE/**".to_owned(),
        ];
        let protection = Protection::except(&free).unwrap();
        let paths = [
            "AGENTS.md",
            "web/AGENTS.md",
            ".github/ISSUE_TEMPLATE/bug.md",
            ".github/workflows/ci.yml",
        ];
        assert_eq!(touched(&protection, &paths), [paths[1], paths[3]]);
    }

    #[test]
    fn a_glob_that_cannot_be_read_is_named() {
        let error = Protection::except(&["docs/[".to_owned()]).unwrap_err();
        insta::assert_snapshot!(error, @"`docs/[` is no glob: unclosed character class; missing ']'");
    }
}
