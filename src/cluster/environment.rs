//! What other programs get of our environment: a list of what they need, and nothing else. Keys of providers are the service's alone.

use std::ffi::OsStr;

use tokio::process::Command;

use super::compose;

/// What a program is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// To tell something by itself, or to ask nodes.
    Little,
    /// To download.
    Npm,
    /// To talk to an engine.
    Docker,
    /// To make containers from the compose file as well.
    Compose,
}

/// Variables that every program gets, and the only ones a node gets. `RESTATE_*` from the user's shell would reconfigure a node.
const INHERITED: [&str; 15] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "RUST_BACKTRACE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
];
/// Where proxies do not apply, and the one for all else.
const PROXIES: [&str; 4] = ["NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"];
/// Beginnings of what npm reads, and of what tells where a version manager has put it.
const NPM: [&str; 6] = ["NPM_", "npm_config_", "NODE_", "XDG_", "VOLTA_", "ASDF_"];
/// Beginnings of what Docker's command line reads; an agent for engines behind SSH, and what stores its logins.
const DOCKER: [&str; 6] =
    ["DOCKER_", "COMPOSE_", "XDG_", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME"];

/// `program`, which gets what it needs.
pub(super) fn command(program: impl AsRef<OsStr>, needs: Needs) -> Command {
    let mut command = Command::new(program);
    let ours = std::env::vars_os().filter(|(name, _)| is_needed(needs, name));
    command.env_clear().envs(ours);
    command
}

fn is_needed(needs: Needs, name: &OsStr) -> bool {
    let Some(text) = name.to_str() else { return false };
    let begins = |list: &[&str]| list.iter().any(|beginning| text.starts_with(beginning));
    is_inherited(name)
        || match needs {
            Needs::Little => false,
            Needs::Npm => begins(&NPM) || PROXIES.contains(&text),
            Needs::Docker => begins(&DOCKER) || PROXIES.contains(&text),
            Needs::Compose => begins(&DOCKER) || PROXIES.contains(&text) || compose::names(text),
        }
}

/// Whether every program may have this variable.
pub(super) fn is_inherited(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| INHERITED.contains(&name) || name.starts_with("LC_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_gets_what_it_needs_and_no_key_of_a_provider() {
        let gets = |needs, name: &str| is_needed(needs, OsStr::new(name));
        let all = [Needs::Little, Needs::Npm, Needs::Docker, Needs::Compose];
        for name in ["PATH", "HOME", "HTTPS_PROXY", "LC_ALL"] {
            assert!(all.iter().all(|needs| gets(*needs, name)), "{name}");
        }
        for name in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "CLASSIFY_COMPATIBLE_API_KEY"] {
            let who: Vec<Needs> = all.into_iter().filter(|needs| gets(*needs, name)).collect();
            assert_eq!(who, [Needs::Compose], "{name}: the compose file passes it on to the service");
        }
        for name in ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "RESTATE_BIND_PORT", "CLASSIFY_HOME", "OPENAI"]
        {
            assert!(!all.iter().any(|needs| gets(*needs, name)), "{name}");
        }
        assert!(gets(Needs::Npm, "npm_config_registry") && gets(Needs::Npm, "NODE_EXTRA_CA_CERTS"));
        assert!(gets(Needs::Docker, "DOCKER_HOST") && gets(Needs::Docker, "no_proxy"));
        for name in
            ["S3_SECRET_ACCESS_KEY", "SNAPSHOTS", "STORE_PORT", "COMPOSE_PROFILES", "GRAFANA_PASSWORD"]
        {
            assert!(gets(Needs::Compose, name) && !gets(Needs::Npm, name), "{name}");
        }
    }
}
