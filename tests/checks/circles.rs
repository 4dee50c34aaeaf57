//! No file of `src` uses itself by way of others. A `mod.rs` declares its files and passes names on: what is used through it is what
//! counts, and it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

/// `["cluster", "start"]` for `src/cluster/start.rs`.
type Module = Vec<String>;

struct Tree {
    /// Code of each file that is no `mod.rs`, without comments and unit tests.
    files: BTreeMap<Module, String>,
    /// Modules that are a `mod.rs`, and those of its names that are another file's.
    folders: BTreeMap<Module, BTreeMap<String, Module>>,
}

impl Tree {
    fn of(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let (mut tree, mut passed_on) =
            (Self { files: BTreeMap::new(), folders: BTreeMap::new() }, Vec::new());
        for (path, text) in files {
            let mut module: Module = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            let text = text.split("\n#[cfg(test)]\n").next().unwrap();
            let code: String =
                text.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect();
            if module.last().unwrap() == "mod" {
                module.pop();
                tree.folders.insert(module.clone(), BTreeMap::new());
                passed_on.push((module, code));
            } else {
                tree.files.insert(module, code);
            }
        }
        let public = Regex::new(r"\bpub(?:\([^)]*\))? use ([^;]+);").unwrap();
        for (folder, code) in passed_on {
            for found in public.captures_iter(&code) {
                for name in names(&found[1]) {
                    let Some(file) = tree.file(&[folder.clone(), name.clone()].concat()) else { continue };
                    tree.folders.get_mut(&folder).unwrap().insert(name.last().unwrap().clone(), file);
                }
            }
        }
        tree
    }

    /// The file that has what a path from the top names.
    fn file(&self, path: &[String]) -> Option<Module> {
        let longest = (1..=path.len()).rev().find(|length| {
            self.files.contains_key(&path[..*length]) || self.folders.contains_key(&path[..*length])
        })?;
        match self.folders.get(&path[..longest]) {
            None => Some(path[..longest].to_vec()),
            Some(passed_on) => passed_on.get(path.get(longest)?).cloned(),
        }
    }

    /// Files that `module` uses.
    fn used(&self, module: &Module) -> BTreeSet<Module> {
        let code = &self.files[module];
        let uses = Regex::new(r"\buse ((?:crate|super)::[^;]+);").unwrap();
        let paths = Regex::new(r"\b(?:crate|super)(?:::\w+)+").unwrap();
        let mut named: Vec<Module> = uses.captures_iter(code).flat_map(|found| names(&found[1])).collect();
        named.extend(paths.find_iter(code).flat_map(|found| names(found.as_str())));
        // `use super::docker;` and `docker::start` below it.
        let through = Regex::new(r"\b([a-z_]+)::(\w+)").unwrap();
        for found in through.captures_iter(code) {
            let imported = named.iter().find(|path| path.last().unwrap() == &found[1]).cloned();
            named.extend(imported.map(|path| [path, vec![found[2].to_owned()]].concat()));
        }
        let from_the_top = |path: &Module| {
            let ups = path.iter().take_while(|part| *part == "super").count();
            if ups == 0 { path[1..].to_vec() } else { [&module[..module.len() - ups], &path[ups..]].concat() }
        };
        let files = named.iter().filter(|path| ["crate", "super"].contains(&path[0].as_str()));
        files.filter_map(|path| self.file(&from_the_top(path))).filter(|file| file != module).collect()
    }

    /// A way from a file back to itself, if there is one.
    fn circle(&self) -> Option<Vec<String>> {
        let edges: BTreeMap<&Module, BTreeSet<Module>> =
            self.files.keys().map(|module| (module, self.used(module))).collect();
        let mut done = BTreeSet::new();
        self.files.keys().find_map(|start| walk(start, &edges, &mut Vec::new(), &mut done))
    }
}

fn walk(
    at: &Module,
    edges: &BTreeMap<&Module, BTreeSet<Module>>,
    way: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
) -> Option<Vec<String>> {
    if let Some(begin) = way.iter().position(|before| before == at) {
        return Some(way[begin..].iter().chain([at]).map(|module| module.join("/")).collect());
    }
    if !done.contains(at) {
        way.push(at.clone());
        let circle = edges[at].iter().find_map(|next| walk(next, edges, way, done));
        way.pop();
        if circle.is_some() {
            return circle;
        }
        done.insert(at.clone());
    }
    None
}

/// All paths of `a::{b, c::{self, d as e}}`.
fn names(tree: &str) -> Vec<Module> {
    let tree = tree.trim();
    let Some((before, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap();
        return vec![
            path.split("::").map(str::trim).filter(|part| *part != "self").map(str::to_owned).collect(),
        ];
    };
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    let before: Module =
        before.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let inner = parts.into_iter().filter(|part| !part.trim().is_empty()).flat_map(names);
    inner.map(|path| [before.clone(), path].concat()).collect()
}

fn sources(folder: &Path, top: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        if path.is_dir() {
            return sources(&path, top);
        }
        let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
        vec![(name, std::fs::read_to_string(&path).unwrap())]
    };
    entries.flat_map(read).collect()
}

#[test]
fn no_file_uses_itself_by_way_of_others() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let tree = Tree::of(sources(&top, &top));
    assert!(tree.files.len() > 200 && tree.folders.len() > 10, "this is not the source");
    assert_eq!(tree.circle(), None);
}

/// The check above finds nothing today: this shows that it would.
#[test]
fn a_circle_is_found_however_it_is_written() {
    let circle = |files: &[(&str, &str)]| {
        Tree::of(files.iter().map(|(path, code)| ((*path).to_owned(), (*code).to_owned()))).circle()
    };
    let b = ("m/b.rs", "use super::a::A;");
    let module = ("m/mod.rs", "mod a;\nmod b;\npub(crate) use b::{B, C as D};");
    for a in [
        "use crate::m::{b::B};",
        "use super::{c, b};\nb::x()",
        "fn f() { super::b::g() }",
        "use crate::m;\nfn f() { m::B }",
    ] {
        let found = circle(&[("m/a.rs", a), b, module]);
        assert_eq!(found, Some(["m/a", "m/b", "m/a"].map(str::to_owned).to_vec()), "{a}");
    }
    for a in
        ["// use super::b::B;", "use super::B2;", "#\n#[cfg(test)]\nmod tests { use super::super::b::B; }"]
    {
        assert_eq!(circle(&[("m/a.rs", a), b, module]), None, "{a}");
    }
}
