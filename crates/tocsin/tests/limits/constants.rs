//! The constants of the sources, found by name and evaluated.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use syn::{Attribute, BinOp, Expr, ImplItem, Item, Lit, Member, Meta, Type};

use crate::table::Reference;

/// A constant, or a field with its default.
#[derive(Debug)]
pub(crate) struct Constant {
    pub(crate) name: String,
    pub(crate) value: Value,
    documentation: String,
    file: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Integer(u128),
    Milliseconds(u128),
}

impl Constant {
    /// How many milliseconds one is, for an integer that is a time: its documentation says so.
    pub(crate) fn unit(&self) -> Option<u128> {
        let text = self.documentation.to_lowercase();
        let units = [("milliseconds", 1), ("seconds", 1_000)];
        units.into_iter().find(|(unit, _)| text.contains(unit)).map(|(_, unit)| unit)
    }
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match self.value {
            Value::Integer(value) => value.to_string(),
            Value::Milliseconds(value) => format!("{value} ms"),
        };
        write!(f, "{} ({}) is {value}", self.name, self.file)
    }
}

/// The sources, each read when it is asked for.
pub(crate) struct Constants {
    root: PathBuf,
    read: BTreeMap<PathBuf, Rc<syn::File>>,
}

impl Constants {
    /// The sources of the workspace at `root`.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), read: BTreeMap::new() }
    }

    /// The constant, if there is exactly one and it can be evaluated.
    pub(crate) fn find(&mut self, reference: &Reference) -> Result<Constant, String> {
        match reference {
            Reference::InFile { file, name } => {
                let folder = if file.starts_with("modules/") { "" } else { "crates" };
                let path = self.root.join(folder).join(file);
                if !path.is_file() {
                    return Err(format!("there is no file {file}"));
                }
                self.constant(&path, name)?.ok_or_else(|| format!("{file} declares no {name}"))
            }
            Reference::InCrate { of, modules, name } => {
                let files = self.files(of, modules)?;
                let mut found = Vec::new();
                for file in files {
                    found.extend(self.constant(&file, name)?);
                }
                only(found, &format!("{name} in {of}"))
            }
            Reference::Field { of, modules, kind, field } => {
                let files = self.files(of, modules)?;
                let mut found = Vec::new();
                for file in files {
                    found.extend(self.field(&file, kind, field)?);
                }
                only(found, &format!("{kind}::{field} in {of}"))
            }
        }
    }

    /// The files of a crate, or of a module of the server, whose path in it begins with `modules`.
    fn files(&self, of: &str, modules: &[String]) -> Result<Vec<PathBuf>, String> {
        let homes = [format!("crates/{of}/src"), format!("modules/{of}/src")];
        let home = homes.iter().map(|home| self.root.join(home)).find(|home| home.is_dir());
        let home = home.ok_or_else(|| format!("there is no crate {of}"))?;
        let mut files = Vec::new();
        list(&home, &mut files);
        let start = modules.iter().fold(home, |path, module| path.join(module));
        files.retain(|file| file.starts_with(&start) || file.with_extension("") == start);
        Ok(files)
    }

    fn source(&mut self, path: &Path) -> Result<Rc<syn::File>, String> {
        if let Some(source) = self.read.get(path) {
            return Ok(Rc::clone(source));
        }
        let text = fs::read_to_string(path).map_err(|cause| format!("{}: {cause}", path.display()))?;
        let source = Rc::new(syn::parse_file(&text).map_err(|cause| format!("{}: {cause}", path.display()))?);
        self.read.insert(path.to_owned(), Rc::clone(&source));
        Ok(source)
    }

    fn constant(&mut self, path: &Path, name: &str) -> Result<Option<Constant>, String> {
        let source = self.source(path)?;
        let Some((expression, attributes)) = declared(&source, name) else { return Ok(None) };
        Ok(Some(self.evaluated(path, &source, name, expression, attributes)?))
    }

    fn field(&mut self, path: &Path, kind: &str, field: &str) -> Result<Option<Constant>, String> {
        let source = self.source(path)?;
        let Some(expression) = default(&source, kind, field) else { return Ok(None) };
        Ok(Some(self.evaluated(path, &source, field, expression, &[])?))
    }

    fn evaluated(
        &self,
        path: &Path,
        source: &syn::File,
        name: &str,
        expression: &Expr,
        attributes: &[Attribute],
    ) -> Result<Constant, String> {
        let value = evaluate(expression, source)
            .ok_or_else(|| format!("{name} in {} is too hard to evaluate", path.display()))?;
        let file = path.strip_prefix(&self.root).unwrap_or(path);
        let file = file.strip_prefix("crates").unwrap_or(file).display().to_string();
        Ok(Constant { name: name.to_owned(), value, documentation: documentation(attributes), file })
    }
}

