//! The files of a crate, and which of them name which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

use crate::circles::Imports;

/// A path of names from the root of the crate.
type Names = Vec<String>;

/// One file: the module that it is.
struct File {
    path: PathBuf,
    module: Names,
    syntax: syn::File,
}

/// The files of a crate.
pub(crate) struct Sources {
    files: Vec<File>,
    /// The file of each module.
    modules: BTreeMap<Names, usize>,
    /// What a facade gives on: the name in the facade, and where it leads.
    facades: BTreeMap<Names, Names>,
}

impl Sources {
    /// Reads all files below `folder`, the `src` of a crate.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut files = Vec::new();
        read_folder(folder, &mut Vec::new(), &mut files);
        let modules: BTreeMap<_, _> =
            files.iter().enumerate().map(|(at, file)| (file.module.clone(), at)).collect();
        let mut sources = Self { files, modules, facades: BTreeMap::new() };
        for at in 0..sources.files.len() {
            sources.learn_facades(at);
        }
        sources
    }

    /// How many files there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Which file names which.
    pub(crate) fn imports(&self) -> Imports {
        self.files
            .iter()
            .enumerate()
            .map(|(at, file)| {
                let named = self.named_in(file).into_iter().filter_map(|names| self.home(&names));
                (at, named.filter(|home| *home != at).collect())
            })
            .collect()
    }

    /// The imports among `members`, one line each.
    pub(crate) fn describe(&self, members: &BTreeSet<usize>) -> Vec<String> {
        let mut lines = BTreeSet::new();
        for at in members {
            for names in self.named_in(&self.files[*at]) {
                if let Some(home) = self.home(&names).filter(|home| home != at && members.contains(home)) {
                    let (from, to) = (self.files[*at].path.display(), self.files[home].path.display());
                    lines.insert(format!("    {from} -> {to} ({})", names.join("::")));
                }
            }
        }
        lines.into_iter().collect()
    }

    /// All paths into the crate that the file has.
    fn named_in(&self, file: &File) -> BTreeSet<Names> {
        let mut paths =
            Paths { module: &file.module, children: self.children(&file.module), found: BTreeSet::new() };
        paths.visit_file(&file.syntax);
        paths.found
    }

    /// The names of the modules right below `module`.
    fn children(&self, module: &Names) -> BTreeSet<String> {
        let below = self.modules.keys().filter(|names| names.len() == module.len() + 1);
        below.filter(|names| names.starts_with(module)).filter_map(|names| names.last().cloned()).collect()
    }

    /// The file that defines what `names` leads to.
    fn home(&self, names: &Names) -> Option<usize> {
        let mut names = names.clone();
        // A facade may lead to a facade.
        for _ in 0..8 {
            // A facade may give on a function with the name of a module.
            let leads = |length: &usize| !self.modules.contains_key(&names[..*length]);
            let on = (1..=names.len())
                .filter(leads)
                .find_map(|length| Some((length, self.facades.get(&names[..length])?)));
            let Some((length, to)) = on else { break };
            names = to.iter().chain(&names[length..]).cloned().collect();
        }
        (0..=names.len()).rev().find_map(|length| self.modules.get(&names[..length]).copied())
    }

    fn learn_facades(&mut self, at: usize) {
        let file = &self.files[at];
        let children = self.children(&file.module);
        let mut learned = Vec::new();
        for item in &file.syntax.items {
            let Item::Use(item) = item else { continue };
            if matches!(item.vis, syn::Visibility::Inherited) {
                continue;
            }
            for (names, own) in leaves(&item.tree) {
                if let Some(names) = resolve(&file.module, &children, &names) {
                    learned.push(([file.module.as_slice(), &[own]].concat(), names));
                }
            }
        }
        self.facades.extend(learned.into_iter().filter(|(from, to)| from != to));
    }
}

fn read_folder(folder: &Path, module: &mut Names, files: &mut Vec<File>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !is_test(&name) {
            module.push(name);
            read_folder(&path, module, files);
            module.pop();
        } else if path.is_file()
            && path.extension().is_some_and(|extension| extension == "rs")
            && !is_test(&name)
        {
            let mut module = module.clone();
            if !matches!(name.as_str(), "mod" | "lib" | "main") {
                module.push(name);
            }
            let syntax = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
            files.push(File { path, module, syntax });
        }
    }
}

fn is_test(name: &str) -> bool {
    name == "tests" || name == "testing"
}

/// The paths of a `use`, each with the name that it gets here.
fn leaves(tree: &UseTree) -> Vec<(Names, String)> {
    match tree {
        UseTree::Path(path) => leaves(&path.tree)
            .into_iter()
            .map(|(names, own)| ([vec![path.ident.to_string()], names].concat(), own))
            .collect(),
        UseTree::Name(name) => vec![(vec![name.ident.to_string()], name.ident.to_string())],
        UseTree::Rename(rename) => vec![(vec![rename.ident.to_string()], rename.rename.to_string())],
        UseTree::Glob(_) => vec![(Vec::new(), String::new())],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}

/// The path from the root of the crate; `None` for what is not of this crate.
fn resolve(module: &[String], children: &BTreeSet<String>, names: &[String]) -> Option<Names> {
    let first = names.first()?;
    let mut base = module.to_vec();
    let rest = match first.as_str() {
        "crate" => {
            base.clear();
            &names[1..]
        }
        "self" => &names[1..],
        "super" => {
            let ups = names.iter().take_while(|name| *name == "super").count();
            base.truncate(module.len().checked_sub(ups)?);
            &names[ups..]
        }
        child if children.contains(child) => names,
        _ => return None,
    };
    base.extend(rest.iter().filter(|name| *name != "self").cloned());
    Some(base)
}

/// Collects the paths of one file.
struct Paths<'a> {
    module: &'a Names,
    children: BTreeSet<String>,
    found: BTreeSet<Names>,
}

impl Paths<'_> {
    fn note(&mut self, names: &[String]) {
        self.found.extend(resolve(self.module, &self.children, names));
    }

    /// Paths in the arguments of a macro, which nobody has parsed: they begin with a name of the language.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let mut path: Names = Vec::new();
        for token in tokens {
            match token {
                TokenTree::Ident(name) => path.push(name.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {}
                other => {
                    self.note_whole(&std::mem::take(&mut path));
                    if let TokenTree::Group(group) = other {
                        self.note_tokens(group.stream());
                    }
                }
            }
        }
        self.note_whole(&path);
    }

    fn note_whole(&mut self, path: &[String]) {
        if path.first().is_some_and(|first| matches!(first.as_str(), "crate" | "super")) {
            self.note(path);
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test")))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl<'a> Visit<'a> for Paths<'_> {
    fn visit_item(&mut self, item: &'a Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        // A facade only passes names on: who uses them depends on their home.
        if matches!(item.vis, syn::Visibility::Inherited) {
            leaves(&item.tree).iter().for_each(|(names, _)| self.note(names));
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.note(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'a syn::Macro) {
        self.note_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}
