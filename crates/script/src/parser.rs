//! Tokens to tree: the top level of a configuration. Errors are recovered from at the next line that begins
//! something, or within a block at the next `;` or `}`, so that one run shows them all.

mod expressions;
mod globals;
mod statements;

use std::collections::BTreeMap;

use crate::diagnostics::{Diagnostic, Errors, Warnings, did_you_mean};
use crate::lexer::{Kind, Lexer, Token};
use crate::library::GlobalKind;
use crate::route::RouteKind;
use crate::source::{SourceMap, Span};
use crate::tree::{ParameterTree, RouteTree, Spanned, Tree};
use crate::value::Value;

/// Blocks and parentheses nest at most this deep.
pub const MAX_NESTING: usize = 100;
/// One expression has at most this many operators in a row.
pub const MAX_OPERATORS: usize = 500;

/// The words that begin something at the top level besides global parameters.
const TOP_WORDS: &[&str] = &[
    "loadmodule",
    "modparam",
    "route",
    "branch_route",
    "failure_route",
    "onreply_route",
    "error_route",
    "local_route",
    "startup_route",
    "timer_route",
    "event_route",
];

/// An error that has been reported; the caller recovers.
pub(crate) struct Reported;

type Parsed<T> = Result<T, Reported>;

/// Reads a whole configuration; what is wrong goes to `errors`.
pub(crate) fn parse(
    source: &mut SourceMap,
    globals: &BTreeMap<&'static str, GlobalKind>,
    errors: &mut Errors,
) -> Tree {
    let mut parser = Parser {
        lexer: Lexer::new(source),
        peeked: None,
        errors,
        warnings: Warnings::default(),
        globals,
        nesting: 0,
        last: Span::default(),
        last_opens: false,
        open: Vec::new(),
        unclosed: None,
        at_top: false,
    };
    let mut tree = Tree::default();
    loop {
        let token = parser.peek().clone();
        if token.kind == Kind::End || parser.errors.is_full() {
            tree.warnings = std::mem::take(&mut parser.warnings).into_vec();
            tree.warnings.extend(std::mem::take(&mut parser.lexer.warnings).into_vec());
            return tree;
        }
        let read = parser.item(&mut tree);
        parser.open.clear();
        parser.unclosed = None;
        let at_top = std::mem::take(&mut parser.at_top);
        if read.is_ok() {
            parser.lexer.doubtful = None;
        } else if !at_top {
            parser.recover_top();
        }
    }
}

pub(crate) struct Parser<'a> {
    lexer: Lexer<'a>,
    peeked: Option<Token>,
    errors: &'a mut Errors,
    warnings: Warnings,
    globals: &'a BTreeMap<&'static str, GlobalKind>,
    nesting: usize,
    /// Where the last token taken stands.
    last: Span,
    /// It is an opening brace.
    last_opens: bool,
    /// The opening braces of the blocks around.
    open: Vec<Span>,
    /// The first opening brace whose closing brace is indented like that of an outer block.
    unclosed: Option<Span>,
    /// The next token begins something at the top level, though a block is open: it is left.
    at_top: bool,
}

