//! Which gates a repository has the tools for, read off the files in its root.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::{SuggestedComponent, SuggestedGate, Suggestions};

/// Looks at the files in `root`. Only what is really there is suggested: scripts that `package.json`
/// defines, targets that the Makefile has. Make targets usually wrap the others, so they are
/// suggested where nothing else was found.
pub fn detect(root: &Path) -> io::Result<Suggestions> {
    let project = Folder(root);
    let mut found: Vec<(&str, Suggestions)> = vec![
        ("cargo", cargo(&project)?),
        ("npm", npm(&project)?),
        ("pytest", pytest(&project)?),
        ("go", go(&project)),
    ];
    if found
        .iter()
        .all(|(_, suggestions)| suggestions.gates.is_empty())
    {
        found.push(("make", make(&project)?));
    }
    Ok(joined(found))
}

/// All in one list; where two tools suggest the same name, each says whose it is.
fn joined(found: Vec<(&str, Suggestions)>) -> Suggestions {
    let mut uses: HashMap<String, usize> = HashMap::new();
    for gate in found.iter().flat_map(|(_, suggestions)| &suggestions.gates) {
        *uses.entry(gate.name.clone()).or_default() += 1;
    }
    let mut all = Suggestions::default();
    for (tool, suggestions) in found {
        all.components.extend(suggestions.components);
        all.gates.extend(suggestions.gates.into_iter().map(|gate| {
            let shared = uses.get(&gate.name).is_some_and(|uses| *uses > 1);
            let name = if shared {
                format!("{tool}-{}", gate.name)
            } else {
                gate.name
            };
            SuggestedGate { name, ..gate }
        }));
    }
    all
}

fn gate(name: &str, command: impl Into<String>) -> SuggestedGate {
    SuggestedGate {
        name: name.to_owned(),
        command: command.into(),
        quick: false,
    }
}

fn quick_gate(name: &str, command: impl Into<String>) -> SuggestedGate {
    SuggestedGate {
        quick: true,
        ..gate(name, command)
    }
}

fn component(name: &str, setup: &str) -> SuggestedComponent {
    SuggestedComponent {
        name: name.to_owned(),
        setup: vec![setup.to_owned()],
    }
}

/// Clippy only where the project configures it: elsewhere it would fail for reasons nobody chose.
fn cargo(project: &Folder) -> io::Result<Suggestions> {
    let Some(manifest) = project.read("Cargo.toml")? else {
        return Ok(Suggestions::default());
    };
    let wants_clippy = project.has_any(&["clippy.toml", ".clippy.toml"])
        || manifest.lines().any(|line| {
            ["[lints", "[workspace.lints"]
                .iter()
                .any(|table| line.trim().starts_with(table))
        });
    let mut gates = vec![quick_gate("fmt", "cargo fmt --all --check")];
    if wants_clippy {
        gates.push(gate("clippy", "cargo clippy --all-targets -- -D warnings"));
    }
    gates.push(gate("test", "cargo test"));
    Ok(Suggestions {
        components: Vec::new(),
        gates,
    })
}

/// A package manager and how it installs exactly what its lockfile says.
struct PackageManager {
    name: &'static str,
    install: &'static str,
}

fn npm(project: &Folder) -> io::Result<Suggestions> {
    let Some(text) = project.read("package.json")? else {
        return Ok(Suggestions::default());
    };
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let manager = package_manager(project, manifest["packageManager"].as_str());
    // What `npm init` writes; it always fails.
    let is_placeholder = |script: &str| script.contains("no test specified");
    let has_script = |name: &str| {
        manifest["scripts"][name]
            .as_str()
            .is_some_and(|script| !is_placeholder(script))
    };
    let run = |name: &str| format!("{} run {name}", manager.name);
    let mut gates = Vec::new();
    gates.extend(has_script("lint").then(|| quick_gate("lint", run("lint"))));
    gates.extend(has_script("typecheck").then(|| gate("typecheck", run("typecheck"))));
    gates.extend(has_script("test").then(|| gate("test", run("test"))));
    let has_dependencies = ["dependencies", "devDependencies"].iter().any(|key| {
        manifest[key]
            .as_object()
            .is_some_and(|packages| !packages.is_empty())
    });
    let needs_setup = has_dependencies && !gates.is_empty();
    let components = needs_setup
        .then(|| component("node", manager.install))
        .into_iter()
        .collect();
    Ok(Suggestions { components, gates })
}

