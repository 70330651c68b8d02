//! mi_http: the Management Interface as a page of the HTTP server. What it understands is [`tocsin_mi::http`].

use std::rc::Rc;

use tocsin_mi::http::{DEFAULT_ROOT, page};
use tocsin_mi::httpd::Handler;
use tocsin_script::{ModParam, ModParamKind, ModuleSpec};
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::{Context, commands};

use crate::httpd::{Page, add_page};
use crate::mi_fifo::files;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct MiHttp;

impl Module for MiHttp {
    fn spec(&self) -> ModuleSpec<Context> {
        const NAMES: &[ModParam] = &[
            ModParam { name: "root", kind: ModParamKind::Str },
            ModParam { name: "pretty_printing", kind: ModParamKind::Int },
            // No effect: there is no tracing module.
            ModParam { name: "trace_destination", kind: ModParamKind::Str },
            ModParam { name: "trace_bwlist", kind: ModParamKind::Str },
        ];
        ModuleSpec { params: NAMES, depends: &["httpd"], ..ModuleSpec::new("mi_http") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let root = setup.parameters.text("root", DEFAULT_ROOT).trim_matches('/').to_owned();
        let style = files::style(&setup.parameters);
        add_page(
            setup,
            Page {
                module: "mi_http",
                root,
                handler: Rc::new(move |worker| {
                    let serve = page(Rc::new(commands::registry(worker.server)), style);
                    let handler: Handler = Rc::new(serve);
                    handler
                }),
            },
        )
    }
}
