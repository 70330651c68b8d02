//! `/readyz`: whether the server may be sent calls, for load balancers and orchestrators.
//!
//! The status of the core decides. 200 with `ready`, or 503 with a line for each identifier of the core's group that is not
//! ready: `core:main -1 initializing`.

use std::borrow::Cow;

use tocsin_mi::httpd::{Method, Page, StatusCode};
use tocsin_server::status_report::{CORE_GROUP, StatusReports};

/// The path.
pub(super) const ROOT: &str = "readyz";

/// The answer to a request.
pub(super) fn page(status: &StatusReports, method: &Method) -> Page {
    if *method != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, b"only GET\n".to_vec());
    }
    let failing = failing(status);
    if failing.is_empty() {
        plain(StatusCode::OK, b"ready\n".to_vec())
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, failing)
    }
}

/// A line for each identifier of the core that is not ready.
fn failing(status: &StatusReports) -> Vec<u8> {
    let mut lines = Vec::new();
    let core = status.find_group(CORE_GROUP.as_bytes());
    for identifier in core.into_iter().flat_map(|group| status.identifiers(group)) {
        let state = status.state(identifier);
        if !state.is_ready() {
            let name = status.name(identifier);
            lines.extend_from_slice(format!("{CORE_GROUP}:{name} {}", state.status).as_bytes());
            if let Some(details) = state.details {
                lines.push(b' ');
                lines.extend_from_slice(&details);
            }
            lines.push(b'\n');
        }
    }
    lines
}

fn plain(status: StatusCode, body: Vec<u8>) -> Page {
    Page::Full { status, content_type: Cow::Borrowed("text/plain"), body }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use tocsin_testbench::TestBed;

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(crate::Httpd)]);
    use tocsin_server::status_report::CoreState;

    fn shown(status: &StatusReports, method: &Method) -> (u16, String) {
        let Page::Full { status, body, .. } = page(status, method) else { panic!("a page with a body") };
        (status.as_u16(), String::from_utf8(body).unwrap())
    }

    #[test]
    fn it_is_ready_while_the_core_runs() {
        let status = &TEST_BED.bench("", "route { exit; }").worker.server.registered.status;
        assert_eq!(shown(status, &Method::GET), (503, "core:main -1 initializing\n".to_owned()));
        status.set_core(CoreState::Running);
        assert_eq!(shown(status, &Method::GET), (200, "ready\n".to_owned()));
        assert_eq!(shown(status, &Method::POST).0, 405);
        status.set_core(CoreState::Terminating);
        assert_eq!(shown(status, &Method::GET), (503, "core:main -2 terminating\n".to_owned()));
    }
}