/// By the lockfile; without one by `packageManager`; else npm.
fn package_manager(project: &Folder, declared: Option<&str>) -> PackageManager {
    let declared =
        |name: &str| declared.is_some_and(|declared| declared.split('@').next() == Some(name));
    if project.has("package-lock.json") || project.has("npm-shrinkwrap.json") {
        PackageManager {
            name: "npm",
            install: "npm ci",
        }
    } else if project.has("pnpm-lock.yaml") || declared("pnpm") {
        PackageManager {
            name: "pnpm",
            install: "pnpm install --frozen-lockfile",
        }
    } else if project.has("yarn.lock") || declared("yarn") {
        // Yarn 2 and later has its own configuration file and its own name for the option.
        let install = if project.has(".yarnrc.yml") {
            "yarn install --immutable"
        } else {
            "yarn install --frozen-lockfile"
        };
        PackageManager {
            name: "yarn",
            install,
        }
    } else if project.has_any(&["bun.lock", "bun.lockb"]) || declared("bun") {
        PackageManager {
            name: "bun",
            install: "bun install --frozen-lockfile",
        }
    } else {
        PackageManager {
            name: "npm",
            install: "npm install",
        }
    }
}

fn pytest(project: &Folder) -> io::Result<Suggestions> {
    let pyproject = project.read("pyproject.toml")?;
    let tox_or_setup = [project.read("setup.cfg")?, project.read("tox.ini")?];
    let is_configured = project.has("pytest.ini")
        || pyproject
            .as_ref()
            .is_some_and(|text| text.contains("[tool.pytest"))
        || tox_or_setup
            .iter()
            .flatten()
            .any(|text| text.contains("[pytest]") || text.contains("[tool:pytest]"));
    if !is_configured && !project.has_python_tests()? {
        return Ok(Suggestions::default());
    }
    let venv =
        |packages: &str| format!("python3 -m venv .venv && .venv/bin/pip install {packages}");
    let (setup, command) = if project.has("uv.lock") {
        (Some("uv sync --locked".to_owned()), "uv run pytest")
    } else if project.has("poetry.lock") {
        (Some("poetry install".to_owned()), "poetry run pytest")
    } else if project.has("requirements.txt") {
        (
            Some(venv("-r requirements.txt pytest")),
            ".venv/bin/python -m pytest",
        )
    } else if pyproject.is_some_and(|text| text.contains("[project]")) || project.has("setup.py") {
        (Some(venv("-e . pytest")), ".venv/bin/python -m pytest")
    } else {
        (None, "python3 -m pytest")
    };
    let components = setup
        .map(|setup| component("python", &setup))
        .into_iter()
        .collect();
    Ok(Suggestions {
        components,
        gates: vec![gate("test", command)],
    })
}

fn go(project: &Folder) -> Suggestions {
    if !project.has("go.mod") {
        return Suggestions::default();
    }
    let gates = vec![
        quick_gate("vet", "go vet ./..."),
        gate("test", "go test ./..."),
    ];
    Suggestions {
        components: Vec::new(),
        gates,
    }
}

fn make(project: &Folder) -> io::Result<Suggestions> {
    let mut makefile = None;
    // In the order in which make looks for them.
    for name in ["GNUmakefile", "makefile", "Makefile"] {
        makefile = makefile.or(project.read(name)?);
    }
    let text = makefile.unwrap_or_default();
    let gates = ["lint", "check", "test"]
        .into_iter()
        .filter(|target| has_target(&text, target));
    Ok(Suggestions {
        components: Vec::new(),
        gates: gates
            .map(|target| gate(target, format!("make {target}")))
            .collect(),
    })
}

/// Whether a rule (`a b: …`), not an assignment (`a := …`), makes the target.
fn has_target(makefile: &str, target: &str) -> bool {
    makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '#']))
        .any(|line| {
            line.split_once(':').is_some_and(|(targets, rest)| {
                !rest.starts_with('=')
                    && !rest.starts_with(":=")
                    && targets.split_whitespace().any(|name| name == target)
            })
        })
}

/// The repository's root.
struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.join(name).is_file()
    }

    fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    /// The text of a file; `None` when there is none.
    fn read(&self, name: &str) -> io::Result<Option<String>> {
        match fs::read(self.0.join(name)) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether `tests/` or `test/` has files that pytest would collect by its default pattern.
    fn has_python_tests(&self) -> io::Result<bool> {
        for folder in ["tests", "test"].map(|name| self.0.join(name)) {
            if !folder.is_dir() {
                continue;
            }
            for entry in fs::read_dir(folder)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if name
                    .strip_suffix(".py")
                    .is_some_and(|stem| stem.starts_with("test_") || stem.ends_with("_test"))
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
