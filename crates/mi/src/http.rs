//! The HTTP transport: `mi_http`, a page of [`crate::httpd`] that takes requests by POST as `application/json`.

use std::borrow::Cow;
use std::future::Future;
use std::rc::Rc;

use hyper::{Method, StatusCode};

use crate::Registry;
use crate::httpd::{Page, Request};
use crate::jsonrpc::{Answer, Response, Style, answer};

/// The page's place unless `root` says otherwise.
pub const DEFAULT_ROOT: &str = "mi";

/// The handler to put into [`crate::httpd::Routes`].
///
/// JSON-RPC errors are 200 too; a notification is 202, a request without body 400, a GET 405. Another content type than
/// JSON closes the connection, as it always did.
pub fn page(registry: Rc<Registry>, style: Style) -> impl Fn(Request) -> PageFuture {
    move |request| {
        let registry = Rc::clone(&registry);
        Box::pin(async move { serve(&registry, style, &request).await })
    }
}

/// What [`page`]'s handler returns.
pub type PageFuture = std::pin::Pin<Box<dyn Future<Output = Page>>>;

async fn serve(registry: &Registry, style: Style, request: &Request) -> Page {
    if request.method != Method::POST {
        return empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    if !request.content_type.as_deref().is_some_and(is_json) {
        tracing::warn!("mi_http: a request that does not say Content-Type: application/json is refused");
        return Page::Full {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            content_type: "text/plain".into(),
            body: b"The management interface takes JSON: send the header Content-Type: application/json."
                .to_vec(),
        };
    }
    if request.body.is_empty() {
        return empty(StatusCode::BAD_REQUEST);
    }
    let response = match answer(registry, &request.body).await {
        Answer::Response(response) => response,
        Answer::Nothing => return empty(StatusCode::ACCEPTED),
        Answer::NotJson => Response::parse_error(),
        Answer::BadId => Response::invalid_request(),
    };
    Page::Full { status: StatusCode::OK, content_type: JSON, body: response.to_bytes(style) }
}

const JSON: Cow<'static, str> = Cow::Borrowed("application/json");

fn empty(status: StatusCode) -> Page {
    Page::Empty { status, content_type: JSON }
}

fn is_json(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(JSON.as_bytes())
}
