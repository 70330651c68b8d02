//! From which types of routes each route can be reached, through `route()`, `async()` and `launch()`.

use crate::lexer::Text;
use crate::route::{RouteId, RouteTable};
use crate::route::{RouteKind, Routes};
use crate::tree::{CallTree, Expr, ExprKind, RouteCallTree, RouteTree, Statement, StatementKind};

/// For each route of the table, its own type and those of the routes that lead to it. A route with a name may also
/// be called by the host, and counts as a request route.
pub(super) fn reach(routes: &[RouteTree], table: &RouteTable) -> Vec<Routes> {
    let mut reached: Vec<Routes> = table.routes.iter().map(|route| Routes::from(route.kind)).collect();
    let edges: Vec<(RouteId, Vec<RouteId>)> = routes
        .iter()
        .filter_map(|route| {
            let name = route.name.as_ref().map_or(&b""[..], |name| name.node.as_bytes());
            let from = table.find(route.kind, name)?;
            let mut calls = Calls { table, found: Vec::new() };
            calls.statements(&route.body);
            Some((from, calls.found))
        })
        .collect();
    loop {
        let mut changed = false;
        for (from, targets) in &edges {
            let routes = reached[from.index as usize];
            for target in targets {
                let known = &mut reached[target.index as usize];
                changed |= !known.contains(routes);
                *known |= routes;
            }
        }
        if !changed {
            return reached;
        }
    }
}

struct Calls<'a> {
    table: &'a RouteTable,
    found: Vec<RouteId>,
}

impl Calls<'_> {
    fn statements(&mut self, statements: &[Statement]) {
        for statement in statements {
            self.statement(&statement.node);
        }
    }

    fn statement(&mut self, statement: &StatementKind) {
        match statement {
            StatementKind::If { arms, otherwise } => {
                for (condition, body) in arms {
                    self.expr(condition);
                    self.statements(body);
                }
                self.statements(otherwise);
            }
            StatementKind::While { condition, body } => {
                self.expr(condition);
                self.statements(body);
            }
            StatementKind::ForEach { body, .. } => self.statements(body),
            StatementKind::Switch { cases, .. } => {
                for case in cases {
                    self.statements(&case.body);
                }
            }
            StatementKind::Do(call) => self.call(call),
            StatementKind::Route(call) => self.route(call),
            StatementKind::Assign { value, .. } => self.expr(value),
            StatementKind::Assert { condition, .. } => self.expr(condition),
            StatementKind::Async { route, .. } => self.name(route),
            StatementKind::Launch { route: Some(route), .. } => self.name(route),
            _ => {}
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.node {
            ExprKind::Route(call) => self.route(call),
            ExprKind::Unary(_, inner) => self.expr(inner),
            ExprKind::Binary(_, left, right) => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Call(call) => self.call(call),
            ExprKind::Assign { value, .. } => self.expr(value),
            _ => {}
        }
    }

    fn call(&mut self, call: &CallTree) {
        for value in call.arguments.iter().filter_map(|argument| argument.value.as_ref()) {
            self.expr(value);
        }
    }

    fn route(&mut self, call: &RouteCallTree) {
        self.name(&call.name);
    }

    fn name(&mut self, name: &Expr) {
        let name = match &name.node {
            ExprKind::Word(word) => word.as_bytes(),
            ExprKind::Text(Text { bytes, .. }) => bytes,
            _ => return,
        };
        self.found.extend(self.table.find(RouteKind::Request, name));
    }
}
