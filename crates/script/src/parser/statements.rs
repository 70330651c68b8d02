//! What stands in a route block (manual, "Script Statements" and "Script Async").

use super::{MAX_NESTING, Parsed, Parser, Reported, route_kind};
use crate::diagnostics::Diagnostic;
use crate::lexer::Kind;
use crate::operator::Binary;
use crate::reference::Reference;
use crate::source::Span;
use crate::tree::{
    Argument, AssignOperator, CallTree, Case, Expr, ExprKind, RouteCallTree, Spanned, Statement,
    StatementKind,
};

impl Parser<'_> {
    /// The statements up to the closing brace, which is taken.
    pub(super) fn block_rest(&mut self) -> Parsed<Vec<Statement>> {
        self.open.push(self.last);
        let mut statements = Vec::new();
        loop {
            if self.is("}") {
                let closing = self.take().span;
                self.close(closing);
                return Ok(statements);
            }
            if self.leaves_block() || self.errors.is_full() {
                return Err(Reported);
            }
            if self.accept(";") {
                continue;
            }
            match self.statement() {
                Ok(statement) => {
                    self.lexer.doubtful = None;
                    statements.push(statement);
                }
                Err(Reported) if self.at_top => return Err(Reported),
                Err(Reported) => self.recover_statement()?,
            }
        }
    }

    /// A block ends. If its closing brace is indented like an outer block's, it probably closes that one, and this block
    /// lacks its own.
    fn close(&mut self, closing: Span) {
        let Some(opening) = self.open.pop() else { return };
        let (column, begins_line) = self.lexer.indentation(closing);
        let is_of = |opening: &Span| self.lexer.indentation(*opening).0 == column;
        let is_doubtful = begins_line && !is_of(&opening) && self.open.iter().any(is_of);
        if is_doubtful && self.unclosed.is_none() {
            self.unclosed = Some(opening);
        }
    }

    /// The file ends, or another route begins, where only this block can: one that is not closed is reported.
    fn leaves_block(&mut self) -> bool {
        let token = self.peek().clone();
        let note = match &token.kind {
            Kind::End => None,
            Kind::Word(word) if token.first && self.begins_route(word) => {
                Some(format!("`{word}` begins there"))
            }
            _ => return false,
        };
        self.at_top = true;
        if let (Kind::End, true) = (&token.kind, self.blame_string()) {
            self.at_top = false;
            return true;
        }
        let opening = self.unclosed.take().or(self.open.last().copied()).unwrap_or(token.span);
        let error = Diagnostic::new(opening, "syntax error: this block is not closed: `}` is missing");
        self.errors.push(match note {
            Some(note) => error.with_note(token.span, note),
            None => error,
        });
        true
    }

    /// `route(name)` is a call.
    fn begins_route(&mut self, word: &str) -> bool {
        route_kind(word).is_some() && self.lexer.following() != Some(b'(')
    }

    fn statement(&mut self) -> Parsed<Statement> {
        let token = self.peek().clone();
        self.nested(token.span, |parser| match &token.kind {
            Kind::Word(word) => parser.word_statement(word, token.span),
            Kind::Variable(variable) => {
                parser.take();
                let target = Spanned { node: (**variable).clone(), span: token.span };
                parser.assignment(target)
            }
            _ => {
                parser.take();
                parser.unexpected(&token, "a statement expected")
            }
        })
    }

    /// Runs `inner` one level deeper, unless that is too deep.
    pub(super) fn nested<T>(&mut self, at: Span, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= MAX_NESTING {
            return self.fail(at, format!("nested more than {MAX_NESTING} deep"));
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    fn word_statement(&mut self, word: &str, at: Span) -> Parsed<Statement> {
        self.take();
        let node = match word {
            "if" => self.if_statement()?,
            "while" => {
                let condition = self.condition()?;
                StatementKind::While { condition, body: self.body()? }
            }
            "for" => self.for_statement()?,
            "switch" => self.switch_statement()?,
            "exit" => self.simple(StatementKind::Exit)?,
            "drop" => self.simple(StatementKind::Drop)?,
            "break" => self.simple(StatementKind::Break)?,
            "return" => self.return_statement()?,
            "route" => {
                let call = self.route_call()?;
                self.end_of_statement()?;
                StatementKind::Route(call)
            }
            "async" => self.async_statement()?,
            "launch" => self.launch_statement()?,
            "assert" => self.assert_statement(at)?,
            _ => {
                let call = self.call(Spanned { node: word.to_owned(), span: at })?;
                self.end_of_statement()?;
                StatementKind::Do(call)
            }
        };
        Ok(Spanned { node, span: at.to(self.last) })
    }

    fn condition(&mut self) -> Parsed<Expr> {
        self.expect("(")?;
        let condition = self.condition_expression()?;
        self.expect(")")?;
        Ok(condition)
    }

    /// A block in braces or a single statement.
    fn body(&mut self) -> Parsed<Vec<Statement>> {
        let at = self.last;
        if self.accept("{") {
            return self.nested(at, Self::block_rest);
        }
        if self.accept(";") {
            return Ok(Vec::new());
        }
        Ok(vec![self.statement()?])
    }

    /// `else if` is read in a loop: chains of them are long.
    fn if_statement(&mut self) -> Parsed<StatementKind> {
        let condition = self.condition()?;
        let mut arms = vec![(condition, self.body()?)];
        while self.accept_word("else") {
            if !self.accept_word("if") {
                return Ok(StatementKind::If { arms, otherwise: self.body()? });
            }
            let condition = self.condition()?;
            arms.push((condition, self.body()?));
        }
        Ok(StatementKind::If { arms, otherwise: Vec::new() })
    }

    /// `for ($var(x) in $(avp(y)[*])) ...`.
    fn for_statement(&mut self) -> Parsed<StatementKind> {
        self.accept_word("each");
        self.expect("(")?;
        let target = self.variable()?;
        if !self.accept_word("in") {
            let token = self.peek().clone();
            return self.unexpected(&token, "`in` expected");
        }
        let source = self.variable()?;
        self.expect(")")?;
        Ok(StatementKind::ForEach { target, source, body: self.body()? })
    }

    fn variable(&mut self) -> Parsed<Spanned<Reference>> {
        let token = self.take();
        match token.kind {
            Kind::Variable(variable) => Ok(Spanned { node: *variable, span: token.span }),
            _ => self.unexpected(&token, "a variable expected"),
        }
    }

    fn switch_statement(&mut self) -> Parsed<StatementKind> {
        let subject = self.switch_subject()?;
        let opening = self.expect("{")?;
        self.open.push(opening);
        let mut cases: Vec<Case> = Vec::new();
        loop {
            if self.is("}") {
                let closing = self.take().span;
                self.close(closing);
                if !cases.iter().any(|case| case.value.is_some()) {
                    return self.fail(subject.span, "syntax error: a switch needs at least one case");
                }
                return Ok(StatementKind::Switch { subject, cases });
            }
            if self.leaves_block() {
                return Err(Reported);
            }
            let token = self.peek().clone();
            match &token.kind {
                Kind::Word(word) if word == "case" || word == "default" => {
                    if cases.last().is_some_and(|case| case.value.is_none()) {
                        return self.fail(token.span, "syntax error: `default` is the last part of a switch");
                    }
                    self.take();
                    let value = if word == "case" { Some(self.case_value()?) } else { None };
                    self.expect(":")?;
                    cases.push(Case { value, span: token.span, body: Vec::new() });
                }
                Kind::Punct(";") => {
                    self.take();
                }
                _ => match cases.last_mut() {
                    Some(_) => self.case_statement(&mut cases)?,
                    None => return self.unexpected(&token, "`case` or `default` expected"),
                },
            }
        }
    }

    /// A variable in parentheses.
    fn switch_subject(&mut self) -> Parsed<Expr> {
        self.expect("(")?;
        let subject = self.primary()?;
        if !matches!(subject.node, ExprKind::Variable(_)) {
            let help = "write switch ($variable)".to_owned();
            return self.fail_with_help(subject.span, "syntax error: a switch looks at a variable", help);
        }
        self.expect(")")?;
        Ok(subject)
    }

    fn case_statement(&mut self, cases: &mut [Case]) -> Parsed<()> {
        match self.statement() {
            Ok(statement) => {
                if let Some(case) = cases.last_mut() {
                    case.body.push(statement);
                }
                Ok(())
            }
            Err(Reported) if self.at_top || self.errors.is_full() => Err(Reported),
            Err(Reported) => self.recover_statement(),
        }
    }

    fn case_value(&mut self) -> Parsed<Expr> {
        let value = self.primary()?;
        Ok(value)
    }

    /// A word with optional empty parentheses.
    fn simple(&mut self, node: StatementKind) -> Parsed<StatementKind> {
        if self.accept("(") {
            self.expect(")")?;
        }
        self.end_of_statement()?;
        Ok(node)
    }

    fn return_statement(&mut self) -> Parsed<StatementKind> {
        let parenthesis = self.accept("(");
        let empty = if parenthesis { self.is(")") } else { self.is(";") || self.is("}") };
        let code = if empty { None } else { Some(self.return_code()?) };
        if parenthesis {
            self.expect(")")?;
        }
        self.end_of_statement()?;
        Ok(StatementKind::Return(code))
    }

    /// A number or a variable.
    fn return_code(&mut self) -> Parsed<Expr> {
        let code = self.primary()?;
        if matches!(code.node, ExprKind::Int(_) | ExprKind::Variable(_) | ExprKind::Word(_)) {
            return Ok(code);
        }
        let help = "assign it to a variable first, as `$var(rc) = ...; return($var(rc));`".to_owned();
        self.fail_with_help(code.span, "syntax error: return takes a number or a variable", help)
    }

    /// `async(FUNCTION(...), ROUTE [, TIMEOUT])`.
    fn async_statement(&mut self) -> Parsed<StatementKind> {
        self.expect("(")?;
        let call = self.inner_call()?;
        self.expect(",")?;
        let route = self.route_argument()?;
        let timeout = if self.accept(",") { Some(self.primary()?) } else { None };
        self.expect(")")?;
        self.end_of_statement()?;
        Ok(StatementKind::Async { call, route, timeout })
    }

    /// `launch(FUNCTION(...) [, ROUTE [, TEXT]])`.
    fn launch_statement(&mut self) -> Parsed<StatementKind> {
        self.expect("(")?;
        let call = self.inner_call()?;
        let route = if self.accept(",") { Some(self.route_argument()?) } else { None };
        let text = if self.accept(",") { Some(self.argument()?) } else { None };
        self.expect(")")?;
        self.end_of_statement()?;
        Ok(StatementKind::Launch { call, route, text })
    }

    /// `assert(CONDITION, TEXT)`
    fn assert_statement(&mut self, keyword: Span) -> Parsed<StatementKind> {
        self.expect("(")?;
        let condition = self.condition_expression()?;
        self.expect(",")?;
        let value = self.argument()?;
        self.expect(")")?;
        self.end_of_statement()?;
        let arguments = vec![Argument { span: value.span, value: Some(value) }];
        let name = Spanned { node: "assert".to_owned(), span: keyword };
        Ok(StatementKind::Assert { condition, failed: CallTree { name, arguments } })
    }

    fn inner_call(&mut self) -> Parsed<CallTree> {
        let name = self.word("a function expected")?;
        self.call(name)
    }

    /// `(ARGUMENTS)` of a function whose name has been read.
    pub(super) fn call(&mut self, name: Spanned<String>) -> Parsed<CallTree> {
        if !self.accept("(") {
            return self.fail(name.span, format!("syntax error: `(` expected after <{}>", name.node));
        }
        let mut arguments = Vec::new();
        if self.accept(")") {
            return Ok(CallTree { name, arguments });
        }
        loop {
            let span = self.peek().span;
            let value = if self.is(",") || self.is(")") { None } else { Some(self.argument()?) };
            let span = value.as_ref().map_or(span, |value| value.span);
            arguments.push(Argument { value, span });
            if !self.accept(",") {
                self.expect(")")?;
                return Ok(CallTree { name, arguments });
            }
        }
    }

    /// `(NAME, ARGUMENTS...)` after the word `route`.
    pub(super) fn route_call(&mut self) -> Parsed<RouteCallTree> {
        self.expect("(")?;
        let name = Box::new(self.route_argument()?);
        let mut arguments = Vec::new();
        while self.accept(",") {
            arguments.push(self.primary()?);
        }
        self.expect(")")?;
        Ok(RouteCallTree { name, arguments })
    }

    fn assignment(&mut self, target: Spanned<Reference>) -> Parsed<Statement> {
        let token = self.take();
        let operator = match token.kind {
            Kind::Punct(sign) => assign_operator(sign),
            _ => None,
        };
        let Some(operator) = operator else {
            return self.unexpected(&token, "an assignment, as `$variable = value`, expected");
        };
        let value = match operator {
            AssignOperator::Combine(_) => self.value_expression()?,
            AssignOperator::Set | AssignOperator::Replace => self.assigned_value()?,
        };
        if matches!(value.node, ExprKind::Null) && matches!(operator, AssignOperator::Combine(_)) {
            return self.fail(value.span, "NULL cannot be calculated with");
        }
        self.end_of_statement()?;
        let span = target.span.to(self.last);
        Ok(Spanned { node: StatementKind::Assign { target, operator, value }, span })
    }

    fn end_of_statement(&mut self) -> Parsed<()> {
        if self.accept(";") {
            return Ok(());
        }
        let token = self.peek().clone();
        if token.kind == Kind::Bad {
            return Err(Reported);
        }
        let span = self.last;
        self.fail(span, "bad command: missing ';'?")
    }

    /// Skips to the end of the statement: past a `;` or a block, or before a brace that closes the block around.
    /// The top level recovers instead when the file ends, or when another route seems to begin.
    fn recover_statement(&mut self) -> Parsed<()> {
        // a brace that was not expected opens a part of the statement, as in `$ru{x} = 1;`
        let outer = usize::from(self.last_opens && self.lexer.line_closes_brace(self.last));
        let mut depth = outer;
        loop {
            let token = self.peek().clone();
            match &token.kind {
                Kind::End => return Ok(()),
                Kind::Word(word) if token.first && self.begins_route(word) => return Ok(()),
                Kind::Punct(";") if depth == 0 => {
                    self.take();
                    return Ok(());
                }
                Kind::Punct("{") => depth += 1,
                Kind::Punct("}") if depth == 0 => return Ok(()),
                Kind::Punct("}") => {
                    depth -= 1;
                    if depth == 0 && outer == 0 {
                        self.take();
                        return Ok(());
                    }
                }
                // a statement that begins where the one before lacks its `;`
                _ if depth == 0 && token.first && self.begins_statement() => return Ok(()),
                _ => {}
            }
            self.take();
        }
    }

    fn begins_statement(&mut self) -> bool {
        match &self.peek().kind {
            Kind::Variable(_) => true,
            Kind::Word(word) => word != "and" && word != "or",
            _ => false,
        }
    }
}

fn assign_operator(sign: &str) -> Option<AssignOperator> {
    let combined = match sign {
        "=" => return Some(AssignOperator::Set),
        ":=" => return Some(AssignOperator::Replace),
        "+=" | ".=" => Binary::Add,
        "-=" => Binary::Subtract,
        "*=" => Binary::Multiply,
        "/=" => Binary::Divide,
        "%=" => Binary::Modulo,
        "|=" => Binary::BitOr,
        "&=" => Binary::BitAnd,
        "^=" => Binary::BitXor,
        _ => return None,
    };
    Some(AssignOperator::Combine(combined))
}
