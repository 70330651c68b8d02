//! The script as one version of it, ready to run.

use std::rc::Rc;

use tocsin_script::{Host, Program, RouteId, RouteKind};

use crate::flag_names::FlagNames;

/// One version of the script. Messages keep the one that they began with.
pub struct Script<C: Host> {
    /// 0 at the start; it goes up with every reload.
    pub version: u32,
    /// Its routes.
    pub program: Program<C>,
    /// The route for requests.
    pub main_route: Option<RouteId>,
    /// The route for all responses: the unnamed `onreply_route`.
    pub reply_route: Option<RouteId>,
    /// The route for requests that cannot be served.
    pub error_route: Option<RouteId>,
    /// The names of its flags.
    pub flags: FlagNames,
}

impl<C: Host> Script<C> {
    /// This version of the script.
    pub fn new(version: u32, mut program: Program<C>, flags: FlagNames) -> Rc<Self> {
        program.set_version(version);
        Rc::new(Self {
            version,
            main_route: program.route(RouteKind::Request, b""),
            reply_route: program.route(RouteKind::Reply, b""),
            error_route: program.route(RouteKind::Error, b""),
            program,
            flags,
        })
    }
}

impl<C: Host> std::fmt::Debug for Script<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("version", &self.version).finish_non_exhaustive()
    }
}
