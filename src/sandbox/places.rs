//! The allow list: what of the machine is there inside, when it is there at all. Anything that is
//! not named here, or by the server's configuration, does not exist inside.
//!
//! The server may run as root, so a file's mode protects nothing: what holds a secret is not named.

use std::path::{Path, PathBuf};

/// Programs and libraries.
pub const SYSTEM: [&str; 9] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
];

/// What programs look up in `/etc`. No keys, no password hashes, nothing that tells of services.
pub const ETC: [&str; 42] = [
    "alternatives",
    "bash.bashrc",
    "bash_completion.d",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "fonts",
    "group",
    "host.conf",
    "hosts",
    "inputrc",
    "java-17-openjdk",
    "java-21-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "login.defs",
    "lsb-release",
    "magic",
    "mime.types",
    "networks",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki/ca-trust",
    "pki/tls/certs",
    "pki/tls/openssl.cnf",
    "profile",
    "profile.d",
    "protocols",
    "python3",
    "resolv.conf",
    "rpc",
    "services",
    "shells",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
];

/// Toolchains: read only. The variable names the folder where it is set; else it is in the home.
pub const TOOLCHAINS: [(&str, &str, &str); 37] = [
    ("CARGO_HOME", ".cargo", "bin"),
    ("RUSTUP_HOME", ".rustup", "toolchains"),
    ("RUSTUP_HOME", ".rustup", "settings.toml"),
    ("RUSTUP_HOME", ".rustup", "update-hashes"),
    ("NVM_DIR", ".nvm", "versions"),
    ("NVM_DIR", ".nvm", "alias"),
    ("NVM_DIR", ".nvm", "nvm.sh"),
    ("NVM_DIR", ".nvm", "nvm-exec"),
    ("PYENV_ROOT", ".pyenv", "bin"),
    ("PYENV_ROOT", ".pyenv", "libexec"),
    ("PYENV_ROOT", ".pyenv", "shims"),
    ("PYENV_ROOT", ".pyenv", "versions"),
    ("PYENV_ROOT", ".pyenv", "version"),
    ("PYENV_ROOT", ".pyenv", "plugins"),
    ("RBENV_ROOT", ".rbenv", "bin"),
    ("RBENV_ROOT", ".rbenv", "libexec"),
    ("RBENV_ROOT", ".rbenv", "shims"),
    ("RBENV_ROOT", ".rbenv", "versions"),
    ("RBENV_ROOT", ".rbenv", "version"),
    ("GOPATH", "go", "bin"),
    ("GOROOT", ".go", ""),
    ("JAVA_HOME", ".java-home", ""),
    ("PNPM_HOME", ".local/share/pnpm", ""),
    ("", ".local", "bin"),
    ("", ".local", "lib"),
    ("", ".local", "pipx"),
    ("", ".local/share", "pipx"),
    ("", ".local/share", "uv"),
    ("", ".local/share", "mise"),
    ("", ".local/share", "claude"),
    ("", ".claude", "local"),
    ("", ".volta", ""),
    ("", ".asdf", ""),
    ("", ".bun", "bin"),
    ("", ".deno", "bin"),
    ("", ".sdkman", "candidates"),
    ("", ".npm-global", ""),
];

/// Caches of packages: what is there can be used, what is added stays with the story.
pub const CACHES: [(&str, &str, &str); 10] = [
    ("CARGO_HOME", ".cargo", "registry"),
    ("CARGO_HOME", ".cargo", "git"),
    ("GOMODCACHE", "go/pkg/mod", ""),
    ("GOCACHE", ".cache/go-build", ""),
    ("", ".npm", "_cacache"),
    ("", ".cache", "pip"),
    ("", ".cache", "uv"),
    ("", ".m2", "repository"),
    ("", ".gradle", "caches"),
    ("", ".local/share/pnpm", "store"),
];

/// The places of a table for a home and an environment, those that are there.
pub(super) fn existing(
    table: &[(&str, &str, &str)],
    home: &Path,
    variable: impl Fn(&str) -> Option<PathBuf>,
) -> Vec<PathBuf> {
    let place = |&(name, folder, inside): &(&str, &str, &str)| {
        let root = variable(name).unwrap_or_else(|| home.join(folder));
        let place = if inside.is_empty() {
            root
        } else {
            root.join(inside)
        };
        place.exists().then_some(place)
    };
    table.iter().filter_map(place).collect()
}
