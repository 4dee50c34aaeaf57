//! Keys stay with the service: other programs do not get them, and no wire carries them in clear.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::Folder;

/// What nobody but the service may see.
const KEYS: [(&str, &str); 5] = [
    ("OPENAI_API_KEY", "canary-openai"),
    ("ANTHROPIC_API_KEY", "canary-anthropic"),
    ("CLASSIFY_COMPATIBLE_API_KEY", "canary-compatible"),
    ("AWS_SECRET_ACCESS_KEY", "canary-aws"),
    ("SOME_TOKEN", "canary-token"),
];

/// A folder with programs that write down their environment and fail.
fn spies(names: &[&str]) -> Folder {
    let folder = Folder::new();
    for name in names {
        let path = folder.path(name);
        std::fs::write(&path, "#!/bin/sh\n/usr/bin/env >>\"$0.env\"\nexit 1\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

#[test]
fn other_programs_get_no_keys() {
    let folder = spies(&["npm", "restate-server", "docker", "docker-compose"]);
    let path = folder.path("").to_str().unwrap().to_owned();
    let cache = folder.path("cache").to_str().unwrap().to_owned();
    let more =
        [("PATH", path.as_str()), ("CLASSIFY_CACHE", &cache), ("NPM_CONFIG_REGISTRY", "http://r.test")];
    let environment = [&KEYS[..], &more, &[("DOCKER_HOST", "unix:///run/d.sock")]].concat();
    for runtime in ["native", "docker"] {
        let start = ["cluster", "start", "--ports", "auto", "--runtime", runtime];
        assert_ne!(folder.classify_with(&environment, &start).code, Some(0));
    }
    for (program, needs) in [
        ("npm", "NPM_CONFIG_REGISTRY=http://r.test"),
        ("restate-server", "PATH="),
        ("docker", "DOCKER_HOST=unix"),
    ] {
        let seen = std::fs::read_to_string(folder.path(&format!("{program}.env"))).expect("it was started");
        assert!(seen.contains(needs), "{program} does not get what it needs: {seen}");
        assert!(!seen.contains("canary"), "{program} gets {seen}");
    }
}

#[test]
fn a_key_goes_over_plain_http_to_this_machine_only() {
    let folder = Folder::new();
    // Nobody of this machine has that address: a service that would start ends, too.
    let serve = ["serve", "--bind", "192.0.2.1:9"];
    let gateway = [("OPENAI_API_KEY", "canary-openai"), ("CLASSIFY_OPENAI_URL", "http://gateway.test/v1")];
    let refused = folder.classify_with(&gateway, &serve);
    refused.failed(2).mentioned(&[
        "CLASSIFY_OPENAI_URL is plain HTTP, and would carry OPENAI_API_KEY in clear to gateway.test",
        "CLASSIFY_ALLOW_PLAIN_HTTP=gateway.test",
    ]);
    assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
    let other = [&gateway[..], &[("CLASSIFY_ALLOW_PLAIN_HTTP", "other.test")]].concat();
    folder.classify_with(&other, &serve).failed(2).mentioned(&["in clear to gateway.test"]);
    let named = [&gateway[..], &[("CLASSIFY_ALLOW_PLAIN_HTTP", "other.test, Gateway.test")]].concat();
    folder.classify_with(&named, &serve).failed(2).mentioned(&["cannot listen on 192.0.2.1:9"]);
}

#[test]
fn a_model_has_no_endless_name() {
    let name = "x".repeat(129);
    let folder = Folder::with_table();
    for line in [
        &["--provider", "openai", "--model", &name, "a.csv"][..],
        &["--provider", "hybrid", "--model", &format!("openai/{name}"), "a.csv"],
        &["limits", "set", &format!("openai/{name}"), "--rpm", "1"],
    ] {
        folder.classify(line).failed(2).mentioned(&["a model's name has at most 128 characters"]);
    }
}

/// Nothing is started but by the two that say what it gets.
#[test]
fn two_places_start_programs() {
    let may = ["src/cluster/environment.rs", "src/cluster/process.rs"];
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let product = text.split("\n#[cfg(test)]\n").next().unwrap();
            // clap's definitions are no programs.
            let starts = product.contains("Command::new(") && product.contains("process::Command");
            assert!(!starts || may.iter().any(|place| path.ends_with(place)), "{}", path.display());
        }
    }
}