fn only(mut found: Vec<Constant>, what: &str) -> Result<Constant, String> {
    match found.len() {
        0 => Err(format!("there is no {what}")),
        1 => Ok(found.remove(0)),
        more => Err(format!("there are {more} of {what}: name the file")),
    }
}

/// The sources below a folder, without tests.
fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if matches!(stem.as_str(), "tests" | "testing") {
            continue;
        }
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The constant of this name at the top of a file.
fn declared<'a>(source: &'a syn::File, name: &str) -> Option<(&'a Expr, &'a [Attribute])> {
    source.items.iter().find_map(|item| match item {
        Item::Const(item) if item.ident == name => Some((&*item.expr, &item.attrs[..])),
        _ => None,
    })
}

/// What the field is set to in `DEFAULT` or `default()` of the type.
fn default<'a>(source: &'a syn::File, kind: &str, field: &str) -> Option<&'a Expr> {
    let of_kind = source.items.iter().filter_map(|item| match item {
        Item::Impl(item) => match &*item.self_ty {
            Type::Path(path) if path.path.is_ident(kind) => Some(item),
            _ => None,
        },
        _ => None,
    });
    let wholes = of_kind.flat_map(|item| &item.items).filter_map(|item| match item {
        ImplItem::Const(item) if item.ident == "DEFAULT" => Some(&item.expr),
        ImplItem::Fn(item) if item.sig.ident == "default" => match item.block.stmts.last() {
            Some(syn::Stmt::Expr(expression, None)) => Some(expression),
            _ => None,
        },
        _ => None,
    });
    let mut structs = wholes.filter_map(|whole| match whole {
        Expr::Struct(whole) => Some(whole),
        _ => None,
    });
    structs.find_map(|whole| {
        let set =
            whole.fields.iter().find(|set| matches!(&set.member, Member::Named(name) if name == field))?;
        Some(&set.expr)
    })
}

/// Integers, durations, and what is calculated from other constants of the same file.
fn evaluate(expression: &Expr, source: &syn::File) -> Option<Value> {
    match expression {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(integer) => integer.base10_parse().ok().map(Value::Integer),
            _ => None,
        },
        Expr::Paren(inner) => evaluate(&inner.expr, source),
        Expr::Cast(cast) => evaluate(&cast.expr, source),
        Expr::Binary(binary) => {
            let (left, right) = (integer(&binary.left, source)?, integer(&binary.right, source)?);
            let value = match binary.op {
                BinOp::Add(_) => left.checked_add(right),
                BinOp::Sub(_) => left.checked_sub(right),
                BinOp::Mul(_) => left.checked_mul(right),
                BinOp::Div(_) => left.checked_div(right),
                BinOp::Shl(_) => left.checked_shl(u32::try_from(right).ok()?),
                _ => None,
            };
            value.map(Value::Integer)
        }
        Expr::Path(path) => {
            let name = path.path.get_ident()?.to_string();
            evaluate(declared(source, &name)?.0, source)
        }
        Expr::Call(call) => {
            let Expr::Path(function) = &*call.func else { return None };
            let names: Vec<_> = function.path.segments.iter().map(|name| name.ident.to_string()).collect();
            let unit = match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["Duration", "from_millis"] => 1,
                ["Duration", "from_secs"] => 1_000,
                _ => return None,
            };
            Some(Value::Milliseconds(integer(call.args.first()?, source)?.checked_mul(unit)?))
        }
        _ => None,
    }
}

fn integer(expression: &Expr, source: &syn::File) -> Option<u128> {
    match evaluate(expression, source)? {
        Value::Integer(value) => Some(value),
        Value::Milliseconds(_) => None,
    }
}

/// The text of the doc comments.
fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn constants_are_evaluated() {
    let source = syn::parse_file(
        "const BITS: u32 = 4; const A: usize = 1 << BITS; const B: u64 = (64 * 1_024) as u64 - A;
         const C: Duration = Duration::from_secs(2 * 60); const D: u64 = other();",
    )
    .unwrap();
    let value = |name| evaluate(declared(&source, name).unwrap().0, &source);
    assert_eq!(value("A"), Some(Value::Integer(16)));
    assert_eq!(value("B"), Some(Value::Integer(65_520)));
    assert_eq!(value("C"), Some(Value::Milliseconds(120_000)));
    assert_eq!(value("D"), None);
}