impl Parser<'_> {
    fn item(&mut self, tree: &mut Tree) -> Parsed<()> {
        if self.accept(";") {
            return Ok(());
        }
        let word = self.word("a parameter, loadmodule, modparam or a route expected")?;
        match word.node.as_str() {
            "loadmodule" => {
                let path = self.text("a module name in quotes expected")?;
                tree.modules.push(path);
            }
            "modparam" => self.modparam(tree)?,
            name if route_kind(name).is_some() && !self.is("=") => {
                if let Some(kind) = route_kind(name) {
                    self.route(kind, word.span, tree)?;
                }
            }
            _ => self.global(word, tree)?,
        }
        Ok(())
    }

    fn modparam(&mut self, tree: &mut Tree) -> Parsed<()> {
        self.expect("(")?;
        let module = self.text("a module name in quotes expected")?;
        self.expect(",")?;
        let name = self.text("a parameter name in quotes expected")?;
        self.expect(",")?;
        let negative = self.accept("-");
        let token = self.take();
        let value = match token.kind {
            Kind::Text(text) if !negative => Value::Str(text.bytes),
            Kind::Int(number) => Value::Int(if negative { -number } else { number }),
            _ => return self.unexpected(&token, "a string in quotes or a number expected"),
        };
        let value = Spanned { node: value, span: token.span };
        self.expect(")")?;
        tree.parameters.push(ParameterTree { module, name, value });
        Ok(())
    }

    /// A route whose block cannot be read is there all the same: what calls it is right.
    fn route(&mut self, kind: RouteKind, keyword: Span, tree: &mut Tree) -> Parsed<()> {
        let mut route = RouteTree { kind, name: None, interval: None, span: keyword, body: Vec::new() };
        if self.accept("[") {
            route.name = Some(self.route_name()?);
            if self.accept(",") {
                route.interval = self.route_option(kind)?;
            }
            self.expect("]")?;
        }
        self.check_route_head(&mut route);
        self.expect("{")?;
        let read = self.block_rest().map(|body| route.body = body);
        tree.routes.push(route);
        read
    }

    fn route_name(&mut self) -> Parsed<Spanned<String>> {
        let token = self.take();
        let node = match &token.kind {
            Kind::Word(word) => word.clone(),
            Kind::Int(number) => number.to_string(),
            Kind::Text(text) => text.bytes.lossy().into_owned(),
            _ => return self.unexpected(&token, "a route name expected"),
        };
        Ok(Spanned { node, span: token.span })
    }

    /// The seconds of a timer route; an event route may say `sync` or `async`.
    fn route_option(&mut self, kind: RouteKind) -> Parsed<Option<u32>> {
        let token = self.take();
        match (kind, &token.kind) {
            // never, as in OpenSIPS
            (RouteKind::Timer, Kind::Int(0)) => Ok(Some(u32::MAX)),
            (RouteKind::Timer, Kind::Int(seconds)) => match u32::try_from(*seconds) {
                Ok(seconds) if seconds > 0 => Ok(Some(seconds)),
                _ => self.fail(token.span, "the interval of a timer route is a number of seconds above 0"),
            },
            (RouteKind::Event, Kind::Word(word)) if word == "sync" || word == "async" => Ok(None),
            (RouteKind::Timer, _) => self.unexpected(&token, "an interval in seconds expected"),
            _ => self.unexpected(&token, "`]` expected"),
        }
    }

    /// `route[0]` is another way to write `route`; some kinds need a name, others take none.
    fn check_route_head(&mut self, route: &mut RouteTree) {
        use RouteKind::{Branch, Event, Failure, Reply, Request, Timer};
        if matches!(route.kind, Request | Reply) && route.name.as_ref().is_some_and(|name| name.node == "0") {
            route.name = None;
        }
        match (route.kind, &route.name) {
            (Branch | Failure | Event | Timer, None) => {
                self.errors.add(route.span, format!("{} without a name", route.kind.keyword()));
            }
            (Timer, Some(name)) if route.interval.is_none() => {
                let example = format!("write `timer_route[{}, SECONDS]`", name.node);
                self.errors.add_with_help(name.span, "timer_route without an interval", Some(example));
            }
            (RouteKind::Error | RouteKind::Local | RouteKind::Startup, Some(name)) => {
                self.errors.add(name.span, format!("{} takes no name", route.kind.keyword()));
            }
            _ => {}
        }
    }

    /// Skips to the next line that begins something at the top level.
    fn recover_top(&mut self) {
        let mut depth = 0usize;
        loop {
            let token = self.peek().clone();
            match &token.kind {
                Kind::End => return,
                Kind::Word(word) if token.first && self.begins_item(word, depth) => return,
                Kind::Punct("{") => depth += 1,
                Kind::Punct("}") => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        self.take();
                        return;
                    }
                }
                _ => {}
            }
            self.take();
        }
    }

    /// Any word at a line's start may be a parameter, but for those an auto-scaling profile goes on with. A route
    /// keyword is taken as one even inside a block that was never closed; but `route(NAME)` is a call.
    fn begins_item(&mut self, word: &str, depth: usize) -> bool {
        if TOP_WORDS.contains(&word) {
            return depth == 0 || (word != "route" && route_kind(word).is_some());
        }
        depth == 0 && word != "scale"
    }

    fn peek(&mut self) -> &Token {
        let token = match self.peeked.take() {
            Some(token) => token,
            None => self.next(),
        };
        self.peeked.insert(token)
    }

    fn next(&mut self) -> Token {
        let count = self.errors.count();
        let token = self.lexer.next(self.errors);
        if token.kind == Kind::Bad && self.lexer.doubtful.is_some() {
            self.errors.take_back(count);
            self.blame_string();
        }
        token
    }

    /// What cannot be read now comes from a string that lacks its closing quote, if one before runs over lines: then that
    /// is the error, and reading goes on behind its first line.
    fn blame_string(&mut self) -> bool {
        let Some(quote) = self.lexer.doubtful.take() else { return false };
        self.errors.push(
            Diagnostic::new(quote, "string without closing quote")
                .with_help(Some("it would go on over the end of its line".to_owned())),
        );
        self.peeked = None;
        self.lexer.go_on_behind_line(quote);
        true
    }

    fn take(&mut self) -> Token {
        let token = match self.peeked.take() {
            Some(token) => token,
            None => self.next(),
        };
        if token.kind != Kind::End {
            self.last = token.span;
            self.last_opens = token.kind == Kind::Punct("{");
        }
        token
    }

    fn is(&mut self, sign: &str) -> bool {
        matches!(&self.peek().kind, Kind::Punct(punct) if *punct == sign)
    }

    fn is_word(&mut self, word: &str) -> bool {
        matches!(&self.peek().kind, Kind::Word(found) if found == word)
    }

    fn accept(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        if found {
            self.take();
        }
        found
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.take();
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Parsed<Span> {
        if self.is(sign) {
            return Ok(self.take().span);
        }
        let token = self.peek().clone();
        self.unexpected(&token, &format!("`{sign}` expected"))
    }

    fn word(&mut self, expected: &str) -> Parsed<Spanned<String>> {
        let token = self.take();
        match token.kind {
            Kind::Word(node) => Ok(Spanned { node, span: token.span }),
            _ => self.unexpected(&token, expected),
        }
    }

    fn text(&mut self, expected: &str) -> Parsed<Spanned<String>> {
        let token = self.take();
        match token.kind {
            Kind::Text(text) => Ok(Spanned { node: text.bytes.lossy().into_owned(), span: token.span }),
            _ => self.unexpected(&token, expected),
        }
    }

    fn unexpected<T>(&mut self, token: &Token, expected: &str) -> Parsed<T> {
        match token.kind {
            // the lexer has said what is wrong
            Kind::Bad => Err(Reported),
            _ if self.blame_string() => Err(Reported),
            Kind::End => {
                let span = self.last;
                self.fail(span, format!("syntax error at the end of the file: {expected}"))
            }
            _ => self.fail(token.span, format!("syntax error: {expected}")),
        }
    }

    fn fail<T>(&mut self, span: Span, message: impl Into<String>) -> Parsed<T> {
        self.errors.add(span, message);
        Err(Reported)
    }

    fn fail_with_help<T>(&mut self, span: Span, message: impl Into<String>, help: String) -> Parsed<T> {
        self.errors.add_with_help(span, message, Some(help));
        Err(Reported)
    }

    fn unknown_global<T>(&mut self, name: &Spanned<String>) -> Parsed<T> {
        let known = self.globals.keys().copied().chain(TOP_WORDS.iter().copied());
        let help = did_you_mean(&name.node, known);
        self.errors.add_with_help(
            name.span,
            format!("syntax error: unknown parameter <{}>", name.node),
            help,
        );
        Err(Reported)
    }
}

fn route_kind(keyword: &str) -> Option<RouteKind> {
    RouteKind::ALL.into_iter().find(|kind| kind.keyword() == keyword)
}
