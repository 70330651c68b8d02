//! mi_http: the Management Interface as a page of the HTTP server. What it understands is [`tocsin_mi::http`].
#![forbid(unsafe_code)]

use std::rc::Rc;

use tocsin_mi::http::{DEFAULT_ROOT, page};
use tocsin_mi::httpd::Handler;
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::shared_parameters::{PRETTY_PRINTING, TRACE_BWLIST, TRACE_DESTINATION};
use tocsin_server::{Context, commands};

use tocsin_httpd::{Page, add_page, warn_if_exposed};
use tocsin_mi_fifo::files;

const ROOT: ModParam =
    ModParam::text("root", DEFAULT_ROOT, "The path of the page on the HTTP server that takes commands.");

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct MiHttp;

impl Module for MiHttp {
    fn spec(&self) -> ModuleSpec<Context> {
        const PARAMETERS: &[ModParam] = &[ROOT, PRETTY_PRINTING, TRACE_DESTINATION, TRACE_BWLIST];
        ModuleSpec { params: PARAMETERS, depends: &["httpd"], ..ModuleSpec::new("mi_http") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let root = setup.parameters.string(&ROOT).trim_matches('/').to_owned();
        let style = files::style(&setup.parameters);
        add_page(
            setup,
            Page {
                module: "mi_http",
                root,
                handler: Rc::new(move |worker| {
                    let serve = page(Rc::new(commands::registry(worker)), style);
                    let handler: Handler = Rc::new(serve);
                    handler
                }),
            },
        )?;
        warn_if_exposed(setup, "mi_http", "manages this server");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tocsin_testbench::TestBed;

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(tocsin_httpd::Httpd), Rc::new(crate::MiHttp)]);

    fn free_port() -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn the_page_is_put_into_the_http_server() {
        let port = free_port();
        let httpd = format!(
            "loadmodule \"httpd.so\"\nmodparam(\"httpd\", \"ip\", \"127.0.0.1\")\nmodparam(\"httpd\", \"port\", {port})\n"
        );
        let mi = "loadmodule \"mi_http.so\"\nmodparam(\"mi_http\", \"root\", \"/ops/\")\n";
        let bench = TEST_BED.bench(&format!("{httpd}{mi}"), "route { exit; }");
        let server = bench.worker.server;
        assert_eq!(server.plan.groups[0].description, format!("HTTPD 127.0.0.1:{port}"));
        let registry = tocsin_server::commands::registry(bench.worker);
        let tocsin_mi::Reply::Now(Ok(pages)) = registry.call(b"httpd_list_root_path", None) else { panic!() };
        let mut text = Vec::new();
        pages.write_compact(&mut text);
        assert_eq!(String::from_utf8(text).unwrap(), r#"[{"http_root":"ops","module":"mi_http"}]"#);
        let problem = TEST_BED.try_bench(
            &format!("{mi}{}", httpd.replace(&port.to_string(), &free_port().to_string())),
            "route { exit; }",
        );
        assert!(problem.err().unwrap().contains("httpd"), "the message names the order");
    }
}
